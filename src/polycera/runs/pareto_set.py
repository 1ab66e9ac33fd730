"""Compute the Pareto set of a table of scores, what each row adds, and the best under weights."""

from __future__ import annotations

import numpy as np

from polycera.errors import InputError

MARGIN = 1.0
"""Distance from the set's lowest score to the reference point, in units of the set's range.

At 0, the best epoch of one task would add nothing if it is the worst of another. At 1, it adds
its whole lead, as in SMS-EMOA.
"""


def non_dominated(scores: np.ndarray) -> np.ndarray:
    """Return which rows no other row beats by being at least as good everywhere, and better once.

    Args:
        scores: higher is better; NaN where undefined, which counts as worse than any number;
            [n, k].

    Returns:
        [n], of bool; of equal rows only the first one is True.
    """
    rows = np.where(np.isnan(scores), -np.inf, scores)
    return np.array([not _is_beaten(i, rows) for i in range(len(rows))], bool)


def _is_beaten(i: int, rows: np.ndarray) -> bool:
    as_good, same = (rows >= rows[i]).all(axis=1), (rows == rows[i]).all(axis=1)
    return bool((as_good & ~same).any() or same[:i].any())


def contributions(scores: np.ndarray) -> np.ndarray:
    """Return each row's own hypervolume: the volume that it dominates and no other row does.

    Each column is scaled to 0..1 over the set first. Volumes are measured from -1, so the best row
    of a column counts however bad it is elsewhere. The result is exact, by inclusion and exclusion
    over all 2^n subsets.

    Args:
        scores: higher is better, NaN where undefined, [n, k]; n is at most 17, k may be hundreds.

    Returns:
        [n], 0 or more, relative to the largest volume that a single row dominates.
    """
    # The volume of a box is the product of its edges. With hundreds of edges the product would
    # underflow, so logarithms are added.
    edges = np.log(_edges(scores))
    common, sign = np.zeros(2 ** len(edges)), np.array([-1.0])
    for column in edges.T:
        lowest = np.zeros(1)
        # Index i stands for the subset of the rows whose bits are set in i. Each step doubles the
        # array, for the subsets that contain the next row.
        for edge in column:
            lowest = np.concatenate([lowest, np.minimum(lowest, edge)])
        common += lowest
    common[0] = -np.inf  # the empty subset counts nothing: exp(-inf) is 0
    # Inclusion and exclusion: the sign alternates with the number of rows in the subset.
    for _ in edges:
        sign = np.concatenate([sign, -sign])
    signed, subsets = (
        sign * np.exp(common - edges.sum(axis=1).max(initial=-np.inf)),
        np.arange(len(common)),
    )
    return np.array([max(signed[subsets >> i & 1 > 0].sum(), 0.0) for i in range(len(edges))])


def _edges(scores: np.ndarray) -> np.ndarray:
    """Return distances from the reference point, scaled so that the best of a column is 1; [n, k].

    An undefined score lies halfway between the reference point and the lowest score.
    """
    halves = scores / 2  # so that the difference of two large scores does not overflow
    known = np.isfinite(halves)
    low = np.where(known, halves, np.inf).min(axis=0)
    spread = np.where(known, halves, -np.inf).max(axis=0) - low
    wide = known & (spread > 0)
    scaled = np.where(
        wide, np.where(wide, halves - low, 0.0) / np.where(spread > 0, spread, 1.0), 0.0
    )
    return (np.where(known, scaled, -MARGIN / 2) + MARGIN) / (1 + MARGIN)


def choose(skills: np.ndarray, weights: np.ndarray) -> int:
    """Return the row with the highest weighted mean of its defined skills; the first one if tied.

    Args:
        skills: NaN where undefined, [n, k].
        weights: finite, 0 or more, with a positive sum, [k].

    Returns:
        The index of the row.

    Raises:
        InputError: where no row has a defined skill with a positive weight.
    """
    # Divided by the largest weight first, so that the sum of the weights does not overflow.
    weights = weights / weights.max()
    used = weights > 0  # a skill of -inf times a weight of 0 would be NaN
    parts, weights = skills[:, used], weights[used]
    total = ~np.isnan(parts) @ weights
    rows = np.flatnonzero(total > 0)
    if not len(rows):
        raise InputError(
            "None of the kept epochs has a value for any task in these weights: name another task."
        )
    means = (np.where(np.isnan(parts), 0.0, parts)[rows] @ weights) / total[rows]
    return int(rows[np.argmax(means)])
