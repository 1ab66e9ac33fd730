"""Measure how similar two columns are: by correlation, by ranks, and level by level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polycera.data.column import Values, as_text, is_missing

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

COPY = 0.999
"""Correlation, or share of rows that agree, from which a column counts as a copy."""

FEWEST = 20
"""Both columns must have values in more rows than this: agreement in fewer may be chance."""

_SCREEN = 0.99
"""Correlation in a sample from which two columns are compared over all rows."""


def candidates(inputs: Floats, goals: Floats) -> list[tuple[int, int]]:
    """Return index pairs (i, j) of columns that are similar in a sample [n, k], [n, m]."""
    near = np.abs(correlations(inputs, goals)) >= _SCREEN
    # With two values, ranks correlate exactly as the values do. Only others are ranked.
    left, right = (
        np.flatnonzero([has_many(column) for column in part.T]) for part in (inputs, goals)
    )
    if len(left) and len(right):
        ranked = correlations(ranks(inputs[:, left]), ranks(goals[:, right]))
        near[np.ix_(left, right)] |= np.abs(ranked) >= _SCREEN
    return [(int(i), int(j)) for i, j in np.argwhere(near)]


def correlations(left: Floats, right: Floats) -> Floats:
    """Return Pearson's correlation [k, m] of columns [n, k] and [n, m].

    Only rows in which both have values count. 0 where it is undefined.
    """
    (a, has_a), (b, has_b) = _centred(left), _centred(right)
    if has_a.all() and has_b.all():  # without missing values, one matrix product is enough
        return np.asarray(a.T @ b / len(a))
    # Each pair of columns has rows of its own, so means and deviations are computed for each
    # pair: sums over the common rows, as matrix products.
    count = np.maximum(has_a.T @ has_b, 1)
    sum_a, sum_b = a.T @ has_b, has_a.T @ b
    cross = a.T @ b - sum_a * sum_b / count
    spread_a = (a**2).T @ has_b - sum_a**2 / count
    spread_b = has_a.T @ b**2 - sum_b**2 / count
    size = np.sqrt(np.maximum(spread_a, 0) * np.maximum(spread_b, 0))
    return np.divide(cross, size, out=np.zeros_like(cross), where=size > 1e-9 * count)


def _centred(columns: Floats) -> tuple[Floats, Floats]:
    """Return columns [n, k] with mean 0 and deviation 1, 0 where missing, and where values are."""
    has = np.isfinite(columns)
    # Divided by the largest value first, so that squares do not overflow.
    size = np.abs(np.where(has, columns, 0.0)).max(axis=0, initial=0.0)
    values = np.where(has, columns, 0.0) / np.where(size > 0, size, 1.0)
    count = np.maximum(has.sum(axis=0), 1)
    values = np.where(has, values - values.sum(axis=0) / count, 0.0)
    deviation = np.sqrt((values**2).sum(axis=0) / count)
    return values / np.where(deviation > 1e-14, deviation, np.inf), has.astype(np.float64)


def correlation(left: Floats, right: Floats) -> str | None:
    """Return in words how similar two columns [n] are over all rows.

    None if they are not similar, or have too few rows in common.
    """
    both = np.isfinite(left) & np.isfinite(right)
    if both.sum() <= FEWEST:
        return None
    a, b = left[both][:, None], right[both][:, None]
    if (a == b).all():
        return f"equal in all {len(a)} rows"
    for measure, value in (
        ("correlation", correlations(a, b)),
        ("rank correlation", correlations(ranks(a), ranks(b))),
    ):
        if abs(value[0, 0]) >= COPY:
            return f"{measure} {value[0, 0]:.4f} over {len(a)} rows"
    return None


def ranks(columns: Floats) -> Floats:
    """Return the ranks [n, k] of each column's values; ties share their mean; NaN where missing."""
    return np.stack([_rank(column) for column in columns.T], axis=1)


def _rank(column: Floats) -> Floats:
    """Return the ranks of a column [n]; ties share their mean; NaN where missing."""
    # As scipy.stats.rankdata, but a table is refused before anything as slow as that is imported.
    _, indices, counts = np.unique(column, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2.0
    return np.where(np.isfinite(column), means[indices.reshape(-1)], np.nan)


def has_many(column: Floats) -> bool:
    """Return whether a column [n] has more than two values."""
    present = column[np.isfinite(column)]
    return bool(len(present) and ((present != present.min()) & (present != present.max())).any())


def codes(column: Values) -> Codes:
    """Return each row's value as a code from 0; -1 where missing; [n]."""
    missing = is_missing(column)
    values = as_text(column) if column.dtype.kind == "O" else column
    if column.dtype.kind == "O":
        code_of = {value: code for code, value in enumerate(dict.fromkeys(values.tolist()))}
        found = np.fromiter(map(code_of.__getitem__, values), np.int64, len(values))
    else:
        found = np.unique(column, return_inverse=True)[1].reshape(-1)
    return np.where(missing, -1, found).astype(np.int64)


def nearly_decides(left: Codes, right: Codes) -> bool:
    """Return whether a value of `left` nearly always comes with the same value of `right`.

    Of a sample of rows [n], -1 where missing: what corresponds one to one over all rows does so
    there.
    """
    both = (left >= 0) & (right >= 0)
    a, b = left[both], right[both]
    if len(a) == 0:
        return True  # the values that both have may be in other rows
    width = int(b.max()) + 1
    pairs, counts = np.unique(a * width + b, return_counts=True)
    most = np.zeros(int(a.max()) + 1, np.int64)
    np.maximum.at(most, pairs // width, counts)
    return bool(most.sum() >= _SCREEN * len(a))


def one_to_one(left: Codes, right: Codes) -> str | None:
    """Return in words how far two columns of codes [n], -1 where missing, correspond one to one.

    None if they do not correspond.
    """
    both = (left >= 0) & (right >= 0)
    a, b, rows = left[both], right[both], int(both.sum())
    if rows <= FEWEST:
        return None
    levels, classes = len(np.unique(a)), len(np.unique(b))
    # With fewer than two rows a level, any two columns of keys would correspond.
    if levels != classes or levels < 2 or levels > rows / 2:
        return None
    width = int(b.max()) + 1
    pairs, counts = np.unique(a * width + b, return_counts=True)
    # If the columns correspond, the most frequent pairs contain each level and each class once.
    best = np.argsort(-counts, kind="stable")[:levels]
    if (
        len(np.unique(pairs[best] // width)) < levels
        or len(np.unique(pairs[best] % width)) < levels
    ):
        return None
    share = counts[best].sum() / rows
    return (
        f"their values correspond one to one in {share:.2%} of {rows} rows"
        if share >= COPY
        else None
    )
