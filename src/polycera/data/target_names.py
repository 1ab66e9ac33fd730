"""Find the columns that targets mean: names, patterns, positions, tuples of a MultiIndex."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from polycera.data.name_patterns import is_pattern, matching, spread
from polycera.data.table import joined_name
from polycera.errors import InputError, listing, shorten
from polycera.tasks import Task

Wish = tuple[str, Any, bool]
"""Name of a target, its kind or task or None, and whether it was named exactly."""


def named_targets(
    targets: Any, names: Sequence[str], kinds: Mapping[str, str] | None = None
) -> list[Any]:
    """Return targets by name, as `tasks_for` takes them.

    A pattern such as `label_*` means one target for each matching column; a column that is named
    exactly keeps what is said there. An integer is the position of a column, from 0, or from the
    end where it is negative; a tuple is a column of a MultiIndex.

    Args:
        targets: as the user gives them.
        names: the columns of the table.
        kinds: target, or pattern -> kind, for targets without one.

    Raises:
        UnknownName: for a pattern that no column matches, or kinds of what is no target.
        InputError: for a position that no column has, and a target with two kinds.

    Examples:
        >>> named_targets(["label_*", -1], ["age", "label_a", "label_b", "price"])
        ['label_a', 'label_b', 'price']
        >>> named_targets(["label_*"], ["label_a", "label_b"], {"label_b": "count"})
        ['label_a', {'label_b': 'count'}]
    """
    wishes = list(_wishes(targets, list(names)))
    exact = {name for name, _, is_exact in wishes if is_exact}
    wanted: list[tuple[str, Any]] = []
    places: dict[str, int] = {}
    for name, wish, is_exact in wishes:
        if is_exact:
            wanted.append((name, wish))  # one that is named twice is refused by `tasks_for`
        elif name not in exact and name not in places:
            places[name] = len(wanted)
            wanted.append((name, wish))
        elif name not in exact and wish is not None:  # of two patterns the later kind counts
            wanted[places[name]] = (name, wish)
    by_name = spread(kinds or {}, list(dict(wanted)), "target")
    for name, wish in wanted:
        if name in by_name and wish is not None and wish != by_name[name]:
            raise InputError(
                f"The target {shorten(name)!r} was given as {shorten(repr(wish), 60)} and with "
                f"kind {by_name[name]!r}; give one of them."
            )
    return [
        {name: kind} if (kind := by_name.get(name, wish)) is not None else name
        for name, wish in wanted
    ]


def _wishes(targets: Any, names: list[str]) -> Iterator[Wish]:
    """Yield each target with its kind or task."""
    if _is_of_several_levels(targets, names):
        yield joined_name(targets), None, True
    elif isinstance(targets, Mapping):
        for key, wish in targets.items():
            if isinstance(wish, Task) and not is_pattern(key):
                _check_name(key, wish)
            for name, is_exact in _named(key, names):
                yield name, wish, is_exact
    elif isinstance(targets, Task):
        yield targets.name, targets, True
    elif isinstance(targets, str | int | np.integer):
        for name, is_exact in _named(targets, names):
            yield name, None, is_exact
    elif isinstance(targets, Iterable):
        for part in targets:
            yield from _wishes(part, names)
    else:
        raise InputError(f"A target is a column's name or a task, got a {type(targets).__name__}.")


def _is_of_several_levels(target: Any, names: list[str]) -> bool:
    """Return whether a tuple is the name of one column, and not several targets."""
    if not isinstance(target, tuple) or joined_name(target) not in names:
        return False
    return not all(isinstance(part, str) and part in names for part in target)


def _check_name(key: Any, task: Task) -> None:
    """Raise where a task was given under another name than its own."""
    if joined_name(key) != task.name:
        raise InputError(f"The target {shorten(key)!r} was given a task of another name, {task!r}.")


def _named(key: Any, names: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield the columns that a name, pattern, position or tuple means; whether it was exact."""
    name = joined_name(key)
    if name in names:
        yield name, True
    elif isinstance(key, int | np.integer) and not isinstance(key, bool):
        if not -len(names) <= key < len(names):
            raise InputError(
                f"The target {key} is a position, and the table has {len(names)} columns: "
                f"{listing(names)}."
            )
        yield names[int(key)], True
    elif is_pattern(name):
        yield from ((match, False) for match in matching(name, names))
    else:
        yield name, True  # perhaps a multilabel task, whose labels are the columns
