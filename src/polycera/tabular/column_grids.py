"""Choose the values of a column that partial dependence tries, and give the curves their words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from polycera.data.column import Values, is_missing, kind_of
from polycera.evaluation.privacy import FEW_ROWS, PERSONAL, RARE
from polycera.runs.findings import Dependence
from polycera.tabular.prepare import PreparedTable
from polycera.tasks import Binary, Multilabel, Quantile, Task
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

if TYPE_CHECKING:
    from polycera.tabular.run import Run

POINTS = 15
"""Most values of a number or a date that are tried."""
LEVELS = 12
"""Most levels of a category: the most frequent ones."""
EDGE = 0.05
"""Share of the rows at either end that lie outside of the tried values."""
FEW_NUMBERS = 10
"""Most different numbers that are tried one by one."""
OUTPUTS = 8
"""Most classes or labels of a task with a curve of their own: the first of them."""
PASSES = 60_000
"""Most rows that pass the network."""
ROWS = (50, 200)
"""Fewest and most rows over which a mean is taken."""

Shown = Callable[[object, int | None], str]
"""Function from a label and its number of rows to the label as it may be shown."""


def dependence_of(
    run: Run,
    prepared: PreparedTable,
    columns: Sequence[str],
    indices: Any,
    shown: Shown,
    class_label: Callable[[TaskName, object], str],
) -> dict[TaskName, dict[str, Dependence]]:
    """Return task -> column -> the mean prediction at each value of the column.

    Args:
        run: a finished run; its network predicts.
        prepared: its table.
        columns: whose values are changed.
        indices: of the rows whose values are changed.
        shown: gives the levels of a category.
        class_label: gives the classes of a task.
    """
    grids, words = [], {}
    # Importing it imports Keras.
    from polycera.interpretation.partial_dependence import ColumnGrid, partial_dependence

    train = prepared.table.take(prepared.learned_from)
    sources = np.array(prepared.encoder.sources, dtype=object)
    for column in columns:
        kind, values, at, rows = _values(train[column], shown)
        if len(values) < 2:
            continue
        # The encoder takes whole rows; the features of the other columns are not looked at.
        table = train.take(np.zeros(len(values), "int64")).replaced({column: values})
        features = np.flatnonzero(sources == column)
        grids.append(ColumnGrid(column, features, prepared.encoder.transform(table)[:, features]))
        words[column] = (kind, at, rows)
    copies = sum(len(grid.values) for grid in grids)
    means = partial_dependence(
        run.model,
        prepared.rows(indices)[0],
        grids,
        rows=int(np.clip(PASSES // max(copies, 1), *ROWS)),
        seed=run.spec.seed,
    )
    found: dict[TaskName, dict[str, Dependence]] = {}
    for column, by_task in means.items():
        kind, at, rows = words[column]
        for name, curves in by_task.items():
            outputs = _outputs(run.tasks[name], curves, lambda label, n=name: class_label(n, label))  # type: ignore[misc]
            found.setdefault(name, {})[column] = Dependence(column, kind, at, rows, outputs)
    return found


def _values(column: Values, shown: Shown) -> tuple[str, Values, list[float | str], list[int]]:
    """Return kind, values, their words, and for texts their rows."""
    kind, present = kind_of(column), column[~is_missing(column)]
    if kind in ("text", "boolean"):
        levels, counts = np.unique(present.astype(str), return_counts=True)
        frequent = np.argsort(-counts, kind="stable")[:LEVELS].tolist()
        order = [i for i in frequent if counts[i] >= FEW_ROWS]
        words = [shown(levels[i], int(counts[i])) for i in order]
        kept = [j for j, word in enumerate(words) if word not in (RARE, PERSONAL)]
        by_text = {str(value): value for value in present.tolist()}
        values = np.empty(len(kept), dtype=object)
        values[:] = [by_text[str(levels[order[j]])] for j in kept]
        name = "category" if kind == "text" else "boolean"
        return name, values, [words[j] for j in kept], [int(counts[order[j]]) for j in kept]
    if kind == "date":
        days = present.astype("datetime64[D]")
        tried = np.unique(np.quantile(days.astype("int64"), _shares()).astype("int64"))
        dates = tried.astype("datetime64[D]")
        return "date", dates.astype("datetime64[us]"), [str(day) for day in dates], []
    numbers, counts = np.unique(present, return_counts=True)
    if len(numbers) <= FEW_NUMBERS:
        tried = numbers[counts >= FEW_ROWS]
    else:
        # Three digits: a quantile may be the value of one row.
        quantiles = np.quantile(present, _shares())
        tried = np.unique([float(f"{value:.3g}") for value in quantiles.tolist()])
    return "number", tried, [float(value) for value in tried], []


def _shares() -> Array:
    """Return the shares of the rows below the values that are tried."""
    return np.linspace(EDGE, 1 - EDGE, POINTS)


def _outputs(
    task: Task, curves: Array, label: Callable[[object], str]
) -> dict[str, list[float | None]]:
    """Return output -> its mean prediction at each value, from curves [values, p]."""
    if isinstance(task, Binary):
        names = [label(task.known_classes()[1])]
    elif isinstance(task, ClassTask):
        names = [label(one) for one in task.known_classes()]
    elif isinstance(task, Multilabel):
        names = [label(one) for one in task.labels]
    elif isinstance(task, Quantile):
        names = [f"quantile {level:g}" for level in task.quantiles]
    else:
        names = [task.name]
    kept = [i for i, name in enumerate(names) if name not in (RARE, PERSONAL)][:OUTPUTS]
    return {
        names[i]: [
            float(f"{value:.6g}") if np.isfinite(value) else None for value in curves[:, i].tolist()
        ]
        for i in kept
    }
