"""Compute UPGrad: project each gradient so that it conflicts with no task, then add them up."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import REGULAR, nonnegative
from polycera.typing import Tensor


@dataclass(frozen=True)
class UPGrad(BalancingMethod):
    """Change each gradient as little as possible until it conflicts with no task; then add up.

    Quinton & Rey 2024, arXiv:2406.16232, eq. 4 and proposition 1: the projection of p_i g_i on the
    cone {d: g_j . d >= 0 for all j} is sum_j v_j g_j with v = argmin v'Gv over v >= p_i e_i. The m
    programmes share one matrix and are solved as one batch. The sum conflicts with no task.

    Scale: the projection of a gradient grows with its length and does not depend on the length of
        the others. The sum grows with every length. It conflicts with no task whatever the scales.

    Where we differ: TorchJD adds 1e-4 of the trace to the diagonal. Tasks whose gradients are a
        hundred times shorter than the rest then lose their protection from conflicts. We add to
        each task's own squared norm. `relative="trace"` gives TorchJD's weights.

    Attributes:
        regularization: added to the diagonal of the cosines. It makes the weights unique where
            gradients are linearly dependent, and allows conflicts of about its size.
        relative: "task": times each task's own squared norm; "trace": times the sum of all squared
            norms, as in TorchJD.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.array([[1.0, -0.5], [-0.5, 1.0]], "float32"), np.ones(2, "float32")
        >>> _, weights = get("upgrad").update({}, StepGradients(gramian, ones, ones, ones, ones))
        >>> [round(float(w), 2) for w in weights]
        [1.5, 1.5]
    """

    name = "upgrad"
    title = "UPGrad"
    paper = Paper("Quinton & Rey", 2024, "2406.16232")
    sees = ("gramian", "preference")
    cost = "O(m^4), 2 to 6 batches of m solves"
    when = "a good default: no task may get worse, and large gradients keep their influence"
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
        # Row i is the programme of task i, solved for the coefficients beyond its own gradient.
        linear = -matrix * rows.active[:, None] * rows.active[None, :]
        corrections = nonnegative(
            matrix,
            linear,
            rows.active,
            ops.cast(linear > 0, "float32"),
            self.regularization >= REGULAR,
        )
        added = ((gradients.preference * rows.norms)[None, :] @ corrections)[0]
        return state, gradients.preference + added / rows.lengths
