"""Tasks written down as plain values, and read back. A name that is not in our table is refused, never imported."""

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
"""The eight kinds by name."""


def kind_of(name: str) -> type[Task]:
    """Return the class of a kind: one of ours, or one of the user's own by the name that Keras knows.

    Raises:
        UnknownName: with the nearest one.
        InputError: for a name that nothing here is registered under, or that is no task's.
    """
    if ">" in name:
        found = registered.find(name, "kind of task")
        if not (isinstance(found, type) and issubclass(found, Task)):
            raise InputError(
                f"{shorten(repr(name))} is registered with Keras, but it is no kind of task."
            )
        return found
    if name not in KINDS:
        raise UnknownName("kind", name, KINDS)
    return KINDS[name]


def task_from_config(config: dict[str, Any]) -> Task | Joint:
    """What `to_config` of a task or joint term wrote.

    Raises:
        UnknownName: for a kind, loss or metric that is not known.
        InputError: for arguments that the kind does not take.
    """
    arguments = dict(config)
    kind = arguments.pop("kind", None)
    if kind == "joint":
        return Joint.from_config(config)
    built = kind_of(str(kind))
    try:
        return built(**arguments)
    except TypeError as error:
        if strange := [name for name in arguments if name not in (known := _options(built))]:
            raise UnknownName(
                f"option of task {shorten(arguments.get('name'))!r} ({kind}):", strange[0], known
            ) from None
        raise InputError(
            f"Task {shorten(arguments.get('name'))!r} of kind {kind}: {error}."
        ) from None


def _options(kind: type[Task]) -> list[str]:
    """Names of the arguments of a kind, its bases' included."""
    makers = [
        vars(base)["__init__"]
        for base in kind.__mro__
        if issubclass(base, Task) and "__init__" in vars(base)
    ]
    found = dict.fromkeys(name for maker in makers for name in inspect.signature(maker).parameters)
    return [name for name in found if name not in ("self", "rest")]
