"""The rows of a table of scores that no other beats: which they are, what each adds, and the best under weights."""

from __future__ import annotations

import numpy as np

from polycera.errors import InputError

MARGIN = 1.0
"""From the lowest score of a set to the point that volumes are measured from, where 1 is the range of the set.

At 0 the best of one task that is the worst of another would add nothing. At 1 it adds its whole
lead, as in SMS-EMOA.
"""


def non_dominated(scores: np.ndarray) -> np.ndarray:
    """Which rows no other row beats: none is at least as good everywhere and better somewhere.

    Args:
        scores: higher is better, NaN where undefined, which is worse than any number; [n, k].

    Returns:
        [n], of bool; of equal rows only the first.
    """
    rows = np.where(np.isnan(scores), -np.inf, scores)
    return np.array([not _is_beaten(i, rows) for i in range(len(rows))], bool)


def _is_beaten(i: int, rows: np.ndarray) -> bool:
    as_good, same = (rows >= rows[i]).all(axis=1), (rows == rows[i]).all(axis=1)
    return bool((as_good & ~same).any() or same[:i].any())


def contributions(scores: np.ndarray) -> np.ndarray:
    """What each row alone adds to the hypervolume: the volume below it that is below no other row.

    Each column is brought to 0..1 over the set first, and volumes are measured from -1, so that the
    best of a column counts however bad it is elsewhere. Exact, by inclusion and exclusion over all
    2^n subsets.

    Args:
        scores: higher is better, NaN where undefined, [n, k]; n is 17 at most, k may be hundreds.

    Returns:
        [n], 0 or more, as parts of the largest volume that is below a single row.
    """
    edges = np.log(_edges(scores))  # logarithms: the product of hundreds of edges is no float
    common, sign = np.zeros(2 ** len(edges)), np.array([-1.0])
    for column in edges.T:
        lowest = np.zeros(1)
        for edge in column:  # the bits of an index say whose edges it is the lowest of
            lowest = np.concatenate([lowest, np.minimum(lowest, edge)])
        common += lowest
    common[0] = -np.inf  # of no row: it is in no sum
    for _ in edges:
        sign = np.concatenate([sign, -sign])
    signed, subsets = (
        sign * np.exp(common - edges.sum(axis=1).max(initial=-np.inf)),
        np.arange(len(common)),
    )
    return np.array([max(signed[subsets >> i & 1 > 0].sum(), 0.0) for i in range(len(edges))])


def _edges(scores: np.ndarray) -> np.ndarray:
    """Distances from the reference point, in 0..1; what is undefined lies between that point and the lowest."""
    halves = scores / 2  # no difference overflows then
    known = np.isfinite(halves)
    low = np.where(known, halves, np.inf).min(axis=0)
    spread = np.where(known, halves, -np.inf).max(axis=0) - low
    wide = known & (spread > 0)
    scaled = np.where(
        wide, np.where(wide, halves - low, 0.0) / np.where(spread > 0, spread, 1.0), 0.0
    )
    return (np.where(known, scaled, -MARGIN / 2) + MARGIN) / (1 + MARGIN)


def choose(skills: np.ndarray, weights: np.ndarray) -> int:
    """The row with the highest weighted mean over what is defined in it; the first of equals.

    Args:
        skills: NaN where undefined, [n, k].
        weights: finite, 0 or more, with a positive sum, [k].

    Raises:
        InputError: where nothing that has a weight is defined in any row.
    """
    weights = weights / weights.max()
    used = weights > 0  # what has no weight may be infinitely bad
    parts, weights = skills[:, used], weights[used]
    total = ~np.isnan(parts) @ weights
    rows = np.flatnonzero(total > 0)
    if not len(rows):
        raise InputError(
            "None of the kept epochs has a value for what these weights name: name another task."
        )
    means = (np.where(np.isnan(parts), 0.0, parts)[rows] @ weights) / total[rows]
    return int(rows[np.argmax(means)])
