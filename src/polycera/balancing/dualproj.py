"""Compute DualProj: project the sum of the gradients so that it conflicts with no task."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import REGULAR, nonnegative
from polycera.typing import Tensor


@dataclass(frozen=True)
class DualProj(BalancingMethod):
    """Change the sum of the gradients as little as possible until it conflicts with no task.

    Lopez-Paz & Ranzato 2017, arXiv:1706.08840, eq. 11 (gradient episodic memory): the projection of
    sum_i p_i g_i on the cone {d: g_j . d >= 0 for all j} is sum_j v_j g_j with v = argmin v'Gv over
    v >= p.

    Scale: long gradients dominate the sum that is projected; the result conflicts with no task
        whatever the scales.

    Where we differ: the paper projects the gradient of a new task; we project the weighted sum, as
        TorchJD does. The diagonal is regularised as in `UPGrad`; see there.

    Attributes:
        regularization: added to the diagonal of the cosines; allows conflicts of about its size.
        relative: "task": times each task's own squared norm; "trace": times the sum of all squared
            norms, as in TorchJD.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.array([[1.0, -2.0], [-2.0, 9.0]], "float32"), np.ones(2, "float32")
        >>> _, weights = get("dualproj").update({}, StepGradients(gramian, ones, ones, ones, ones))
        >>> [round(float(w), 2) for w in weights]
        [2.0, 1.0]
    """

    name = "dualproj"
    title = "DualProj"
    paper = Paper("Lopez-Paz & Ranzato", 2017, "1706.08840")
    sees = ("gramian", "preference")
    cost = "O(m^3), 1 to 5 solves"
    when = "the plain sum, but no task may get worse; cheaper than UPGrad with many tasks"
    preferring = True

    regularization: float = 1e-4
    relative: str = "task"

    def limits(self) -> None:
        self.check(
            "regularization", 0 <= self.regularization <= 1, "a number from 0 to 1, say 1e-4"
        )
        self.check("relative", self.relative in ("task", "trace"), "'task' or 'trace'")

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        matrix = rows.regularized(self.regularization, self.relative)
        # With v = p + correction, the bound v >= p becomes correction >= 0.
        linear = -rows.active * ((gradients.preference * rows.norms)[None, :] @ matrix)
        scale = ops.max(ops.abs(linear)) + 1e-35
        correction = nonnegative(
            matrix,
            linear / scale,
            rows.active,
            ops.cast(linear > 0, "float32"),
            self.regularization >= REGULAR,
        )[0]
        return state, gradients.preference + correction * scale / rows.lengths
