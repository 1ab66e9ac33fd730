"""Inspect a table that is larger than memory, from what one pass over it has counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from polycera import data
from polycera.data.schema import Column
from polycera.data.streaming.survey import Survey
from polycera.inspection.between_targets import correlations
from polycera.inspection.result import MANY_LEVELS, InspectedColumn, InspectedTarget, Inspection
from polycera.tabular.prepare import PreparedTable
from polycera.tasks import Task
from polycera.tasks.task import ClassTask

DAY = 86_400e6
"""Microseconds of a day."""


def of_stream(
    prepared: PreparedTable, source: str, in_memory: Callable[[Task], InspectedTarget]
) -> Inspection:
    """Return what was found of a table that is larger than memory.

    Numbers of rows, missing values, ranges and levels are those of all rows. Copies, leaks and
    correlations are looked for among the rows in memory, which is said.

    Args:
        prepared: the table, with its stream.
        source: what the table is called.
        in_memory: returns what the rows in memory show of a target.
    """
    assert prepared.stream is not None
    found, tasks, held = prepared.stream.found, prepared.tasks, prepared.table
    columns = {column.name: _column(column, found) for column in prepared.schema.columns}
    targets = [name for task in tasks for name in data.columns_of(task.name, task)]
    kinds = data.copies(held, [*prepared.schema.used, *targets])
    rows = found.rows.rows
    sample = (
        f"{found.rows.label} has {rows:,} rows and does not fit in memory: copies, outliers, leaks "
        f"and correlations are those of {held.rows:,} rows."
    )
    return Inspection(
        source=source,
        rows=rows,
        columns=columns,
        targets={task.name: _target(task, prepared, found) or in_memory(task) for task in tasks},
        left_out={name: column.reason for name, column in columns.items() if not column.used},
        parts=prepared.numbers_of_rows if tasks else {},
        copies=0 if kinds is None else held.rows - int(kinds.max() + 1),
        correlations=correlations(held, tasks),
        leaks=prepared.leaks,
        said=[sample, *prepared.said, *prepared.warnings],
    )


def _column(column: Column, found: Survey) -> InspectedColumn:
    """Return what was counted of a column that is not a target."""
    name, role, reason = column.name, column.role, column.reason
    if name not in found.kinds:
        return InspectedColumn(role, reason, used=False, missing=None)
    missing = found.missing[name][0]
    levels, distinct = _levels(column, found)
    low, high = (None, None) if missing == found.rows.rows else _range(name, found)
    return InspectedColumn(
        role,
        reason,
        used=column.used,
        missing=missing,
        min=low,
        max=high,
        levels=levels,
        distinct=distinct,
    )


def _levels(column: Column, found: Survey) -> tuple[list[Any] | None, int | None]:
    """Return the levels of a category or boolean, the first of many, and their number."""
    if column.role == "boolean" and column.name in found.of_all:
        edges = found.of_all[column.name].range
        both = sorted({bool(edge[0]) for edge in edges})
        return list(both), len(both)
    if column.role not in ("category", "boolean") or column.name not in found.levels:
        return None, None
    counted = found.levels[column.name]
    levels = [_plain(level) for level in sorted(counted.counts)]
    return levels[:MANY_LEVELS], counted.distinct


def _range(name: str, found: Survey) -> tuple[float | str | None, float | str | None]:
    """Return the smallest and largest number, or date in ISO format, of a column; else None."""
    kind = found.kinds[name]
    if kind not in ("number", "date") or name not in found.of_all:
        return None, None
    low, high = found.of_all[name].range
    if kind == "number":
        return float(low[0]), float(high[0])
    # Of a date: its year, and its days since 1970.
    return _iso(low[1]), _iso(high[1])


def _iso(days: float) -> str:
    """Return a number of days since 1970 as a date in ISO format."""
    return str(np.datetime64(round(days * DAY), "us")).removesuffix(".000000")


def _plain(level: Any) -> Any:
    """Return a level as it is listed: whole numbers as integers."""
    return int(level) if isinstance(level, float) and level.is_integer() else level


def _target(task: Task, prepared: PreparedTable, found: Survey) -> InspectedTarget | None:
    """Return what was counted of a target; None for one of several columns or uncounted labels."""
    name, reason = task.name, prepared.reasons[task.name]
    if name not in found.kinds or data.columns_of(name, task) != [name]:
        return None
    missing = found.missing[name][0]
    if isinstance(task, ClassTask):
        counted = found.levels.get(name)
        if counted is None or not counted.whole:
            return None
        labels = np.empty(len(counted.counts), dtype=object)
        labels[:] = list(counted.counts)
        places = task.encode(labels)[:, 0].astype(np.int64)
        classes = task.known_classes()
        counts = np.bincount(places, list(counted.counts.values()), minlength=len(classes))
        shares = (counts / max(counts.sum(), 1)).tolist()
        return InspectedTarget(task.kind, reason, missing, list(classes), shares)
    if name not in found.of_all:
        return None
    moments = found.of_all[name]
    low, high = moments.range
    return InspectedTarget(
        task.kind,
        reason,
        missing,
        mean=float(moments.mean[0]),
        min=float(low[0]),
        max=float(high[0]),
    )
