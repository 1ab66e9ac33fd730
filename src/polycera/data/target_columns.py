"""Make tasks for the columns to predict, with the reason for each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from polycera.data.coerce import as_kind
from polycera.data.column import Values, as_text, kind_of
from polycera.data.infer_task import (
    infer_task,
    levels_of,
    nothing_to_learn,
    pair_of_one,
    poles,
    task_of_levels,
    two,
)
from polycera.data.level_order import check_orders, in_order
from polycera.data.table import Table
from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.tasks import (
    KINDS,
    Binary,
    Count,
    Multiclass,
    Multilabel,
    Ordinal,
    Proportion,
    Quantile,
    Regression,
    Task,
)
from polycera.tasks.keras_losses import check_fit

_NUMERIC = (Regression, Proportion, Count, Quantile)
"""Kinds whose labels are numbers."""

TargetLike: TypeAlias = "str | Task | Mapping[str, str | Task]"
"""A target as the user gives it: a column's name, a task, or a dict of names to kinds or tasks."""


def tasks_for(
    table: Table,
    targets: TargetLike | Iterable[TargetLike],
    encoded: dict[str, Any] | None = None,
    orders: Mapping[str, Iterable[Any]] | None = None,
) -> tuple[list[Task], dict[str, str]]:
    """Return the tasks for the columns to predict.

    Args:
        table: the rows.
        targets: column names, tasks, dicts of a name to a kind (`"count"`) or a task; one or
            several.
        encoded: filled with the encoded labels [n, width] of those tasks whose labels had to be
            encoded to check them, so that nobody encodes them again.
        orders: target -> its levels, from the lowest to the highest; one without a kind is ordinal.

    Returns:
        The tasks in the order of the targets, and task name -> reason for its kind.

    Raises:
        UnknownName: for a column or kind that does not exist, with the nearest.
        InputError: for a target given twice, no target, a target without labels, and labels that
            the kind does not take.
    """
    pairs = list(_pairs(targets))
    if not pairs:
        raise InputError("No target was named; name at least one column to predict.")
    names = [column for name, wish in pairs for column in columns_of(name, wish)]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(
            f"Name each target once; these are named more than once: {listing(repeated)}."
        )
    checked_labels: dict[str, Any] = {} if encoded is None else encoded
    built = {
        name: _task(table, name, wish, checked_labels, (orders or {}).get(name))
        for name, wish in pairs
    }
    check_orders(orders or {}, {name: task.kind for name, (task, _) in built.items()})
    return [task for task, _ in built.values()], {
        name: reason for name, (_, reason) in built.items()
    }


def target_columns_of(targets: TargetLike | Iterable[TargetLike]) -> list[str]:
    """Return the names of all columns that hold labels of these targets (see `tasks_for`)."""
    return [column for name, wish in _pairs(targets) for column in columns_of(name, wish)]


def columns_of(name: str, wish: str | Task | None = None) -> list[str]:
    """Return the columns that hold a task's labels.

    One for each label of a multilabel task, one for each class with soft=True, else one.
    """
    if isinstance(wish, Multilabel):
        return list(wish.labels)
    return [str(label) for label in wish.known_classes()] if _is_soft(wish) else [name]  # type: ignore[union-attr]


def _is_soft(wish: Any) -> bool:
    """Return whether a task has a column for each class, which holds its share."""
    return isinstance(wish, Multiclass) and wish.soft


def labels(table: Table, task: Task) -> Values:
    """Return a task's labels as it encodes them: [n], or [n, labels]; NaN or None where missing.

    Raises:
        UnknownName: for a column that is not there.
        InputError: for text where the task takes numbers, naming the row.
    """
    if isinstance(task, Multilabel) or _is_soft(task):
        return np.stack(
            [as_kind(table[name], "number", name) for name in columns_of(task.name, task)], axis=1
        )
    if isinstance(task, _NUMERIC):
        return as_kind(table[task.name], "number", task.name)
    classes = getattr(task, "classes", None) or ()
    all_text = all(isinstance(label, str) for label in classes)
    # A column of numbers whose classes were given as text is read as text.
    return (
        as_kind(table[task.name], "text", task.name) if classes and all_text else table[task.name]
    )


def _pairs(targets: Any) -> Iterator[tuple[str, str | Task | None]]:
    """Yield (name, kind or task or None) for each target, in order."""
    match targets:
        case str():
            yield targets, None
        case Task():
            yield targets.name, targets
        case Mapping():
            for name, wish in targets.items():
                if isinstance(wish, Task) and wish.name != name:
                    raise InputError(
                        f"The target {shorten(name)!r} was given a task of another name, {wish!r}."
                    )
                yield name, wish
        case Iterable():
            for part in targets:
                yield from _pairs(part)
        case _:
            raise InputError(
                f"A target is a column's name or a task, got a {type(targets).__name__}."
            )


def _task(
    table: Table,
    name: str,
    wish: str | Task | None,
    encoded: dict[str, Any],
    order: Iterable[Any] | None,
) -> tuple[Task, str]:
    """Return the task for one target, with the reason for its kind; see `tasks_for`."""
    task: Task
    columns = columns_of(name, wish)
    levels = {column: _levels(table, column) for column in columns}
    if wish is None and order is not None:
        wish, why = "ordinal", "ordinal, because its order was given."
    else:
        why = f"declared {wish}."
    if wish is None and name in table.levels:  # classes, although they are numbers
        task, reason = infer_task(name, as_text(table[name]))
        return _of_kind(type(task), name, table[name], levels[name]), reason
    if isinstance(wish, Task):
        check_fit(wish)
    if wish is None:
        return task_of_levels(name, table[name], levels[name])
    if isinstance(wish, Multilabel) or (isinstance(wish, Multiclass) and wish.soft):
        task, reason = wish, f"asked for, of {len(columns)} columns."
    elif isinstance(wish, Task):
        task, reason = _completed(wish, table[name], levels[name]), "asked for."
        if isinstance(wish, Ordinal) and (wish.classes is None or order is not None):
            task, reason = _ordered(table, task, reason, order, levels[name])
    else:
        single = f" {nothing_to_learn(levels[name][0])}." if len(levels[name]) == 1 else ""
        task = _of_kind(_kind(wish), name, table[name], levels[name])
        reason = f"{why}{single}"
        if isinstance(task, Ordinal):
            task, reason = _ordered(table, task, reason, order, levels[name])
    if isinstance(task, Proportion | Count) or getattr(task, "soft", False):
        # Encode once now, so that a label out of range is refused before the training starts.
        encoded[name] = task.encode(labels(table, task))
    return task, reason


def _levels(table: Table, name: str) -> list[Any]:
    """Return the different labels of a column, sorted; see `levels_of` for what it raises."""
    column = table[name]
    known = table.distinct(name) if column.dtype.kind == "O" else None
    return levels_of(name, column, known)


def _ordered(
    table: Table, task: Task, reason: str, order: Iterable[Any] | None, levels: list[Any]
) -> tuple[Task, str]:
    """Return an ordinal task with its levels in their order, and the reason with its source."""
    if len(levels) == 1 and order is None:
        return task, reason
    classes, why = in_order(table, task.name, levels, order)
    return task.replace(classes=classes), _with_source(reason, why)


def _with_source(reason: str, why: str) -> str:
    """Return the reason for a kind with the source of the order of its levels."""
    if not why:
        return reason
    return (
        f"{reason} {why}." if why.startswith("Warning") else f"{reason.removesuffix('.')}, {why}."
    )


def _kind(name: str) -> type[Task]:
    """Return the class of a kind; UnknownName for one that does not exist."""
    if name not in KINDS:
        raise UnknownName("kind", name, KINDS)
    return KINDS[name]


def _of_kind(kind: type[Task], name: str, column: Values, levels: list[Any]) -> Task:
    """Return a task of a kind that was given by name.

    Args:
        kind: its class.
        name: of the task.
        column: its labels, canonical.
        levels: its different labels, sorted.
    """
    if kind is Multilabel:
        raise InputError(
            f"Target {shorten(name)!r} cannot be multilabel by its name alone; "
            "give a task with its columns: "
            "Multilabel(name, labels=[...])."
        )
    levels = _two_or_more(levels)
    if kind is Binary:
        return Binary(name, classes=poles(two(name, levels)))
    if kind in _NUMERIC:
        as_kind(column, "number", name)
        return kind(name)
    return kind(name, classes=levels)  # type: ignore[call-arg]


def _completed(task: Task, column: Values, levels: list[Any]) -> Task:
    """Return the task as given, with the column's classes where it has none of its own."""
    if isinstance(task, Multiclass | Ordinal) and task.classes is None:
        return task.replace(classes=_two_or_more(levels))
    # (0, 1) is Binary's default, so it may mean that no classes were given. It cannot be meant for
    # text, nor for a single number that is neither 0 nor 1.
    single = len(levels) == 1 and levels[0] not in (0, 1)
    if (
        isinstance(task, Binary)
        and task.classes == (0, 1)
        and (kind_of(column) == "text" or single)
    ):
        return task.replace(classes=poles(two(task.name, _two_or_more(levels))))
    return task


def _two_or_more(levels: list[Any]) -> list[Any]:
    """Return the levels; a single one gets an opposite, so that the task can be built."""
    return list(pair_of_one(levels[0])) if len(levels) == 1 else levels
