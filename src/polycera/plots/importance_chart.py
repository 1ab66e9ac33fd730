"""Draw what a task loses when the values of a column are shuffled among the rows."""

from __future__ import annotations

from collections.abc import Sequence

from polycera.plots import theme
from polycera.plots.bars_chart import bars
from polycera.plots.plain_values import as_lists, number, numbers

MOST = 20
"""Columns shown at first."""


def importance(
    columns: Sequence[str],
    mean: Sequence[float | None],
    deviation: Sequence[float | None] | None = None,
    *,
    task: str = "",
    metric: str = "skill",
    title: str | None = None,
    colour: str = theme.PALETTE[0],
) -> theme.Chart:
    """Draw the importance of the columns for one task, the weightiest first.

    Args:
        columns: names of the columns.
        mean: what the metric loses when the column is shuffled, over the repetitions.
        deviation: its standard deviation over the repetitions, drawn to both sides.
        task: for whom.
        metric: what is lost, for the axis.
        title: what is shown.
        colour: of the task, as `task_colours` gives it.

    Raises:
        InputError: where these are not as many.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.importance(["age", "plan"], [0.1, 0.3], [0.01, 0.02], task="churn")
        >>> chart.to_dict()["title"]
        ['What matters for churn']
    """
    means = numbers(mean)
    spread = numbers([None] * len(means) if deviation is None else deviation)
    as_lists(columns=columns, mean=means, deviation=spread)
    pairs = list(zip(means, spread, strict=True))
    low = [None if m is None or s is None else m - s for m, s in pairs]
    high = [None if m is None or s is None else m + s for m, s in pairs]
    return bars(
        columns,
        means,
        title=title or (f"What matters for {task}" if task else "What matters"),
        x_title=f"{metric} lost when the column is shuffled",
        low=[number(value) for value in low],
        high=[number(value) for value in high],
        most=MOST,
        what="column",
        colour=colour,
    )
