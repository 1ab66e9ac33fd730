"""Find out whether a linear head has been trained, from its weights and its model's optimizer.

A trained head predicts in the units of the targets it was trained on. Target scaling would be
applied on top of that: a head that predicts 300,000 would start 300,000 standard deviations away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import keras
import numpy as np
from keras import ops

from polycera.layers.output_endings import Ending

LARGE = 30.0
"""A kernel that is this many times larger than its initializer makes it counts as trained."""

CONSTANTS = (keras.initializers.Zeros, keras.initializers.Ones, keras.initializers.Constant)
"""Lists the initializers that give one number everywhere, so that a changed bias shows."""

_adopted: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Holds the heads that were adopted before with target scaling.

What they have learned since is in scaled units.
"""


class HeadTraining(NamedTuple):
    """Holds whether a linear head has been trained.

    Attributes:
        state: `new`, it has learned no target; `own`, it predicts in the user's units; `unknown`.
        reason: how that is known, or why it is not known.
    """

    state: Literal["new", "own", "unknown"]
    reason: str = ""


def head_training(ending: Ending, model: keras.Model) -> HeadTraining:
    """Return whether the head of an output of `model` has been trained."""
    for owner in (model, *ending.within):
        steps = optimizer_steps(owner)
        if steps:
            return HeadTraining("own", f"the optimizer of {owner.name!r} has taken {steps:,} steps")
    head_states = [_state_of(head) for head in ending.heads if head not in _adopted]
    if not ending.heads and ending.name is None:
        return HeadTraining("unknown", f"{ending.hidden} has no weights")
    # One trained head decides; one head that is not known leaves the answer open.
    for state in ("own", "unknown"):
        for head_state in head_states:
            if head_state.state == state:
                return head_state
    return HeadTraining("new")


def remember(heads: Iterable[Any]) -> None:
    """Record that heads learn scaled targets from now on.

    They will not predict in the user's units.
    """
    for head in heads:
        _adopted[head] = True


def optimizer_steps(model: Any) -> int:
    """Return how many steps the optimizer of a compiled model has taken; 0 without one."""
    optimizer = getattr(model, "optimizer", None)
    iterations = getattr(optimizer, "iterations", None)
    return 0 if iterations is None else int(ops.convert_to_numpy(iterations))


def _state_of(head: Any) -> HeadTraining:
    """Return whether one head has been trained, from its bias and kernel."""
    bias = _values(head, ("bias", "beta"))
    initializer = getattr(head, "bias_initializer", getattr(head, "beta_initializer", None))
    if bias is not None:
        if isinstance(initializer, CONSTANTS) or initializer is None:
            if bias.any():
                return HeadTraining("own", f"its bias is {_largest(bias):.6g}")
            ratio = _larger(head)
            if ratio is not None and ratio > LARGE:
                return HeadTraining(
                    "own", f"its kernel is {ratio:,.0f} times as large as its initializer makes it"
                )
            return HeadTraining("new")
        if np.array_equal(bias, _initial(initializer, bias)):
            return HeadTraining("new")
    ratio = _larger(head)
    if ratio == 1.0 and bias is None:
        return HeadTraining("new")
    if ratio is not None and ratio > LARGE:
        return HeadTraining(
            "own", f"its kernel is {ratio:,.0f} times as large as its initializer makes it"
        )
    return HeadTraining(
        "unknown", f"layer {head.name!r} has weights that its initializer did not give"
    )


def _larger(head: Any) -> float | None:
    """Return how many times larger a kernel is than its initializer makes it.

    Exactly 1 for an untrained kernel, None without kernel.
    """
    kernel = _values(head, ("kernel", "embeddings"))
    initializer = getattr(head, "kernel_initializer", getattr(head, "embeddings_initializer", None))
    if kernel is None or initializer is None or not kernel.size:
        return None
    first = _initial(initializer, kernel)
    if np.array_equal(kernel, first):
        return 1.0
    sizes = [
        float(np.sqrt(np.mean(np.square(values, dtype="float64")))) for values in (kernel, first)
    ]
    # Never exactly 1 here: 1 means that the kernel is untouched.
    return max(sizes[0] / sizes[1], np.nextafter(1.0, 2.0)) if sizes[1] > 0 else None


def _initial(initializer: Any, like: np.ndarray) -> np.ndarray:
    """Return what an initializer gives.

    It is the same at each call, because an initializer keeps its seed.
    """
    try:
        return np.asarray(ops.convert_to_numpy(initializer(like.shape, dtype=str(like.dtype))))
    except (TypeError, ValueError):  # a user's function with other arguments
        return np.zeros_like(like)


def _values(head: Any, names: Iterable[str]) -> np.ndarray | None:
    """Return the first of these variables that a head has, as an array."""
    for name in names:
        variable = getattr(head, name, None)
        if variable is not None:
            return np.asarray(ops.convert_to_numpy(variable))
    return None


def _largest(values: np.ndarray) -> float:
    """Return the value with the largest absolute value."""
    return float(values.ravel()[int(np.argmax(np.abs(values)))])
