"""Compute Gram matrices of the layers of two networks, batch by batch, and compare them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polycera.errors import InputError, shorten
from polycera.interpretation.cka import FEWEST, centred, size, unbiased
from polycera.interpretation.representations import Viewer
from polycera.typing import Array

MOST = 4096
"""One batch has at most this many rows, because each layer needs a matrix of rows by rows."""


@dataclass
class Side:
    """Hold one of the two networks that are compared, with its rows.

    Attributes:
        viewer: the network that returns the layers' outputs.
        x: its rows, an array for each input.
        sizes: layer -> the largest absolute value in the first batch; all batches are divided by
            it, so that their sums have one scale.
    """

    viewer: Viewer
    x: dict[Any, Array]
    sizes: dict[str, float] = field(default_factory=dict)

    def grams(self, rows: Array) -> list[Array]:
        """Return the Gram matrix [n, n] of each layer on these rows."""
        gram_matrices = []
        for name, outputs in self.viewer.see(_rows_of(self.x, rows)).items():
            features = centred(outputs, f"the outputs of layer {shorten(name)!r}")
            features = features / self.sizes.setdefault(name, size(features))
            gram_matrices.append(features @ features.T)
        return gram_matrices


def measured(
    first: Side, second: Side, drawn: list[Array], fair: bool
) -> tuple[Array, Array, Array]:
    """Return CKA of each layer of the first network with each layer of the second.

    Args:
        first, second: the networks with their rows.
        drawn: the row indices of each batch.
        fair: whether to use the unbiased estimate of HSIC.

    Returns:
        CKA as [our layers, their layers], NaN where it is not defined; the square root of HSIC of
        each of our layers with itself, and of each of theirs, NaN where HSIC is not a positive
        number.
    """
    cross = np.zeros((len(first.viewer.layers), len(second.viewer.layers)))
    squares = np.zeros(cross.shape[0]), np.zeros(cross.shape[1])
    for rows in drawn:
        our_grams, their_grams = first.grams(rows), second.grams(rows)
        # A batch counts by its rows, as in `MinibatchCKA`.
        cross += len(rows) * np.array(
            [
                [_product(our_gram, their_gram, fair) for their_gram in their_grams]
                for our_gram in our_grams
            ]
        )
        for total, grams in zip(squares, (our_grams, their_grams), strict=True):
            total += len(rows) * np.array([_product(gram, gram, fair) for gram in grams])
    our_norms, their_norms = (np.sqrt(np.where(total > 0, total, np.nan)) for total in squares)
    return cross / our_norms[:, None] / their_norms[None, :], our_norms, their_norms


def _product(gram_a: Array, gram_b: Array, fair: bool) -> float:
    """Return HSIC of two Gram matrices: the unbiased estimate, or the plain inner product."""
    return unbiased(gram_a, gram_b) if fair else float((gram_a * gram_b).sum())


def listed(x: Any) -> dict[Any, Array]:
    """Return the arrays of x by name or by position; a single array by None."""
    if isinstance(x, dict):
        return {name: np.asarray(values) for name, values in x.items()}
    if isinstance(x, list | tuple):
        return {position: np.asarray(values) for position, values in enumerate(x)}
    return {None: np.asarray(x)}


def _rows_of(arrays: dict[Any, Array], rows: Array) -> Any:
    """Return these rows in the form in which x was passed: array, dict or list."""
    if None in arrays:
        return arrays[None][rows]
    picked = {name: values[rows] for name, values in arrays.items()}
    return picked if any(isinstance(name, str) for name in picked) else list(picked.values())


def batches(rows: int, size: int, unbiased: bool, seed: int) -> list[Array]:
    """Return the row indices of each batch, drawn at random.

    A remainder is spread over all batches.

    Raises:
        InputError: for fewer than four rows, or more than 4,096 in a batch.
    """
    if rows < FEWEST or size < FEWEST:
        raise InputError(f"Similarity needs {FEWEST} rows or more, got {min(rows, size)}.")
    # Only the unbiased estimate can be averaged over batches; plain CKA needs all rows at once.
    largest = min(rows, size) if unbiased else rows
    if largest > MOST:
        raise InputError(
            f"{largest:,} rows at once are too many (at most {MOST:,}): give fewer rows, "
            "or a batch_size with unbiased=True."
        )
    order = np.random.default_rng(seed).permutation(rows)
    return np.array_split(order, max(1, rows // largest))
