"""Check the features of a model, and predict them in batches of one size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError

LEAST = 128
"""Fewest rows predicted at a time, since smaller batches are rounded differently."""
PREDICTED = 256
"""Most rows predicted at a time, since larger batches do not fit the cache."""


def in_batches(
    predict: Callable[..., Mapping[Any, Any]], features: np.ndarray
) -> dict[Any, np.ndarray]:
    """Return predictions for the rows of a table, in batches of one size.

    The size is a power of two, so that few shapes are ever compiled.

    Args:
        predict: of a model: features and `batch_size` -> name -> [n, p].
        features: [n, features]; rows of zeros fill the last batch, and are not returned.
    """
    rows = len(features)
    padded, batch = _padded(features)
    return {
        name: values[:rows] for name, values in predict(padded, batch_size=batch, verbose=0).items()
    }


def raw_outputs(model: keras.Model, features: np.ndarray) -> np.ndarray:
    """Return a network's raw outputs for the rows of a table, float64 [n, ...].

    They are computed in batches of one size, before any link.

    Args:
        model: any Keras model of one output; a `pc.Model` is called through its `raw_outputs`.
        features: [n, features].
    """
    padded, batch = _padded(features)
    predict = getattr(model, "raw_outputs", model.predict)
    outputs = predict(padded, batch_size=batch, verbose=0)
    return np.asarray(outputs, "float64")[: len(features)]


def _padded(features: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the rows, padded with rows of zeros to whole batches, and the size of a batch."""
    rows = len(features)
    # At least LEAST rows, because fewer are rounded differently.
    batch = max(LEAST, min(2 ** math.ceil(math.log2(max(rows, 1))), PREDICTED))
    padded = np.zeros((-(-rows // batch) * batch, features.shape[1]), features.dtype)
    padded[:rows] = features
    return padded, batch


def are_arrays(x: Any) -> bool:
    """Return whether all features are NumPy arrays with the same number of rows, at least one."""
    arrays = [leaf for _, leaf in leaves(x)]
    return all(
        isinstance(array, np.ndarray) and array.ndim and len(array) == len(arrays[0]) > 0
        for array in arrays
    )


def in_slices(predict: Callable[[Any], Any], x: Any, batch_size: int) -> np.ndarray:
    """Return the outputs of a function for all rows, [n, ...], from some rows at a time.

    Args:
        predict: features of a batch -> outputs; it may return before they are computed.
        x: a dict, list or single array of features, [n, ...] each, with at least one row.
        batch_size: rows at a time; the last batch may have fewer.
    """
    kind = keras.config.floatx()
    x = keras.tree.map_structure(
        lambda a: a.astype(kind, copy=False) if a.dtype.kind == "f" else a, x
    )
    outputs = []
    for start in range(0, rows_of(x), batch_size):
        rows = slice(start, start + batch_size)
        outputs.append(predict(keras.tree.map_structure(lambda a, rows=rows: a[rows], x)))
    # Converted only here: until then a device computes all batches without waiting for the host.
    return np.concatenate([np.asarray(keras.ops.convert_to_numpy(batch)) for batch in outputs])


def leaves(x: Any, name: str = "x") -> list[tuple[str, Any]]:
    """Return the arrays in a dict, list or single array of features, with names for messages."""
    if isinstance(x, dict):
        return [leaf for key, value in x.items() for leaf in leaves(value, f"{name}[{key!r}]")]
    if isinstance(x, list | tuple):
        return [leaf for i, value in enumerate(x) for leaf in leaves(value, f"{name}[{i}]")]
    return [(name, x)]


def rows_of(x: Any) -> Any:
    """Return the number of rows of arrays; None for anything that only yields batches."""
    for _, leaf in leaves(x):
        if hasattr(leaf, "shape") and len(leaf.shape):
            return leaf.shape[0]
    return None


def check_features(x: Any, what: str = "x") -> None:
    """Raise for a NaN or infinite feature, and name its position.

    Tensors on a device are checked there, and come to the host only if something is wrong.
    """
    for name, leaf in leaves(x, what):
        if hasattr(leaf, "to_numpy"):
            leaf = _of_frame(leaf)
        elif _is_tensor(leaf):
            leaf = _of_tensor(leaf)
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OUS":
            raise InputError(
                f"The features {name} hold {leaf.dtype} values; a network takes numbers: encode "
                "them."
            )
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" and not _finite(leaf):
            positions = np.argwhere(~np.isfinite(leaf))
            where = f"row {positions[0][0]}" + (
                f", column {positions[0][-1]}" if positions.shape[1] > 1 else ""
            )
            raise InputError(
                f"The features {name} hold {len(positions)} NaN or infinite values, the first in "
                f"{where}: fill them in before training (polycera fit does so for a table)."
            )


def _is_tensor(leaf: Any) -> bool:
    """Return whether a value is an array of a library other than NumPy."""
    return (
        hasattr(leaf, "__array__") and hasattr(leaf, "shape") and not isinstance(leaf, np.ndarray)
    )


def _of_tensor(leaf: Any) -> np.ndarray | None:
    """Return a tensor as an array if it is not finite, or not of this backend; else None."""
    if ops.is_tensor(leaf):
        is_finite = "float" not in keras.backend.standardize_dtype(leaf.dtype) or bool(
            ops.all(ops.isfinite(leaf))
        )
        return None if is_finite else np.asarray(ops.convert_to_numpy(leaf))
    return np.asarray(leaf.detach().cpu() if hasattr(leaf, "detach") else leaf)


def _of_frame(frame: Any) -> np.ndarray:
    """Return a data frame as an array; mixed kinds of numbers become float64."""
    values = np.asarray(frame.to_numpy())
    try:
        return values.astype("float64") if values.dtype.kind == "O" else values
    except (TypeError, ValueError):
        return values


def _finite(array: np.ndarray) -> bool:
    """Return whether all numbers are finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        # The sum needs no second array. It may overflow although all numbers are finite, so a sum
        # that is not finite proves nothing.
        return bool(np.isfinite(array.sum(dtype="float64"))) or bool(np.isfinite(array).all())
