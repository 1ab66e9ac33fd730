"""Keep the state of balancing from step to step, as variables that are saved with the model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.typing import Tensor


class MethodState(keras.layers.Layer):
    """Hold the variables of one or several `ActiveBalancing`.

    Weights:
        state [2, size]: what the backward pass returns for the next step; see
            `ActiveBalancing.step`.
        measured [tasks]: the tasks' losses in the step before.
        turn []: how many gradients the optimizer has accumulated.

    Attributes:
        accumulated: how many gradients the optimizer accumulates for each update.
    """

    def __init__(self, start: np.ndarray, tasks: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.accumulated = 1
        options: dict[str, Any] = dict(autocast=False, dtype="float32")
        self.state = self.add_weight(
            name="state",
            shape=start.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(start, dtype="float32"),
            overwrite_with_gradient=True,
            **options,
        )
        first = "only_first_replica"  # every replica computes the same values
        self.measured = self.add_weight(
            name="measured",
            shape=(tasks,),
            initializer="zeros",
            trainable=False,
            aggregation=first,
            **options,
        )
        self.turn = self.add_weight(
            name="turn",
            shape=(),
            initializer="zeros",
            trainable=False,
            aggregation=first,
            **options,
        )
        self.built = True

    def read(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the state, the losses, and 1.0 if the optimizer updates after this step, else 0.0.

        It also counts the step.
        """
        # `+ 0.0` copies: the variables are written before the backward pass reads the values.
        state, losses = ops.convert_to_tensor(self.state), self.measured + 0.0
        if self.accumulated == 1:
            return state, losses, ops.ones(())
        turn = ops.mod(self.turn + 1.0, self.accumulated)
        self.turn.assign(turn)
        return state, losses, ops.cast(turn < 0.5, "float32")
