"""Build the network of a table: ensemble members on one input, and landmarks beside them.

All tasks share the members.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from polycera.layers.embedding import PiecewiseLinear, SmoothClip, size_of
from polycera.layers.initializers import Drawn
from polycera.layers.kernel_layer import Landmarks
from polycera.layers.member_dense import MemberDense, RowsFirst

INPUT = "features"
"""Name of the input."""
CLIP = "clip"
"""Name of the `SmoothClip`."""
EMBEDDING = "bins"
"""Name of the `PiecewiseLinear`."""
LANDMARKS = "landmarks"
"""Name of the `Landmarks`."""
BLEND = "blend"
"""Name of the `Blend`."""
HEADS = 1
"""Position of the heads, which selects their initial weights."""
HIDDEN = 2
"""Position of the first hidden layer; that of the bins is 0."""


class Shape(NamedTuple):
    """Holds the sizes of the shared trunk.

    Attributes:
        features: the number of input columns.
        numbers: how many columns, counted from the first, are numbers, which may have bins.
        width, depth: of the hidden layers of each member.
        members: the number of ensemble members, each a multilayer perceptron.
        bins: of each number; 0: none.
        dropout: share of the hidden units left out in training.
    """

    features: int
    numbers: int
    width: int
    depth: int
    members: int
    bins: int
    dropout: float


def trunk(shape: Shape, seed: int) -> tuple[Any, Any, Any]:
    """Return ensemble members as multilayer perceptrons, all computed at once.

    Each member has weights of its own; the input is [n, features]. Members that differ only in
    their initial weights make different errors, and their mean has a smaller error
    (Lakshminarayanan et al. 2017, arXiv:1612.01474). As one batch of matrices they need one
    program, not one for each member.

    Returns:
        the input; the clipped features before the first hidden layer, [n, features]; and the hidden
        tensor [n, members, width], for `Heads(tasks, members=...)`.
    """
    inputs = keras.Input((shape.features,), name=INPUT)
    clipped = SmoothClip(name=CLIP)(inputs)
    hidden = clipped
    if shape.bins and shape.numbers:
        hidden = PiecewiseLinear(
            shape.numbers, shape.bins, shape.members, seed, members_first=True, name=EMBEDDING
        )(hidden)
    for layer in range(shape.depth):
        initializer = Drawn((2 / hidden.shape[-1]) ** 0.5, seed, HIDDEN + layer)
        hidden = MemberDense(shape.members, shape.width, initializer, name=f"hidden_{layer}")(
            hidden
        )
        if shape.dropout:
            # All members share one mask. Units of equal number in different members have nothing in
            # common, so nothing is lost. To draw a mask for each member took a third of a step.
            mask_shape = (1, None, shape.width)
            hidden = keras.layers.Dropout(
                shape.dropout, noise_shape=mask_shape, seed=seed + layer, name=f"dropout_{layer}"
            )(hidden)
    # Only bins and hidden layers add the axis of members.
    if len(hidden.shape) == 3:
        hidden = RowsFirst(name="rows_first")(hidden)
    return inputs, clipped, hidden


def landmarks(features: Any, count: int, units: int) -> Any:
    """Return the raw outputs [n, units] of the landmarks."""
    return Landmarks(count, units, name=LANDMARKS)(features)


def parameters(shape: Shape) -> int:
    """Return the number of parameters of a trunk."""
    entering = shape.features
    bins = embedded = 0
    if shape.bins and shape.numbers:
        # Edges and widths of the bins, which all members share.
        bins = 2 * shape.numbers * shape.bins
        size = size_of(shape.numbers)
        embedded = shape.numbers * (shape.bins + 1) * size
        entering += shape.numbers * size
    hidden = (entering + 1) * shape.width + (shape.depth - 1) * (shape.width + 1) * shape.width
    return bins + shape.members * (embedded + hidden)
