"""The labels that Keras validates with, where a callback can see them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

ROWS = 200_000
"""Rows that are looked at, at most: a trivial value does not become better by more."""


def validation_labels(model: Any) -> Any | None:
    """Return the labels of the validation rows of a running `fit`, or None where they cannot be read a second time.

    Keras keeps what it validates with in one private attribute and offers no public way to it. The
    attribute is looked for here and nowhere else; where a later Keras has renamed it, callers ask
    the user instead.

    Args:
        model: a `keras.Model` in the middle of `fit`.

    Returns:
        Arrays in the structure of the labels, or None.
    """
    adapter = getattr(getattr(model, "_eval_epoch_iterator", None), "data_adapter", None)
    # a generator can be read only once
    if adapter is None or "Generator" in type(adapter).__name__:
        return None
    try:
        return _read(_batches(adapter))
    except Exception:
        # whatever a source of the user's own raises: then its trivial value is asked for
        return None


def _batches(adapter: Any) -> Any:
    source = getattr(adapter, "py_dataset", None)  # its workers are for Keras; reading needs none
    if source is None:
        return adapter.get_numpy_iterator()
    return (source[i] for i in range(source.num_batches))


def _read(batches: Any) -> Any | None:
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
    return keras.tree.map_structure(lambda *each: np.concatenate(each), *parts)


def _array(part: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(part))
