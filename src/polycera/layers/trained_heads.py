"""Whether a linear head has been trained, as far as its weights and its model's optimizer show.

A trained head answers in the units of the targets that it was trained on. Standardised targets
would be put on top of
that: a head that answers 300,000 would start 300,000 standard deviations away.
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
"""A kernel this many times larger than its initializer makes it is no first kernel."""

CONSTANTS = (keras.initializers.Zeros, keras.initializers.Ones, keras.initializers.Constant)

_adopted: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Heads that were adopted before with standardised targets: what they learned since is in those units."""


class Standing(NamedTuple):
    """Where a linear head stands.

    Attributes:
        units: `new`, no target has been learned; `own`, it answers in the user's units; `unknown`.
        reason: how that is known, or why it is not.
    """

    units: Literal["new", "own", "unknown"]
    reason: str = ""


def standing(ending: Ending, model: keras.Model) -> Standing:
    """Return where the head of an output of `model` stands."""
    for each in (model, *ending.within):
        steps = optimizer_steps(each)
        if steps:
            return Standing("own", f"the optimizer of {each.name!r} has taken {steps:,} steps")
    found = [_standing(head) for head in ending.heads if head not in _adopted]
    if not ending.heads and ending.name is None:
        return Standing("unknown", f"{ending.hidden} shows no weights")
    for units in ("own", "unknown"):
        for head in found:
            if head.units == units:
                return head
    return Standing("new")


def remember(heads: Iterable[Any]) -> None:
    """Note that heads learn standardised targets from now on: what they will answer is in no units of the user."""
    for head in heads:
        _adopted[head] = True


def optimizer_steps(model: Any) -> int:
    """Return how many steps the optimizer of a compiled model has taken; 0 without one."""
    optimizer = getattr(model, "optimizer", None)
    iterations = getattr(optimizer, "iterations", None)
    return 0 if iterations is None else int(ops.convert_to_numpy(iterations))


def _standing(head: Any) -> Standing:
    bias = _values(head, ("bias", "beta"))
    first = getattr(head, "bias_initializer", getattr(head, "beta_initializer", None))
    if bias is not None:
        if isinstance(first, CONSTANTS) or first is None:
            if bias.any():
                return Standing("own", f"its bias is {_largest(bias):.6g}")
            ratio = _larger(head)
            if ratio is not None and ratio > LARGE:
                return Standing(
                    "own", f"its kernel is {ratio:,.0f} times as large as its initializer makes it"
                )
            return Standing("new")
        if np.array_equal(bias, _initial(first, bias)):
            return Standing("new")
    ratio = _larger(head)
    if ratio == 1.0 and bias is None:
        return Standing("new")
    if ratio is not None and ratio > LARGE:
        return Standing(
            "own", f"its kernel is {ratio:,.0f} times as large as its initializer makes it"
        )
    return Standing("unknown", f"layer {head.name!r} has weights that its initializer did not give")


def _larger(head: Any) -> float | None:
    """Return how many times larger a kernel is than a first one; exactly 1 for a first one, None without kernel."""
    kernel = _values(head, ("kernel", "embeddings"))
    initializer = getattr(head, "kernel_initializer", getattr(head, "embeddings_initializer", None))
    if kernel is None or initializer is None or not kernel.size:
        return None
    first = _initial(initializer, kernel)
    if np.array_equal(kernel, first):
        return 1.0
    sizes = [float(np.sqrt(np.mean(np.square(each, dtype="float64")))) for each in (kernel, first)]
    return max(sizes[0] / sizes[1], np.nextafter(1.0, 2.0)) if sizes[1] > 0 else None


def _initial(initializer: Any, like: np.ndarray) -> np.ndarray:
    """Return what an initializer gives: the same at each call, for it keeps its seed."""
    try:
        return np.asarray(ops.convert_to_numpy(initializer(like.shape, dtype=str(like.dtype))))
    except (TypeError, ValueError):  # a function of the user's own that takes other arguments
        return np.zeros_like(like)


def _values(head: Any, names: Iterable[str]) -> np.ndarray | None:
    for name in names:
        variable = getattr(head, name, None)
        if variable is not None:
            return np.asarray(ops.convert_to_numpy(variable))
    return None


def _largest(values: np.ndarray) -> float:
    return float(values.ravel()[int(np.argmax(np.abs(values)))])
