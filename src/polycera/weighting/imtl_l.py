"""Compute IMTL-L: learn a scale for each loss, so that the scaled losses are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod
from polycera.weighting.uncertainty import slope


@dataclass(frozen=True)
class IMTLL(WeightingMethod):
    """Learn s so that the scaled losses exp(s) L become 1, and weight each loss by exp(s).

    Liu et al. 2021, ICLR, "Towards impartial multi-task learning" (no arXiv number), section 3.2:
    minimise sum_t (exp(s_t) L_t - s_t) over network and s, which start at 0. The derivative by s is
    exp(s) L - 1.

    Scale: for a constant loss, weight x loss tends to 1, whatever its scale.

    Where we differ: s has plain gradient steps with its own learning rate, see `uncertainty`. That
        method has another motivation and the same formula with -s for s: at equal `rate` the
        weights are the same. A derivative counts as at most 10. Losses below 0 raise the weight as
        a loss of 0 does.

    Attributes:
        rate: the learning rate of s.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get({"name": "imtl_l", "rate": 0.1}), np.ones(2, "float32")
        >>> step = StepLosses(np.array([4.0, 1.0], "float32"), ones, ones, ones, ones, ones)
        >>> state, weights = method.update(method.init(2), step)
        >>> [round(float(w), 2) for w in weights], [round(float(s), 2) for s in state["s"]]
        ([1.0, 1.0], [-0.3, 0.0])
    """

    name = "imtl_l"
    title = "IMTL-L"
    paper = Paper("Liu et al.", 2021, "")
    when = (
        "together with the balancing IMTL-G, the other half of the same paper; alone it acts "
        "like uncertainty"
    )

    rate: float = 0.01

    def limits(self) -> None:
        self.check("rate", 0 < self.rate <= 1, "a number above 0, up to 1")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "s")

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        return {"s": state["s"] + self.rate * slope(-state["s"], step.losses)}, ops.exp(state["s"])
