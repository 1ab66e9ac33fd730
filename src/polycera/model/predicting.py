"""The features of a model: looked at before training, and predicted in batches of one size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError

LEAST, PREDICTED = 128, 256
"""Rows that are predicted at a time, at least and at most: fewer are rounded otherwise, more leave the cache."""


def in_batches(
    predict: Callable[..., Mapping[Any, Any]], features: np.ndarray
) -> dict[Any, np.ndarray]:
    """Predictions for the rows of a table, in batches of one size, a power of two: few shapes are ever compiled.

    Args:
        predict: of a model: features and `batch_size` -> name -> [n, p].
        features: [n, features]; rows of zeros fill the last batch, and are not answered for.
    """
    rows = len(features)
    filled, batch = _padded(features)
    return {
        name: values[:rows] for name, values in predict(filled, batch_size=batch, verbose=0).items()
    }


def raw_outputs(model: keras.Model, features: np.ndarray) -> np.ndarray:
    """Return what a network gives for the rows of a table before any link, float64 [n, ...], in batches of one size.

    Args:
        model: any Keras model of one output; a `pc.Model` is asked as Keras asks it.
        features: [n, features].
    """
    filled, batch = _padded(features)
    predict = getattr(model, "raw_outputs", model.predict)
    found = predict(filled, batch_size=batch, verbose=0)
    return np.asarray(found, "float64")[: len(features)]


def _padded(features: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the rows with rows of zeros behind them that fill the last batch, and the size of a batch."""
    rows = len(features)
    # fewer rows are rounded otherwise
    batch = max(LEAST, min(2 ** math.ceil(math.log2(max(rows, 1))), PREDICTED))
    padded = np.zeros((-(-rows // batch) * batch, features.shape[1]), features.dtype)
    padded[:rows] = features
    return padded, batch


def are_arrays(x: Any) -> bool:
    """Whether these features are NumPy arrays that all have the same rows, and at least one."""
    found = [leaf for _, leaf in leaves(x)]
    return all(isinstance(a, np.ndarray) and a.ndim and len(a) == len(found[0]) > 0 for a in found)


def in_slices(predict: Callable[[Any], Any], x: Any, batch_size: int) -> np.ndarray:
    """The outputs of a function for all rows, [n, ...], from so many rows at a time.

    Args:
        predict: features of a batch -> outputs, which may still be on their way when it returns.
        x: a dict, list or single array of features, [n, ...] each, with at least one row.
        batch_size: rows at a time; the last batch may have fewer.
    """
    kind = keras.config.floatx()
    x = keras.tree.map_structure(
        lambda a: a.astype(kind, copy=False) if a.dtype.kind == "f" else a, x
    )
    rows = rows_of(x)
    found = []
    for start in range(0, rows, batch_size):
        part = slice(start, start + batch_size)
        found.append(predict(keras.tree.map_structure(lambda a, own=part: a[own], x)))
    return np.concatenate([np.asarray(keras.ops.convert_to_numpy(part)) for part in found])


def leaves(x: Any, name: str = "x") -> list[tuple[str, Any]]:
    """The arrays in a dict, list or single array of features, with names for messages."""
    if isinstance(x, dict):
        return [leaf for key, value in x.items() for leaf in leaves(value, f"{name}[{key!r}]")]
    if isinstance(x, list | tuple):
        return [leaf for i, value in enumerate(x) for leaf in leaves(value, f"{name}[{i}]")]
    return [(name, x)]


def rows_of(x: Any) -> Any:
    """The number of rows of arrays; None for anything that only yields batches."""
    for _, leaf in leaves(x):
        if hasattr(leaf, "shape") and len(leaf.shape):
            return leaf.shape[0]
    return None


def check_features(x: Any, what: str = "x") -> None:
    """Raise an error for a NaN or infinite feature, naming where it stands.

    What lives on a device is looked at there, and comes to the host only where something is wrong.
    """
    for name, leaf in leaves(x, what):
        if hasattr(leaf, "to_numpy"):
            leaf = _of_frame(leaf)
        elif _is_tensor(leaf):
            leaf = _of_tensor(leaf)
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OUS":
            raise InputError(
                f"The features {name} hold {leaf.dtype} values; a network takes numbers: encode them."
            )
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f" and not _finite(leaf):
            bad = np.argwhere(~np.isfinite(leaf))
            where = f"row {bad[0][0]}" + (f", column {bad[0][-1]}" if bad.shape[1] > 1 else "")
            raise InputError(
                f"The features {name} hold {len(bad)} NaN or infinite values, the first in {where}: "
                "fill them in before training (polycera fit does so for a table)."
            )


def _is_tensor(leaf: Any) -> bool:
    return (
        hasattr(leaf, "__array__") and hasattr(leaf, "shape") and not isinstance(leaf, np.ndarray)
    )


def _of_tensor(leaf: Any) -> np.ndarray | None:
    """A tensor as an array where it holds a NaN or infinite number, or is not of this backend; else None."""
    if ops.is_tensor(leaf):
        fine = "float" not in keras.backend.standardize_dtype(leaf.dtype) or bool(
            ops.all(ops.isfinite(leaf))
        )
        return None if fine else np.asarray(ops.convert_to_numpy(leaf))
    return np.asarray(leaf.detach().cpu() if hasattr(leaf, "detach") else leaf)


def _of_frame(frame: Any) -> np.ndarray:
    """A data frame as an array; one that mixes kinds of numbers as float64."""
    values = np.asarray(frame.to_numpy())
    try:
        return values.astype("float64") if values.dtype.kind == "O" else values
    except (TypeError, ValueError):
        return values


def _finite(array: np.ndarray) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum(dtype="float64"))) or bool(np.isfinite(array).all())
