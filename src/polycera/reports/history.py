"""Read the history of a training: the task of each column, and the tasks' skills by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from polycera.reports.numbers import real

JOINT = "val_joint"
NOT_CURVES = ("weight", "trunk_weight", "gradient_norm")
"""Names logged for a task that are neither a term nor a metric."""


@dataclass(frozen=True)
class HistoryColumn:
    """Describes a column of a task: `task/what`, or `val_task/what` on the validation rows."""

    task: str
    what: str
    validation: bool


@dataclass(frozen=True)
class History:
    """Holds the history, one row an epoch.

    Attributes:
        epochs: their numbers, [e].
        columns: name -> one number an epoch, NaN where there is none, [e].
        tasks: names, to find the task of a column.
    """

    epochs: list[int]
    columns: dict[str, np.ndarray]
    tasks: tuple[str, ...]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], tasks: Iterable[str]) -> History:
        """Return the history from one dict an epoch, as a run's folder reads it."""
        names = list(rows[0]) if rows else []
        columns = {
            name: np.array([_number(row.get(name)) for row in rows])
            for name in names
            if name != "epoch"
        }
        numbers = [real(row.get("epoch")) for row in rows]
        return cls(
            [i if n is None else int(n) for i, n in enumerate(numbers)], columns, tuple(tasks)
        )

    @classmethod
    def of_state(cls, state: Any, tasks: Iterable[str]) -> History | None:
        """Return the history from a checkpoint's state; None where the state is another."""
        state = state if isinstance(state, Mapping) else {}
        epochs, columns = state.get("epoch"), state.get("history")
        if not isinstance(epochs, list | tuple) or not isinstance(columns, Mapping):
            return None
        lists = {
            name: v
            for name, v in columns.items()
            if isinstance(name, str) and isinstance(v, list | tuple)
        }
        complete = {name: v for name, v in lists.items() if len(v) == len(epochs)}
        rows = [
            {"epoch": epoch, **{name: v[i] for name, v in complete.items()}}
            for i, epoch in enumerate(epochs)
        ]
        return cls.of(rows, tasks)

    @cached_property
    def owned(self) -> dict[str, HistoryColumn]:
        """Return name -> description of each column that belongs to a task."""
        owners = {name: self._owner(name) for name in self.columns}
        return {name: column for name, column in owners.items() if column is not None}

    def _owner(self, name: str) -> HistoryColumn | None:
        """Return the description of a column.

        The task is the longest name that the column begins with: a task's name may begin with
        `val_` and hold `/`.
        """
        for start, validation in (("", False), ("val_", True)):
            rest = name.removeprefix(start)
            cuts = (
                [i for i, sign in enumerate(rest) if sign == "/"] if name.startswith(start) else []
            )
            task = next((rest[:i] for i in reversed(cuts) if rest[:i] in self._known), None)
            if task is not None:
                return HistoryColumn(task, rest[len(task) + 1 :], validation)
        return None

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.tasks)

    @cached_property
    def curves(self) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """Return task -> term or metric -> `training` and `validation` -> [e], without empty columns."""
        found: dict[str, dict[str, dict[str, np.ndarray]]] = {task: {} for task in self.tasks}
        for name, column in self.owned.items():
            if column.what not in NOT_CURVES and not np.isnan(self.columns[name]).all():
                part = "validation" if column.validation else "training"
                found[column.task].setdefault(column.what, {})[part] = self.columns[name]
        return found

    def get(self, name: str) -> np.ndarray | None:
        """Return a column; None where it has no number."""
        column = self.columns.get(name)
        return None if column is None or np.isnan(column).all() else column

    def each(self, what: str) -> dict[str, np.ndarray]:
        """Return task -> the column logged under this name, such as `weight`, for tasks that have it."""
        columns = {task: self.get(f"{task}/{what}") for task in self.tasks}
        return {task: column for task, column in columns.items() if column is not None}

    def skill(self, task: str) -> np.ndarray | None:
        """Return a task's part in the joint score, [e]; None where it was not watched."""
        return self.get(f"val_{task}_skill")

    @property
    def validated(self) -> bool:
        """Return whether there were validation rows."""
        return self.get("val_loss") is not None

    def best(self, name: str, highest: bool) -> tuple[int, float] | None:
        """Return the first epoch with the highest or the lowest value, and that value."""
        column = self.get(name)
        if column is None:
            return None
        index = int(np.nanargmax(column) if highest else np.nanargmin(column))
        return self.epochs[index], float(column[index])


def plain(column: Iterable[float]) -> list[float | None]:
    """Return a column for a picture: None in place of NaN."""
    return [None if math.isnan(value) else float(value) for value in column]


def _number(value: Any) -> float:
    if isinstance(value, float):
        return value  # infinite ones keep their rank
    number = real(value)
    return math.nan if number is None else number
