"""Convert plain state with arrays to JSON and arrays, and back: no code, exact to the bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from polycera.errors import InputError, shorten

TAG = "~"
"""Key of a dict that stands for a value that JSON does not have."""

MANY = 16
"""Length from which a list of floats is stored as an array, which also holds NaN and infinity."""


def split(tree: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Return a tree as JSON values, and its arrays by name.

    Args:
        tree: dicts, lists, tuples, sets, numbers, text, None and arrays.

    Raises:
        TypeError: for anything else, with its type and path.
    """
    arrays: dict[str, np.ndarray] = {}
    return _down(tree, "", arrays), arrays


def join(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the tree that was split.

    Raises:
        InputError: for values that `split` does not write.
    """
    try:
        return _up(value, dict(arrays))
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise InputError(f"A saved state is not valid: {shorten(repr(error))}.") from None


def _down(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if (
        value is None
        or isinstance(value, bool | str)
        # JSON readers agree only on integers below 2**53 (RFC 8259, section 6).
        or (type(value) is int and abs(value) < 2**53)
    ):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {TAG: "float", "of": repr(value)}
    if type(value) is int:
        return {TAG: "int", "of": str(value)}
    if isinstance(value, np.ndarray | np.generic):
        return _array(
            np.asarray(value), "scalar" if isinstance(value, np.generic) else "array", path, arrays
        )
    if (
        isinstance(value, list | tuple)
        and len(value) >= MANY
        and all(type(part) is float for part in value)
    ):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {TAG: kind, "of": _array(np.array(value), "array", path, arrays)}
    if isinstance(value, list | tuple | set | frozenset):
        # Sets are sorted, so that equal states give equal files.
        parts = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        values = [_down(part, f"{path}/{i}", arrays) for i, part in enumerate(parts)]
        kind = next(name for name, container in SEQUENCES.items() if isinstance(value, container))
        return values if kind == "list" else {TAG: kind, "of": values}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and TAG not in value:
            return {key: _down(part, f"{path}/{key}", arrays) for key, part in value.items()}
        pairs = [
            [_down(key, path, arrays), _down(part, f"{path}/{key}", arrays)]
            for key, part in value.items()
        ]
        return {TAG: "dict", "of": pairs}
    raise TypeError(f"{path.strip('/') or 'it'} is a {type(value).__name__}")


SEQUENCES: Mapping[str, type] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
"""Name -> type of the containers that are stored as lists."""


def _array(
    array: np.ndarray, kind: str, path: str, arrays: dict[str, np.ndarray]
) -> dict[str, str]:
    if array.dtype.kind in "OUSMm":
        raise TypeError(f"{path.strip('/') or 'it'} is an array of {array.dtype}")
    # Two places can have the same name: the keys "a/b", and "b" within "a".
    name = path
    while name in arrays:
        name += "'"
    arrays[name] = array
    return {TAG: kind, "of": name}


def _up(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return the value that was split.

    Each array is used once, as it was written once. Otherwise a small file could make a huge tree.
    """
    if isinstance(value, list):
        return [_up(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _up(part, arrays) for key, part in value.items()}
    kind, of = value[TAG], value["of"]
    if kind in ("float", "int"):
        return float(of) if kind == "float" else int(of)
    if kind in ("array", "scalar"):
        return arrays.pop(of) if kind == "array" else arrays.pop(of)[()]
    if kind == "dict":
        return {_up(key, arrays): _up(part, arrays) for key, part in of}
    parts = _up(of, arrays)
    if isinstance(parts, np.ndarray) and (parts.dtype != np.float64 or parts.ndim != 1):
        raise TypeError(f"a {kind} of numbers is an array of {parts.dtype}, {list(parts.shape)}")
    return SEQUENCES[kind](parts.tolist() if isinstance(parts, np.ndarray) else parts)
