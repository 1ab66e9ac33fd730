"""Skip a step whose loss is not finite: its gradient is 0, and its bad terms are counted."""

from __future__ import annotations

from typing import Any

from keras import ops

from polycera.layers.backend import replicas, sum_over_replicas, with_backward
from polycera.typing import Raw, Tensor


def zero_nonfinite_gradient(raw: Raw) -> Raw:
    """Return the raw outputs; their gradient is 0 in a step where any of it is not finite.

    One row with an infinite loss would otherwise make every weight NaN, and weights that are NaN
    never recover.
    """

    def backward(inputs: tuple[Any, ...], cotangent: Tensor) -> tuple[Tensor]:
        not_finite = ops.cast(ops.logical_not(ops.all(ops.isfinite(cotangent))), "float32")
        return (ops.where(sum_over_replicas(not_finite) > 0, ops.zeros_like(cotangent), cotangent),)

    return with_backward(lambda raw: raw + 0.0, backward)(raw)


def finite(means: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether every term is finite, [] bool, and 1.0 for each term that is not, [terms]."""
    spoilt = ops.cast(
        ops.logical_not(ops.isfinite(sum_over_replicas(ops.stop_gradient(means)))), "float32"
    )
    return ops.max(spoilt) < 0.5, spoilt / replicas()
