"""The network of a table: members side by side on one input, which all tasks share, and landmarks beside them."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from polycera.layers.embedding import PiecewiseLinear, SmoothClip, size_of
from polycera.layers.first_weights import Drawn
from polycera.layers.kernel_layer import Landmarks
from polycera.layers.side_by_side import MemberDense, RowsFirst

INPUT, CLIP, EMBEDDING, LANDMARKS, BLEND = "features", "clip", "bins", "landmarks", "blend"
"""Names of the layers that others look for."""
HEADS, HIDDEN = 1, 2
"""Places of the heads and of the first hidden layer, for their first weights; bins have place 0."""


class Shape(NamedTuple):
    """Of a trunk.

    Attributes:
        features: columns that come in.
        numbers: how many of the first ones are numbers, which may have bins.
        width, depth: of the hidden layers of each member.
        members: multilayer perceptrons that work side by side.
        bins: of each number; 0: none.
        dropout: share of the units left out in training.
    """

    features: int
    numbers: int
    width: int
    depth: int
    members: int
    bins: int
    dropout: float


def trunk(shape: Shape, seed: int) -> tuple[Any, Any, Any]:
    """Multilayer perceptrons, all computed at once, with weights of their own: input [n, features].

    Members that differ in nothing but their first weights err differently, and their mean errs less
    (Lakshminarayanan et al. 2017, arXiv:1612.01474). As one batch of matrices they cost one
    program, not as many as there are members.

    Returns:
        the input; what comes of it before the first hidden layer, [n, features]; and the hidden
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
        first = Drawn((2 / hidden.shape[-1]) ** 0.5, seed, HIDDEN + layer)
        hidden = MemberDense(shape.members, shape.width, first, name=f"hidden_{layer}")(hidden)
        if shape.dropout:
            # All members leave out units of the same number: a unit has nothing to do with the unit
            # of that number in another member, and to draw for each member took a third of a step.
            one_for_all = (1, None, shape.width)
            hidden = keras.layers.Dropout(
                shape.dropout, noise_shape=one_for_all, seed=seed + layer, name=f"dropout_{layer}"
            )(hidden)
    if len(hidden.shape) == 3:
        hidden = RowsFirst(name="rows_first")(hidden)
    return inputs, clipped, hidden


def landmarks(features: Any, count: int, units: int) -> Any:
    """The path beside the members: raw outputs [n, units]."""
    return Landmarks(count, units, name=LANDMARKS)(features)


def parameters(shape: Shape) -> int:
    """How many numbers a trunk is made of."""
    entering = shape.features
    bins = embedded = 0
    if shape.bins and shape.numbers:
        bins = 2 * shape.numbers * shape.bins
        size = size_of(shape.numbers)
        embedded = shape.numbers * (shape.bins + 1) * size
        entering += shape.numbers * size
    hidden = (entering + 1) * shape.width + (shape.depth - 1) * (shape.width + 1) * shape.width
    return bins + shape.members * (embedded + hidden)
