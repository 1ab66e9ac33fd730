"""Compute a number of 64 bits for each row of features, by which the row is recognised later."""

from __future__ import annotations

import numpy as np

CELLS = 2**20
"""Number of features processed at a time, to bound the memory."""

MIXED = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""Constants of SplitMix64.

Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
"""


def fingerprints(features: np.ndarray) -> np.ndarray:
    """Return a number for each row of features [n, width], uint64 [n].

    Rows with the same values get the same number in any batch.
    """
    bits = np.ascontiguousarray(features, "float32") + np.float32(0.0)  # makes -0 and 0 equal
    bits = bits.view("uint32")
    numbers = np.zeros(len(bits), "uint64")
    # A number for each column: the sum below would otherwise ignore the order of the columns.
    column_keys = _mix(np.arange(1, bits.shape[1] + 1, dtype="uint64") * MIXED[0])
    step = max(1, CELLS // max(bits.shape[1], 1))
    for start in range(0, len(bits), step):
        part = bits[start : start + step].astype("uint64")
        numbers[start : start + step] = _mix(_mix(part + column_keys).sum(axis=1, dtype="uint64"))
    return numbers


def _mix(values: np.ndarray) -> np.ndarray:
    """Return numbers with their bits scattered over all 64 positions; overflow wraps on purpose."""
    values = (values ^ (values >> np.uint64(30))) * MIXED[1]
    values = (values ^ (values >> np.uint64(27))) * MIXED[2]
    return np.asarray(values ^ (values >> np.uint64(31)))
