"""Compute GradNorm: give gradients similar lengths, longer for tasks that lag behind."""

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
"""Largest factor by which a loss counts as having fallen or grown."""


@dataclass(frozen=True)
class GradNorm(WeightingMethod):
    """Learn weights with which each gradient has the mean norm, times how far its task lags behind.

    Chen et al. 2018, arXiv:1711.02257, eq. 2 and algorithm 1: G_t = |weights_t grad L_t|, and the
    inverse training rate r_t is L_t over its first value, divided by the mean over tasks. The
    weights descend along the derivative of sum_t |G_t - mean(G) r_t^alpha|, with constant targets,
    and are then divided by their mean.

    Scale: which norms are reached does not depend on the scale of any loss. The tasks' own loss
        weights are part of the norms, and are evened out like any other scale.

    Where we differ: the norms are those of the step before. They are used with the losses of that
        step, which are stored, so the two belong together. Norms are taken at the fork and not of
        the last shared layer's parameters. The derivative is taken by log weights and divided by
        mean(G): weights stay above 0, within e^24 of each other, and `rate` has a meaning that does
        not depend on the scale of the gradients. A loss counts as at least a thousandth of its
        usual absolute value.

    Attributes:
        alpha: how much a task that lags behind gains, at least 0.
        rate: the learning rate of the log weights.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get({"name": "gradnorm", "rate": 0.1}), np.ones(2, "float32")
        >>> state, _ = method.update(
        ...     method.init(2), StepLosses(ones, ones, 0 * ones, ones, ones, ones)
        ... )
        >>> state, weights = method.update(
        ...     state, StepLosses(ones, ones, np.float32([3.0, 1.0]), ones, ones, ones)
        ... )
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

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        defined = unweighted(step)[1] * ops.cast(state["last"] > 0, "float32")
        lengths = ops.where(defined > 0, step.norms, 0.0)
        lengths = lengths / ops.maximum(mean(lengths, defined), LEAST)
        remaining = ops.clip(
            state["last"] / ops.maximum(state["first"], LEAST), 1.0 / FURTHEST, FURTHEST
        )
        lag = remaining / ops.maximum(mean(remaining, defined), 1.0 / FURTHEST)
        slope = lengths * ops.sign(lengths - lag**self.alpha)
        log = moved(state["log"], -self.rate * slope, defined)
        usual_losses = usual(state, step)
        losses = positive(step.losses, usual_losses)
        first = ops.where(state["first"] > 0, state["first"], losses)
        weights = count(step.present) * shares(log, step.present)
        return {"log": log, "first": first, "last": losses, "usual": usual_losses}, weights
