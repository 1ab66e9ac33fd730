"""Assign each task its columns in the packed arrays of labels and raw outputs.

Tasks that can be computed together (equal `signature`) are neighbours, so that a group is a slice
and never a gather.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.tasks.joint import Joint
from polycera.tasks.task import Task
from polycera.typing import Array, TaskName, Tensor


class Encoded(dict[TaskName, Array]):
    """Hold each task's encoded labels [n, width] in the user's units, NaN where missing.

    Functions that take targets by name accept this too, and do not encode it a second time.
    """


@dataclass(frozen=True)
class Group:
    """Holds k tasks of one signature, which are neighbours in every packed array.

    Attributes:
        tasks: the k tasks.
        first: index of the first task of the group among all tasks.
        raw_start: first column of the group in `Raw`.
        target_start: first column of the group in `Target`.
    """

    tasks: tuple[Task, ...]
    first: int
    raw_start: int
    target_start: int

    @property
    def task(self) -> Task:
        """Return one of the tasks; what the formulas need is the same for all."""
        return self.tasks[0]

    def raw(self, packed: Tensor, xp: Any) -> Tensor:
        """Return the group's raw outputs [n, k, units] from those of all tasks."""
        return self._part(packed, self.raw_start, self.task.units, xp)

    def target(self, packed: Tensor, xp: Any) -> Tensor:
        """Return the group's labels [n, k, width] from those of all tasks."""
        return self._part(packed, self.target_start, self.task.width, xp)

    def per_task(self, packed: Tensor) -> Tensor:
        """Return the group's columns [n, k] of [n, all tasks]; [n, 1], one for all, stays."""
        return (
            packed
            if packed.shape[-1] == 1
            else packed[:, self.first : self.first + len(self.tasks)]
        )

    def _part(self, packed: Tensor, start: int, width: int, xp: Any) -> Tensor:
        """Return the group's columns of a packed array as [n, k, width]."""
        stop = start + width * len(self.tasks)
        # No slice where the group is everything: it would be one more operation in the step.
        whole = start == 0 and stop == packed.shape[-1]
        return xp.reshape(packed if whole else packed[:, start:stop], (-1, len(self.tasks), width))

    def stack(self, attribute: str, default: float) -> Any:
        """Return an attribute of all tasks as float32 [k, 1 or width].

        None where all tasks have the default, so that the caller can leave the operation out.
        """
        values = [
            np.atleast_1d(np.asarray(getattr(task, attribute), "float32")) for task in self.tasks
        ]
        if all((value == default).all() for value in values):
            return None
        size = max(len(value) for value in values)
        return np.stack([np.broadcast_to(value, size) for value in values])


@dataclass(frozen=True)
class Layout:
    """Holds all tasks of a network in packed order and in groups, with the joint terms.

    Attributes:
        groups: the groups, in the order of their columns.
        joints: loss terms over several tasks.
    """

    groups: tuple[Group, ...]
    joints: tuple[Joint, ...] = ()

    @classmethod
    def of(cls, tasks: Iterable[Task | Joint]) -> Layout:
        """Return the layout of tasks: grouped by signature, in order of first appearance.

        Raises:
            InputError: for no task, or for two tasks of one name.
        """
        everything = list(tasks)
        if others := [t for t in everything if not isinstance(t, Task | Joint)]:
            raise InputError(
                f"Expected tasks such as pc.Binary('churn'), got {shorten(repr(others[0]))}."
            )
        # Tasks of one signature share one formula, so their columns have to lie side by side.
        by_signature: dict[Any, list[Task]] = {}
        for task in everything:
            if isinstance(task, Task):
                by_signature.setdefault(task.signature, []).append(task)
        return cls._placed(by_signature.values(), [t for t in everything if isinstance(t, Joint)])

    @classmethod
    def join(cls, layouts: Sequence[Layout]) -> Layout:
        """Return one layout with the columns of several layouts side by side."""
        groups = [group.tasks for layout in layouts for group in layout.groups]
        return cls._placed(groups, [joint for layout in layouts for joint in layout.joints])

    @classmethod
    def _placed(cls, parts: Iterable[Sequence[Task]], joints: Sequence[Joint]) -> Layout:
        """Return the layout of groups of tasks, each with its first columns."""
        groups: list[Group] = []
        first = raw = target = 0
        for tasks in parts:
            groups.append(Group(tuple(tasks), first, raw, target))
            first += len(tasks)
            raw += len(tasks) * tasks[0].units
            target += len(tasks) * tasks[0].width
        layout = cls(tuple(groups), tuple(joints))
        _check_names(layout)
        return layout

    @cached_property
    def tasks(self) -> dict[TaskName, Task]:
        """Return all tasks by name, in packed order."""
        return {task.name: task for group in self.groups for task in group.tasks}

    @cached_property
    def units(self) -> int:
        """Return the number of columns of `Raw`."""
        return sum(task.units for task in self.tasks.values())

    @cached_property
    def width(self) -> int:
        """Return the number of columns of `Target`."""
        return sum(task.width for task in self.tasks.values())

    @cached_property
    def raw_columns(self) -> dict[TaskName, slice]:
        """Return the output columns of each task."""
        return _slices(self.tasks.values(), "units")

    @cached_property
    def owner(self) -> np.ndarray:
        """Return the index of the task of each output column, [units]."""
        return np.repeat(
            np.arange(len(self.tasks)), [task.units for task in self.tasks.values()]
        ).astype("int32")

    @cached_property
    def target_columns(self) -> dict[TaskName, slice]:
        """Return the columns of `Target` of each task."""
        return _slices(self.tasks.values(), "width")

    def known(self, name: TaskName, what: str = "task") -> Task:
        """Return the task of this name.

        Raises:
            UnknownName: with the nearest name.
        """
        if name not in self.tasks:
            raise UnknownName(what, name, self.tasks)
        return self.tasks[name]

    def prediction(self, raw: Array, xp: Any) -> dict[TaskName, Any]:
        """Return each task's predictions [n, p] from raw outputs [n, units].

        Target scaling is not undone.
        """
        predictions: dict[TaskName, Any] = {}
        for group in self.groups:
            linked = group.task.link(group.raw(raw, xp), xp)
            predictions |= {task.name: linked[:, i] for i, task in enumerate(group.tasks)}
        return predictions


def _slices(tasks: Iterable[Task], attribute: str) -> dict[TaskName, slice]:
    """Return the columns of each task; `attribute` holds their number."""
    columns, start = {}, 0
    for task in tasks:
        columns[task.name] = slice(start, start + getattr(task, attribute))
        start = columns[task.name].stop
    return columns


RESERVED = {"loss", "regularization", "joint", "skipped_steps"}
"""Names in the logs that are not the name of a loss term."""


def _check_names(layout: Layout) -> None:
    """Refuse names that two tasks or joint terms share, or that the logs need.

    Raises:
        InputError: naming the names, or for no task.
        UnknownName: for a joint term over a task that does not exist.
    """
    names = [task.name for group in layout.groups for task in group.tasks]
    if not names:
        raise InputError("A network needs at least one task, got none.")
    if len(set(names)) < len(names):
        duplicates = sorted({name for name in names if names.count(name) > 1})
        raise InputError(
            f"Two tasks of one name: {listing(duplicates)}; each task needs a name of its own."
        )
    for joint in layout.joints:
        log_name = joint.name.removeprefix("val_")
        if log_name in RESERVED or any(log_name.startswith(f"{name}/") for name in names):
            raise InputError(
                f"A joint term cannot be called {shorten(joint.name)!r}: the logs have that "
                "already."
            )
    # Tasks and joint terms share one namespace in the logs, also with "val_" before them.
    logged = set(names) | {joint.name for joint in layout.joints}
    if len(logged) < len(names) + len(layout.joints):
        raise InputError(
            "A joint term and another term share a name among "
            f"{listing(j.name for j in layout.joints)}."
        )
    for name in logged:
        if f"val_{name}" in logged:
            raise InputError(
                f"The names {shorten(name)!r} and {shorten('val_' + name)!r} would share a row in "
                "the logs; rename one."
            )
    for joint in layout.joints:
        for name in joint.tasks:
            layout.known(name, f"task in joint term {shorten(joint.name)!r}: task")
