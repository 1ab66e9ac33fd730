"""What balancing carries from step to step, as variables that are saved with the model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.typing import Tensor


class MethodState(keras.layers.Layer):
    """The variables of one or several `Balance`.

    Weights:
        state [2, size]: what the backward pass hands on; see `Balance.step`.
        measured [tasks]: the tasks' losses in the step before.
        turn []: how many gradients the optimizer has put aside.

    Attributes:
        accumulated: how many gradients the optimizer adds up before it moves.
    """

    def __init__(self, start: np.ndarray, tasks: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.accumulated = 1
        kept: dict[str, Any] = dict(autocast=False, dtype="float32")
        self.state = self.add_weight(
            name="state",
            shape=start.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(start, dtype="float32"),
            overwrite_with_gradient=True,
            **kept,
        )
        first = "only_first_replica"  # every replica computes the same
        self.measured = self.add_weight(
            name="measured",
            shape=(tasks,),
            initializer="zeros",
            trainable=False,
            aggregation=first,
            **kept,
        )
        self.turn = self.add_weight(
            name="turn", shape=(), initializer="zeros", trainable=False, aggregation=first, **kept
        )
        self.built = True

    def read(self) -> tuple[Tensor, Tensor, Tensor]:
        """State, losses, and 1.0 where the optimizer moves after this step, else 0.0; counts the step."""
        # a copy: the variables are written to before the backward pass reads them
        state, losses = ops.convert_to_tensor(self.state), self.measured + 0.0
        if self.accumulated == 1:
            return state, losses, ops.ones(())
        turn = ops.mod(self.turn + 1.0, self.accumulated)
        self.turn.assign(turn)
        return state, losses, ops.cast(turn < 0.5, "float32")
