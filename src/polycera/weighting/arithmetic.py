"""Compute what several weightings need: means and shares, positive losses, norms, Adam steps.

Means and shares are taken over the tasks present in the batch.
"""

from __future__ import annotations

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.method_base import State
from polycera.typing import Tensor
from polycera.weighting.method import LARGEST, StepLosses

FLOOR = 1e-3
"""Share of a task's usual loss that its loss counts as at least, where a method divides by it."""

LEAST = 1 / LARGEST
"""Smallest value that a loss counts as."""

MEMORY = 0.99
"""Share of a running mean that stays in a step."""

FAINT = 1e-12
"""Weight below which the norm of the unweighted gradient cannot be computed reliably."""

WIDEST = 12.0
"""Largest absolute value of a learned log weight: no gradient becomes too small to be measured."""


def zeros(m: int, *names: str) -> dict[str, NDArray[np.float32]]:
    """Return a state with these names, in which each task has the value 0."""
    return {name: np.zeros(m, "float32") for name in names}


def count(present: Tensor) -> Tensor:
    """Return the number of tasks present [], at least 1."""
    return ops.maximum(ops.sum(present), 1.0)


def mean(values: Tensor, present: Tensor) -> Tensor:
    """Return the mean of the values over the tasks present []; 0 where no task is present.

    `present` may also be any other non-negative weights [m].
    """
    total = ops.sum(present)
    return ops.sum(ops.where(present > 0, values, 0.0) * present) / ops.where(total > 0, total, 1.0)


def shares(logits: Tensor, present: Tensor) -> Tensor:
    """Return the softmax over the tasks present, 0 for the others [m]."""
    # The largest logit is subtracted before `exp`, so that nothing overflows.
    top = ops.max(ops.where(present > 0, logits, -LARGEST))
    share = present * ops.exp(ops.minimum(ops.where(present > 0, logits - top, 0.0), 0.0))
    return share / ops.maximum(ops.sum(share), LEAST)


def usual(state: State, step: StepLosses) -> Tensor:
    """Return the running means of the losses' absolute values [m].

    A task's mean starts with its first loss that is not 0. A loss counts as at most twice the mean,
    so that one very large loss does not raise the floor for long.
    """
    sizes, means = ops.abs(step.losses), state["usual"]
    return ops.where(
        means > 0, means + (1.0 - MEMORY) * (ops.minimum(sizes, 2.0 * means) - means), sizes
    )


def positive(losses: Tensor, usual: Tensor) -> Tensor:
    """Return the losses [m], each raised to at least a thousandth of the task's usual loss.

    So they are safe to divide by and to take logs of. A loss may be 0 or below 0 in some steps. The
    methods that use this are not made for a loss that stays there.
    """
    return ops.maximum(ops.maximum(losses, FLOOR * usual), LEAST)


def moved(log: Tensor, step: Tensor, defined: Tensor) -> Tensor:
    """Return the log weights [m] after a step; their sum stays the same.

    A task that is not known in this step moves like the mean of the others.

    Args:
        log: [m] log weights before the step.
        step: [m] the change of each log weight.
        defined: [m] 1.0 where the step of the task is known, else 0.0.
    """
    return ops.clip(log + defined * (step - mean(step, defined)), -WIDEST, WIDEST)


def unweighted(step: StepLosses) -> tuple[Tensor, Tensor]:
    """Return the last step's gradient norms without the weights of that step.

    The tasks' own loss weights are still in them.

    Returns:
        The norms [m], 0 where they are not known, and 1.0 where they are known, else 0.0 [m].
    """
    defined = ops.logical_and(
        step.norms > 0, ops.logical_and(step.weights > FAINT, step.present > 0)
    )
    # Where not defined, 1 replaces the weight: `where` alone would not keep the division finite.
    norms = ops.minimum(step.norms / ops.where(defined, step.weights, 1.0), LARGEST)
    return ops.where(defined, norms, 0.0), ops.cast(defined, "float32")


def adam(state: State, gradient: Tensor, rate: float) -> tuple[State, Tensor]:
    """Return the moments after a step of Adam, and the step [m].

    Kingma & Ba 2015, arXiv:1412.6980, algorithm 1, with its constants. The steps of each task are
    counted separately.

    Args:
        state: holds "count", "mean" and "square", each [m].
        gradient: [m] the derivative by each task's parameter.
        rate: the learning rate.

    Returns:
        The new "count", "mean" and "square", and what to subtract from the parameters [m].
    """
    steps = state["count"] + 1.0
    first = 0.9 * state["mean"] + 0.1 * gradient
    second = 0.999 * state["square"] + 0.001 * gradient * gradient
    # Both moments start at 0; dividing by these powers removes the bias of the first steps.
    size = ops.sqrt(second / (1.0 - ops.power(0.999, steps))) + 1e-8
    return {"count": steps, "mean": first, "square": second}, rate * first / (
        1.0 - ops.power(0.9, steps)
    ) / size
