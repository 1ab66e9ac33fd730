"""Compute Nash-MTL: the step that is the Nash bargaining solution of the tasks."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import fair
from polycera.typing import Tensor


@dataclass(frozen=True)
class NashMTL(BalancingMethod):
    """Maximise the product of the tasks' gains (the Nash bargaining solution).

    There no task can gain a percent without the others losing more than a percent in total.

    Navon et al. 2022, arXiv:2202.01017, claim 3.1: the weights a > 0 that solve G a = 1 / a.

    Scale: the direction does not depend on the scale of any task.

    Where we differ: the paper approximates the solution by a few convex programmes that start from
        the last weights. But G a = 1/a is where the convex function a'Ga / 2 - sum log a has slope
        0. So Newton's method finds it to float32 precision without a memory. By the equation the
        step has norm sqrt(m) whatever the gradients, which would undo loss scaling. So we divide G
        by the mean squared norm of the tasks' gradients first, and weights are 1 for equally long
        orthogonal gradients. No weight exceeds about `solvers.REACH` (70) times its value for
        orthogonal gradients, where the authors' code clips the step (`max_norm`): at a
        Pareto-stationary point no finite weights solve the equation. The layer decides whether
        weights are reused for some steps.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.diag([1.0, 4.0]).astype("float32"), np.ones(2, "float32")
        >>> _, weights = get("nash_mtl").update({}, StepGradients(gramian, ones, ones, ones, ones))
        >>> [round(float(w), 3) for w in weights]
        [1.581, 0.791]
    """

    name = "nash_mtl"
    title = "Nash-MTL"
    paper = Paper("Navon et al.", 2022, "2202.01017")
    cost = "O(m^3), 3 to 8 solves"
    when = "tasks of very different scale; no weights to tune"

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        return state, fair(
            rows.cosines, ops.ones_like(rows.active), 1.0, rows.active
        ) / rows.typical
