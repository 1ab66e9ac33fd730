"""Add weights to a layer that are computed from data and not trained."""

from __future__ import annotations

from typing import Any

import keras


def add_fixed_weight(
    layer: keras.layers.Layer, name: str, shape: tuple[int, ...], initializer: Any = "zeros"
) -> Any:
    """Add a float32 weight that no gradient changes, whatever the precision of the layer.

    Args:
        layer: that owns the weight.
        name: of the weight, within the layer.
        shape: of the weight.
        initializer: as for `keras.layers.Layer.add_weight`.
    """
    return layer.add_weight(
        name=name,
        shape=shape,
        initializer=initializer,
        trainable=False,
        autocast=False,
        dtype="float32",
    )
