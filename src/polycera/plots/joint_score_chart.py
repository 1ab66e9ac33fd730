"""Draw the joint score, epoch by epoch, and the epoch that it chooses."""

from __future__ import annotations

from collections.abc import Sequence

from polycera.plots import theme
from polycera.plots.lines_chart import lines


def joint_score(
    epochs: Sequence[float],
    score: Sequence[float | None],
    *,
    chosen: float | None = None,
    title: str = "Joint score on the validation rows",
) -> theme.Chart:
    """Draw the weighted mean of the tasks' skills over the epochs.

    Args:
        epochs: their numbers.
        score: the joint score of each; None where it is not known.
        chosen: the epoch that was chosen; the parameter `chosen` of the chart.
        title: what is shown.

    Raises:
        InputError: where there is not a score for each epoch.

    Examples:
        >>> from polycera import plots
        >>> plots.joint_score([0, 1, 2], [0.2, 0.5, 0.4], chosen=1).to_dict()["description"]
        'Joint score on the validation rows: 1 curve over epoch 0 to 2. joint score: from 0.2 to
        0.4, lowest 0.2, highest 0.5. chosen epoch: 1.'
    """
    return lines(
        {"joint score": score},
        epochs,
        title=title,
        y_title="joint score (1 perfect)",
        chosen=chosen,
        chosen_name="chosen epoch",
        colours={"joint score": theme.PALETTE[0]},
    )
