"""Compute STCH: minimise a smooth maximum of the losses, so that the worst task comes first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import LEAST, count, mean, positive, shares, usual, zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod


@dataclass(frozen=True)
class STCH(WeightingMethod):
    """Minimise a smooth version of the largest loss, each loss measured against a reference.

    Lin et al. 2024, arXiv:2402.19078: f = mu log sum_t exp(y_t / mu), y_t = p_t (L_t - z_t), which
    tends to the maximum of y as mu tends to 0. Two forms:

    - "log", as in the authors' multi-task code: y_t = log(L_t / n_t), where n_t is the mean loss of
      the first steps. weights_t = m softmax(y / mu)_t / L_t, m times its derivative. At mu = 1
      these are m / n_t over the sum of the L / n: losses relative to their first values.
    - "plain", the equation with the ideal point z = 0 and p_t = preference / m:
      weights_t = m preference_t softmax(y / mu)_t, m^2 times its derivative. Equal losses have
      weights of 1.

    Scale: "log" does not depend on the scale of any loss; "plain" favours the largest.

    Where we differ: in "log" the authors train some epochs on the sum of the logs before n is
        taken. Here n_t is the mean of all losses so far until `warmup` steps have passed, and is
        used from the first step. There the preference multiplies L_t / n_t; the authors have none.
        In "log" a loss counts as at least a thousandth of its usual absolute value.

    Attributes:
        mu: the smoothness, above 0: with small values only the worst task counts.
        form: "log" or "plain".
        warmup: the number of a task's first losses whose mean is its n.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get({"name": "stch", "form": "plain"}), np.ones(2, "float32")
        >>> step = StepLosses(np.array([4.0, 2.0], "float32"), ones, ones, ones, ones, ones)
        >>> _, weights = method.update(method.init(2), step)
        >>> [round(float(w), 2) for w in weights]
        [1.46, 0.54]
    """

    name = "stch"
    title = "STCH"
    paper = Paper("Lin et al.", 2024, "2402.19078")
    sees = ("losses", "preference")
    when = "no task may be left behind; a preference picks the trade-off"
    preferring = True

    mu: float = 1.0
    form: str = "log"
    warmup: int = 100

    def limits(self) -> None:
        self.check("mu", 1e-4 <= self.mu <= 1e4, "a number from 0.0001 to 10000")
        self.check("form", self.form in ("log", "plain"), "'log' or 'plain'")
        self.check("warmup", 1 <= self.warmup <= 10**7, "a whole number from 1 to ten million")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "usual", "nadir", "steps") if self.form == "log" else {}

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        m = count(step.present)
        preferred = step.preference / ops.maximum(mean(step.preference, step.present), LEAST)
        if self.form == "plain":
            return state, m * preferred * shares(
                preferred / m * step.losses / self.mu, step.present
            )
        usual_losses = usual(state, step)
        losses = positive(step.losses, usual_losses)
        steps = ops.minimum(state["steps"] + 1.0, float(self.warmup))
        early = ops.cast(state["steps"] < self.warmup, "float32")
        nadir = state["nadir"] + early * (losses - state["nadir"]) / steps
        logs = (
            ops.log(losses)
            - ops.log(ops.maximum(nadir, LEAST))
            + ops.log(ops.maximum(preferred, LEAST))
        )
        weights = m * shares(logs / self.mu, step.present) / losses
        return {"usual": usual_losses, "nadir": nadir, "steps": steps}, weights
