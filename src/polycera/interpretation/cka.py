"""Compute how similar two representations of the same rows are, by linear CKA.

CKA is centred kernel alignment. Kornblith, Norouzi, Lee, Hinton 2019, "Similarity of Neural Network
Representations Revisited", arXiv 1905.00414.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import numpy as np

from polycera.errors import InputError
from polycera.typing import Array

FEWEST = 4
"""The unbiased estimate needs at least this many rows."""


def cka(a: Any, b: Any) -> float:
    """Return the linear CKA of two representations.

    It is 1 where one is a rotation and a scaling of the other, and 0 where they are unrelated. It
    does not change where a representation is rotated, scaled or shifted as a whole. It does change
    where directions are stretched unequally. It is computed in float64, from features or from Gram
    matrices, whichever takes fewer operations. With fewer rows than features it is too high (near 1
    for noise): use `cka_unbiased` there.

    Args:
        a: [n, ...], flattened to [n, p].
        b: [n, ...] of the same rows, flattened to [n, q].

    Returns:
        a number from 0 to 1; NaN, with a warning that says why, where a representation is the same
        for all rows.

    Raises:
        InputError: for fewer than two rows, unequal numbers of rows, or numbers that are not
            finite.

    Examples:
        >>> import numpy as np
        >>> a = np.random.default_rng(0).normal(size=(100, 5))
        >>> round(cka(a, 3 * a[:, ::-1]), 6)
        1.0
    """
    # CKA does not depend on scale; dividing keeps fourth powers of large or small features finite.
    scaled_a, scaled_b = (values / size(values) for values in _pair(a, b, 2))
    cross = _cross(scaled_a, scaled_b)
    return _ratio(cross, _cross(scaled_a, scaled_a), _cross(scaled_b, scaled_b))


def cka_unbiased(a: Any, b: Any) -> float:
    """Return linear CKA from the unbiased estimate of HSIC.

    It is around 0 for unrelated representations, however many features they have.

    Song, Smola, Gretton, Bedo, Borgwardt 2012, "Feature Selection via Dependence Maximization",
    JMLR 13; used for networks by Nguyen, Raghu, Kornblith 2021, arXiv 2010.15327.

    Args:
        a, b: as for `cka`; four rows or more.

    Returns:
        at most about 1, and by chance below 0 where nothing is related; NaN, with a warning, where
        it is not defined.

    Raises:
        InputError: as for `cka`.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(size=(50, 400)), rng.normal(size=(50, 400))
        >>> cka(a, b) > 0.8, abs(cka_unbiased(a, b)) < 0.1
        (True, True)
    """
    return MinibatchCKA().update(a, b).value


class MinibatchCKA:
    """Accumulate unbiased CKA of representations batch by batch.

    Nguyen et al. 2021, arXiv 2010.15327. Each of the three estimates of HSIC is averaged over the
    batches. Where we differ: a batch counts by its number of rows; in the paper all batches have
    one size. With one batch the result is that of `cka_unbiased`. Draw the rows of a batch at
    random: if batches differ from each other, the average does not contain these differences.

    Attributes:
        sums: HSIC between both, of the first with itself, and of the second with itself, each
            multiplied by the rows of the batch and summed over batches.
        rows: number of rows so far.

    Examples:
        >>> import numpy as np
        >>> a = np.random.default_rng(0).normal(size=(64, 5))
        >>> seen = MinibatchCKA()
        >>> for batch in np.split(a, 4):
        ...     seen = seen.update(batch, 2 * batch)
        >>> round(seen.value, 6)
        1.0
    """

    def __init__(self) -> None:
        self.sums = np.zeros(3)
        self.rows = 0
        self._sizes: tuple[float, float] | None = None

    def update(self, a: Any, b: Any) -> Self:
        """Add a batch: [n, ...] and [n, ...] of the same four rows or more.

        Raises:
            InputError: as for `cka`.
        """
        scaled_a, scaled_b = _pair(a, b, FEWEST)
        # The estimates of all batches are summed, so all batches are divided by the same numbers.
        self._sizes = self._sizes or (size(scaled_a), size(scaled_b))
        scaled_a, scaled_b = scaled_a / self._sizes[0], scaled_b / self._sizes[1]
        self.sums += len(scaled_a) * np.array(
            [_hsic(scaled_a, scaled_b), _hsic(scaled_a, scaled_a), _hsic(scaled_b, scaled_b)]
        )
        self.rows += len(scaled_a)
        return self

    @property
    def value(self) -> float:
        """Return CKA of all batches so far; NaN, with a warning, where it is not defined."""
        if not self.rows:
            raise InputError("No batch was given: call update(a, b) first.")
        return _ratio(*self.sums.tolist())


def centred(values: Any, what: str, fewest: int = 2) -> Array:
    """Return a representation [n, ...] as float64 [n, features], each feature with mean 0.

    A feature that is the same for all rows becomes exactly 0.

    Raises:
        InputError: for fewer rows than `fewest`, or numbers that are not finite.
    """
    array = np.asarray(values)
    if array.ndim < 2:
        raise InputError(f"Expected {what} to be [rows, features], got shape {list(array.shape)}.")
    flat = array.reshape(len(array), math.prod(array.shape[1:])).astype("float64")
    if len(flat) < fewest:
        raise InputError(f"Similarity needs {fewest} rows or more, got {len(flat)} in {what}.")
    if not np.isfinite(flat).all():
        raise InputError(f"NaN or infinite numbers in {what}; leave these rows out.")
    # Subtracting the mean leaves rounding errors of a constant feature, and these would look like a
    # signal.
    constant = (flat == flat[0]).all(axis=0)
    return np.where(constant, 0.0, flat - flat.mean(axis=0))


def size(values: Array) -> float:
    """Return the largest absolute value, or 1 if all values are 0.

    A representation is divided by it, so that no product over- or underflows.
    """
    return float(np.abs(values).max(initial=0.0)) or 1.0


def unbiased(gram_a: Array, gram_b: Array) -> float:
    """Return the unbiased estimate of HSIC from two Gram matrices [n, n]; diagonals are ignored."""
    n = len(gram_a)
    k, l = (g - np.diag(np.diag(g)) for g in (gram_a, gram_b))  # noqa: E741 - the letters of the paper
    return _estimate(n, float((k * l).sum()), k.sum(axis=1), l.sum(axis=1))


def _pair(a: Any, b: Any, fewest: int) -> tuple[Array, Array]:
    """Return both representations, centred, after a check that they have equally many rows."""
    first, second = (
        centred(a, "the first representation", fewest),
        centred(b, "the second representation", fewest),
    )
    if len(first) != len(second):
        raise InputError(
            f"The representations are of {len(first)} and {len(second)} rows; both must be of the "
            "same rows."
        )
    return first, second


def _cross(a: Array, b: Array) -> float:
    """Return the inner product of two Gram matrices, from features where that is cheaper."""
    n, p, q = len(a), a.shape[1], b.shape[1]
    # ||A.T B||^2 equals the inner product of A A.T and B B.T; the smaller matrices are multiplied.
    if p * q <= n * (p + q):
        return float(np.square(a.T @ b).sum())
    return float(((a @ a.T) * (b @ b.T)).sum())


def _hsic(a: Array, b: Array) -> float:
    """Return the unbiased estimate of HSIC from features.

    Where there are fewer features than rows it makes no matrix of rows by rows.
    """
    # The estimate uses Gram matrices without their diagonals, so these are subtracted from the
    # sums.
    diagonals = [np.square(features).sum(axis=1) for features in (a, b)]
    row_sums = [
        features @ features.sum(axis=0) - diagonal
        for features, diagonal in zip((a, b), diagonals, strict=True)
    ]
    return _estimate(len(a), _cross(a, b) - float(diagonals[0] @ diagonals[1]), *row_sums)


def _estimate(n: int, both: float, rows_a: Array, rows_b: Array) -> float:
    """Return equation 5 of Song et al. 2012 for Gram matrices without their diagonals.

    Args:
        n: number of rows.
        both: inner product of the two matrices.
        rows_a, rows_b: row sums of each matrix, [n].
    """
    total = rows_a.sum() * rows_b.sum() / ((n - 1) * (n - 2))
    return float((both + total - 2 * (rows_a @ rows_b) / (n - 2)) / (n * (n - 3)))


def _ratio(both: float, one: float, other: float) -> float:
    """Return HSIC of both representations over the geometric mean of each with itself.

    NaN, with a warning, where one of the latter is not a positive number.
    """
    if not (one > 0 and other > 0):
        which = "first" if not one > 0 else "second"
        warnings.warn(
            f"CKA is undefined: the {which} representation is the same for all rows, or too "
            "noisy for so few of them.",
            stacklevel=3,
        )
        return math.nan
    # Two roots, not the root of the product: the product may underflow.
    return both / math.sqrt(one) / math.sqrt(other)
