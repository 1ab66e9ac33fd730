"""Find columns that alone predict a target nearly as well as the trained network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from polycera.data import association, column_skill
from polycera.data.column_skill import Codes, Goals
from polycera.data.telling import TellingColumn, sentences
from polycera.tabular.fit_data import FitData
from polycera.tabular.prepare import PreparedTable
from polycera.tasks import Quantile, Task
from polycera.typing import Array, TaskName

NEARLY = 0.95
"""Share of the network's skill from which a column is named."""
FLOOR = 0.5
"""Skill of the network below which no column is named.

Where there is little to learn, one weak column is often all that there is.
"""
RUNNER_UP = 0.5
"""Most skill of any other column, as a share of that of the named ones.

A leak stands out. Where the next column predicts the target too, the columns are rather several
measures of one honest cause, such as the lengths and widths of a flower.
"""
USEFUL = 0.05
"""Skill of the next column from which it is useful: a table may have one useful column alone."""


class _Rows(NamedTuple):
    """Holds the rows of the comparison.

    Attributes:
        indices: in the table.
        fold: of each row.
        scored: the fold that is predicted; None for all.
        judged: position among `fit_data.rows` of each row that is predicted.
    """

    indices: Codes
    fold: Codes
    scored: int | None
    judged: Codes


def telling_columns(
    prepared: PreparedTable,
    fit_data: FitData,
    predicted: Mapping[TaskName, Array] | None,
    seed: int,
) -> list[str]:
    """Return a sentence on each column that alone reaches nearly the skill of the network.

    Both are measured on the same rows, which neither has seen: in the folds of the training, or on
    the validation rows. Columns that were named before the training are not named again.

    Args:
        prepared: the table.
        fit_data: its rows, as they were trained and validated on.
        predicted: task -> out-of-fold predictions of `fit_data.rows`; None without validation.
        seed: of the sample.
    """
    tasks, names = prepared.tasks, prepared.schema.used
    names = [name for name in names if name in prepared.table]
    if predicted is None or not names:
        return []
    rows = _rows(prepared, fit_data, seed, len(names))
    encoded = {task.name: prepared.labels[task.name][rows.indices] for task in tasks}
    goals = column_skill.goals(tasks, encoded)
    columns = column_skill.binned(
        prepared.table.take(rows.indices), names, prepared.schema.names("category")
    )
    alone = column_skill.skills(columns, goals, rows.fold, rows.scored)
    of_judged = slice(None) if rows.scored is None else rows.fold == rows.scored
    judged = Goals(goals.names, goals.values[of_judged], goals.starts)
    network = _network_skills(tasks, judged, predicted, rows.judged)
    found = []
    for j in range(len(goals.names)):
        if not network[j] >= FLOOR:
            continue
        skill = np.nan_to_num(alone[:, j])
        near = skill >= NEARLY * network[j]
        if not near.any():
            continue
        next_best = skill[~near].max(initial=0.0)
        if not USEFUL <= next_best <= RUNNER_UP * skill[near].max():
            continue
        found += [
            TellingColumn(
                names[i], goals.names[j], float(skill[i]), len(rows.judged), float(network[j])
            )
            for i in np.flatnonzero(near).tolist()
            if (names[i], goals.names[j]) not in prepared.leaking
        ]
    return sentences(found)


def _rows(prepared: PreparedTable, fit_data: FitData, seed: int, columns: int) -> _Rows:
    """Return the rows of the comparison, in the folds of the training."""
    width = sum(task.width for task in prepared.tasks)
    judged = column_skill.sampled(np.arange(len(fit_data.rows)), seed, columns, width)
    rows = fit_data.rows[judged]
    if fit_data.fold_mask is not None:
        # The first of the members that did not train on the row stands for its fold.
        return _Rows(rows, fit_data.fold_mask[judged].argmax(axis=1), None, judged)
    train = column_skill.sampled(prepared.parts.train, seed, columns, width)
    fold = np.repeat([0, 1], [len(train), len(rows)])
    return _Rows(np.concatenate([train, rows]), fold, 1, judged)


def _network_skills(
    tasks: list[Task], goals: Goals, predicted: Mapping[TaskName, Array], rows: Codes
) -> Array:
    """Return the skill of the network's predictions for each goal, measured as that of a column."""
    columns, start = [], 0
    for task in tasks:
        values = np.asarray(predicted[task.name][rows], np.float64)
        if column_skill.by_rank(task):
            values = _line(_centre(task, values), goals.values[:, start])[:, None]
        columns.append(values)
        start += values.shape[1]
    known = np.isfinite(goals.values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, goals.values, 0.0).sum(axis=0) / count
    errors, spread = (
        np.add.reduceat(
            (np.where(known, goals.values - against, 0.0) ** 2).sum(axis=0), goals.starts
        )
        for against in (np.concatenate(columns, axis=1), mean)
    )
    return np.where(spread > 0, 1.0 - errors / np.where(spread > 0, spread, 1.0), np.nan)


def _centre(task: Task, predicted: Array) -> Array:
    """Return one number a row, by which predictions [n, p] of numbers or levels are ordered."""
    if task.kind == "ordinal":
        return predicted @ np.arange(predicted.shape[1])
    if isinstance(task, Quantile):
        return predicted[:, int(np.abs(np.array(task.quantiles) - 0.5).argmin())]
    return predicted[:, 0]


def _line(centre: Array, ranks: Array) -> Array:
    """Return ranks [n] as a straight line of the ranks of the predictions tells them."""
    known = np.isfinite(ranks)
    x = association.ranks(centre[known][:, None])
    y = ranks[known][:, None]
    r = max(float(association.correlations(x, y)[0, 0]), 0.0)
    found = np.full(len(ranks), np.nan)
    spread = x.std() or 1.0
    found[known] = (y.mean() + r * y.std() * (x - x.mean()) / spread)[:, 0]
    return found
