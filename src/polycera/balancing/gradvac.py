"""Compute GradVac: turn pairs of gradients towards the angle that they usually have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import EPSILON
from polycera.typing import Tensor


@dataclass(frozen=True)
class GradVac(BalancingMethod):
    """Turn a gradient towards another where their cosine is below its running mean; then add up.

    Wang et al. 2021, arXiv:2010.05874, eq. 4 and algorithm 1: for each task i and the others j in
    random order, with phi = cos(g_i, g_j) and its running mean phi', where phi < phi', g_i <- g_i +
    a g_j with a = |g_i| (phi' sqrt(1 - phi^2) - phi sqrt(1 - phi'^2)) / (|g_j| sqrt(1 - phi'^2)),
    and in any case phi' <- (1 - beta) phi' + beta phi. While phi' is 0 this is PCGrad. As there,
    the coefficients need the Gramian only.

    Scale: which pairs are turned does not depend on the scale of a task; how much is added does.

    Where we differ: one random order a step serves all tasks. The angles are those of the whole
        trunk, not layer by layer. The denominators have no 1e-8 added, which in TorchJD makes short
        gradients behave differently from long ones.

    Attributes:
        beta: the step of the running mean, 0 to 1.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.array([[1.0, -0.5], [-0.5, 1.0]], "float32"), np.ones(2, "float32")
        >>> method = get("gradvac")
        >>> state, weights = method.update(
        ...     method.init(2), StepGradients(gramian, ones, ones, ones, ones)
        ... )
        >>> [round(float(w), 2) for w in weights], float(state["cosines"][0, 1])
        ([1.5, 1.5], -0.25)
    """

    name = "gradvac"
    title = "GradVac"
    paper = Paper("Wang et al.", 2021, "2010.05874")
    sees = ("gramian", "noise")
    cost = "O(m^3), m small steps"
    when = "few tasks, related ones: also aligns gradients that do not conflict"

    beta: float = 0.5

    def limits(self) -> None:
        self.check("beta", 0 <= self.beta <= 1, "a number from 0 to 1")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return {"cosines": np.zeros((m, m), "float32")}

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        order = ops.argsort(gradients.noise)
        inverse_order = ops.argsort(order)
        cosines = permuted(rows.cosines, order)
        usual = permuted(ops.transpose(state["cosines"]), order)  # row j holds the means for all i
        m = cosines.shape[0]
        others = 1.0 - ops.eye(m, dtype="float32")

        def step(t: Tensor, loop: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            added, measured, square = loop
            inner = cosines[t] + (cosines[t][None, :] @ added)[0]
            length = ops.sqrt(square)
            phi = ops.clip(inner / (length + 1e-30), -1.0, 1.0)
            target = usual[t]
            # The sine is 0 where the mean cosine is 1; EPSILON keeps the quotient finite.
            sine = ops.sqrt(ops.relu(1.0 - target * target) + EPSILON**2)
            # `length` stands for |g_i|; g_j is a unit vector here.
            factor = length * (target * ops.sqrt(ops.relu(1.0 - phi * phi)) / sine - phi)
            factor = factor * others[t] * ops.cast(phi < target, "float32")
            # Update |g_i|^2 from the inner product; rounding can make it negative.
            square = ops.relu(square + factor * (2.0 * inner + factor))
            start = (t, 0)
            return (
                ops.slice_update(added, start, factor[None]),
                ops.slice_update(measured, start, phi[None]),
                square,
            )

        zeros = ops.zeros((m, m), dtype="float32")
        added, measured, _ = ops.fori_loop(
            0, m, step, (zeros, zeros, ops.ones((m,), dtype="float32"))
        )
        norms = ops.take(rows.norms, order)
        weights = 1.0 + (added @ norms[:, None])[:, 0] / ops.take(rows.lengths, order)
        pair_rate = self.beta * rows.active[:, None] * rows.active[None, :] * others
        cosines = state["cosines"] + pair_rate * (
            permuted(ops.transpose(measured), inverse_order) - state["cosines"]
        )
        return {"cosines": cosines}, ops.take(weights, inverse_order)


def permuted(matrix: Tensor, order: Tensor) -> Tensor:
    """Return the matrix [m, m] with its rows and columns in another order."""
    return ops.take(ops.take(matrix, order, axis=0), order, axis=1)
