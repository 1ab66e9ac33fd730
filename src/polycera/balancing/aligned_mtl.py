"""Compute Aligned-MTL: make the gradients orthogonal and equally long with the least change."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import EPSILON, MANY, eigen
from polycera.typing import Tensor


@dataclass(frozen=True)
class AlignedMTL(BalancingMethod):
    """Replace the gradients by the nearest orthogonal, equally long ones, and add those up.

    Senushkin et al. 2023, arXiv:2305.19000, algorithm 1 and eq. 13: weights = sqrt(s) G^(-1/2) p.
    The inverse root uses only the eigenvalues above rounding, and s is one of these eigenvalues.

    Scale: every direction that the tasks' gradients span counts the same, however short the
        gradients along it are. Weights may be negative.

    Where we differ: the limit below which a value counts as 0 is set for float32. With fewer than
        64 tasks, directions count whose norm is above m x 1.2e-7 of the largest norm. With more
        tasks the limit is the square root of that.

    Attributes:
        scale: which eigenvalue s is: "min" (the paper), "median", or "rmse" for the mean of the
            eigenvalues (the authors' code).

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.diag([1.0, 4.0]).astype("float32"), np.ones(2, "float32")
        >>> _, weights = get("aligned_mtl").update(
        ...     {}, StepGradients(gramian, ones, ones, ones, ones)
        ... )
        >>> [round(float(w), 2) for w in weights]
        [1.0, 0.5]
    """

    name = "aligned_mtl"
    title = "Aligned-MTL"
    paper = Paper("Senushkin et al.", 2023, "2305.19000")
    sees = ("gramian", "preference")
    cost = "O(m^3), 1 eigendecomposition"
    when = "gradients that differ in scale and conflict much"
    preferring = True

    scale: str = "min"

    def limits(self) -> None:
        self.check("scale", self.scale in ("min", "median", "rmse"), "'min', 'median' or 'rmse'")

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        roots, vectors, nonzero = singular(rows)
        # Directions that count as 0 get the value 1, so that the division below is safe; the factor
        # `nonzero` then removes them.
        safe = nonzero * roots + (1.0 - nonzero)
        rank = ops.sum(nonzero)
        if self.scale == "rmse":
            scale = ops.sqrt(ops.sum(nonzero * roots * roots) / (rank + 1e-35))
        else:
            # The roots are sorted in falling order, so the smallest that counts is at rank - 1.
            index = rank - 1.0 if self.scale == "min" else ops.floor(0.5 * rank)
            scale = ops.take(safe, ops.cast(ops.relu(index), "int32"))
        weights = ((gradients.preference * rows.active)[None, :] @ vectors) * (
            nonzero * scale / safe
        )
        return state, (weights @ ops.transpose(vectors))[0]


def singular(rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """Return the singular values of the gradients, their directions, and which of them count.

    The Gramian's eigenvalues are the squares of the singular values. Float32 can tell squares apart
    over half as many orders of magnitude only. So with fewer than MANY tasks a factor of the
    Gramian is built from the cosines, and that factor is decomposed. This costs a few times as
    much as one eigendecomposition.

    Args:
        rows: the angles and lengths of the gradients.

    Returns:
        The singular values [m] in falling order, their directions [m, m], and 1.0 where a value is
        more than rounding, else 0.0 [m].
    """
    m = rows.active.shape[0]
    if m >= MANY:
        # `eigen` sorts in rising order.
        values, vectors, nonzero = eigen(rows.gramian)
        return ops.sqrt(ops.relu(ops.flip(values))), ops.flip(vectors, axis=1), ops.flip(nonzero)
    values, vectors, nonzero = eigen(rows.cosines)
    factor = rows.norms[:, None] * vectors * ops.sqrt(nonzero * values)[None, :]
    directions, roots, _ = ops.svd(factor, full_matrices=False)
    # At most as many singular values count as the cosines have eigenvalues above rounding.
    within_rank = ops.cast(ops.arange(m) < ops.cast(ops.sum(nonzero), "int32"), "float32")
    return roots, directions, within_rank * ops.cast(roots > m * EPSILON * roots[0], "float32")
