"""A path beside the members: how alike a row is to rows of the training table, and what those say, in closed form."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.typing import Array, Raw, Tensor

ROUNDING = 1e-6
"""A squared distance below this part of the squared lengths of two rows is rounding."""
TINY = 1e-9


@keras.saving.register_keras_serializable(package="polycera")
class Landmarks(keras.layers.Layer):
    """A kernel machine as a layer: raw = k(x, landmarks) @ coefficients + offset, with k = exp(-rate * distance^power).

    The distance is the square of the Euclidean one: power 1 is the Gaussian kernel, power 1/2 the
    exponential one, which bends as a forest does. Nothing here is trained by gradients:
    `polycera.tabular.kernel_ridge` solves for the coefficients. Until then the layer says 0, and in
    training nothing is computed.

    Args:
        count: of landmarks, m.
        units: of the raw outputs.
        used: the first landmarks, of which alone anything is computed; None: all.

    Weights: rows [m, features], coefficients [m, units], offset [units], rate [], and power [], 1
        or 1/2: any other
    would cost a logarithm for each pair of rows.
    Input shape: [n, features]. Output shape: [n, units], float32.
    """

    def __init__(self, count: int, units: int, used: int | None = None, **kwargs: Any) -> None:
        # distances are differences of large numbers
        super().__init__(**{"dtype": "float32", **kwargs})
        self.count, self.units, self.used = count, units, used

    def build(self, input_shape: Any) -> None:
        self.rows = self._kept("rows", (self.count, input_shape[-1]))
        self.coefficients = self._kept("coefficients", (self.count, self.units))
        self.offset = self._kept("offset", (self.units,))
        self.rate = self._kept("rate", ())
        self.power = self._kept("power", (), "ones")

    def _kept(self, name: str, shape: tuple[int, ...], initializer: str = "zeros") -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=False,
            autocast=False,
            dtype="float32",
        )

    def trim(self) -> None:
        """Leave out the last landmarks whose coefficients are 0; what was compiled before goes on as it is."""
        speaking = np.flatnonzero(np.any(ops.convert_to_numpy(self.coefficients) != 0, axis=1))
        self.used = int(speaking.max(initial=0)) + 1

    def call(self, inputs: Tensor, training: bool = False) -> Raw:
        if training:
            return ops.zeros((ops.shape(inputs)[0], self.units), "float32")
        rows, coefficients = (
            ops.convert_to_tensor(own)[: self.used] for own in (self.rows, self.coefficients)
        )
        apart = distances(ops.cast(inputs, "float32"), rows, ops)
        alike = ops.exp(
            -self.rate * ops.where(ops.convert_to_tensor(self.power) < 0.75, ops.sqrt(apart), apart)
        )
        return ops.matmul(alike, coefficients) + self.offset

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((inputs.shape[0], self.units), dtype="float32")

    @property
    def by_unit(self) -> list[Any]:
        """Weights of which each raw output has its own part, along the last axis."""
        return [self.coefficients, self.offset]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "count": self.count, "units": self.units, "used": self.used}


def distances(a: Any, b: Any, xp: Any) -> Any:
    """Squared, between rows [n, features] and [m, features] -> [n, m], above 0; `xp` is keras.ops or NumPy.

    What is within float32's rounding of 0 is 0: of a row and its copy the root of a rounding error
    would remain.
    """
    both = xp.matmul(a, xp.transpose(b))
    left, right = xp.expand_dims(xp.sum(a * a, axis=1), 1), xp.expand_dims(xp.sum(b * b, axis=1), 0)
    apart = left + right - 2.0 * both
    return xp.maximum(xp.where(apart > ROUNDING * (left + right), apart, 0.0), TINY)


@keras.saving.register_keras_serializable(package="polycera")
class Blend(keras.layers.Layer):
    """The last step: members and landmarks mixed by task, then made as sure of themselves as they deserve.

    raw = ((1 - share) * members + share * landmarks) * scale + shift, in answers alone: while the
    members train, they are on their own. It begins as what the members say.

    Args:
        units: of the raw outputs.

    Weights, none trained by gradients: share, scale, shift [units].
    Input shape: one or two tensors [n, units]: members, landmarks. Output shape: [n, units].
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        # losses are computed from what comes out
        super().__init__(**{"dtype": "float32", **kwargs})
        self.units = units

    def build(self, input_shape: Any) -> None:
        kept = dict(shape=(self.units,), trainable=False, autocast=False, dtype="float32")
        self.share = self.add_weight(name="share", initializer="zeros", **kept)
        self.scale = self.add_weight(name="scale", initializer="ones", **kept)
        self.shift = self.add_weight(name="shift", initializer="zeros", **kept)

    def call(self, inputs: Any, training: bool = False) -> Raw:
        parts = inputs if isinstance(inputs, list | tuple) else [inputs]
        if training:
            return parts[0]
        share = ops.convert_to_tensor(self.share)
        mixed = parts[0] if len(parts) == 1 else parts[0] * (1.0 - share) + parts[1] * share
        return mixed * self.scale + self.shift

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((None, self.units), dtype="float32")

    @property
    def by_unit(self) -> list[Any]:
        """Weights of which each raw output has its own."""
        return [self.share, self.scale, self.shift]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def spread(rows: Array, most: int = 500) -> float:
    """The median squared distance of rows [n, features], by which rates are measured; 1 where all are alike."""
    few = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)].astype("float64")
    apart = distances(few, few, np)[np.triu_indices(len(few), 1)]
    middle = float(np.median(apart)) if len(apart) else 1.0
    return middle if middle > 1e-6 else 1.0
