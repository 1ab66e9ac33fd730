"""Aligned-MTL: gradients made orthogonal and equally long, by the smallest change of all."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import EPSILON, MANY, eigen
from polycera.typing import Tensor


@dataclass(frozen=True)
class AlignedMTL(BalancingMethod):
    """Replace the gradients by the nearest ones that are orthogonal and equally long, then add those up.

    Senushkin et al. 2023, arXiv:2305.19000, algorithm 1 and eq. 13: weights = sqrt(s) G^(-1/2) p,
    the inverse root taken over the eigenvalues above rounding, with s one of them.

    Scale: every direction in which the tasks' gradients lie counts the same, however short the
        gradients along it.
    Weights may be negative.

    Where we differ: what counts as 0 is set for float32. Up to 64 tasks, directions are kept whose
    norm is above m x 1.2e-7 of the largest; beyond, above the square root of that.

    Attributes:
        scale: which eigenvalue: "min" (the paper's), "median", or "rmse" for their mean (the
            authors' code).

    Example:
        >>> import numpy as np
        >>> from polycera.balancing import Seen, get
        >>> gramian, ones = np.diag([1.0, 4.0]).astype("float32"), np.ones(2, "float32")
        >>> _, weights = get("aligned_mtl").update({}, Seen(gramian, ones, ones, ones, ones))
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

    def weigh(self, state: State, seen: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        roots, vectors, kept = singular(rows)
        safe = kept * roots + (1.0 - kept)
        rank = ops.sum(kept)
        if self.scale == "rmse":
            scale = ops.sqrt(ops.sum(kept * roots * roots) / (rank + 1e-35))
        else:
            place = rank - 1.0 if self.scale == "min" else ops.floor(0.5 * rank)
            scale = ops.take(safe, ops.cast(ops.relu(place), "int32"))
        weights = ((seen.preference * rows.active)[None, :] @ vectors) * (kept * scale / safe)
        return state, (weights @ ops.transpose(vectors))[0]


def singular(rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values [m] of the gradients, falling; their directions [m, m]; 1.0 where a value is not rounding [m].

    The Gramian's eigenvalues are the squares, which float32 tells apart over half as many orders of
    magnitude. So up to MANY tasks a factor of the Gramian is taken from the cosines and decomposed
    itself; that costs a few times as much.
    """
    m = rows.active.shape[0]
    if m >= MANY:
        values, vectors, kept = eigen(rows.gramian)
        return ops.sqrt(ops.relu(ops.flip(values))), ops.flip(vectors, axis=1), ops.flip(kept)
    values, vectors, kept = eigen(rows.cosines)
    factor = rows.norms[:, None] * vectors * ops.sqrt(kept * values)[None, :]
    left, roots, _ = ops.svd(factor, full_matrices=False)
    number = ops.cast(ops.arange(m) < ops.cast(ops.sum(kept), "int32"), "float32")
    return roots, left, number * ops.cast(roots > m * EPSILON * roots[0], "float32")
