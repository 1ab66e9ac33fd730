"""Give losses of every kind to weighting and return a method's weights, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import ops
from small import compiled

from polycera.weighting import StepLosses, WeightingMethod, get

KINDS = ("plain", "falling", "still", "apart")
"""How the tasks' losses go on: see `path`."""
SETTINGS = {
    "dwa": {"window": 2},
    "stch": {"warmup": 2},
    "schedule": {"steps": 3},
    "go4align": {"rate": 0.1},
}
"""So that something happens within a few steps."""


def path(kind: str, m: int, n: int = 4, seed: int = 0) -> np.ndarray:
    """Losses of n steps [n, m], as float32 has them.

    plain: new in each step, within a factor of 4. falling: each at its own rate, with noise. still:
        from the first
    step on. apart: plain, with scales over twelve orders of magnitude.
    """
    rng = np.random.default_rng([m, seed, KINDS.index(kind)])
    losses = rng.uniform(0.5, 2.0, (n, m))
    if kind == "falling":
        losses = losses[:1] * np.exp(
            -rng.uniform(0, 0.3, m) * np.arange(n)[:, None] + 0.1 * rng.normal(size=(n, m))
        )
    if kind == "still":
        losses = np.repeat(losses[:1], n, axis=0)
    if kind == "apart":
        losses *= 10.0 ** rng.uniform(-6, 6, m)
    return losses.astype("float32").astype("float64")


def named(m: int) -> list[str]:
    """Names of m tasks."""
    return [f"task {k}" for k in range(m)]


def made(name: str, names: Sequence[str], **given: Any) -> WeightingMethod:
    """A method of this name, for tasks of these names."""
    config: dict[str, Any] = {"name": name, **SETTINGS.get(name, {}), **given}
    if name == "schedule" and "to" not in given:
        config["to"] = {each: 0.2 + 0.3 * int(each.split()[1]) for each in names}
    return get(config).bind(names)


@cache
def update_of(method: WeightingMethod) -> Any:
    """As a training step has it: compiled on JAX, a graph in TensorFlow."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(method.update)
    return compiled(method.update)


def seen_of(losses: Any, **parts: Any) -> StepLosses:
    """What is seen of a step; parts that are left out are 1, the noise 0, 1/m, ..."""
    m = len(losses)
    given = (
        {name: np.ones(m) for name in StepLosses._fields}
        | {"losses": losses, "noise": np.arange(m) / m}
        | parts
    )
    return StepLosses(
        **{name: ops.convert_to_tensor(np.asarray(part, "float32")) for name, part in given.items()}
    )


def step(
    method: WeightingMethod, state: dict[str, Any] | None, losses: Any, **parts: Any
) -> tuple[Any, np.ndarray]:
    """One update: (state, weights [m] as float64)."""
    state = method.init(len(losses)) if state is None else state
    tensors = {name: ops.convert_to_tensor(part) for name, part in state.items()}
    state, weights = update_of(method)(tensors, seen_of(losses, **parts))
    return {k: ops.convert_to_numpy(v) for k, v in state.items()}, ops.convert_to_numpy(
        weights
    ).astype("float64")


def run(
    method: WeightingMethod, losses: np.ndarray, state: Any = None, slopes: Any = 1.0, **parts: Any
) -> tuple[Any, np.ndarray]:
    """Steps one after the other: (state, weights [n, m]).

    What was said in a step, and the norms that came of it, are seen in the next.

    Args:
        method: for m tasks.
        losses: [n, m].
        state: to begin from.
        slopes: [n, m] norms of the gradients of the losses without weights.
        **parts: other parts of `StepLosses`, [m] or [n, m].
    """
    n, m = losses.shape
    said, norms, weights = np.ones(m), np.zeros(m), []
    for k in range(n):
        now = {name: np.broadcast_to(part, (n, m))[k] for name, part in parts.items()}
        state, given = step(method, state, losses[k], weights=said, norms=norms, **now)
        said, norms = given, given * np.broadcast_to(slopes, (n, m))[k]
        weights.append(given)
    return state, np.array(weights)


def weights(method: WeightingMethod, losses: Any, **parts: Any) -> np.ndarray:
    """The weights [m] of a first step."""
    return step(method, None, np.asarray(losses), **parts)[1]
