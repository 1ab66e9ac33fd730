"""Read tasks and joint terms from plain JSON values.

A name that is not in our table is refused. Nothing is imported for it.
"""

from __future__ import annotations

import inspect
from typing import Any

from polycera import registered
from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks.class_kinds import Binary, Multiclass, Multilabel, Ordinal
from polycera.tasks.joint import Joint
from polycera.tasks.number_kinds import Count, Proportion, Quantile, Regression
from polycera.tasks.task import Task

KINDS: dict[str, type[Task]] = {
    kind.kind: kind
    for kind in (Regression, Proportion, Binary, Multiclass, Multilabel, Ordinal, Count, Quantile)
}
"""Name -> class of each of the eight kinds."""


def kind_of(name: str) -> type[Task]:
    """Return the class of a kind: one of ours, or a user's class registered with Keras.

    Raises:
        UnknownName: with the nearest name.
        InputError: for a name that is not registered in this process, or not that of a task.
    """
    # Keras registers classes as "package>name"; our own names have no such sign.
    if ">" in name:
        user_class = registered.find(name, "kind of task")
        if not (isinstance(user_class, type) and issubclass(user_class, Task)):
            raise InputError(
                f"{shorten(repr(name))} is registered with Keras, but it is no kind of task."
            )
        return user_class
    if name not in KINDS:
        raise UnknownName("kind", name, KINDS)
    return KINDS[name]


def task_from_config(config: dict[str, Any]) -> Task | Joint:
    """Return the task or joint term that its `to_config` wrote.

    Raises:
        UnknownName: for a kind, loss or metric that is not known.
        InputError: for arguments that the kind does not take.
    """
    arguments = dict(config)
    kind = arguments.pop("kind", None)
    if kind == "joint":
        return Joint.from_config(config)
    task_class = kind_of(str(kind))
    try:
        return task_class(**arguments)
    except TypeError as error:
        # An argument that the kind does not take gets an error with the nearest name.
        if unknown := [name for name in arguments if name not in (known := _options(task_class))]:
            raise UnknownName(
                f"option of task {shorten(arguments.get('name'))!r} ({kind}):", unknown[0], known
            ) from None
        raise InputError(
            f"Task {shorten(arguments.get('name'))!r} of kind {kind}: {error}."
        ) from None


def _options(kind: type[Task]) -> list[str]:
    """Return the names of the arguments of a kind, with those of its bases."""
    constructors = [
        vars(base)["__init__"]
        for base in kind.__mro__
        if issubclass(base, Task) and "__init__" in vars(base)
    ]
    names = dict.fromkeys(
        name for constructor in constructors for name in inspect.signature(constructor).parameters
    )
    return [name for name in names if name not in ("self", "rest")]
