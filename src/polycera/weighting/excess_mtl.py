"""Compute ExcessMTL: give more weight to tasks that are still far from their best loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import LEAST, count, moved, shares, unweighted, zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod

MOST = 1000.0
"""Largest excess risk, as a multiple of the first one."""


@dataclass(frozen=True)
class ExcessMTL(WeightingMethod):
    """Weight tasks by their excess risk: how far the loss is above the smallest possible loss.

    A noisy task has a large loss that cannot fall. Methods that use the losses themselves would
    give it all the weight. He et al. 2024, arXiv:2402.02009, algorithm 1: the excess risk is
    estimated as e = g' H^-1 g with the square root of the sum of all g^2 so far, parameter by
    parameter, as diagonal H. Then weights <- weights exp(rate e / e_1), divided by their mean,
    where e_1 is the first estimate.

    Scale: does not depend on the scale of any loss, as e is divided by e_1.

    Where we differ, and it matters: a weighting receives only norms, not gradients. We estimate
        e = |g|^2 / sqrt(sum of all |g|^2), one curvature for the whole network. So parameters that
        have had large gradients do not count less than others, as they do in the paper. The norms
        are those of the step before, at the fork. e / e_1 counts as at most 1000, and weights stay
        within e^24 of each other.

    Attributes:
        rate: the step size of the log weights.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get({"name": "excess_mtl", "rate": 0.1}), np.ones(2, "float32")
        >>> state = method.init(2)
        >>> for norms in ([0.0, 0.0], [1.0, 1.0], [1.0, 0.1]):
        ...     state, weights = method.update(
        ...         state, StepLosses(ones, ones, np.float32(norms), ones, ones, ones)
        ...     )
        >>> [round(float(w), 2) for w in weights]
        [1.03, 0.97]
    """

    name = "excess_mtl"
    title = "ExcessMTL"
    paper = Paper("He et al.", 2024, "2402.02009")
    sees = ("norms", "weights")
    when = "noisy labels in some tasks, and a fork to measure gradients at"

    rate: float = 0.01

    def limits(self) -> None:
        self.check("rate", 0 < self.rate <= 1, "a number above 0, up to 1")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "log", "root", "first")

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        norms, defined = unweighted(step)
        # Squares are taken of ratios to the larger value, so that they do not overflow.
        top = ops.maximum(ops.maximum(norms, state["root"]), LEAST)
        root = top * ops.sqrt((norms / top) ** 2 + (state["root"] / top) ** 2)
        excess = norms * (norms / ops.maximum(root, LEAST))
        # The first estimate has nothing to compare with, so the weight stays.
        comparable = defined * ops.cast(state["first"] > 0, "float32")
        risen = ops.minimum(excess / ops.maximum(state["first"], LEAST), MOST)
        log = moved(state["log"], self.rate * risen, comparable)
        first = ops.where(state["first"] > 0, state["first"], excess)
        return {"log": log, "root": root, "first": first}, count(step.present) * shares(
            log, step.present
        )
