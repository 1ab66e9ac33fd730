"""Compute MoCo: MGDA from a running mean, so that the noise of one batch does not decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import on_simplex
from polycera.typing import Tensor


@dataclass(frozen=True)
class MoCo(BalancingMethod):
    """Move the weights a little in each step towards MGDA's weights for a running mean.

    Fernando et al. 2023, arXiv:2210.12624, eq. 5 and 6: y_i <- y_i - beta_t (y_i - g_i) tracks each
    task's gradient, and l <- P(l - gamma_t (Y'Y + rho) l) the weights, where P is the projection on
    the simplex; the trunk steps along Y l.

    Scale: as MGDA, reached slowly.

    Where we differ, and it matters: the paper stores m gradients as long as the trunk. A method
        here receives only the inner products of one step's gradients, and these do not give the
        inner products of their running means. So we track a running mean of the Gramian in place of
        Y'Y. Its diagonal contains the noise that the paper averages away. The trunk receives this
        step's gradients, not the tracked ones. With `beta` 1 and `decay` 0 the two agree. The
        Gramian is divided by the mean squared norm, so that `gamma` has a meaning that does not
        depend on the scale of the losses.

    Attributes:
        beta: the step of the running mean, in the first step.
        gamma: the learning rate of the weights, in the first step.
        decay: beta and gamma are divided by t^decay in step t.
        rho: how strongly the weights are drawn towards equality, at least 0.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.diag([1.0, 4.0]).astype("float32"), np.ones(2, "float32")
        >>> method = get("moco")
        >>> state, weights = method.update(
        ...     method.init(2), StepGradients(gramian, ones, ones, ones, ones)
        ... )
        >>> [round(float(w), 2) for w in weights]
        [1.06, 0.94]
    """

    name = "moco"
    title = "MoCo"
    paper = Paper("Fernando et al.", 2023, "2210.12624")
    cost = "O(m^2)"
    when = "small, noisy batches; weights should not jump"

    beta: float = 0.5
    gamma: float = 0.1
    decay: float = 0.5
    rho: float = 0.0

    def limits(self) -> None:
        self.check("beta", 0 < self.beta <= 1, "a number above 0, up to 1")
        self.check("gamma", self.gamma > 0, "a number above 0")
        self.check("decay", 0 <= self.decay <= 1, "a number from 0 to 1")
        self.check("rho", self.rho >= 0, "a number of at least 0")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        weights = np.full(m, 1.0 / m, "float32")
        return {
            "gramian": np.zeros((m, m), "float32"),
            "weights": weights,
            "step": np.zeros((), "float32"),
        }

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        step = state["step"] + 1.0
        pairs = gradients.present[:, None] * gradients.present[None, :]
        gramian = ops.nan_to_num(gradients.gramian, nan=0.0, posinf=0.0, neginf=0.0)
        tracked = state["gramian"] + pairs * (self.beta / step**self.decay) * (
            gramian - state["gramian"]
        )
        tracked_pairs = tracked * pairs
        mean = ops.sum(ops.diagonal(tracked_pairs)) / rows.count
        # The tasks present share the weight that they had before; absent tasks keep theirs.
        present_share = ops.sum(state["weights"] * gradients.present)
        # Equal shares where the tasks present had no weight.
        w = state["weights"] * gradients.present / (present_share + 1e-35) + rows.share * ops.cast(
            present_share < 1e-30, "float32"
        )
        slope = (w[None, :] @ tracked_pairs)[0] / (mean + 1e-35) + self.rho * w
        w = on_simplex(w - (self.gamma / step**self.decay) * slope, gradients.present)
        weights = (
            state["weights"] * (1.0 - gradients.present) + w * gradients.present * present_share
        )
        return {"gramian": tracked, "weights": weights, "step": step}, rows.count * w
