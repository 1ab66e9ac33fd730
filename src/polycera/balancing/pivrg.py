"""Compute PIVRG: fair shares that are larger for tasks that lag behind."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import fair
from polycera.typing import Tensor


@dataclass(frozen=True)
class PIVRG(BalancingMethod):
    """Apply FairGrad with alpha 2, where a task that lags behind the others counts more.

    Qin et al. 2025, CVPR, "Revisiting fairness in multitask learning: a performance-driven approach
    for variance reduction" (no arXiv number): the weights a > 0 that solve G a = (w / a)^(1/2),
    with w = m softmax(score / T). The score of a task is by how many percent it is worse than a
    separate network for this task, and T = max(spread of the scores / log `bound`, `temperature`).

    Scale: as FairGrad.

    Where we differ: there is no separate network to compare with. So a task's score is how many
        percent of its first loss remain (a running mean). This measures progress, not quality. G is
        divided by the mean squared norm of the gradients, and weights are bounded, as in FairGrad.

    Attributes:
        bound: the largest ratio of two tasks' w, above 1.
        temperature: the smallest T, in percent.
        memory: the share of the running mean of the losses that stays in a step, 0 to below 1.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.diag([1.0, 1.0]).astype("float32"), np.ones(2, "float32")
        >>> method = get("pivrg")
        >>> state, weights = method.update(
        ...     method.init(2), StepGradients(gramian, ones, ones, ones, ones)
        ... )
        >>> [round(float(w), 2) for w in weights]
        [1.0, 1.0]
    """

    name = "pivrg"
    title = "PIVRG"
    paper = Paper("Qin et al.", 2025, "")
    sees = ("gramian", "losses")
    cost = "O(m^3), 3 to 8 solves"
    when = "tasks that learn at different speeds"

    bound: float = 2.0
    temperature: float = 10.0
    memory: float = 0.99

    def limits(self) -> None:
        self.check("bound", self.bound > 1, "a number above 1")
        self.check("temperature", self.temperature > 0, "a number above 0")
        self.check("memory", 0 <= self.memory < 1, "a number from 0 to below 1")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return {
            "known": np.zeros(m, "float32"),
            "first": np.zeros(m, "float32"),
            "recent": np.zeros(m, "float32"),
        }

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        state = self.remember(state, gradients)
        score = 100.0 * state["recent"] / (ops.abs(state["first"]) + 1e-12)
        # The highest score is subtracted before `exp`, so that nothing overflows.
        highest = ops.max(ops.where(gradients.present > 0, score, -1e30))
        lowest = ops.min(ops.where(gradients.present > 0, score, 1e30))
        spread = ops.relu(highest - lowest) / math.log(self.bound)
        share = gradients.present * ops.exp(
            ops.minimum(score - highest, 0.0) / ops.maximum(spread, self.temperature)
        )
        share = rows.count * share / (ops.sum(share) + 1e-35)
        gain = ops.sqrt((share + (1.0 - gradients.present)) / rows.typical)
        return state, fair(rows.cosines, gain, 2.0, rows.active) / rows.typical

    def remember(self, state: State, gradients: StepGradients) -> State:
        """Return the state with the first loss of each task and the running mean of its losses."""
        losses = ops.nan_to_num(gradients.losses, nan=0.0, posinf=0.0, neginf=0.0)
        new = gradients.present * (1.0 - state["known"])
        first = state["first"] + new * losses
        # A first loss replaces the whole mean.
        pace = gradients.present * ops.maximum(1.0 - self.memory, new)
        recent = state["recent"] + pace * (losses - state["recent"])
        return {"known": state["known"] + new, "first": first, "recent": recent}
