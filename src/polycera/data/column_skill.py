"""Measure how well one column alone predicts a target, in closed form and for all pairs at once.

A column is divided into bins, and the target of a row is predicted by the mean of the other folds'
rows in its bin. The squared error of a fold follows from sums within bins, so nothing is computed
row by row: one matrix product a fold.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polycera.data import association
from polycera.data.column import Values, is_missing
from polycera.data.split import stretches
from polycera.data.table import Table
from polycera.tasks import Multiclass, Multilabel, Task
from polycera.tasks.task import ClassTask
from polycera.typing import Array

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

ROWS = 4_000
"""Most rows that are measured: the standard error of a skill of 0.9 is then below 0.005."""
FEWEST = 50
"""Fewest rows with labels: in fewer a high skill may be chance."""
BINS = 32
"""Most bins of numbers and dates."""
BIN_ROWS = 10
"""Rows that a bin of numbers has at least, on average."""
LEVELS = 64
"""Most levels of a category that are bins of their own: the most frequent ones."""
SHRINK = 1.0
"""Number of rows with the mean of the other folds' labels that each bin is thought to have."""
FOLDS = 5
"""Number of folds where the training has none of its own."""
PRODUCT = 4e9
"""Most multiplications of a measurement; in wide tables with many targets fewer rows are taken."""
DIVIDED = 2e6
"""Most cells that are divided into bins, which takes about half a second."""
FEWEST_ROWS = 500
"""Rows that are measured however wide the table is."""
CELLS = 2**22
"""Most cells of the matrix of bins at a time: 32 MB in float64."""


class BinnedColumns(NamedTuple):
    """Holds columns divided into bins.

    Attributes:
        names: of the columns.
        codes: bin of each row in each column, [n, columns].
        counts: number of bins of each column, [columns].
    """

    names: list[str]
    codes: Codes
    counts: Codes


class Goals(NamedTuple):
    """Holds what is predicted, as columns of numbers; several columns may form one goal.

    Attributes:
        names: of the goals: a task, or a label of a multilabel task.
        values: [n, columns], NaN where missing.
        starts: first column of each goal.
    """

    names: list[str]
    values: Floats
    starts: list[int]


def sampled(rows: Codes, seed: int, columns: int, goals: int) -> Codes:
    """Return at most `ROWS` of these rows, drawn with a seed, in order.

    Args:
        rows: indices of rows.
        seed: of the draw.
        columns: number of columns that are to be measured.
        goals: number of columns of goals.
    """
    fit = min(PRODUCT / max(columns * BINS * goals, 1), DIVIDED / max(columns, 1))
    count = min(ROWS, max(int(fit), FEWEST_ROWS))
    if len(rows) <= count:
        return np.sort(rows)
    return np.sort(np.random.default_rng([seed, ROWS]).choice(rows, count, replace=False))


def together(
    table: Table, groups: str | None, time: str | None, copies: Values | None = None
) -> Values | None:
    """Return which rows are in one fold together, [rows]; None where each may be alone.

    These are the rows of a stretch of time, of a group, or copies of each other.

    Args:
        table: the rows.
        groups, time: names of the columns of groups and of time, or None.
        copies: which rows are equal, [rows], or None.
    """
    if time is not None and time in table:
        grouped = None if groups is None else table[groups]
        return stretches(table[time], FOLDS, grouped).astype(np.float64)
    return table[groups] if groups is not None and groups in table else copies


def folds(rows: int, groups: Values | None, seed: int) -> Codes:
    """Return the fold of each row, [rows]; a group [rows] is never divided."""
    rng = np.random.default_rng([seed, FOLDS])
    if groups is None:
        return rng.permutation(rows) % FOLDS
    group = association.codes(groups)
    group -= group.min(initial=0)  # rows without a group form one
    return (rng.permutation(int(group.max(initial=0)) + 1) % FOLDS)[group]


def binned(table: Table, names: Iterable[str], categories: Iterable[str]) -> BinnedColumns:
    """Return columns of a table divided into bins.

    Numbers and dates are divided at quantiles, values that are frequent alone; levels of categories
    are bins, rare ones together. Missing values are a bin of their own.

    Args:
        table: the rows.
        names: of the columns.
        categories: those of them whose values are levels.
    """
    levels = set(categories)
    columns = [
        _binned_levels(table[name])
        if name in levels or table[name].dtype.kind == "O"
        else binned_numbers(table[name])
        for name in names
    ]
    codes = np.stack(columns, axis=1) if columns else np.empty((table.rows, 0), np.int64)
    return BinnedColumns(list(names), codes, codes.max(axis=0, initial=0) + 1)


def binned_numbers(values: Values) -> Codes:
    """Return the bin of each number or date [n]; bin 0 is that of missing values."""
    missing = is_missing(values)
    present, codes = values[~missing], np.zeros(len(values), np.int64)
    if not len(present):
        return codes
    different, place, counts = np.unique(present, return_inverse=True, return_counts=True)
    bins = int(np.clip(len(present) // BIN_ROWS, 2, BINS))
    if len(different) <= bins:
        codes[~missing] = place.reshape(-1) + 1
        return codes
    middle = np.cumsum(counts) - counts / 2
    quantile = (middle * bins / len(present)).astype(np.int64)
    alone = counts * bins >= len(present)
    changes = np.diff(quantile) > 0
    changes |= alone[1:] | alone[:-1]
    codes[~missing] = np.concatenate([[1], 1 + np.cumsum(changes)])[place.reshape(-1)]
    return codes


def _binned_levels(values: Values) -> Codes:
    """Return the bin of each level [n]; bin 0 is that of missing values, 1 that of rare levels."""
    codes = association.codes(values)
    missing = codes < 0
    counts = np.bincount(codes[~missing])
    frequent = np.argsort(-counts, kind="stable")[:LEVELS]
    frequent = frequent[counts[frequent] > 1]
    bin_of = np.ones(len(counts), np.int64)
    bin_of[frequent] = np.arange(len(frequent)) + 2
    found = np.zeros(len(values), np.int64)
    found[~missing] = bin_of[codes[~missing]]
    return found


def goals(tasks: Iterable[Task], encoded: dict[str, Array]) -> Goals:
    """Return the labels of tasks as columns of numbers.

    Numbers and ordered classes become ranks, so that a few large ones do not decide alone. Classes
    without order are one column each; each label of a multilabel task is a goal of its own.

    Args:
        tasks: the tasks.
        encoded: task -> encoded labels [n, width], NaN where missing.
    """
    names: list[str] = []
    starts: list[int] = []
    columns: list[Floats] = []
    for task in tasks:
        labels = np.asarray(encoded[task.name], np.float64)
        if isinstance(task, Multilabel):
            parts = [labels[:, [i]] for i in range(labels.shape[1])]
            part_names = [str(label) for label in task.labels]
        else:
            parts, part_names = [_columns_of_goal(task, labels)], [task.name]
        for name, part in zip(part_names, parts, strict=True):
            names.append(name)
            starts.append(sum(column.shape[1] for column in columns))
            columns.append(part)
    return Goals(names, np.concatenate(columns, axis=1), starts)


def by_rank(task: Task) -> bool:
    """Return whether a task is one goal of ranks: numbers, and classes in an order."""
    return task.kind == "ordinal" or not isinstance(task, ClassTask | Multilabel)


def _columns_of_goal(task: Task, labels: Floats) -> Floats:
    """Return the labels [n, width] of a task that is one goal as columns."""
    if by_rank(task):
        return association.ranks(labels[:, :1]) / max(len(labels), 1)
    if isinstance(task, Multiclass) and not task.soft:
        classes = np.arange(len(task.known_classes()))
        return np.where(np.isnan(labels[:, :1]), np.nan, labels[:, :1] == classes)
    return labels


def skills(columns: BinnedColumns, goals: Goals, fold: Codes, scored: int | None = None) -> Floats:
    """Return the skill [columns, goals] that each column alone reaches in rows of other folds.

    It is 1 - SSE / SST: R2 of ranks for numbers, the Brier skill for classes. 0 is what their mean
    reaches. NaN for a goal with fewer than `FEWEST` labels or a single value.

    Args:
        columns: the columns in bins.
        goals: what is predicted.
        fold: of each row, [n], from 0.
        scored: the fold whose rows are predicted; None for all.
    """
    known = np.isfinite(goals.values)
    complete = bool(known.all())
    values = np.where(known, goals.values, 0.0)
    order = np.argsort(fold, kind="stable")
    edges = np.searchsorted(fold[order], np.arange(int(fold.max(initial=0)) + 2))
    parts = [order[a:b] for a, b in itertools.pairwise(edges) if b > a]
    judged = [i for i, rows in enumerate(parts) if scored is None or fold[rows[0]] == scored]
    errors = np.empty((len(columns.names), values.shape[1]))
    # Bins of several columns side by side, as many as fit.
    blocks = (columns.counts.cumsum() * len(fold) // CELLS).tolist()
    for block in dict.fromkeys(blocks):
        chosen = np.flatnonzero(np.equal(blocks, block))
        starts = np.cumsum(columns.counts[chosen]) - columns.counts[chosen]
        in_bin = np.zeros((len(fold), int(columns.counts[chosen].sum())))
        np.put_along_axis(in_bin, columns.codes[:, chosen] + starts, 1.0, axis=1)
        sums = np.stack([in_bin[rows].T @ values[rows] for rows in parts])
        if complete:
            rows_in = np.stack([in_bin[rows].sum(axis=0)[:, None] for rows in parts])
        else:
            rows_in = np.stack([in_bin[rows].T @ known[rows].astype(float) for rows in parts])
        errors[chosen] = sum(
            _squared_errors(sums, rows_in, values, known, parts, i, starts) for i in judged
        )
    rows = np.concatenate([parts[i] for i in judged])
    count = known[rows].sum(axis=0)
    mean = values[rows].sum(axis=0) / np.maximum(count, 1)
    total = (np.where(known[rows], values[rows] - mean, 0.0) ** 2).sum(axis=0)
    errors, total = (np.add.reduceat(part, goals.starts, axis=-1) for part in (errors, total))
    enough = (count[goals.starts] >= FEWEST) & (total > 1e-12)
    return np.where(enough, 1.0 - errors / np.where(enough, total, 1.0), np.nan)


def _squared_errors(
    sums: Floats,
    rows_in: Floats,
    values: Floats,
    known: NDArray[np.bool_],
    parts: list[Codes],
    held_out: int,
    starts: Codes,
) -> Floats:
    """Return the squared error [columns, goals] of one fold, predicted from the others.

    Args:
        sums: sum of the goals in each bin, [folds, bins, goals].
        rows_in: number of rows with labels in each bin, [folds, bins, goals or 1].
        values, known: the goals, and where they are known, [n, goals].
        parts: rows of each fold.
        held_out: index of the fold.
        starts: first bin of each column.
    """
    others = np.concatenate(
        [np.empty(0, np.int64), *(rows for i, rows in enumerate(parts) if i != held_out)]
    )
    mean = values[others].sum(axis=0) / np.maximum(known[others].sum(axis=0), 1)
    rest = sums.sum(axis=0) - sums[held_out]
    rest_rows = rows_in.sum(axis=0) - rows_in[held_out]
    predicted = (rest + SHRINK * mean) / (rest_rows + SHRINK)
    # Sum of (y - p)^2 over a bin: its sum of y^2, less 2 p times its sum of y, plus p^2 a row.
    in_bins = predicted * (rows_in[held_out] * predicted - 2.0 * sums[held_out])
    return np.add.reduceat(in_bins, starts, axis=0) + (values[parts[held_out]] ** 2).sum(axis=0)
