"""Compute ConFIG: the step that has the same cosine with every task's gradient."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import divide
from polycera.typing import Tensor


@dataclass(frozen=True)
class ConFIG(BalancingMethod):
    """Step in the direction that has the same cosine with every task's gradient.

    Where the gradients together cannot reach equal cosines, the nearest direction is taken.

    Liu et al. 2025, arXiv:2408.11104, eq. 2 and 3: u = normalised pinv([g_i / |g_i|]) p, and the
    step is (sum_i g_i . u) u. In coefficients: x = pinv(C) p for the cosines C.

    Scale: the direction does not depend on the scale of any task; the length is the sum of all
        projections.

    Where we differ: eigenvalues of the cosines below max(m, 8) x 1.2e-7 of the largest count as 0.
        Where p cannot be reached at all (two opposite gradients), the step is 0 and not an
        amplified rounding error.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.diag([1.0, 9.0]).astype("float32"), np.ones(2, "float32")
        >>> _, weights = get("config").update({}, StepGradients(gramian, ones, ones, ones, ones))
        >>> [round(float(w), 2) for w in weights]
        [2.0, 0.67]
    """

    name = "config"
    title = "ConFIG"
    paper = Paper("Liu et al.", 2025, "2408.11104")
    sees = ("gramian", "preference")
    cost = "O(m^3), 1 eigendecomposition"
    when = "losses of very different scale, such as those of physics-informed networks"
    preferring = True

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        target = gradients.preference * rows.active
        x, _ = divide(rows.cosines, target, rows.active)
        reached = (x[None, :] @ rows.cosines)[0]
        square = ops.sum(x * reached)
        # 0.0 where p cannot be reached: the length would then be rounding divided by rounding.
        exists = ops.cast(square > 1e-10 * ops.sum(target * target), "float32")
        length = exists * ops.sum(rows.norms * reached) / (square + (1.0 - exists))
        return state, x * length / rows.lengths
