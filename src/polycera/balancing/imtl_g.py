"""Compute IMTL-G: the step that goes equally far along every task's gradient."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import divide, pseudo_inverse
from polycera.typing import Tensor

LONGEST = 10.0
"""Maximum length of a step, as a multiple of the sum of all gradient norms."""


@dataclass(frozen=True)
class IMTLG(BalancingMethod):
    """Choose the step whose projections on the tasks' gradient directions are all equal.

    Liu et al. 2021, ICLR, "Towards impartial multi-task learning" (no arXiv number), eq. 3; as a
    formula for the Gramian in Quinton & Rey 2024, arXiv:2406.16232, table 4: weights proportional
    to pinv(G) sqrt(diag G), with sum 1.

    Scale: the direction does not depend on the scale of any task, as long as gradients are linearly
        independent. Weights may be negative. They get very large where their sum comes near 0.

    Where we differ: with independent gradients we solve in unit vectors, C x = 1, which is accurate
        for tasks of any scale. A task without a gradient takes no part. Weights that cancel out are
        0. The step is at most `LONGEST` (10) times as long as the sum of all gradient norms: near a
        Pareto-stationary point the paper's formula grows without bound.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.diag([1.0, 9.0]).astype("float32"), np.ones(2, "float32")
        >>> _, weights = get("imtl_g").update({}, StepGradients(gramian, ones, ones, ones, ones))
        >>> [round(float(w), 2) for w in weights]
        [1.5, 0.5]
    """

    name = "imtl_g"
    title = "IMTL-G"
    paper = Paper("Liu et al.", 2021, "")
    cost = "O(m^3), 1 or 2 eigendecompositions"
    when = "tasks of very different scale that should all move equally"

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        coefficients, independent = divide(rows.cosines, rows.active, rows.active)
        # Computed outside `cond`: a property that is first cached inside a branch cannot leave it.
        norms = rows.norms
        raw = ops.cond(
            independent,
            lambda: rows.inverse * coefficients,
            lambda: pseudo_inverse(rows.gramian, norms),
        )
        total, size = ops.sum(raw), ops.sum(ops.abs(raw))
        # 0.0 where the weights cancel out: their sum is then rounding.
        exists = ops.cast(ops.abs(total) > 1e-6 * size, "float32")
        return state, rows.shortened(
            raw * exists * (rows.count / (total + (1.0 - exists))), LONGEST
        )
