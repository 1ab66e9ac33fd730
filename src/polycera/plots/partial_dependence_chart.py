"""Draw the mean prediction of a task by the value of one column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polycera.plots import theme
from polycera.plots.bars_chart import bars
from polycera.plots.lines_chart import lines


def partial_dependence(
    values: Sequence[Any],
    outputs: Mapping[str, Sequence[float | None]],
    *,
    task: str = "",
    column: str = "",
    unit: str = "",
    title: str | None = None,
    colour: str = theme.PALETTE[0],
) -> theme.Chart:
    """Draw the mean prediction over all rows when a column is set to each of some values.

    Numbers are drawn as curves; words (categories, dates) as bars of the first output.

    Args:
        values: of the column: numbers, or words.
        outputs: what is predicted -> its mean at each value; one entry, or one for each class.
        task: of whom.
        column: which column.
        unit: of the prediction.
        title: what is shown.
        colour: of the task, where there is one output.

    Raises:
        InputError: where there is not a mean for each value.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.partial_dependence(
        ...     [1, 12, 60], {"yes": [0.4, 0.25, 0.1]}, task="churn", column="tenure"
        ... )
        >>> chart.to_dict()["title"]
        ['Mean prediction of churn by tenure']
    """
    title = title or f"Mean prediction of {task or 'the task'} by {column or 'the column'}"
    y_title = "mean prediction" + (f" ({unit})" if unit else "")
    if any(isinstance(value, str) for value in values):
        first = next(iter(outputs.values()), [])
        names = [str(value) for value in values]
        return bars(
            names, first, title=title, x_title=y_title, sort=False, what="value", colour=colour
        )
    one = len(outputs) == 1
    return lines(
        outputs,
        values,
        title=title,
        x_title=column or "value of the column",
        y_title=y_title,
        colours={name: colour for name in outputs} if one else None,
    )
