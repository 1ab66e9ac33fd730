"""What callbacks remember, as plain state: patience counters, best values, the history."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from polycera.errors import InputError, shorten
from polycera.storage import state_json

NOT_STATE = {"_model", "params", "validation_data", "model", "monitor_op"}


def read(callbacks: Sequence[Any]) -> list[dict[str, Any]]:
    """The state of each callback, with the name of its class.

    A callback may have `get_state() -> dict` and `set_state(dict)`. Of others the attributes are
    taken that are plain values, arrays, or collections of these; callables and models are not
    state.
    """
    return [{"class": type(callback).__name__, "state": _of(callback)} for callback in callbacks]


def write(callbacks: Sequence[Any], states: Sequence[dict[str, Any]]) -> None:
    """Put the state back into callbacks of the same classes; one that was not there begins anew, and this is said."""
    left = list(states)
    for callback in callbacks:
        own = next((state for state in left if state["class"] == type(callback).__name__), None)
        if own is None:
            if not isinstance(callback, keras.callbacks.ProgbarLogger):
                warnings.warn(
                    f"The callback {type(callback).__name__} was not in the training that goes on; it begins anew.",
                    stacklevel=2,
                )
            continue
        left = [state for state in left if state is not own]
        if hasattr(callback, "set_state"):
            callback.set_state(own["state"])
        else:
            vars(callback).update(_allowed(callback, own["state"]))


def _allowed(callback: Any, state: dict[str, Any]) -> dict[str, Any]:
    """What of a state is put back: neither how the callback was set up, nor a method, nor the model.

    A checkpoint may come from a stranger; a path in it must not become where a callback writes.
    """
    settings = inspect.signature(type(callback).__init__).parameters
    library = type(callback).__module__.split(".")[0] in ("keras", "polycera")
    found = {}
    for name, value in state.items():
        if name in settings and (library or isinstance(value, str)):
            continue
        known = not library or hasattr(callback, name)
        if (
            name in NOT_STATE
            or name.startswith("__")
            or not known
            or not _fits(_now(callback, name), value)
        ):
            raise InputError(
                f"The checkpoint holds a state of the callback {type(callback).__name__} that it cannot have, "
                f"{shorten(name)!r} as {shorten(repr(value), 40)}: remove the checkpoint to begin anew."
            )
        if not (library and isinstance(value, str)):
            found[name] = value
    return found


def _now(callback: Any, name: str) -> Any:
    return vars(callback).get(name, getattr(type(callback), name, None))


def _fits(now: Any, value: Any) -> bool:
    """Whether a value may take the place of another: a number a number's, a list a list's, any that of None."""
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
    if hasattr(callback, "get_state"):
        return callback.get_state()
    found, strange = {}, {}
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
            found[name] = value
        except TypeError as error:
            strange[name] = str(error)
    if strange and type(callback).__module__.split(".")[0] not in ("keras", "polycera"):
        name, what = next(iter(strange.items()))
        warnings.warn(
            f"What the callback {type(callback).__name__} keeps in {name!r} is not saved in checkpoints "
            f"({shorten(what)}): give it get_state() and set_state().",
            stacklevel=2,
        )
    return found
