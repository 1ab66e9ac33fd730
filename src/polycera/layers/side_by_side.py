"""Layers of networks side by side, which members have in common: the axis of members comes first, then the rows.

A product for each member is then one product of matrices that lie as they are. With the rows first,
numbers are moved before and after each product, and a training step on a processor takes almost
twice as long.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from polycera.typing import Tensor


@keras.saving.register_keras_serializable(package="polycera")
class MemberDense(keras.layers.Layer):
    """A dense layer with ReLU for each member, computed at once.

    Args:
        members: networks side by side.
        units: numbers that come out of each.
        kernel_initializer: of the first weights.

    Input shape: [members, n, i], or [n, i] where all members get the same. Output shape: [members,
        n, units].

    Examples:
        >>> import numpy as np
        >>> from polycera.layers.side_by_side import MemberDense
        >>> MemberDense(3, 4)(np.ones((5, 2), "float32")).shape == (3, 5, 4)
        True
    """

    def __init__(
        self, members: int, units: int, kernel_initializer: Any = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.members, self.units = members, units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        # Of an input in common, one matrix for all members side by side.
        shape = (
            (width, self.members, self.units)
            if len(input_shape) == 2
            else (self.members, width, self.units)
        )
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.members, self.units), initializer="zeros"
        )

    def call(self, inputs: Tensor) -> Tensor:
        kernel, bias = ops.convert_to_tensor(self.kernel), ops.convert_to_tensor(self.bias)
        if len(inputs.shape) == 2:
            found = ops.einsum("ni,imo->mno", inputs, kernel)
        else:
            found = ops.matmul(inputs, kernel)
        return ops.relu(found + bias[:, None])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (self.members, input_shape[-2], self.units)

    def get_config(self) -> dict[str, Any]:
        first = keras.initializers.serialize(self.kernel_initializer)
        own = {"members": self.members, "units": self.units, "kernel_initializer": first}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="polycera")
class RowsFirst(keras.layers.Layer):
    """Puts the rows first again: [members, n, i] -> [n, members, i]."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.transpose(inputs, (1, 0, 2))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[1], input_shape[0], input_shape[2])
