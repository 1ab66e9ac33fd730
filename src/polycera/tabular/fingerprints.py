"""A number of 64 bits for each row of features, by which it is known again."""

from __future__ import annotations

import numpy as np

CELLS = 2**20
"""Features at a time: bounds the memory."""

MIXED = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""Constants of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014)."""


def fingerprints(features: np.ndarray) -> np.ndarray:
    """Return a number for each row of features [n, width], uint64 [n], the same for the same values in any batch."""
    bits = np.ascontiguousarray(features, "float32") + np.float32(0.0)  # -0 and 0 are one value
    bits = bits.view("uint32")
    found = np.zeros(len(bits), "uint64")
    places = _mix(np.arange(1, bits.shape[1] + 1, dtype="uint64") * MIXED[0])
    step = max(1, CELLS // max(bits.shape[1], 1))
    for start in range(0, len(bits), step):
        part = bits[start : start + step].astype("uint64")
        found[start : start + step] = _mix(_mix(part + places).sum(axis=1, dtype="uint64"))
    return found


def _mix(values: np.ndarray) -> np.ndarray:
    """Scatter numbers over all 64 bits; overflow wraps, as it should."""
    values = (values ^ (values >> np.uint64(30))) * MIXED[1]
    values = (values ^ (values >> np.uint64(27))) * MIXED[2]
    return np.asarray(values ^ (values >> np.uint64(31)))
