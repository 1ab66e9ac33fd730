"""What several weightings compute: means and shares over the tasks present, positive losses, norms, steps of Adam."""

from __future__ import annotations

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.method_base import State
from polycera.typing import Tensor
from polycera.weighting.method import LARGEST, StepLosses

FLOOR = 1e-3
"""A loss counts as at least this part of what is usual for its task, where a method divides by it."""
LEAST = 1 / LARGEST
"""And as at least this."""
MEMORY = 0.99
"""How much of a running mean stays in a step."""
FAINT = 1e-12
"""Below this weight nothing can be said of a gradient without it."""
WIDEST = 12.0
"""Learned log weights stay within this of 0, so that no task's gradient becomes too faint to be measured."""


def zeros(m: int, *names: str) -> dict[str, NDArray[np.float32]]:
    """A state of these names, 0 for each task."""
    return {name: np.zeros(m, "float32") for name in names}


def count(present: Tensor) -> Tensor:
    """[] how many tasks are present, at least 1."""
    return ops.maximum(ops.sum(present), 1.0)


def mean(values: Tensor, present: Tensor) -> Tensor:
    """[] over the tasks present (or by any other weights); 0 where there are none."""
    total = ops.sum(present)
    return ops.sum(ops.where(present > 0, values, 0.0) * present) / ops.where(total > 0, total, 1.0)


def shares(logits: Tensor, present: Tensor) -> Tensor:
    """[m] the softmax over the tasks present, 0 for the others."""
    top = ops.max(ops.where(present > 0, logits, -LARGEST))
    share = present * ops.exp(ops.minimum(ops.where(present > 0, logits - top, 0.0), 0.0))
    return share / ops.maximum(ops.sum(share), LEAST)


def usual(state: State, seen: StepLosses) -> Tensor:
    """[m] a running mean of the losses' absolute values, from the task's first loss that is not 0.

    A loss counts as at most twice the mean: one that explodes once does not raise the floor for
        long.
    """
    now, before = ops.abs(seen.losses), state["usual"]
    return ops.where(
        before > 0, before + (1.0 - MEMORY) * (ops.minimum(now, 2.0 * before) - before), now
    )


def positive(losses: Tensor, usual: Tensor) -> Tensor:
    """[m] the losses, raised to a thousandth of what is usual: safe to divide by and to take logs of.

    A loss may come out 0 or below 0 in some steps. For one that stays there these methods are not
    made.
    """
    return ops.maximum(ops.maximum(losses, FLOOR * usual), LEAST)


def moved(log: Tensor, step: Tensor, known: Tensor) -> Tensor:
    """[m] log weights after a step of the tasks that are known, the sum of all staying what it is.

    A task of which nothing is known in this step fares as the mean of the others.
    """
    return ops.clip(log + known * (step - mean(step, known)), -WIDEST, WIDEST)


def unweighted(seen: StepLosses) -> tuple[Tensor, Tensor]:
    """[m] gradient norms of the step before without the weights of that step, and 1.0 where they are known, else 0.0.

    The tasks' own weights are still in them.
    """
    known = ops.logical_and(seen.norms > 0, ops.logical_and(seen.weights > FAINT, seen.present > 0))
    norms = ops.minimum(seen.norms / ops.where(known, seen.weights, 1.0), LARGEST)
    return ops.where(known, norms, 0.0), ops.cast(known, "float32")


def adam(state: State, gradient: Tensor, rate: float) -> tuple[State, Tensor]:
    """The moments `mean` and `square` after `count` steps of each task, and by how much to step [m].

    Kingma & Ba 2015, arXiv:1412.6980, algorithm 1, with its constants; a task's steps are counted
    by themselves.
    """
    steps = state["count"] + 1.0
    first = 0.9 * state["mean"] + 0.1 * gradient
    second = 0.999 * state["square"] + 0.001 * gradient * gradient
    size = ops.sqrt(second / (1.0 - ops.power(0.999, steps))) + 1e-8
    return {"count": steps, "mean": first, "square": second}, rate * first / (
        1.0 - ops.power(0.9, steps)
    ) / size
