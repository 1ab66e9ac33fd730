"""Compute uncertainty weighting: learn each task's noise and divide its loss by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod

GAIN = 10.0
"""Largest absolute value of the derivative by s: larger losses move s no further in a step."""


@dataclass(frozen=True)
class Uncertainty(WeightingMethod):
    """Learn s, the log of each task's noise variance, and weight each loss by exp(-s).

    Kendall, Gal & Cipolla 2018, arXiv:1705.07115, eq. 7 with s = log sigma^2: minimise sum_t
    (exp(-s_t) L_t + s_t) / 2 over network and s. We drop the factor 1/2: weights = exp(-s), which
    start at 1, and s descends along 1 - exp(-s) L, its derivative. The network's gradient is twice
    the paper's.

    Scale: for a constant loss, weight x loss tends to 1, whatever its scale.

    Where we differ: the factor 1/2 belongs to squared errors. For classification the paper (eq. 10)
        has exp(-s) L + s / 2, which starts at twice the weight and ends at the same. We treat all
        tasks alike. s has plain gradient steps with its own learning rate, and not the network's
        optimizer: near the optimum such a step moves s a share `rate` of the way to log L, and a
        bad batch leaves no trace in moments. A derivative counts as at most 10. Losses below 0
        raise the weight as a loss of 0 does.

    Attributes:
        rate: the learning rate of s.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get({"name": "uncertainty", "rate": 0.1}), np.ones(2, "float32")
        >>> step = StepLosses(np.array([4.0, 1.0], "float32"), ones, ones, ones, ones, ones)
        >>> state, weights = method.update(method.init(2), step)
        >>> [round(float(w), 2) for w in weights], [round(float(s), 2) for s in state["s"]]
        ([1.0, 1.0], [0.3, 0.0])
    """

    name = "uncertainty"
    title = "Uncertainty"
    paper = Paper("Kendall, Gal & Cipolla", 2018, "1705.07115")
    when = "losses in different units; weights should move slowly"

    rate: float = 0.01

    def limits(self) -> None:
        self.check("rate", 0 < self.rate <= 1, "a number above 0, up to 1")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "s")

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        return {"s": state["s"] - self.rate * slope(state["s"], step.losses)}, ops.exp(-state["s"])


def slope(s: Tensor, losses: Tensor) -> Tensor:
    """Return the derivative of exp(-s) L + s by s, from -10 to 1 [m].

    It is meant for s from -69 to 69, where float32 can distinguish the weights. s does not fall
    below -69, where the weight exp(-s) reaches its largest value, 1e30.
    """
    derivative = 1.0 - ops.minimum(
        ops.exp(-s) * ops.minimum(ops.maximum(losses, 0.0), 1e30), 1.0 + GAIN
    )
    return ops.where(ops.logical_and(s < -69.0, derivative > 0), 0.0, derivative)
