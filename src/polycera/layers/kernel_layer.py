"""Predict from the similarity of a row to training rows, beside the ensemble members.

The coefficients are solved in closed form.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.layers.fixed_weight import add_fixed_weight
from polycera.typing import Array, Raw, Tensor

ROUNDING = 1e-6
"""A squared distance below this share of the squared lengths is rounding error."""
TINY = 1e-9
"""`distances` returns no squared distance below this."""


@keras.saving.register_keras_serializable(package="polycera")
class Landmarks(keras.layers.Layer):
    """Compute raw = k(x, landmarks) @ coefficients + offset, with k = exp(-rate * distance^power).

    The distance is the squared Euclidean one. Power 1 gives the Gaussian kernel, power 1/2 the
    exponential one, which follows sharp changes better, as a forest does. Nothing here is trained
    by gradients: `polycera.tabular.kernel_ridge` solves for the coefficients. Before that the
    output is 0, and in training nothing is computed.

    Args:
        count: the number of landmarks, m.
        units: the number of output columns.
        used: how many landmarks are used, counted from the first; None: all.

    Weights: rows [m, features], coefficients [m, units], offset [units], rate [], and power [], 1
        or 1/2: any other would cost a logarithm for each pair of rows.
    Input shape: [n, features]. Output shape: [n, units], float32.
    """

    def __init__(self, count: int, units: int, used: int | None = None, **kwargs: Any) -> None:
        # Distances are differences of large numbers, which half precision would round away.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.count, self.units, self.used = count, units, used

    def build(self, input_shape: Any) -> None:
        self.rows = add_fixed_weight(self, "rows", (self.count, input_shape[-1]))
        self.coefficients = add_fixed_weight(self, "coefficients", (self.count, self.units))
        self.offset = add_fixed_weight(self, "offset", (self.units,))
        self.rate = add_fixed_weight(self, "rate", ())
        self.power = add_fixed_weight(self, "power", (), "ones")

    def trim(self) -> None:
        """Leave out the last landmarks whose coefficients are 0.

        Functions that were compiled before do not change.
        """
        with_coefficients = np.flatnonzero(
            np.any(ops.convert_to_numpy(self.coefficients) != 0, axis=1)
        )
        self.used = int(with_coefficients.max(initial=0)) + 1

    def call(self, inputs: Tensor, training: bool = False) -> Raw:
        """Return the raw outputs, [n, units]; 0 in training."""
        if training:
            return ops.zeros((ops.shape(inputs)[0], self.units), "float32")
        rows, coefficients = (
            ops.convert_to_tensor(variable)[: self.used]
            for variable in (self.rows, self.coefficients)
        )
        squared = distances(ops.cast(inputs, "float32"), rows, ops)
        # `power` is 1 or 1/2; any number between tells them apart. See the class for why.
        similarities = ops.exp(
            -self.rate
            * ops.where(ops.convert_to_tensor(self.power) < 0.75, ops.sqrt(squared), squared)
        )
        return ops.matmul(similarities, coefficients) + self.offset

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((inputs.shape[0], self.units), dtype="float32")

    @property
    def by_unit(self) -> list[Any]:
        """Return the weights that have a part for each output column, along the last axis."""
        return [self.coefficients, self.offset]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "count": self.count, "units": self.units, "used": self.used}


def distances(a: Any, b: Any, xp: Any) -> Any:
    """Return squared distances between rows [n, features] and [m, features], [n, m], above 0.

    `xp` is keras.ops or NumPy. A distance within float32's rounding error counts as 0. Otherwise a
    row and its copy would be at the root of a rounding error from each other.
    """
    products = xp.matmul(a, xp.transpose(b))
    left, right = xp.expand_dims(xp.sum(a * a, axis=1), 1), xp.expand_dims(xp.sum(b * b, axis=1), 0)
    squared = left + right - 2.0 * products
    return xp.maximum(xp.where(squared > ROUNDING * (left + right), squared, 0.0), TINY)


@keras.saving.register_keras_serializable(package="polycera")
class Blend(keras.layers.Layer):
    """Mix the raw outputs of members and landmarks by task, then calibrate them.

    raw = ((1 - share) * members + share * landmarks) * scale + shift, only when predicting: while
    the members train, their raw outputs pass unchanged. Before it is fitted it returns those of the
    members.

    Args:
        units: the number of output columns.

    Weights, none trained by gradients: share, scale, shift [units].
    Input shape: one or two tensors [n, units]: members, landmarks. Output shape: [n, units].
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        # Losses are computed from the outputs.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.share = add_fixed_weight(self, "share", (self.units,))
        self.scale = add_fixed_weight(self, "scale", (self.units,), "ones")
        self.shift = add_fixed_weight(self, "shift", (self.units,))

    def call(self, inputs: Any, training: bool = False) -> Raw:
        """Return the mixed raw outputs, [n, units]; in training those of the members."""
        tensors = inputs if isinstance(inputs, list | tuple) else [inputs]
        if training:
            return tensors[0]
        share = ops.convert_to_tensor(self.share)
        mixed = tensors[0] if len(tensors) == 1 else tensors[0] * (1.0 - share) + tensors[1] * share
        return mixed * self.scale + self.shift

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((None, self.units), dtype="float32")

    @property
    def by_unit(self) -> list[Any]:
        """Return the weights that have a number for each output column."""
        return [self.share, self.scale, self.shift]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def spread(rows: Array, most: int = 500) -> float:
    """Return the median squared distance of rows [n, features], the scale of kernel rates.

    1 where all rows are alike. At most `most` rows are used.
    """
    sample = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)].astype("float64")
    squared = distances(sample, sample, np)[np.triu_indices(len(sample), 1)]
    median = float(np.median(squared)) if len(squared) else 1.0
    return median if median > 1e-6 else 1.0
