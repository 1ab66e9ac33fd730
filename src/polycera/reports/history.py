"""The history of a training: whose each column is, and every task's skill in every epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from polycera.reports.numbers import real

JOINT = "val_joint"
PULLS = ("weight", "trunk_weight", "gradient_norm")
"""What is logged of a task and is neither a term nor a metric."""


@dataclass(frozen=True)
class HistoryColumn:
    """A column of the history that belongs to a task: `task/what`, or `val_task/what` on the validation rows."""

    task: str
    what: str
    validation: bool


@dataclass(frozen=True)
class History:
    """One row an epoch.

    Attributes:
        epochs: their numbers, [e].
        columns: name -> one number an epoch, NaN in a hole, [e].
        tasks: names, for finding out whose a column is.
    """

    epochs: list[int]
    columns: dict[str, np.ndarray]
    tasks: tuple[str, ...]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], tasks: Iterable[str]) -> History:
        """From one dict an epoch, as a run's folder reads it."""
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
        """From what a checkpoint remembers of it; None where that is nothing of the kind."""
        state = state if isinstance(state, Mapping) else {}
        epochs, columns = state.get("epoch"), state.get("history")
        if not isinstance(epochs, list | tuple) or not isinstance(columns, Mapping):
            return None
        lists = {
            name: v
            for name, v in columns.items()
            if isinstance(name, str) and isinstance(v, list | tuple)
        }
        whole = {name: v for name, v in lists.items() if len(v) == len(epochs)}
        rows = [
            {"epoch": epoch, **{name: v[i] for name, v in whole.items()}}
            for i, epoch in enumerate(epochs)
        ]
        return cls.of(rows, tasks)

    @cached_property
    def owned(self) -> dict[str, HistoryColumn]:
        """Name -> whose it is, of all columns that are a task's."""
        found = {name: self._owner(name) for name in self.columns}
        return {name: column for name, column in found.items() if column is not None}

    def _owner(self, name: str) -> HistoryColumn | None:
        """The longest name of a task that the column begins with; a task's own name may begin with val_ and hold /."""
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
        """Task -> term or metric -> `training` and `validation` -> [e]; what has no number at all is left out."""
        found: dict[str, dict[str, dict[str, np.ndarray]]] = {task: {} for task in self.tasks}
        for name, column in self.owned.items():
            if column.what not in PULLS and not np.isnan(self.columns[name]).all():
                part = "validation" if column.validation else "training"
                found[column.task].setdefault(column.what, {})[part] = self.columns[name]
        return found

    def get(self, name: str) -> np.ndarray | None:
        """A column that has at least one number."""
        column = self.columns.get(name)
        return None if column is None or np.isnan(column).all() else column

    def each(self, what: str) -> dict[str, np.ndarray]:
        """Of the tasks that have it: what is logged of each under this name, such as `weight`."""
        found = {task: self.get(f"{task}/{what}") for task in self.tasks}
        return {task: column for task, column in found.items() if column is not None}

    def skill(self, task: str) -> np.ndarray | None:
        """A task's part in the joint score, [e]; None where it was not watched."""
        return self.get(f"val_{task}_skill")

    @property
    def validated(self) -> bool:
        """Whether there were validation rows."""
        return self.get("val_loss") is not None

    def best(self, name: str, highest: bool) -> tuple[int, float] | None:
        """The first epoch with the highest or the lowest value, and that value."""
        column = self.get(name)
        if column is None:
            return None
        place = int(np.nanargmax(column) if highest else np.nanargmin(column))
        return self.epochs[place], float(column[place])


def plain(column: Iterable[float]) -> list[float | None]:
    """A column for a picture: None in a hole."""
    return [None if math.isnan(value) else float(value) for value in column]


def _number(value: Any) -> float:
    if isinstance(value, float):
        return value  # infinite ones keep their rank
    number = real(value)
    return math.nan if number is None else number
