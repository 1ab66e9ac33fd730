"""Ensemble members of a model: what each learns from, and what each of them answers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.layers import backend
from polycera.model.predicting import in_slices
from polycera.typing import Array, Raw, Target


def by_member(y: Target, members: int, width: int) -> Target:
    """Packed targets of a step for each member, [n * members, width]: missing where a row is held out from it.

    Args:
        y: as `beside` made them.
        members: how many.
        width: of the targets.
    """
    if y.shape[-1] == width:
        return ops.repeat(y, members, axis=0)
    held = ops.expand_dims(y[:, width:], -1) > 0
    return ops.reshape(ops.where(held, np.nan, ops.expand_dims(y[:, :width], 1)), (-1, width))


class Members(keras.Model):
    """What each member of a model says, [n, members, units].

    Args:
        model: with one `Heads` of several members.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.heads = model.heads[0]
        self.trunk = keras.Model(model.inputs, self.heads.input)
        # else Keras runs it once, operation by operation, each of which is compiled
        self.built = True
        self._pure: Any = None  # made at the first call

    def call(self, inputs: Any, training: bool = False) -> Raw:
        return self.heads.each(self.trunk(inputs, training=False))

    def raw_outputs(self, x: Array, batch_size: int, verbose: int = 0) -> Array:
        """Return what each member says of all rows, without all that Keras sets up for each of its own predictions."""
        if self._pure is None:
            self._pure = backend.pure_prediction(self)
        if self._pure is None:
            return np.asarray(self.predict(x, batch_size=batch_size, verbose=verbose))
        return in_slices(self._pure(), x, batch_size)
