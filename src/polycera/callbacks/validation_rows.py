"""Read the labels of the validation rows from a running `fit` of Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from polycera.layers import keras_graph

ROWS = 200_000
"""Most rows that are read: more rows do not make a trivial value noticeably more accurate."""


def validation_labels(model: Any) -> Any | None:
    """Return the labels of the validation rows of a running `fit`; None where that is impossible.

    Rows that can be read only once, such as those of a generator, are not read. Keras stores its
    validation data in one private attribute and offers no public way to it. `keras_graph` reads
    it; where a later Keras has renamed it, callers ask the user instead.

    Args:
        model: a `keras.Model` in the middle of `fit`.

    Returns:
        Arrays in the structure of the labels, or None.
    """
    adapter = keras_graph.validation_adapter(model)
    # a generator can be read only once
    if adapter is None or "Generator" in type(adapter).__name__:
        return None
    try:
        return _read(_batches(adapter))
    except Exception:
        # a source that the user wrote may raise anything: the caller then asks for a trivial value
        return None


def _batches(adapter: Any) -> Any:
    """Return an iterator of the batches of one of Keras's data adapters."""
    # read a `PyDataset` directly: the workers of its adapter serve Keras, and reading needs none
    source = getattr(adapter, "py_dataset", None)
    if source is None:
        return adapter.get_numpy_iterator()
    return (source[i] for i in range(source.num_batches))


def _read(batches: Any) -> Any | None:
    """Return the labels of the first `ROWS` rows; None where the batches hold no labels."""
    parts: list[Any] = []
    rows = 0
    for batch in batches:
        if not isinstance(batch, list | tuple) or len(batch) < 2 or batch[1] is None:
            return None
        labels = keras.tree.map_structure(_array, batch[1])
        parts.append(labels)
        rows += len(keras.tree.flatten(labels)[0])
        if rows >= ROWS:
            break
    if not parts:
        return None
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def _array(values: Any) -> np.ndarray:
    """Return a tensor of any backend as an array."""
    return np.asarray(keras.ops.convert_to_numpy(values))
