"""Find inputs that give a target away: a network with one looks perfect but is useless.

Such an input is nearly a copy of the target, or predicts it nearly alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polycera.data import association, column_skill
from polycera.data.coerce import as_kind
from polycera.data.column import Values, kind_of
from polycera.data.schema import Schema
from polycera.data.table import Table
from polycera.data.target_columns import columns_of, labels
from polycera.data.telling import TellingColumn, sentences
from polycera.errors import InputError, shorten
from polycera.tasks import Task
from polycera.typing import Array

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_SAMPLE = 4_000
"""Rows of the sample that decides which pairs are compared over all rows."""

_BLOCK = 512
"""Input columns that are compared at a time, which limits the memory."""

_GLANCE = 500
"""Number of first rows that `_may_have` examines."""


ALONE = 0.9
"""Skill of a column alone from which it is named before training.

Honest columns seldom come near: the other tenth would be all that is left to learn.
"""


@dataclass(frozen=True)
class _Numeric:
    """Holds columns as one matrix [n, k], NaN where missing."""

    names: list[str]
    values: Floats


@dataclass(frozen=True)
class Leaks:
    """Holds the inputs that may give a target away.

    Attributes:
        pairs: input and target, or label of a multilabel target.
        sentences: which, how similar, and what to do.
    """

    pairs: frozenset[tuple[str, str]]
    sentences: list[str]


def leaks(
    table: Table,
    schema: Schema,
    tasks: Iterable[Task],
    train: Codes | None = None,
    groups: Values | None = None,
    seed: int = 0,
    encoded: Mapping[str, Array] | None = None,
) -> Leaks:
    """Return the inputs that are nearly copies of a target, or predict it nearly alone.

    Numbers and booleans are compared by correlation of values and of ranks. Categories are compared
    by whether their levels and the target's values correspond one to one. Only rows that have both
    values count. Then each input predicts each target alone, in folds of a sample of the training
    rows (see `column_skill`); one that reaches a skill of `ALONE` is named.

    Args:
        table: the rows.
        schema: the columns' roles; columns that are left out are not compared.
        tasks: the tasks to predict.
        train: indices of the training rows; None for all rows.
        groups: the group of each row of the table, which is never divided between folds; or None.
        seed: of the sample and the folds.
        encoded: task -> encoded labels of the table's rows, as far as there are any yet; of the
            other tasks those of the sample are encoded.
    """
    tasks = list(tasks)
    targets = [column for task in tasks for column in columns_of(task.name, task)]
    copies = dict(_numeric_copies(table, schema, targets)) | dict(
        _level_copies(table, schema, targets)
    )
    # Sorted as the table's columns are, so that equal tables give equal messages.
    order = {name: index for index, name in enumerate(table.names)}
    said = [
        copies[pair] for pair in sorted(copies, key=lambda pair: (order[pair[1]], order[pair[0]]))
    ]
    rows = np.arange(table.rows) if train is None else np.asarray(train, np.int64)
    found = [
        telling
        for telling in _telling(table, schema, tasks, rows, groups, seed, encoded or {})
        if (telling.column, telling.target) not in copies
    ]
    pairs = {*copies, *((telling.column, telling.target) for telling in found)}
    return Leaks(frozenset(pairs), [*said, *sentences(found)])


def _telling(
    table: Table,
    schema: Schema,
    tasks: Sequence[Task],
    train: Codes,
    groups: Values | None,
    seed: int,
    all_encoded: Mapping[str, Array],
) -> list[TellingColumn]:
    """Return the inputs that reach a skill of `ALONE` by themselves."""
    if not tasks or not schema.used:
        return []
    width = sum(task.width for task in tasks)
    rows = column_skill.sampled(train, seed, len(schema.used), width)
    sample = table.take(rows)
    encoded = {}
    for task in tasks:
        if task.name in all_encoded:
            encoded[task.name] = all_encoded[task.name][rows]
            continue
        # A class that the task does not know is refused where all labels are encoded.
        with suppress(InputError):
            encoded[task.name] = task.encode(np.asarray(labels(sample, task)))
    tasks = [task for task in tasks if task.name in encoded]
    if not tasks:
        return []
    goals = column_skill.goals(tasks, encoded)
    columns = column_skill.binned(sample, schema.used, schema.names("category"))
    fold = column_skill.folds(len(rows), None if groups is None else groups[rows], seed)
    reached = column_skill.skills(columns, goals, fold)
    return [
        TellingColumn(columns.names[i], goals.names[j], float(reached[i, j]), len(rows))
        for i, j in np.argwhere(reached >= ALONE).tolist()
    ]


Copies = Iterator[tuple[tuple[str, str], str]]
"""Pairs of (input, target), each with its sentence."""


def _numeric_copies(table: Table, schema: Schema, targets: Sequence[str]) -> Copies:
    """Yield pairs of numeric or boolean columns that are nearly equal or correlated."""
    # Rows at even distances: a sample without a seed, the same each time.
    rows = np.linspace(0, table.rows - 1, min(table.rows, _SAMPLE)).astype(np.int64)
    goals = _matrix(table, [name for name in targets if _is_numeric(table[name])], rows)
    if not goals.names:
        return
    inputs = schema.names("number") + schema.names("boolean")
    for start in range(0, len(inputs), _BLOCK):
        block = _matrix(table, inputs[start : start + _BLOCK], rows)
        for input_index, target_index in association.candidates(block.values, goals.values):
            how = association.correlation(
                *_numbers(table, block.names[input_index], goals.names[target_index])
            )
            if how is not None:
                pair = (block.names[input_index], goals.names[target_index])
                yield pair, _sentence(*pair, how)


def _level_copies(table: Table, schema: Schema, targets: Sequence[str]) -> Copies:
    """Yield pairs of columns whose values correspond one to one."""
    # A sample rules nearly all pairs out, and takes a fraction of the time in a long table.
    rows = np.linspace(0, table.rows - 1, min(table.rows, _SAMPLE)).astype(np.int64)
    sampled = {name: association.codes(table[name][rows]) for name in targets}
    goals: dict[str, Codes] = {}
    text_targets = [name for name in targets if not _is_numeric(table[name])]
    classes = {name: len(table.distinct(name)) for name in text_targets}
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
        few = association.codes(values[rows])
        against = [
            name
            for name in against
            if association.nearly_decides(few, sampled[name])
            and association.nearly_decides(sampled[name], few)
        ]
        if not against:
            continue
        codes = association.codes(values)
        for target in against:
            if target not in goals:
                goals[target] = association.codes(table[target])
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


def _is_numeric(column: Values) -> bool:
    """Return whether a column can be compared by correlation."""
    return kind_of(column) in ("number", "boolean")


def _numbers(table: Table, *names: str) -> list[Floats]:
    """Return columns as numbers."""
    return [as_kind(table[name], "number", name) for name in names]


def _matrix(table: Table, names: list[str], rows: Codes) -> _Numeric:
    """Return some rows of columns as one matrix of numbers."""
    columns = []
    for name in names:
        values = table[name]
        # How numbers are written in a column of text is seen by all of its cells.
        every = as_kind(values, "number", name) if kind_of(values) == "text" else values
        columns.append(as_kind(every[rows], "number", name))
    return _Numeric(names, np.stack(columns, axis=1) if columns else np.empty((len(rows), 0)))


def _sentence(name: str, target: str, how: str) -> str:
    """Return the sentence on an input that is nearly a copy of a target."""
    column, target_name = shorten(name), shorten(target)
    return (
        f"Column {column!r} is nearly a copy of the target {target_name!r} ({how}): "
        "if it is not known when you "
        f"predict, leave it out with exclude=[{column!r}] (--exclude)."
    )
