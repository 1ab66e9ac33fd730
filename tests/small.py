"""Tiny networks and the numbers that go through them, on whichever backend runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import settings
from keras import ops

import polycera as pc
from polycera.model.objective import HeadConstants, Objective

once = pytest.mark.nobackend
"""Marks parameters of a test whose other parameters run on every backend."""


def examples(number: int) -> settings:
    """Draw as many examples on JAX, where a compiled step costs nothing; few on the other backends.

    On TensorFlow each operation outside a graph costs ten times what it does on PyTorch.
    """
    most = {"jax": number, "torch": 4, "tensorflow": 2}[keras.backend.backend()]
    return settings(max_examples=min(number, most))


def straight(tasks: list[Any], name: str | None = None) -> pc.Model:
    """A model whose raw outputs are its features plus the trivial predictors: outputs = inputs."""
    units = pc.tasks.Layout.of(tasks).units
    x = keras.Input((units,))
    model = pc.Model(x, pc.layers.Heads(tasks, kernel_initializer="identity")(x), name=name)
    model.compile(keras.optimizers.SGD(0.0))
    return model


def dense(
    tasks: list[Any], features: int = 3, units: int = 4, optimizer: Any = None, **heads: Any
) -> pc.Model:
    """A trunk of one small layer, and heads."""
    x = keras.Input((features,))
    h = keras.layers.Dense(units, activation="tanh", name="trunk")(x)
    model = pc.Model(x, pc.layers.Heads(tasks, **heads)(h))
    model.compile(optimizer or keras.optimizers.SGD(0.05))
    return model


def raw_of(model: pc.Model, x: np.ndarray) -> np.ndarray:
    """Raw outputs [n, units] as float64."""
    return np.asarray(ops.convert_to_numpy(model(x)), "float64")


def from_numpy(model: keras.Model, seed: int = 0) -> None:
    """Trainable weights set from NumPy, without balancing state: one start on every backend."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if variable.overwrite_with_gradient:
            continue
        variable.assign(rng.normal(0, 0.5, tuple(variable.shape)).astype("float32"))


def unscaled(layout: Any) -> HeadConstants:
    """What the heads of these tasks store before data: no scaling, and trivial predictors of 0."""
    tasks = len(layout.tasks)
    return HeadConstants(ops.zeros((tasks,)), ops.ones((tasks,)), ops.zeros((layout.units,)))


def loss_of(objective: Objective, y: Any, raw: Any, weight: Any, kept: HeadConstants) -> Any:
    """The total loss of a batch."""
    return objective.loss(objective.means(objective(y, raw, weight, kept)))


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of tensors as in a training step: jitted on JAX.

    There single operations would compile one by one.
    """
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def value_and_gradient(function: Callable[..., Any]) -> Callable[..., tuple[float, np.ndarray]]:
    """A scalar function of tensors -> its value, and its gradient with respect to the first."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        both = jax.jit(jax.value_and_grad(function))
    elif backend == "tensorflow":
        import tensorflow as tf

        def both(at: Any, *rest: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(at)
                value = function(at, *rest)
            return value, tape.gradient(value, at)
    else:

        def both(at: Any, *rest: Any) -> Any:
            at = at.detach().requires_grad_(True)
            value = function(at, *rest)
            value.backward()
            return value.detach(), at.grad

    def on_arrays(*arrays: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = both(
            *(ops.convert_to_tensor(a) if isinstance(a, np.ndarray) else a for a in arrays)
        )
        return float(value), np.asarray(ops.convert_to_numpy(gradient))

    return on_arrays
