"""Losses that a file names: those of Keras, and those that this process has registered. Nothing is imported for one.

`keras.saving.deserialize_keras_object` looks names up in all of Keras and imports modules that the
file names; what it lets through has changed with many releases (CVE-2025-1550, -8747, -9906). Here
a name is looked up in two tables, and what is built gets plain values only.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from polycera.errors import InputError, UnknownName, shorten

KEYS = {"module", "class_name", "config", "registered_name"}
"""What `keras.saving.serialize_keras_object` writes for a loss; Keras builds and compiles what has more."""

DEEP = 8
"""Lists and dicts within each other in the settings of a loss, at most."""

AXES = (-2, -1, 0, 1)
"""Places of a loss, which sees [n, p]."""

HELPERS = {"get", "serialize", "deserialize"}
"""Functions of `keras.losses` that are no losses."""


def loss(config: Mapping[str, Any], what: str) -> Any:
    """The loss that `keras.saving.serialize_keras_object` wrote down.

    Args:
        config: from a file that anybody may have written.
        what: whose loss it is, for the sentence of an error.

    Returns:
        a function, or a `keras.losses.Loss`.

    Raises:
        UnknownName: for what is neither a loss of Keras nor registered in this process.
        InputError: for settings that the loss does not take.
    """
    found, settings = _look_up(config, what), config.get("config")
    if isinstance(found, FunctionType):
        return found
    settings = {} if settings is None else settings
    if not isinstance(settings, Mapping) or not all(isinstance(name, str) for name in settings):
        raise InputError(
            f"{what} has settings that are a {type(settings).__name__}: names and values are expected."
        )
    own = found.__module__.split(".")[0] == "keras"
    for name, value in settings.items():
        _check_of_keras(found, name, value, what) if own else _check(value, what)
    try:
        return found.from_config(dict(settings))
    except Exception as error:
        # a registered class is somebody's own code: it may refuse in any way
        said = shorten(" ".join(str(error).split()), 120)
        raise InputError(
            f"{what} cannot be made from the settings {shorten(dict(settings))}: {said}."
        ) from None


def _look_up(config: Mapping[str, Any], what: str) -> Any:
    """The function or class that is meant, found in our two tables."""
    import keras

    name, registered, module = (
        config.get(key) for key in ("class_name", "registered_name", "module")
    )
    if name == "function":
        name, registered = config.get("config"), config.get("config")
    texts = (
        all(isinstance(part, str | None) for part in (name, registered, module))
        and name is not None
    )
    if not texts or not set(config) <= KEYS:
        raise InputError(
            f"{what} is {shorten(dict(config))}: give the name of a loss, or exactly what Keras writes for one, "
            f"which is {', '.join(sorted(KEYS))}."
        )
    own = keras.saving.get_registered_object(registered) if registered else None
    if isinstance(own, FunctionType) or (
        isinstance(own, type) and issubclass(own, keras.losses.Loss)
    ):
        return own
    known = _of_keras(FunctionType if config["class_name"] == "function" else type)
    if (
        own is None
        and name in known
        and module in ("keras.losses", "builtins")
        and registered in (None, name)
    ):
        return known[name]
    raise UnknownName(
        f"{what.lower()}:",
        registered or name,
        known,
        "One of your own is registered with keras.saving.register_keras_serializable() before the file is read.",
    )


def _of_keras(kind: type) -> dict[str, Any]:
    """The losses of Keras by name: its functions, or its classes that can be made."""
    import keras

    found: dict[str, Any] = {
        n: thing
        for n, thing in vars(keras.losses).items()
        if isinstance(thing, kind) and n not in HELPERS
    }
    if kind is FunctionType:
        return found
    return {
        n: c
        for n, c in found.items()
        if issubclass(c, keras.losses.Loss) and c is not keras.losses.Loss
    }


def _check_of_keras(kind: type, name: str, value: Any, what: str) -> None:
    """A setting of a loss of Keras, which does not look at it itself: it must be of its default's type."""
    known = inspect.signature(kind).parameters
    if name not in known:
        raise UnknownName(f"setting of {what.lower()} ({kind.__name__}):", name, known)
    usual = known[name].default
    fits: tuple[type, ...] = (type(usual),)
    # a place, or the name of a type
    if usual is None or (isinstance(usual, int) and not isinstance(usual, bool)):
        fits = (type(None), str) if name in ("name", "dtype") else (type(None), int)
    elif isinstance(usual, float):
        fits = (int, float)
    wrong = not isinstance(value, fits) or (isinstance(value, bool) and bool not in fits)
    wrong = wrong or (name == "axis" and value not in (None, *AXES))
    if wrong or (isinstance(value, int | float) and not math.isfinite(value)):
        raise InputError(
            f"{what} ({kind.__name__}) has {name}={shorten(repr(value))}: a value such as {usual!r} is expected."
        )


def _check(value: Any, what: str, depth: int = 0) -> None:
    """A setting of a registered loss: plain values, and among them losses that would be let through themselves."""
    if depth > DEEP:
        raise InputError(f"{what} has settings nested more than {DEEP} deep: no loss needs that.")
    if isinstance(value, Mapping):
        if {"class_name", "registered_name", "module"} & set(value):
            _look_up(value, what)
        for part in value.values():
            _check(part, what, depth + 1)
    elif isinstance(value, list | tuple):
        for part in value:
            _check(part, what, depth + 1)
    elif not isinstance(value, str | int | float | bool | None):
        raise InputError(
            f"{what} has a {type(value).__name__} among its settings: plain values are expected."
        )
