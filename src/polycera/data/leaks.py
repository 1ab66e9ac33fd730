"""Find inputs that are copies of a target: a network with one looks perfect but is useless."""

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
"""Rows of the sample that decides which pairs are compared over all rows."""

_BLOCK = 512
"""Input columns that are compared at a time, which limits the memory."""

_GLANCE = 500
"""Number of first rows that `_may_have` examines."""


@dataclass(frozen=True)
class _Numeric:
    """Holds columns as one matrix [n, k], NaN where missing."""

    names: list[str]
    values: Floats


def leaks(table: Table, schema: Schema, tasks: Iterable[Task]) -> list[str]:
    """Return a sentence for each input that is nearly a copy of a target.

    Numbers and booleans are compared by correlation of values and of ranks. Categories are compared
    by whether their levels and the target's values correspond one to one. Only rows that have both
    values count.

    Args:
        table: the rows.
        schema: the columns' roles; columns that are left out are not compared.
        tasks: the tasks to predict.

    Returns:
        One sentence for each pair: which, how similar, and what to do.
    """
    targets = [column for task in tasks for column in columns_of(task.name, task)]
    sentences = dict(_numeric_copies(table, schema, targets)) | dict(
        _level_copies(table, schema, targets)
    )
    # Sorted as the table's columns are, so that equal tables give equal messages.
    order = {name: index for index, name in enumerate(table.names)}
    return [
        sentences[pair]
        for pair in sorted(sentences, key=lambda pair: (order[pair[1]], order[pair[0]]))
    ]


Copies = Iterator[tuple[tuple[str, str], str]]
"""Pairs of (input, target), each with its sentence."""


def _numeric_copies(table: Table, schema: Schema, targets: Sequence[str]) -> Copies:
    """Yield pairs of numeric or boolean columns that are nearly equal or correlated."""
    goals = _matrix(table, [name for name in targets if _is_numeric(table[name])])
    if not goals.names:
        return
    # Rows at even distances: a sample without a seed, the same each time.
    rows = np.linspace(0, table.rows - 1, min(table.rows, _SAMPLE)).astype(np.int64)
    inputs = schema.names("number") + schema.names("boolean")
    for start in range(0, len(inputs), _BLOCK):
        block = _matrix(table, inputs[start : start + _BLOCK])
        for input_index, target_index in association.candidates(
            block.values[rows], goals.values[rows]
        ):
            how = association.correlation(
                block.values[:, input_index], goals.values[:, target_index]
            )
            if how is not None:
                pair = (block.names[input_index], goals.names[target_index])
                yield pair, _sentence(*pair, how)


def _level_copies(table: Table, schema: Schema, targets: Sequence[str]) -> Copies:
    """Yield pairs of columns whose values correspond one to one."""
    # A sample rules nearly all pairs out, and takes a fraction of the time in a long table.
    rows = np.linspace(0, table.rows - 1, min(table.rows, _SAMPLE)).astype(np.int64)
    sampled = {name: _codes(table[name][rows]) for name in targets}
    goals: dict[str, Codes] = {}
    text_targets = [name for name in targets if not _is_numeric(table[name])]
    classes = {name: len(set(table[name].tolist()) - {None}) for name in text_targets}
    # Categories are compared with all targets; numbers and booleans only with targets that are
    # text, because `_numeric_copies` compares the others.
    for column in schema.columns:
        if not column.used:
            continue
        values = table[column.name]
        against = (
            targets
            if column.role == "category"
            else [n for n in text_targets if _may_have(values, classes[n])]
        )
        if not against:
            continue
        few = _codes(values[rows])
        against = [
            name
            for name in against
            if association.nearly_decides(few, sampled[name])
            and association.nearly_decides(sampled[name], few)
        ]
        if not against:
            continue
        codes = _codes(values)
        for target in against:
            if target not in goals:
                goals[target] = _codes(table[target])
            how = association.one_to_one(codes, goals[target])
            if how is not None:
                yield (column.name, target), _sentence(column.name, target, how)


def _may_have(values: Values, levels: int) -> bool:
    """Return whether a column [n] may have that many levels, by a test that costs little."""
    if values.dtype.kind != "f":
        return True
    if len(np.unique(values[:_GLANCE])) > levels + 1:  # NaN may be one of them
        return False
    return levels == 2 or association.has_many(values)


def _codes(column: Values) -> Codes:
    """Return each row's value as a code from 0; -1 where missing; [n]."""
    missing = is_missing(column)
    values = as_text(column) if column.dtype.kind == "O" else column
    if column.dtype.kind == "O":
        code_of = {value: code for code, value in enumerate(dict.fromkeys(values.tolist()))}
        codes = np.fromiter(map(code_of.__getitem__, values), np.int64, len(values))
    else:
        codes = np.unique(column, return_inverse=True)[1].reshape(-1)
    return np.where(missing, -1, codes).astype(np.int64)


def _is_numeric(column: Values) -> bool:
    """Return whether a column can be compared by correlation."""
    return kind_of(column) in ("number", "boolean")


def _matrix(table: Table, names: list[str]) -> _Numeric:
    """Return the columns as one matrix of numbers."""
    columns = [as_kind(table[name], "number", name) for name in names]
    return _Numeric(names, np.stack(columns, axis=1) if columns else np.empty((table.rows, 0)))


def _sentence(name: str, target: str, how: str) -> str:
    """Return the sentence on an input that is nearly a copy of a target."""
    column, target_name = shorten(name), shorten(target)
    return (
        f"Column {column!r} is nearly a copy of the target {target_name!r} ({how}): "
        "if it is not known when you "
        f"predict, leave it out with exclude=[{column!r}] (--exclude)."
    )
