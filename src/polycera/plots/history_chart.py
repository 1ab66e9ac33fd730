"""Draw how a loss, a metric or a skill went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polycera.errors import InputError, UnknownName
from polycera.plots import theme
from polycera.plots.lines_chart import lines
from polycera.plots.plain_values import number

WHOLE = "all tasks"
"""Name of the curve that belongs to no task."""


def history(
    rows: Iterable[Mapping[str, Any]],
    *,
    tasks: Sequence[str] | None = None,
    metric: str = "loss",
    chosen: float | None = None,
    title: str | None = None,
    unit: str = "",
    colours: Mapping[str, str] | None = None,
) -> theme.Chart:
    """Draw a loss or a metric over the epochs, on training (dashed) and validation rows.

    Args:
        rows: one record an epoch, as in `history.csv`: `epoch`, `loss`, `val_loss`,
            `TASK/METRIC`, `val_TASK/METRIC`, `val_TASK_skill`. An empty text is an unknown number.
        tasks: tasks with a curve each; None draws the one curve of the whole network.
        metric: what is drawn: `loss`, `joint`, a metric or loss term of the tasks, or `skill`.
        chosen: the epoch that was chosen; the parameter `chosen` of the chart.
        title: what is shown.
        unit: of the metric, for the axis.
        colours: task -> colour, as `task_colours` gives them.

    Raises:
        UnknownName: where no epoch has the metric; the message names those that are there.

    Examples:
        >>> from polycera import plots
        >>> rows = [
        ...     {"epoch": 0, "loss": 0.9, "val_loss": 1.0},
        ...     {"epoch": 1, "loss": 0.5, "val_loss": 0.7},
        ... ]
        >>> plots.history(rows, chosen=1).to_dict()["title"]
        ['loss by epoch']
    """
    records = list(rows)
    columns = {str(name) for record in records for name in record}
    wanted = {WHOLE: (metric, f"val_{metric}")} if tasks is None else {}
    for task in tasks or ():
        names = (f"{task}/{metric}", f"val_{task}/{metric}")
        wanted[task] = ("", f"val_{task}_skill") if metric == "skill" else names
    epochs = [_epoch(record, place) for place, record in enumerate(records)]
    found = [name for pair in wanted.values() for name in pair if name in columns]
    if records and not found:
        raise UnknownName("metric", metric, _metrics(columns, tasks))
    training, validation = (
        {
            task: [number(record.get(pair[part])) for record in records]
            for task, pair in wanted.items()
            if pair[part] in columns
        }
        for part in (0, 1)
    )
    solid, dashed = (validation, training) if validation else (training, {})
    parts = ("validation", "training") if validation else ("training", "validation")
    order = {task: colour for task, colour in theme.colours_of(wanted, colours).items()}
    return lines(
        {task: curve for task, curve in solid.items()},
        epochs,
        title=title or f"{metric} by epoch",
        y_title=f"{metric} ({unit})" if unit else metric,
        dashed=dashed,
        parts=parts,
        chosen=chosen,
        chosen_name="chosen epoch",
        colours=order,
    )


def _epoch(record: Mapping[str, Any], place: int) -> float:
    value = number(record.get("epoch", place))
    if value is None:
        raise InputError(f"Row {place} of the history has no epoch: give its number.")
    return value


def _metrics(columns: Iterable[str], tasks: Sequence[str] | None) -> list[str]:
    """Return the words that `metric` may be."""
    plain = {name.removeprefix("val_") for name in columns} - {"epoch"}
    if tasks is None:
        return sorted(name for name in plain if "/" not in name and not name.endswith("_skill"))
    starts = tuple(f"{task}/" for task in tasks)
    found = {name.split("/")[-1] for name in plain if name.startswith(starts)}
    skilled = any(f"{task}_skill" in plain for task in tasks)
    return sorted(found | ({"skill"} if skilled else set()))
