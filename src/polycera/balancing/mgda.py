"""Compute MGDA: the shortest convex combination of the tasks' gradients."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import nonnegative
from polycera.typing import Tensor


@dataclass(frozen=True)
class MGDA(BalancingMethod):
    """Take the shortest convex combination: the task that gains least gains as much as possible.

    Desideri 2012; Sener & Koltun 2018, arXiv:1810.04650, eq. 3: minimise |sum_i a_i g_i|^2 over a
    >= 0, sum a = 1. No task's loss grows along the result. The result is 0 exactly where no
    direction improves all tasks (Pareto stationarity).

    Scale: changes with each task's scale, and short gradients win: a task that is nearly done
        decides the step. A task with no gradient at all takes all the weight, and the trunk does
        not move. This is the paper's definition.

    Where we differ: the paper takes Frank-Wolfe steps; we solve to float32 precision. The minimum
        is found through min z'Gz/2 - sum z over z >= 0, whose solution has the same direction.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.diag([1.0, 4.0]).astype("float32"), np.ones(2, "float32")
        >>> _, weights = get("mgda").update({}, StepGradients(gramian, ones, ones, ones, ones))
        >>> [round(float(w), 2) for w in weights]
        [1.6, 0.4]
    """

    name = "mgda"
    title = "MGDA"
    paper = Paper("Sener & Koltun", 2018, "1810.04650")
    cost = "O(m^3), 2 to 6 solves"
    when = "no task may get worse, and small gradients should lead"

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        z = nonnegative(rows.cosines, rows.inverse[None, :], rows.active)[0]
        weights = z * rows.inverse
        # A present task without a gradient takes all the weight, as the paper defines it.
        without_gradient = gradients.present - rows.active
        weights = ops.where(ops.any(without_gradient > 0), without_gradient, weights)
        return state, weights * (rows.count / (ops.sum(weights) + 1e-35))
