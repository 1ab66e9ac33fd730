"""Draw what is gained and lost by the threshold from which an event is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from polycera.plots import theme
from polycera.plots.lines_chart import lines


def threshold(
    thresholds: Sequence[float],
    curves: Mapping[str, Sequence[float | None]],
    *,
    chosen: float | None = None,
    task: str = "",
    title: str | None = None,
    y_title: str = "share of rows",
) -> theme.Chart:
    """Draw precision, recall and the like by the decision threshold, with the one in use.

    Args:
        thresholds: probabilities from which the event is predicted.
        curves: measure -> its value at each threshold, such as `precision` and `recall`.
        chosen: the threshold in use. It is the parameter `chosen` of the chart: a slider of a page
            moves the line by `view.signal("chosen", 0.3)`.
        task: of whom.
        title: what is shown.
        y_title: of the axis of the measures.

    Raises:
        InputError: where a curve does not have a value for each threshold.

    Examples:
        >>> from polycera import plots
        >>> curves = {"precision": [0.4, 0.6, 0.9], "recall": [1.0, 0.8, 0.3]}
        >>> plots.threshold([0.2, 0.5, 0.8], curves, chosen=0.42).to_dict()["params"][0]["value"]
        0.42
    """
    return lines(
        curves,
        thresholds,
        title=title or (f"Threshold of {task}" if task else "Threshold"),
        x_title="decision threshold (probability)",
        y_title=y_title,
        chosen=chosen,
        chosen_name="threshold",
    )
