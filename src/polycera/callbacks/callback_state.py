"""Read and restore the state of callbacks: patience counters, best values, the history."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from polycera.errors import InputError, shorten
from polycera.runs import old_keys
from polycera.storage import state_json

NOT_STATE = {"_model", "params", "validation_data", "model", "monitor_op"}
"""Attributes that Keras sets itself in each `fit`, such as the model, or a comparison function."""


def read(callbacks: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the state of each callback, with the name of its class.

    A callback may have `get_state() -> dict` and `set_state(dict)`. For other callbacks, the state
    is the attributes that are plain values, arrays, or collections of these. Callables and models
    are not state.
    """
    return [{"class": type(callback).__name__, "state": _of(callback)} for callback in callbacks]


def write(callbacks: Sequence[Any], states: Sequence[dict[str, Any]]) -> None:
    """Restore the state of callbacks by class name; warn for a callback without a saved state."""
    left = [_as_today(state) for state in states]
    # callbacks of the same class get their states in order, so each state is used once
    for callback in callbacks:
        saved = next((state for state in left if state["class"] == type(callback).__name__), None)
        if saved is None:
            if not isinstance(callback, keras.callbacks.ProgbarLogger):
                warnings.warn(
                    f"The callback {type(callback).__name__} was not part of the training that is "
                    "resumed, so it starts without a state.",
                    stacklevel=2,
                )
            continue
        left = [state for state in left if state is not saved]
        if hasattr(callback, "set_state"):
            callback.set_state(saved["state"])
        else:
            vars(callback).update(_allowed(callback, saved["state"]))


def _as_today(saved: dict[str, Any]) -> dict[str, Any]:
    """Return a saved state under the names that its class and its keys have today."""
    name = old_keys.CLASSES.get(saved["class"], saved["class"])
    state = old_keys.renewed({name: saved["state"]}, old_keys.CALLBACKS)[name]
    return {"class": name, "state": state}


def _allowed(callback: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a state that may be restored.

    That leaves out the arguments of the callback, its methods and the model. A checkpoint may come
    from a stranger; a path in it must not decide where a callback writes.

    Raises:
        InputError: for a name that the callback does not have, or a value of another type.
    """
    settings = inspect.signature(type(callback).__init__).parameters
    library = type(callback).__module__.split(".")[0] in ("keras", "polycera")
    allowed = {}
    for name, value in state.items():
        if name in settings and (library or isinstance(value, str)):
            continue
        # a callback that the user wrote may set attributes that are not there yet
        known = not library or hasattr(callback, name)
        if (
            name in NOT_STATE
            or name.startswith("__")
            or not known
            or not _fits(_now(callback, name), value)
        ):
            raise InputError(
                "The checkpoint holds an invalid state of the callback "
                f"{type(callback).__name__}, {shorten(name)!r} as {shorten(repr(value), 40)}: "
                "remove the checkpoint to start from the beginning."
            )
        # a string in a callback of a library may be a path, so it stays as it is
        if not (library and isinstance(value, str)):
            allowed[name] = value
    return allowed


def _now(callback: Any, name: str) -> Any:
    """Return the present value of an attribute, from the object or its class; else None."""
    return vars(callback).get(name, getattr(type(callback), name, None))


def _fits(now: Any, value: Any) -> bool:
    """Return whether a value may replace another: both numbers, both of a type, or one None."""
    if callable(now) or isinstance(now, keras.Model) or inspect.ismodule(now):
        return False
    numbers = (bool, int, float, np.number, np.ndarray)
    both = isinstance(now, numbers) and isinstance(value, numbers)
    return (
        both
        or now is None
        or value is None
        or isinstance(value, type(now))
        or isinstance(now, type(value))
    )


def _of(callback: Any) -> dict[str, Any]:
    """Return the state of one callback; warn where an attribute cannot be saved."""
    if hasattr(callback, "get_state"):
        return callback.get_state()
    state, unsaved = {}, {}
    for name, value in vars(callback).items():
        if (
            name in NOT_STATE
            or callable(value)
            or inspect.ismodule(value)
            or isinstance(value, keras.Model)
        ):
            continue
        try:
            state_json.split(value)
            state[name] = value
        except TypeError as error:
            unsaved[name] = str(error)
    if unsaved and type(callback).__module__.split(".")[0] not in ("keras", "polycera"):
        name, reason = next(iter(unsaved.items()))
        warnings.warn(
            f"What the callback {type(callback).__name__} keeps in {name!r} is not saved in "
            f"checkpoints ({shorten(reason)}): give it get_state() and set_state().",
            stacklevel=2,
        )
    return state
