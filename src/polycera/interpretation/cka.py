"""How alike two representations of the same rows are: centred kernel alignment with a linear kernel.

Kornblith, Norouzi, Lee, Hinton 2019, "Similarity of Neural Network Representations Revisited",
arXiv 1905.00414.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

import numpy as np

from polycera.errors import InputError
from polycera.typing import Array

FEWEST = 4
"""Rows that the unbiased form needs."""


def cka(a: Any, b: Any) -> float:
    """Linear CKA of two representations: 1 where one is a rotation and a scaling of the other, 0 where unrelated.

    It does not change where either is rotated, scaled or shifted as a whole; it does where its
    directions are stretched unequally. It is computed in float64, from features or from Gram
    matrices, whichever takes less. With fewer rows than features it is too high (near 1 for noise):
    then take `cka_unbiased`.

    Args:
        a: [n, ...], flattened to [n, p].
        b: [n, ...] of the same rows, flattened to [n, q].

    Returns:
        0 to 1; NaN, with a warning that says why, where a representation is the same for all rows.

    Raises:
        InputError: for fewer than two rows, unequal numbers of them, or numbers that are not
            finite.

    Examples:
        >>> import numpy as np
        >>> a = np.random.default_rng(0).normal(size=(100, 5))
        >>> round(cka(a, 3 * a[:, ::-1]), 6)
        1.0
    """
    one, other = (each / size(each) for each in _pair(a, b, 2))
    both = _cross(one, other)
    return _ratio(both, _cross(one, one), _cross(other, other))


def cka_unbiased(a: Any, b: Any) -> float:
    """Linear CKA from the unbiased estimate of HSIC: around 0 for unrelated representations, however many features.

    Song, Smola, Gretton, Bedo, Borgwardt 2012, "Feature Selection via Dependence Maximization",
    JMLR 13; used for networks by Nguyen, Raghu, Kornblith 2021, arXiv 2010.15327.

    Args:
        a, b: as for `cka`; four rows or more.

    Returns:
        at most about 1, below 0 by chance where nothing is related; NaN, with a warning, where it
        is not defined.

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
    """Unbiased CKA of representations that come batch by batch, Nguyen et al. 2021, arXiv 2010.15327.

    Means over the batches of the three estimates of HSIC; a batch counts by its rows, where the
    paper's are all of one size. With one batch it is `cka_unbiased`. Draw the rows of a batch at
    random: batches that differ from each other hide what differs between them.

    Attributes:
        sums: of HSIC between both, of the first with itself, of the second with itself, each times
            the batch's rows.
        rows: so far.

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
        one, other = _pair(a, b, FEWEST)
        # of the first batch: all are in one unit
        self._sizes = self._sizes or (size(one), size(other))
        one, other = one / self._sizes[0], other / self._sizes[1]
        self.sums += len(one) * np.array([_hsic(one, other), _hsic(one, one), _hsic(other, other)])
        self.rows += len(one)
        return self

    @property
    def value(self) -> float:
        """Of all batches so far; NaN, with a warning, where it is not defined."""
        if not self.rows:
            raise InputError("No batch was given: call update(a, b) first.")
        return _ratio(*self.sums.tolist())


def centred(values: Any, what: str, fewest: int = 2) -> Array:
    """A representation [n, ...] as float64 [n, features], each feature with mean 0.

    A feature that is the same for all rows is exactly 0.

    Raises:
        InputError: for fewer rows than `fewest`, or numbers that are not finite.
    """
    array = np.asarray(values)
    if array.ndim < 2:
        raise InputError(f"Expected {what} to be [rows, features], got shape {list(array.shape)}.")
    flat = array.reshape(len(array), math.prod(array.shape[1:])).astype("float64")
    if len(flat) < fewest:
        raise InputError(f"Similarity takes {fewest} rows or more, got {len(flat)} in {what}.")
    if not np.isfinite(flat).all():
        raise InputError(
            f"There are numbers in {what} that are NaN or infinite; leave these rows out."
        )
    same = (flat == flat[0]).all(axis=0)
    return np.where(same, 0.0, flat - flat.mean(axis=0))


def size(values: Array) -> float:
    """The largest number, by which a representation is divided so that no product over- or underflows; 1 for 0."""
    return float(np.abs(values).max(initial=0.0)) or 1.0


def unbiased(gram_a: Array, gram_b: Array) -> float:
    """The unbiased estimate of HSIC from two Gram matrices [n, n], of which the diagonals are not looked at."""
    n = len(gram_a)
    k, l = (g - np.diag(np.diag(g)) for g in (gram_a, gram_b))  # noqa: E741 - the letters of the paper
    return _estimate(n, float((k * l).sum()), k.sum(axis=1), l.sum(axis=1))


def _pair(a: Any, b: Any, fewest: int) -> tuple[Array, Array]:
    one, other = (
        centred(a, "the first representation", fewest),
        centred(b, "the second representation", fewest),
    )
    if len(one) != len(other):
        raise InputError(
            f"The representations are of {len(one)} and {len(other)} rows; they must be of the same ones."
        )
    return one, other


def _cross(a: Array, b: Array) -> float:
    """The inner product of two Gram matrices, made from features where that takes less."""
    n, p, q = len(a), a.shape[1], b.shape[1]
    if p * q <= n * (p + q):
        return float(np.square(a.T @ b).sum())
    return float(((a @ a.T) * (b @ b.T)).sum())


def _hsic(a: Array, b: Array) -> float:
    """The unbiased estimate of HSIC from features: no matrix of rows by rows where features are fewer."""
    own = [np.square(each).sum(axis=1) for each in (a, b)]
    sums = [each @ each.sum(axis=0) - diagonal for each, diagonal in zip((a, b), own, strict=True)]
    return _estimate(len(a), _cross(a, b) - float(own[0] @ own[1]), *sums)


def _estimate(n: int, both: float, rows_a: Array, rows_b: Array) -> float:
    """Equation 5 of Song et al. 2012, from the inner product and the row sums of matrices without diagonal."""
    total = rows_a.sum() * rows_b.sum() / ((n - 1) * (n - 2))
    return float((both + total - 2 * (rows_a @ rows_b) / (n - 2)) / (n * (n - 3)))


def _ratio(both: float, one: float, other: float) -> float:
    """HSIC of both by the mean of each with itself; NaN where one of these is no positive number."""
    if not (one > 0 and other > 0):
        which = "first" if not one > 0 else "second"
        warnings.warn(
            f"CKA is undefined: the {which} representation is the same for all rows, or too noisy for so few of them.",
            stacklevel=3,
        )
        return math.nan
    return both / math.sqrt(one) / math.sqrt(other)
