"""Multiply predicted probabilities by an amount: what is expected to be lost, or won, in a row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polycera.data import Table
from polycera.errors import InputError, UnknownName, shorten
from polycera.tabular.prediction_columns import number_names
from polycera.tasks import Binary, Multilabel, Task
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName


def check_amount(name: str, tasks: Mapping[TaskName, Task]) -> None:
    """Raise where a task is named as an amount and predicts no number.

    Args:
        name: a task or a column.
        tasks: of the run.

    Raises:
        InputError: for a task with classes or labels.
    """
    task = tasks.get(name)
    if isinstance(task, ClassTask | Multilabel):
        raise InputError(
            f"value={shorten(name)!r} (--value) is a {task.kind} task; an amount is a number: name "
            "a regression, count or quantile task, or a column."
        )


def amounts_in(name: str, table: Table) -> Array:
    """Return a column of amounts [rows]; NaN where missing.

    Raises:
        UnknownName: for a column that the table does not have.
        InputError: for texts or dates.
    """
    if name not in table:
        raise UnknownName("column or numeric task for value= (--value):", name, table.source_names)
    column = table[name]
    if column.dtype.kind != "f":
        raise InputError(
            f"value={shorten(name)!r} (--value) is a column of texts or dates; an amount is a "
            "number."
        )
    return column


def expected_columns(
    tasks: Mapping[TaskName, Task],
    predictions: Mapping[TaskName, Array],
    name: str,
    table: Table,
) -> dict[str, np.ndarray]:
    """Return the probability of each binary task times the amount, by name of the column [rows].

    Args:
        tasks: of the run.
        predictions: task -> predictions [rows, p] in the user's units.
        name: of the amount: a numeric task, whose prediction is taken, or a column of the table.
        table: the rows.

    Raises:
        InputError: for an amount that is no number, and without a binary task.
        UnknownName: for an amount that is neither a task nor a column.
    """
    check_amount(name, tasks)
    binary = [task for task in tasks.values() if isinstance(task, Binary)]
    if not binary:
        raise InputError(
            f"value={shorten(name)!r} (--value) multiplies the probability of binary tasks, and "
            "the run has none: leave it out."
        )
    if name in tasks:
        amount = np.asarray(tasks[name].answer(np.asarray(predictions[name])), "float64")
    else:
        amount = amounts_in(name, table)
    return {
        f"{number_names(task)[0]} x {name}": np.asarray(predictions[task.name])[:, 0] * amount
        for task in binary
    }
