"""Leave out whole groups of rows from a ridge regression in closed form.

Rows of a group (a customer, copies of a row, a stretch of time) are not independent: a row that is
left out alone would be predicted from the others of its group. The errors of a whole group G that
is left out follow from one fit to all rows: (I - H_GG)^-1 (y_G - fitted_G), where H_GG is the
group's block of the hat matrix (Cook & Weisberg 1982, section 3.6; a single row is Allen 1974).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from polycera.typing import Array

CELLS = 2**22
"""Maximum number of values of stacked groups at a time: 32 MB in float64."""
FOLDS = 5
"""Number of folds where the table is not divided into folds anyway."""


@dataclass(frozen=True)
class Blocks:
    """Holds which rows are left out together.

    Attributes:
        group: number of the group of each row, [n].
        fold: number of the fold of each row, [n]; a fold holds whole groups. Columns with missing
            labels leave out whole folds, because no closed form holds for them.
    """

    group: np.ndarray
    fold: np.ndarray

    @classmethod
    def of(cls, groups: np.ndarray, folds: np.ndarray | None = None, seed: int = 0) -> Self:
        """Return blocks of the groups [n]; folds are drawn where there are none."""
        group = np.unique(groups, return_inverse=True)[1].reshape(-1)
        if folds is None:
            rng = np.random.default_rng([seed, FOLDS])
            folds = (rng.permutation(group.max(initial=0) + 1) % FOLDS)[group]
        return cls(group, folds)

    def take(self, rows: np.ndarray) -> Self:
        """Return the blocks of some of the rows."""
        return type(self)(self.group[rows], self.fold[rows])


def errors(
    vectors: Array, values: Array, penalties: Array, residuals: Array, group: np.ndarray
) -> Array:
    """Return the errors of the rows, each with its whole group left out, [n, p, columns].

    Args:
        vectors: orthonormal columns, [n, r].
        values: their squared lengths, [r]. With penalty p the hat matrix is vectors
            diag(values / (values + p)) vectors'.
        penalties: [p].
        residuals: labels minus fitted values, [n, p, columns].
        group: of each row, [n].
    """
    found = np.empty_like(residuals)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=group.min(initial=0) - 1))
    sizes = np.diff(starts, append=len(group))
    rank = len(values)
    # Groups of one size are stacked, so the loop is over sizes and not over groups.
    for size in np.unique(sizes):
        of_size = starts[sizes == size]
        if 2 * size > rank:
            for start in of_size:
                rows = order[start : start + size]
                found[rows] = _of_large(vectors[rows], values, penalties, residuals[rows])
            continue
        step = max(1, CELLS // (int(size) * rank))
        for first in range(0, len(of_size), step):
            rows = order[of_size[first : first + step, None] + np.arange(size)]
            found[rows] = _of_small(vectors[rows], values, penalties, residuals[rows])
    return found


def _of_small(vectors: Array, values: Array, penalties: Array, residuals: Array) -> Array:
    """Return the errors of groups of fewer rows than vectors, [groups, rows, p, columns].

    Args:
        vectors: rows of each group, [groups, rows, r].
        values, penalties: as for `errors`.
        residuals: [groups, rows, p, columns].
    """
    found, transposed = np.empty_like(residuals), vectors.transpose(0, 2, 1)
    for i, penalty in enumerate(penalties):
        hat = (vectors * (values / (values + penalty))) @ transposed
        found[:, :, i] = np.linalg.solve(np.eye(hat.shape[1]) - hat, residuals[:, :, i])
    return found


def _of_large(vectors: Array, values: Array, penalties: Array, residuals: Array) -> Array:
    """Return the errors of one group of many rows, [rows, p, columns].

    The block is inverted among the vectors, of which there are fewer than rows (Woodbury).

    Args:
        vectors: of the group's rows, [rows, r].
        values, penalties: as for `errors`.
        residuals: [rows, p, columns].
    """
    found, inner = np.empty_like(residuals), vectors.T @ vectors
    for i, penalty in enumerate(penalties):
        factor = cho_factor(np.diag(1.0 + penalty / values) - inner, overwrite_a=True)
        found[:, i] = residuals[:, i] + vectors @ cho_solve(factor, vectors.T @ residuals[:, i])
    return found
