"""GradNorm: gradients of like length, longer for tasks that lag behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import (
    LEAST,
    count,
    mean,
    moved,
    positive,
    shares,
    unweighted,
    usual,
    zeros,
)
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod

FURTHEST = 1e6
"""A loss that fell or grew by more than this factor counts as if it had by this."""


@dataclass(frozen=True)
class GradNorm(WeightingMethod):
    """Learn weights that bring the norm of each task's gradient to the mean norm, times how far the task lags behind.

    Chen et al. 2018, arXiv:1711.02257, eq. 2 and algorithm 1: with G_t = |weights_t grad L_t| and
    the inverse training rate r_t, which is L_t over its first value, divided by the mean over
    tasks, weights descend along the derivative of sum_t |G_t - mean(G) r_t^alpha|, targets held
    constant, and are then divided by their mean.

    Scale: which norms are reached does not depend on the scale of any loss. The tasks' own weights
        are part of the
    norms, and are evened out like any other scale.

    Where we differ: norms are those of the step before and are used with the losses of that step,
    which are kept, so nothing is late. Norms are taken at the fork and not of the last shared
    layer's parameters. The derivative is taken by log weights and divided by mean(G): weights stay
    above 0, within e^24 of each other, and `rate` has a meaning without knowing the scale of the
    gradients. A loss counts as at least a thousandth of its usual absolute value.

    Attributes:
        alpha: how much a task that lags behind gets, at least 0.
        rate: the learning rate of the log weights.

    Example:
        >>> import numpy as np
        >>> from polycera.weighting import Seen, get
        >>> method, ones = get({"name": "gradnorm", "rate": 0.1}), np.ones(2, "float32")
        >>> state, _ = method.update(method.init(2), Seen(ones, ones, 0 * ones, ones, ones, ones))
        >>> state, weights = method.update(state, Seen(ones, ones, np.float32([3.0, 1.0]), ones, ones, ones))
        >>> [round(float(w), 2) for w in weights]
        [0.9, 1.1]
    """

    name = "gradnorm"
    title = "GradNorm"
    paper = Paper("Chen et al.", 2018, "1711.02257")
    sees = ("losses", "norms", "weights")
    when = "tasks that learn at different speeds, and a fork to measure gradients at"

    alpha: float = 1.5
    rate: float = 0.025

    def limits(self) -> None:
        self.check("alpha", 0 <= self.alpha <= 5, "a number from 0 to 5")
        self.check("rate", 0 < self.rate <= 1, "a number above 0, up to 1")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "log", "first", "last", "usual")

    def weigh(self, state: State, seen: StepLosses) -> tuple[State, Tensor]:
        known = unweighted(seen)[1] * ops.cast(state["last"] > 0, "float32")
        lengths = ops.where(known > 0, seen.norms, 0.0)
        lengths = lengths / ops.maximum(mean(lengths, known), LEAST)
        left = ops.clip(
            state["last"] / ops.maximum(state["first"], LEAST), 1.0 / FURTHEST, FURTHEST
        )
        lag = left / ops.maximum(mean(left, known), 1.0 / FURTHEST)
        slope = lengths * ops.sign(lengths - lag**self.alpha)
        log = moved(state["log"], -self.rate * slope, known)
        often = usual(state, seen)
        losses = positive(seen.losses, often)
        first = ops.where(state["first"] > 0, state["first"], losses)
        weights = count(seen.present) * shares(log, seen.present)
        return {"log": log, "first": first, "last": losses, "usual": often}, weights
