"""Compute FairGrad: share the decrease of the losses alpha-fairly among the tasks."""

from __future__ import annotations

from dataclasses import dataclass

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import fair
from polycera.typing import Tensor


@dataclass(frozen=True)
class FairGrad(BalancingMethod):
    """Share the decrease of the losses fairly, with alpha as the degree of fairness.

    alpha = 0 is the plain sum, alpha = 1 the Nash solution; a large alpha helps the worst-off task.

    Ban & Ji 2024, arXiv:2402.15638, eq. 6: the weights a > 0 that solve G a = a^(-1 / alpha).

    Scale: the direction is independent of the scale of a task for alpha = 1 only; above that, short
        gradients gain.

    Where we differ: the equation is solved by Newton's method on the convex function that has this
        slope, not by least squares. By the equation the weights shrink as gradients grow, which
        would undo loss scaling. So we divide G by the mean squared norm of the tasks' gradients
        first. The direction is the paper's, unless a weight would exceed about `solvers.REACH` (70)
        times the largest weight for orthogonal gradients: where gradients cancel out, nothing else
        bounds it.

    Attributes:
        alpha: how much the worst-off tasks count: 0, or from 0.2 to 100.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.diag([1.0, 1.0]).astype("float32"), np.ones(2, "float32")
        >>> _, weights = get("fairgrad").update({}, StepGradients(gramian, ones, ones, ones, ones))
        >>> [round(float(w), 2) for w in weights]
        [1.0, 1.0]
    """

    name = "fairgrad"
    title = "FairGrad"
    paper = Paper("Ban & Ji", 2024, "2402.15638")
    cost = "O(m^3), 3 to 8 solves"
    when = "one parameter that leads from the plain sum to the worst-off task"

    alpha: float = 2.0

    def limits(self) -> None:
        self.check(
            "alpha", self.alpha == 0 or 0.2 <= self.alpha <= 100, "0, or a number from 0.2 to 100"
        )

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        if self.alpha == 0:
            return state, gradients.present
        # With a = x / typical, the equation becomes C x = gain * x^(-1 / alpha).
        gain = rows.typical ** (1.0 / self.alpha - 1.0)
        return state, fair(rows.cosines, gain, self.alpha, rows.active) / rows.typical
