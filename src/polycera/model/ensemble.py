"""Give each ensemble member its own targets, and return what each of them predicts."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.layers import backend
from polycera.model.predicting import in_slices
from polycera.typing import Array, Raw, Target


def by_member(y: Target, members: int, width: int) -> Target:
    """Return a step's packed targets for each member, [n * members, width].

    They are NaN where a row is not for the training of that member.

    Args:
        y: packed targets, with a column for each member behind them, as `beside` adds these.
        members: how many.
        width: of the targets.
    """
    if y.shape[-1] == width:
        return ops.repeat(y, members, axis=0)
    left_out = ops.expand_dims(y[:, width:], -1) > 0
    return ops.reshape(ops.where(left_out, np.nan, ops.expand_dims(y[:, :width], 1)), (-1, width))


class Members(keras.Model):
    """Compute the raw outputs of each ensemble member, [n, members, columns].

    Args:
        model: with one `Heads` of several members.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.heads = model.heads[0]
        self.trunk = keras.Model(model.inputs, self.heads.input)
        # Not built, Keras would run it once, operation by operation, and compile each of them.
        self.built = True
        self._pure: Any = None  # made at the first call

    def call(self, inputs: Any, training: bool = False) -> Raw:
        return self.heads.each(self.trunk(inputs, training=False))

    def raw_outputs(self, x: Array, batch_size: int, verbose: int = 0) -> Array:
        """Return the raw outputs of each member for all rows, [n, members, columns].

        It uses `backend.pure_prediction` where possible, which saves what Keras sets up for each
        `predict`.
        """
        if self._pure is None:
            self._pure = backend.pure_prediction(self)
        if self._pure is None:
            return np.asarray(self.predict(x, batch_size=batch_size, verbose=verbose))
        return in_slices(self._pure(), x, batch_size)
