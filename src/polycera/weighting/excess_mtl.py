"""ExcessMTL: more weight for the tasks that are still far from what they can reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import LEAST, count, moved, shares, unweighted, zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod

MOST = 1000.0
"""An excess risk counts as at most this many times the first."""


@dataclass(frozen=True)
class ExcessMTL(WeightingMethod):
    """Weight tasks by their excess risk, how far the loss is above the least it can be, and not by the loss itself.

    A noisy task has a large loss that cannot fall, and would get all the weight from methods that
    look at losses. He et al. 2024, arXiv:2402.02009, algorithm 1: the excess risk is estimated as e
    = g' H^-1 g with the square root of the sum of all g^2 so far, parameter by parameter, as
    diagonal H; then weights <- weights exp(rate e / e_1), divided by their mean, e_1 being the
    first estimate.

    Scale: does not depend on the scale of any loss, as e is divided by e_1.

    Where we differ, and it matters: only norms are seen, not gradients. We estimate e = |g|^2 /
    sqrt(sum of all |g|^2), one curvature for the whole network: what is lost is that parameters
    with much gradient behind them count less than fresh ones. Norms are those of the step before,
    at the fork. e / e_1 counts as at most 1000, and weights stay within e^24 of each other.

    Attributes:
        rate: how fast weights move.

    Example:
        >>> import numpy as np
        >>> from polycera.weighting import Seen, get
        >>> method, ones = get({"name": "excess_mtl", "rate": 0.1}), np.ones(2, "float32")
        >>> state = method.init(2)
        >>> for norms in ([0.0, 0.0], [1.0, 1.0], [1.0, 0.1]):
        ...     state, weights = method.update(state, Seen(ones, ones, np.float32(norms), ones, ones, ones))
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

    def weigh(self, state: State, seen: StepLosses) -> tuple[State, Tensor]:
        norms, known = unweighted(seen)
        top = ops.maximum(ops.maximum(norms, state["root"]), LEAST)
        root = top * ops.sqrt((norms / top) ** 2 + (state["root"] / top) ** 2)
        excess = norms * (norms / ops.maximum(root, LEAST))
        later = known * ops.cast(state["first"] > 0, "float32")
        risen = ops.minimum(excess / ops.maximum(state["first"], LEAST), MOST)
        log = moved(state["log"], self.rate * risen, later)
        first = ops.where(state["first"] > 0, state["first"], excess)
        return {"log": log, "root": root, "first": first}, count(seen.present) * shares(
            log, seen.present
        )
