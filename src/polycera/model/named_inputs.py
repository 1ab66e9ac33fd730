"""Match a model's inputs by name, and find NaN features in steps where only a backend sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.layers import keras_graph
from polycera.typing import Tensor

MOST_COLUMNS = 4096
"""Most columns of an input that are counted one by one; a wider input is counted as a whole."""


def check_names(model: Any, x: Any, what: str = "x") -> None:
    """Raise if `x` does not have the names or shapes of the model's inputs.

    Stock Keras assigns the arrays of a dict by position if it has a key too many (keras#23258).

    Args:
        model: functional; its inputs are one tensor, a list, or a dict.
        x: an array, or a list, tuple or dict of arrays.
        what: the name of `x` in messages.

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
        return  # the usual case, checked first since this runs in every step
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
    """Return `x` as the model takes it, after `check_names`.

    A dict for the only input becomes the array itself.
    """
    check_names(model, x, what)
    return unwrapped(model, x)


def unwrapped(model: Any, x: Any) -> Any:
    """Return the array itself of a dict or list of one, if the model takes one array."""
    if (
        not hasattr(model.input, "shape")
        or not isinstance(x, Mapping | list | tuple)
        or len(x) != 1
    ):
        return x
    return next(iter(x.values())) if isinstance(x, Mapping) else x[0]


def _name(tensor: Any) -> str:
    """Return the name of an input: that of its layer, which Keras uses too."""
    operation = keras_graph.operation_of(tensor)
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
                f"{what} is a {type(x).__name__} of {type(x[0]).__name__ if x else 'nothing'}: "
                f"{_expected(named)}."
            )
        if by_dict or len(x) != len(named):
            raise InputError(
                f"{what} is a {type(x).__name__} of {len(x)} arrays: {_expected(named)}."
            )
        return dict(zip(names, x, strict=True))
    if len(named) > 1 and hasattr(x, "shape"):
        raise InputError(f"{what} is one array: {_expected(named)}.")
    return {names[0]: x} if hasattr(x, "shape") else {}


def _expected(named: Mapping[str, Any]) -> str:
    """Return a phrase that says what to pass."""
    if len(named) == 1:
        return f"pass one array of shape {_shape(next(iter(named.values())))}"
    return f"pass a dict with the inputs {listing(named)}"


def _shape(tensor: Any) -> str:
    """Return the shape of an input as text, `any` for an axis without a fixed length."""
    return str(["n", *tensor.shape[1:]]).replace("'", "").replace("None", "any")


def _optional(tensor: Any) -> bool:
    """Return whether an input may be left out."""
    operation = keras_graph.operation_of(tensor)
    return bool(getattr(operation, "optional", False))


def _check_shape(name: str, value: Any, tensor: Any, what: str) -> None:
    """Raise for an array that cannot be this input.

    Keras itself adds or removes a last axis of length 1, so that is allowed.
    """
    shape = known_shape(value)
    input_shape = tuple(tensor.shape)
    if shape is None or not shape:
        return
    if len(shape) == len(input_shape) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    elif len(shape) == len(input_shape) - 1 and input_shape[-1] == 1:
        shape = (*shape, 1)
    fits = len(shape) == len(input_shape) and all(
        length is None or input_length is None or length == input_length
        for length, input_length in zip(shape[1:], input_shape[1:], strict=True)
    )
    if not fits:
        raise InputError(
            f"Input {shorten(name)!r} in {what} has shape {list(value.shape)}; the model takes "
            f"{_shape(tensor)}."
        )


def known_shape(value: Any) -> tuple[int | None, ...] | None:
    """Return the shape; None if there is none, or if a graph does not know the number of axes."""
    try:
        return tuple(value.shape)
    except (AttributeError, TypeError, ValueError):
        return None


# -- in a step -------------------------------------------------------------------------------------


def harmless(x: Any) -> Any:
    """Return the features with 0 in place of NaN and infinite numbers.

    So none of them reaches a weight or a batch statistic.
    """
    return keras.tree.map_structure(_harmless, x)


def _harmless(leaf: Any) -> Any:
    """Return one array of features with 0 in place of NaN and infinite numbers."""
    if not _is_float(leaf):
        return leaf
    return ops.where(ops.isfinite(leaf), leaf, ops.zeros_like(leaf))


def _is_float(leaf: Any) -> bool:
    """Return whether an array holds floats; only these can be NaN or infinite."""
    return leaf is not None and "float" in keras.backend.standardize_dtype(leaf.dtype)


def finite_rows(x: Any) -> Tensor | None:
    """Return which rows have only finite features, bool [n]; None if no input is a float."""
    finite_so_far = None
    for leaf in keras.tree.flatten(x):
        if _is_float(leaf):
            finite = ops.isfinite(leaf)
            rows = (
                finite
                if len(leaf.shape) == 1
                else ops.all(finite, axis=tuple(range(1, len(leaf.shape))))
            )
            finite_so_far = rows if finite_so_far is None else ops.logical_and(finite_so_far, rows)
    return finite_so_far


def with_lost_rows(raw: Tensor, x: Any) -> Tensor:
    """Return raw outputs [n, columns] with NaN in rows that have a NaN or infinite feature.

    The network itself may hide such a feature: relu of NaN is 0 on TensorFlow.
    """
    finite = finite_rows(x)
    return raw if finite is None else ops.where(finite[:, None], raw, np.nan)


def columns(model: Any) -> list[int]:
    """Return how many columns of each input are counted one by one.

    It is 1 where the input is counted as a whole.
    """
    widths = []
    for tensor in model.inputs:
        width = tensor.shape[-1] if len(tensor.shape) == 2 else 1
        widths.append(width if width is not None and width <= MOST_COLUMNS else 1)
    return widths


def count_not_finite(model: Any, x: Any) -> Tensor:
    """Return the number of NaN or infinite features of each column, [sum of `columns`]."""
    counts = []
    for leaf, width in zip(flat(model, x), columns(model), strict=True):
        if not _is_float(leaf):
            counts.append(ops.zeros((width,)))
            continue
        not_finite = ops.cast(ops.logical_not(ops.isfinite(leaf)), "float32")
        if width > 1:
            counts.append(ops.sum(ops.reshape(not_finite, (-1, width)), axis=0))
        else:
            counts.append(ops.reshape(ops.sum(not_finite), (1,)))
    return ops.concatenate(counts)


def flat(model: Any, x: Any) -> list[Any]:
    """Return the arrays in the order of the model's inputs."""
    if isinstance(x, Mapping) and not isinstance(model.input, Mapping):
        return [x.get(_name(tensor)) for tensor in model.inputs]
    return list(keras.tree.flatten(x))


def named_columns(model: Any, counts: np.ndarray) -> list[str]:
    """Return a phrase for each input or column with a count, such as `input 'x' column 2 (3)`."""
    phrases, start = [], 0
    for tensor, width in zip(model.inputs, columns(model), strict=True):
        for i, count in enumerate(counts[start : start + width]):
            if count:
                suffix = f" column {i}" if width > 1 else ""
                phrases.append(f"input {shorten(_name(tensor))!r}{suffix} ({int(count)})")
        start += width
    return phrases


def size(model: Any) -> int:
    """Return the length of what `count_not_finite` returns."""
    return sum(columns(model))
