"""The trunk that all tasks of a table share."""

from __future__ import annotations

from typing import Any

import keras


def perceptron(features: int, *, width: int, depth: int, dropout: float, seed: int) -> tuple[Any, Any]:
    """A multilayer perceptron: input [n, features] -> hidden [n, width].

    Returns:
        the input and the hidden tensor, for `pc.Model(inputs, Heads(tasks)(hidden))`.
    """
    inputs = keras.Input((features,), name="features")
    hidden = inputs
    for layer in range(depth):
        he = keras.initializers.HeNormal(seed=seed + layer)
        hidden = keras.layers.Dense(width, activation="relu", kernel_initializer=he, name=f"hidden_{layer}")(hidden)
        if dropout:
            hidden = keras.layers.Dropout(dropout, seed=seed + layer, name=f"dropout_{layer}")(hidden)
    return inputs, hidden


def parameters(features: int, *, width: int, depth: int) -> int:
    """How many numbers a perceptron is made of."""
    return (features + 1) * width + (depth - 1) * (width + 1) * width
