"""The layers of two networks as matrices of rows by rows, batch by batch, and the inner products of these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polycera.errors import InputError, shorten
from polycera.interpretation.cka import FEWEST, centred, size, unbiased
from polycera.interpretation.representations import Viewer
from polycera.typing import Array

MOST = 4096
"""Rows of one batch at most: a matrix of rows by rows is made of each layer."""


@dataclass
class Side:
    """One of the two networks.

    Attributes:
        viewer: what looks at its layers.
        x: its rows, an array for each input.
        sizes: layer -> the largest number in the first batch, so that all batches are in one unit.
    """

    viewer: Viewer
    x: dict[Any, Array]
    sizes: dict[str, float] = field(default_factory=dict)

    def grams(self, rows: Array) -> list[Array]:
        """The Gram matrix [n, n] of each layer on these rows."""
        found = []
        for name, seen in self.viewer.see(_taken(self.x, rows)).items():
            features = centred(seen, f"what layer {shorten(name)!r} gives")
            features = features / self.sizes.setdefault(name, size(features))
            found.append(features @ features.T)
        return found


def measured(
    ours: Side, theirs: Side, drawn: list[Array], fair: bool
) -> tuple[Array, Array, Array]:
    """CKA of each layer with each.

    Args:
        ours, theirs: the networks with their rows.
        drawn: the rows of each batch.
        fair: whether by the unbiased estimate of HSIC.

    Returns:
        [our layers, their layers], NaN where it is not defined; the square root of HSIC of each of
        our layers with itself, and of each of theirs, NaN where that is no positive number.
    """
    both = np.zeros((len(ours.viewer.layers), len(theirs.viewer.layers)))
    squares = np.zeros(both.shape[0]), np.zeros(both.shape[1])
    for rows in drawn:
        k, m = ours.grams(rows), theirs.grams(rows)
        both += len(rows) * np.array([[_product(one, two, fair) for two in m] for one in k])
        for total, grams in zip(squares, (k, m), strict=True):
            total += len(rows) * np.array([_product(gram, gram, fair) for gram in grams])
    own, other = (np.sqrt(np.where(total > 0, total, np.nan)) for total in squares)
    return both / own[:, None] / other[None, :], own, other


def _product(gram_a: Array, gram_b: Array, fair: bool) -> float:
    return unbiased(gram_a, gram_b) if fair else float((gram_a * gram_b).sum())


def listed(x: Any) -> dict[Any, Array]:
    """The arrays of x by name or place; one alone by None."""
    if isinstance(x, dict):
        return {name: np.asarray(values) for name, values in x.items()}
    if isinstance(x, list | tuple):
        return {place: np.asarray(values) for place, values in enumerate(x)}
    return {None: np.asarray(x)}


def _taken(arrays: dict[Any, Array], rows: Array) -> Any:
    """These rows in the form in which they came."""
    if None in arrays:
        return arrays[None][rows]
    picked = {name: values[rows] for name, values in arrays.items()}
    return picked if any(isinstance(name, str) for name in picked) else list(picked.values())


def batches(rows: int, size: int, unbiased: bool, seed: int) -> list[Array]:
    """The rows of each batch, drawn at random; what is left over is spread over all batches.

    Raises:
        InputError: for fewer than four rows, or more than 4,096 in a batch.
    """
    if rows < FEWEST or size < FEWEST:
        raise InputError(f"Similarity takes {FEWEST} rows or more, got {min(rows, size)}.")
    largest = min(rows, size) if unbiased else rows
    if largest > MOST:
        raise InputError(
            f"{largest:,} rows at once are too many (at most {MOST:,}): give fewer rows, "
            "or a batch_size with unbiased=True."
        )
    order = np.random.default_rng(seed).permutation(rows)
    return np.array_split(order, max(1, rows // largest))
