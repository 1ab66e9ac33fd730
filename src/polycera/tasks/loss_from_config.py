"""Read losses that a file names, without an import.

A loss is one of Keras, or one that this process has registered. Keras's own
`keras.saving.deserialize_keras_object` looks names up in all of Keras and imports modules that the
file names. What it accepts has changed with many releases (CVE-2025-1550, -8747, -9906). Here a
name is looked up in two tables, and the loss is built from plain values only.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from polycera.errors import InputError, UnknownName, shorten

KEYS = {"module", "class_name", "config", "registered_name"}
"""Keys that `keras.saving.serialize_keras_object` writes for a loss.

Keras builds and compiles objects that have further keys, so these are refused here.
"""

DEEP = 8
"""Largest depth of nested lists and dicts in the settings of a loss."""

AXES = (-2, -1, 0, 1)
"""Valid values of `axis` for a loss, whose arguments are [n, p]."""

HELPERS = {"get", "serialize", "deserialize"}
"""Functions of `keras.losses` that are not losses."""


def loss(config: Mapping[str, Any], what: str) -> Any:
    """Return the loss that `keras.saving.serialize_keras_object` wrote.

    Args:
        config: the written loss, from a file that anybody may have written.
        what: the owner of the loss, for error messages.

    Returns:
        a function, or a `keras.losses.Loss`.

    Raises:
        UnknownName: for a name that is neither a loss of Keras nor registered in this process.
        InputError: for settings that the loss does not take.
    """
    loss_type, settings = _look_up(config, what), config.get("config")
    if isinstance(loss_type, FunctionType):
        return loss_type
    settings = {} if settings is None else settings
    if not isinstance(settings, Mapping) or not all(isinstance(name, str) for name in settings):
        raise InputError(
            f"{what} has settings that are a {type(settings).__name__}: names and values are "
            "expected."
        )
    of_keras = loss_type.__module__.split(".")[0] == "keras"
    for name, value in settings.items():
        _check_of_keras(loss_type, name, value, what) if of_keras else _check(value, what)
    try:
        return loss_type.from_config(dict(settings))
    except Exception as error:
        # A registered class is code of the user, which may raise any exception.
        reason = shorten(" ".join(str(error).split()), 120)
        raise InputError(
            f"{what} cannot be made from the settings {shorten(dict(settings))}: {reason}."
        ) from None


def _look_up(config: Mapping[str, Any], what: str) -> Any:
    """Return the function or class of a loss from our two tables."""
    import keras

    name, registered, module = (
        config.get(key) for key in ("class_name", "registered_name", "module")
    )
    # Keras writes a function as class "function" with its name as the config.
    if name == "function":
        name, registered = config.get("config"), config.get("config")
    are_texts = (
        all(isinstance(part, str | None) for part in (name, registered, module))
        and name is not None
    )
    if not are_texts or not set(config) <= KEYS:
        raise InputError(
            f"{what} is {shorten(dict(config))}: give the name of a loss, or exactly what Keras "
            f"writes for one, which is {', '.join(sorted(KEYS))}."
        )
    registered_loss = keras.saving.get_registered_object(registered) if registered else None
    if isinstance(registered_loss, FunctionType) or (
        isinstance(registered_loss, type) and issubclass(registered_loss, keras.losses.Loss)
    ):
        return registered_loss
    keras_losses = _of_keras(FunctionType if config["class_name"] == "function" else type)
    if (
        registered_loss is None
        and name in keras_losses
        and module in ("keras.losses", "builtins")
        and registered in (None, name)
    ):
        return keras_losses[name]
    raise UnknownName(
        f"{what.lower()}:",
        registered or name,
        keras_losses,
        "One of your own is registered with keras.saving.register_keras_serializable() before the "
        "file is read.",
    )


def _of_keras(kind: type) -> dict[str, Any]:
    """Return the losses of Keras by name: its functions, or its classes that have instances."""
    import keras

    losses: dict[str, Any] = {
        n: value
        for n, value in vars(keras.losses).items()
        if isinstance(value, kind) and n not in HELPERS
    }
    if kind is FunctionType:
        return losses
    return {
        n: c
        for n, c in losses.items()
        if issubclass(c, keras.losses.Loss) and c is not keras.losses.Loss
    }


def _check_of_keras(kind: type, name: str, value: Any, what: str) -> None:
    """Check that a setting of a loss of Keras has the type of its default.

    Keras does not check this itself.
    """
    parameters = inspect.signature(kind).parameters
    if name not in parameters:
        raise UnknownName(f"setting of {what.lower()} ({kind.__name__}):", name, parameters)
    default = parameters[name].default
    types: tuple[type, ...] = (type(default),)
    # Settings such as `axis` (an index), or the name of the loss or of a dtype.
    if default is None or (isinstance(default, int) and not isinstance(default, bool)):
        types = (type(None), str) if name in ("name", "dtype") else (type(None), int)
    elif isinstance(default, float):
        types = (int, float)
    # True is an int to Python, but not a valid number here.
    wrong = not isinstance(value, types) or (isinstance(value, bool) and bool not in types)
    wrong = wrong or (name == "axis" and value not in (None, *AXES))
    if wrong or (isinstance(value, int | float) and not math.isfinite(value)):
        raise InputError(
            f"{what} ({kind.__name__}) has {name}={shorten(repr(value))}: a value such as "
            f"{default!r} is expected."
        )


def _check(value: Any, what: str, depth: int = 0) -> None:
    """Check that a setting of a registered loss is made of plain values.

    A nested loss is accepted if it is in one of our two tables.
    """
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
