"""Draw what the rows with the highest scores hold: cumulative gains, and lift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from polycera.plots import theme
from polycera.plots.lines_chart import lines


def gains(
    share: Sequence[float],
    found: Mapping[str, Sequence[float | None]],
    *,
    task: str = "",
    title: str | None = None,
    y_title: str = "share of the positive rows found",
    chosen: float | None = None,
) -> theme.Chart:
    """Draw how much is found among the highest scores; guessing finds as much as it looks at.

    Args:
        share: parts of the rows, from the highest score down, 0 to 1.
        found: order -> what is found in each part, 0 to 1, such as `by probability`.
        task: of whom.
        title: what is shown.
        y_title: what is found: positive rows, or money.
        chosen: the share of rows that is looked at, the parameter `chosen` of the chart.

    Raises:
        InputError: where a curve does not have a value for each share.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.gains([0, 0.1, 1], {"by probability": [0, 0.38, 1]}, task="churn")
        >>> chart.to_dict()["title"]
        ['Found among the highest scores: churn']
    """
    title = title or "Found among the highest scores" + (f": {task}" if task else "")
    # Guessing is drawn with the others, in the colour of no task.
    curves = {**found, "guessing": list(share)}
    colours = theme.task_colours(found) | {"guessing": theme.NEUTRAL}
    return lines(
        curves,
        share,
        title=title,
        x_title="share of the rows looked at",
        y_title=y_title,
        chosen=chosen,
        chosen_name="looked at",
        colours=colours,
    )


def lift(
    share: Sequence[float],
    found: Mapping[str, Sequence[float | None]],
    *,
    task: str = "",
    title: str | None = None,
) -> theme.Chart:
    """Draw how many times more is found among the highest scores than by guessing.

    Args:
        share: parts of the rows, from the highest score down, above 0 to 1.
        found: order -> what is found in each part, 0 to 1, as in `gains`.
        task: of whom.
        title: what is shown.

    Raises:
        InputError: where a curve does not have a value for each share.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.lift([0.1, 1], {"by probability": [0.38, 1]}, task="churn")
        >>> chart.to_dict()["description"]
        'Lift of the highest scores: churn: 2 curves over share of the rows looked at 0.1 to 1. by
        probability: from 3.8 to 1, lowest 1, highest 3.8. guessing: from 1 to 1, lowest 1, highest
        1.'
    """
    curves: dict[str, list[float | None]] = {}
    for name, own in found.items():
        pairs = zip(own, share, strict=False)
        ratios = [None if value is None or not part else value / part for value, part in pairs]
        curves[name] = [*ratios, *own[len(ratios) :]]
    curves["guessing"] = [1.0] * len(share)
    return lines(
        curves,
        share,
        title=title or "Lift of the highest scores" + (f": {task}" if task else ""),
        x_title="share of the rows looked at",
        y_title="lift (times as many as by guessing)",
        colours=theme.task_colours(found) | {"guessing": theme.NEUTRAL},
    )
