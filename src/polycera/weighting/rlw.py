"""Compute RLW: draw random weights in every step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras import ops

from polycera.typing import Tensor
from polycera.weighting.arithmetic import count, shares
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod

EDGE = 1e-6
"""Least distance of the noise from 0 and 1, where the inverses of distributions are infinite."""


@dataclass(frozen=True)
class RLW(WeightingMethod):
    """Draw the weights at random: a baseline that other weightings should beat.

    Lin et al. 2022, arXiv:2111.10603, algorithm 2: weights = softmax(z), where z is drawn from a
    standard normal distribution, or weights uniform on the simplex, which is the Dirichlet
    distribution with parameters 1.

    Scale: does not use the losses; on average a task whose loss is twice as large counts twice.

    Where we differ: multiplied by the number of tasks present, so that the mean weight is 1. The
        numbers are computed from the noise of the step by the inverse of the distribution
        (Dirichlet: shares of exponential variables), so they are the same on every backend.

    Attributes:
        distribution: "normal" or "dirichlet".

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> ones, noise = np.ones(2, "float32"), np.array([0.5, 0.9], "float32")
        >>> _, weights = get("rlw").update({}, StepLosses(ones, ones, ones, ones, noise, ones))
        >>> [round(float(w), 2) for w in weights]
        [0.43, 1.57]
    """

    name = "rlw"
    title = "RLW"
    paper = Paper("Lin et al.", 2022, "2111.10603")
    sees = ("noise",)
    when = "a second baseline: what is gained over it is gained by more than noise"

    distribution: str = "normal"

    def limits(self) -> None:
        self.check(
            "distribution", self.distribution in ("normal", "dirichlet"), "'normal' or 'dirichlet'"
        )

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        noise = ops.clip(step.noise, EDGE, 1.0 - EDGE)
        if self.distribution == "dirichlet":
            logits = ops.log(-ops.log(noise))
        else:
            logits = math.sqrt(2.0) * ops.erfinv(2.0 * noise - 1.0)
        return state, count(step.present) * shares(logits, step.present)
