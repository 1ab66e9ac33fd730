"""Fewer points that look the same: of each stretch the lowest and the highest."""

from __future__ import annotations

import numpy as np

VERTICES = 240
"""Of one line at most."""


def kept(values: np.ndarray, limit: int = VERTICES) -> np.ndarray:
    """Which points to draw: the first, the last, and of each of `limit / 2 - 1` stretches the extremes.

    Args:
        values: NaN where undefined, [n].
        limit: of how many points there may be, 4 at least.

    Returns:
        Indices of defined values, ascending, `limit` at most.
    """
    known = np.flatnonzero(~np.isnan(values))
    if len(known) <= limit:
        return known
    bins = limit // 2 - 1
    size = -(-len(known) // bins)
    padded = np.pad(known, (0, size * bins - len(known)), mode="edge").reshape(bins, size)
    rows, seen = np.arange(bins), values[padded]
    extremes = padded[rows, seen.argmin(axis=1)], padded[rows, seen.argmax(axis=1)]
    return np.unique(np.concatenate([*extremes, known[:1], known[-1:]]))


def runs(values: np.ndarray, chosen: np.ndarray) -> list[np.ndarray]:
    """The chosen indices, split wherever an undefined value lies between two of them."""
    gaps = np.isnan(values).cumsum()[chosen]
    return [run for run in np.split(chosen, np.flatnonzero(np.diff(gaps)) + 1) if len(run)]
