"""The inputs of a model go by name; NaN features that only the backend sees are looked for in the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.typing import Tensor

MOST_COLUMNS = 4096
"""Columns of an input that are counted one by one: a wider input is counted as a whole."""


def check_names(model: Any, x: Any, what: str = "x") -> None:
    """Raise an error where `x` does not name or shape the inputs as the model does.

    Stock Keras deals the arrays of a dict by place where one key is too many.

    Args:
        model: functional; its inputs are one tensor, a list, or a dict.
        x: an array, or a list, tuple or dict of arrays.
        what: how messages call it.

    Raises:
        UnknownName: for a key that is no input, with the nearest one.
        InputError: for an input that is missing, another number of arrays, or another shape.
    """
    structure = model.input if hasattr(model, "input") else list(model.inputs)
    if (
        hasattr(structure, "shape")
        and hasattr(x, "shape")
        and (known_shape(x) or ())[1:] == tuple(structure.shape)[1:]
    ):
        return  # what nearly every step brings
    if isinstance(structure, Mapping):
        named = dict(structure)
    else:
        listed = list(structure) if isinstance(structure, list | tuple) else [structure]
        named = {_name(tensor): tensor for tensor in listed}
    if not all(hasattr(tensor, "shape") for tensor in named.values()):
        return  # a nest of dicts and lists: Keras compares the structures
    for name, value in _by_name(named, x, what, isinstance(structure, Mapping)).items():
        _check_shape(name, value, named[name], what)


def by_name(model: Any, x: Any, what: str = "x") -> Any:
    """Return `x` as the model takes it, after `check_names`: of a dict for the only input, the array itself."""
    check_names(model, x, what)
    return unwrapped(model, x)


def unwrapped(model: Any, x: Any) -> Any:
    """Return the array itself of a dict or list of one where the model takes one array."""
    if (
        not hasattr(model.input, "shape")
        or not isinstance(x, Mapping | list | tuple)
        or len(x) != 1
    ):
        return x
    return next(iter(x.values())) if isinstance(x, Mapping) else x[0]


def _name(tensor: Any) -> str:
    """Return how an input is called: as its layer is, by which Keras asks for it too."""
    operation = getattr(getattr(tensor, "_keras_history", None), "operation", None)
    return str(getattr(operation, "name", None) or tensor.name)


def _by_name(named: dict[str, Any], x: Any, what: str, by_dict: bool) -> dict[str, Any]:
    """Return the arrays under the names of the inputs."""
    if isinstance(x, Mapping):
        for key in x:
            if key not in named:
                raise UnknownName(f"input in {what}:", key, named)
        absent = [name for name, tensor in named.items() if name not in x and not _optional(tensor)]
        if absent:
            raise InputError(
                f"{what} lacks the input{'s' if len(absent) > 1 else ''} {listing(absent)}."
            )
        return dict(x)
    names = list(named)
    if isinstance(x, list | tuple):
        if not all(hasattr(value, "shape") or value is None for value in x):
            raise InputError(
                f"{what} is a {type(x).__name__} of {type(x[0]).__name__ if x else 'nothing'}: {_wanted(named)}."
            )
        if by_dict or len(x) != len(named):
            raise InputError(
                f"{what} is a {type(x).__name__} of {len(x)} arrays: {_wanted(named)}."
            )
        return dict(zip(names, x, strict=True))
    if len(named) > 1 and hasattr(x, "shape"):
        raise InputError(f"{what} is one array: {_wanted(named)}.")
    return {names[0]: x} if hasattr(x, "shape") else {}


def _wanted(named: Mapping[str, Any]) -> str:
    if len(named) == 1:
        return f"pass one array of shape {_shape(next(iter(named.values())))}"
    return f"pass a dict with the inputs {listing(named)}"


def _shape(tensor: Any) -> str:
    return str(["n", *tensor.shape[1:]]).replace("'", "").replace("None", "any")


def _optional(tensor: Any) -> bool:
    operation = getattr(getattr(tensor, "_keras_history", None), "operation", None)
    return bool(getattr(operation, "optional", False))


def _check_shape(name: str, value: Any, tensor: Any, what: str) -> None:
    """Refuse an array that cannot be this input; Keras itself adds or takes away a last axis of one."""
    shape = known_shape(value)
    wanted = tuple(tensor.shape)
    if shape is None or not shape:
        return
    if len(shape) == len(wanted) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    elif len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        shape = (*shape, 1)
    fits = len(shape) == len(wanted) and all(
        a is None or b is None or a == b for a, b in zip(shape[1:], wanted[1:], strict=True)
    )
    if not fits:
        raise InputError(
            f"Input {shorten(name)!r} in {what} has shape {list(value.shape)}; the model takes {_shape(tensor)}."
        )


def known_shape(value: Any) -> tuple[int | None, ...] | None:
    """Return the shape; None where there is none, or where a graph does not know how many axes it has."""
    try:
        return tuple(value.shape)
    except (AttributeError, TypeError, ValueError):
        return None


# -- in a step -----------------------------------------------------------------------------------------------------


def harmless(x: Any) -> Any:
    """Return the features with 0 in place of NaN and infinite numbers, so that none reaches a weight or a statistic."""
    return keras.tree.map_structure(_harmless, x)


def _harmless(leaf: Any) -> Any:
    if not _is_float(leaf):
        return leaf
    return ops.where(ops.isfinite(leaf), leaf, ops.zeros_like(leaf))


def _is_float(leaf: Any) -> bool:
    return leaf is not None and "float" in keras.backend.standardize_dtype(leaf.dtype)


def finite_rows(x: Any) -> Tensor | None:
    """Return which rows have finite features only, bool [n]; None where no input is a float."""
    fine = None
    for leaf in keras.tree.flatten(x):
        if _is_float(leaf):
            finite = ops.isfinite(leaf)
            rows = (
                finite
                if len(leaf.shape) == 1
                else ops.all(finite, axis=tuple(range(1, len(leaf.shape))))
            )
            fine = rows if fine is None else ops.logical_and(fine, rows)
    return fine


def with_lost_rows(raw: Tensor, x: Any) -> Tensor:
    """Return raw outputs [n, units] with NaN in rows that have a NaN or infinite feature.

    An activation may hide it: relu of NaN is 0 on TensorFlow.
    """
    fine = finite_rows(x)
    return raw if fine is None else ops.where(fine[:, None], raw, np.nan)


def columns(model: Any) -> list[int]:
    """Return how many columns of each input are counted one by one; 1 where the input is counted as a whole."""
    found = []
    for tensor in model.inputs:
        wide = tensor.shape[-1] if len(tensor.shape) == 2 else 1
        found.append(wide if wide is not None and wide <= MOST_COLUMNS else 1)
    return found


def count_not_finite(model: Any, x: Any) -> Tensor:
    """Return how many features of each column are NaN or infinite, [sum of `columns`]."""
    parts = []
    for leaf, width in zip(flat(model, x), columns(model), strict=True):
        if not _is_float(leaf):
            parts.append(ops.zeros((width,)))
            continue
        bad = ops.cast(ops.logical_not(ops.isfinite(leaf)), "float32")
        if width > 1:
            parts.append(ops.sum(ops.reshape(bad, (-1, width)), axis=0))
        else:
            parts.append(ops.reshape(ops.sum(bad), (1,)))
    return ops.concatenate(parts)


def flat(model: Any, x: Any) -> list[Any]:
    """Return the arrays in the order of the model's inputs."""
    if isinstance(x, Mapping) and not isinstance(model.input, Mapping):
        return [x.get(_name(tensor)) for tensor in model.inputs]
    return list(keras.tree.flatten(x))


def named_columns(model: Any, counts: np.ndarray) -> list[str]:
    """Return a phrase for each input or column with a count above 0, such as `input 'x' column 2 (3)`."""
    found, start = [], 0
    for tensor, width in zip(model.inputs, columns(model), strict=True):
        for i, number in enumerate(counts[start : start + width]):
            if number:
                place = f" column {i}" if width > 1 else ""
                found.append(f"input {shorten(_name(tensor))!r}{place} ({int(number)})")
        start += width
    return found


def size(model: Any) -> int:
    """Return the length of what `count_not_finite` gives."""
    return sum(columns(model))
