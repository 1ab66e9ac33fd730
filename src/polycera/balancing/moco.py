"""MoCo: MGDA from a running mean, so that one batch's noise does not decide."""

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
    """Move the weights a little each step towards MGDA's, judged by a running mean and not by one batch.

    Fernando et al. 2023, arXiv:2210.12624, eq. 5 and 6: y_i <- y_i - beta_t (y_i - g_i) tracks each
    task's gradient, and l <- P(l - gamma_t (Y'Y + rho) l) the weights, P the projection on the
    simplex; the trunk steps along Y l.

    Scale: as MGDA, reached slowly.

    Where we differ, and it matters: the paper keeps m gradients as long as the trunk. A method here
    sees inner products of one step's gradients only, which do not give those of their running
    means. We keep a running mean of the Gramian in place of Y'Y, which holds the noise on its
    diagonal that the paper averages away, and the trunk receives this step's gradients, not the
    tracked ones. With `beta` 1 and `decay` 0 the two agree. The Gramian is divided by the mean
    squared norm, so that `gamma` has a meaning without knowing the scale of the losses.

    Attributes:
        beta: how fast the running mean follows, in the first step.
        gamma: the learning rate of the weights, in the first step.
        decay: beta and gamma are divided by t^decay in step t.
        rho: pulls the weights towards equality, at least 0.

    Example:
        >>> import numpy as np
        >>> from polycera.balancing import Seen, get
        >>> gramian, ones = np.diag([1.0, 4.0]).astype("float32"), np.ones(2, "float32")
        >>> method = get("moco")
        >>> state, weights = method.update(method.init(2), Seen(gramian, ones, ones, ones, ones))
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

    def weigh(self, state: State, seen: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        now = state["step"] + 1.0
        pairs = seen.present[:, None] * seen.present[None, :]
        seen_now = ops.nan_to_num(seen.gramian, nan=0.0, posinf=0.0, neginf=0.0)
        tracked = state["gramian"] + pairs * (self.beta / now**self.decay) * (
            seen_now - state["gramian"]
        )
        known = tracked * pairs
        mean = ops.sum(ops.diagonal(known)) / rows.count
        held = ops.sum(state["weights"] * seen.present)
        w = state["weights"] * seen.present / (held + 1e-35) + rows.share * ops.cast(
            held < 1e-30, "float32"
        )
        slope = (w[None, :] @ known)[0] / (mean + 1e-35) + self.rho * w
        w = on_simplex(w - (self.gamma / now**self.decay) * slope, seen.present)
        kept = state["weights"] * (1.0 - seen.present) + w * seen.present * held
        return {"gramian": tracked, "weights": kept, "step": now}, rows.count * w
