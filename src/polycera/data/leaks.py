"""Inputs that are copies of a target: a network that sees one looks perfect and is of no use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polycera.data import association
from polycera.data.coerce import as_kind
from polycera.data.column import Values, as_text, is_missing, kind_of
from polycera.data.schema import Schema
from polycera.data.table import Table
from polycera.data.target_columns import columns_of
from polycera.errors import shorten
from polycera.tasks import Task

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_SAMPLE = 4_000
_BLOCK = 512
_GLANCE = 500  # rows


@dataclass(frozen=True)
class _Numeric:
    """Columns as one matrix [n, k], NaN where missing."""

    names: list[str]
    values: Floats


def leaks(table: Table, schema: Schema, tasks: Iterable[Task]) -> list[str]:
    """Looks for inputs that are nearly a copy of a target.

    Numbers and booleans are compared by correlation, of values and of ranks; categories by whether
    their levels and the target's values go together one to one. Only rows that have both count.

    Args:
        table: the rows.
        schema: the columns' roles; those left out are not looked at.
        tasks: what is predicted.

    Returns:
        one sentence for each pair found: which, how alike, and what to do.
    """
    targets = [column for task in tasks for column in columns_of(task.name, task)]
    found = dict(_numeric_copies(table, schema, targets)) | dict(
        _level_copies(table, schema, targets)
    )
    order = {name: place for place, name in enumerate(table.names)}
    return [
        found[pair] for pair in sorted(found, key=lambda pair: (order[pair[1]], order[pair[0]]))
    ]


Found = Iterator[tuple[tuple[str, str], str]]


def _numeric_copies(table: Table, schema: Schema, targets: Sequence[str]) -> Found:
    goals = _matrix(table, [name for name in targets if _is_numeric(table[name])])
    if not goals.names:
        return
    rows = np.linspace(0, table.rows - 1, min(table.rows, _SAMPLE)).astype(np.int64)
    inputs = schema.names("number") + schema.names("boolean")
    for start in range(0, len(inputs), _BLOCK):
        block = _matrix(table, inputs[start : start + _BLOCK])
        for place, goal in association.candidates(block.values[rows], goals.values[rows]):
            how = association.correlation(block.values[:, place], goals.values[:, goal])
            if how is not None:
                pair = (block.names[place], goals.names[goal])
                yield pair, _sentence(*pair, how)


def _level_copies(table: Table, schema: Schema, targets: Sequence[str]) -> Found:
    """Categories against all targets, and numbers and booleans against those targets that are text."""
    goals = {name: _codes(table[name]) for name in targets}
    words = [name for name in targets if not _is_numeric(table[name])]
    classes = {name: len(np.unique(goals[name][goals[name] >= 0])) for name in words}
    for column in schema.columns:
        values = table[column.name]
        against = (
            targets
            if column.role == "category"
            else [n for n in words if _may_have(values, classes[n])]
        )
        if not against or not column.used:
            continue
        codes = _codes(values)
        for goal in against:
            how = association.one_to_one(codes, goals[goal])
            if how is not None:
                yield (column.name, goal), _sentence(column.name, goal, how)


def _may_have(values: Values, levels: int) -> bool:
    """Whether a column [n] may have that many levels, by a look that costs next to nothing."""
    if values.dtype.kind != "f":
        return True
    if len(np.unique(values[:_GLANCE])) > levels + 1:  # NaN may be one of them
        return False
    return levels == 2 or association.has_many(values)


def _codes(column: Values) -> Codes:
    """Each row's value as a number from 0, -1 where missing: [n]."""
    missing = is_missing(column)
    values = as_text(column) if column.dtype.kind == "O" else column
    if column.dtype.kind == "O":
        places: dict[str, int] = {}
        codes = np.array(
            [-1 if value is None else places.setdefault(value, len(places)) for value in values]
        )
    else:
        codes = np.unique(column, return_inverse=True)[1].reshape(-1)
    return np.where(missing, -1, codes).astype(np.int64)


def _is_numeric(column: Values) -> bool:
    return kind_of(column) in ("number", "boolean")


def _matrix(table: Table, names: list[str]) -> _Numeric:
    columns = [as_kind(table[name], "number", name) for name in names]
    return _Numeric(names, np.stack(columns, axis=1) if columns else np.empty((table.rows, 0)))


def _sentence(name: str, target: str, how: str) -> str:
    column, goal = shorten(name), shorten(target)
    return (
        f"Column {column!r} is nearly a copy of the target {goal!r} ({how}): if it is not known when you "
        f"predict, leave it out with exclude=[{column!r}] (--exclude)."
    )
