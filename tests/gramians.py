"""Give gradients of every kind to balancing and return a method's weights, in NumPy."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np
from keras import ops
from small import compiled

from polycera.balancing import BalancingMethod, StepGradients

KINDS = ("plain", "aligned", "conflicting", "near", "dependent", "idle", "unequal", "apart")
"""What the tasks' gradients are like: see `jacobian`."""


def jacobian(kind: str, m: int, seed: int = 0) -> np.ndarray:
    """Gradients [m, d], float64.

    plain: random directions. aligned, conflicting: with a common part, or with it taken out. near:
        a condition number
    of about 30 (the Gramian's: 1000). dependent: of half the rank. idle: one task has none.
    unequal: norms over two
    orders of magnitude. apart: over twelve.
    """
    rng = np.random.default_rng([m, seed, KINDS.index(kind)])
    d = 3 * m + 5
    j = rng.normal(size=(m, d))
    if kind == "aligned":
        j += 0.4 * rng.normal(size=(1, d))
    if kind == "conflicting":
        j -= 0.9 * j.mean(axis=0)
    if kind == "near":
        left, right = (np.linalg.qr(rng.normal(size=(n, m)))[0] for n in (m, d))
        j = left * np.logspace(0, -1.5, m) @ right.T
    if kind == "dependent":
        j = rng.normal(size=(m, (m + 1) // 2)) @ rng.normal(size=((m + 1) // 2, d))
    if kind == "idle":
        j[rng.integers(m)] = 0
    if kind in ("unequal", "apart"):
        j *= 10.0 ** rng.uniform(*((-1, 1) if kind == "unequal" else (-6, 6)), size=(m, 1))
    return j


STATIONARY = ("rank", "strong", "weak", "passable")
"""Where training ends, or nearly: see `stationary`."""


def stationary(kind: str, m: int, d: int, rank: int, seed: int = 0) -> np.ndarray:
    """Gradients [m, d] of a given rank, float64, after TorchJD's samplers (arXiv:2406.16232).

    rank: random. strong: some combination with positive weights is 0. weak: one is 0 with weights
        of which some are 0,
    and none with positive ones. passable: none is 0, one direction serves all tasks.
    """
    rng = np.random.default_rng([m, d, rank, seed, STATIONARY.index(kind)])
    positive = np.abs(rng.normal(size=m))
    some = rng.permutation(m) < rng.integers(1, m)
    first = {
        "rank": np.zeros((m, 0)),
        "strong": positive[:, None],
        "weak": np.stack([positive * some, positive * ~some], axis=1),
        "passable": positive[:, None],
    }[kind]
    first = first / np.linalg.norm(first, axis=0)
    others = rng.normal(size=(m, m - first.shape[1]))
    others = np.linalg.qr(others - first @ (first.T @ others))[0]
    left = np.hstack([first, others])[:, kind in ("strong", "weak") :][:, :rank]
    right = np.linalg.qr(rng.normal(size=(d, d)))[0][:rank]
    return left * np.abs(rng.normal(size=left.shape[1])) @ right[: left.shape[1]]


def single(gramian: np.ndarray) -> np.ndarray:
    """As float32 has it, in float64: what a reference should be given, too."""
    return np.asarray(gramian, "float32").astype("float64")


def gramian(kind: str, m: int, seed: int = 0) -> np.ndarray:
    """The Gramian [m, m] of `jacobian`, rounded to float32."""
    j = jacobian(kind, m, seed)
    return single(j @ j.T)


@cache
def _update(method: BalancingMethod) -> Any:
    """As a training step has it: compiled on JAX, a graph in TensorFlow."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(method.update)
    return compiled(method.update)


def step(
    method: BalancingMethod, state: dict[str, Any] | None, gramian: np.ndarray, **parts: Any
) -> tuple[Any, np.ndarray]:
    """Return one update: (state, weights [m] as float64); parts of `StepGradients` have defaults.

    These are 1, for the noise 0, 1/m, ...
    """
    m = len(gramian)
    given = (
        {name: np.ones(m) for name in StepGradients._fields}
        | {"gramian": gramian, "noise": np.arange(m) / m}
        | parts
    )
    seen = StepGradients(
        **{name: ops.convert_to_tensor(np.asarray(part, "float32")) for name, part in given.items()}
    )
    state = method.init(m) if state is None else state
    state, weights = _update(method)({k: ops.convert_to_tensor(v) for k, v in state.items()}, seen)
    return {k: ops.convert_to_numpy(v) for k, v in state.items()}, ops.convert_to_numpy(
        weights
    ).astype("float64")


def weights(method: BalancingMethod, gramian: np.ndarray, **parts: Any) -> np.ndarray:
    """The weights [m] of a first step."""
    return step(method, None, gramian, **parts)[1]


def lengths(gramian: np.ndarray) -> np.ndarray:
    """Norms of the gradients [m], 1 where there is none."""
    return np.sqrt(np.where(np.diag(gramian) > 0, np.diag(gramian), 1.0))


def cosines(gramian: np.ndarray) -> np.ndarray:
    """[m, m]."""
    return gramian / np.outer(lengths(gramian), lengths(gramian))


def apart(ours: np.ndarray, theirs: np.ndarray, scale: Any = 1.0) -> float:
    """Return the relative difference as norms; with lengths, of each task's share of the step.

    The lengths are those of the gradients.
    """
    return float(
        np.linalg.norm((ours - theirs) * scale) / max(np.linalg.norm(theirs * scale), 1e-30)
    )
