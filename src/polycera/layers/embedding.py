"""Transform a table's numbers before the first hidden layer.

`SmoothClip` bounds far values, `PiecewiseLinear` gives each column bins of its own.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.layers.fixed_weight import add_fixed_weight
from polycera.layers.initializers import Drawn
from polycera.typing import Array, Tensor

FAR = 4.0
"""`SmoothClip` bounds numbers to this many standard deviations from the mean.

Beyond it a number has almost the same effect as the bound itself.
"""

LEAST = 4
"""Minimum length of the vector that stands for a column."""
MOST = 8
"""Maximum length of the vector that stands for a column."""
TOGETHER = 256
"""Target length of all these vectors together.

Many columns repeat each other's information and cost time.
"""


@keras.saving.register_keras_serializable(package="polycera")
class SmoothClip(keras.layers.Layer):
    """Bound numbers smoothly: x / sqrt(1 + (x / 4)²), which is x near 0 and never beyond ±4.

    Without it a single value at a thousand deviations would decide a row's prediction, and its
    gradient a step. After RealMLP (Holzmüller et al. 2024, arXiv:2407.04491), which bounds at 3 and
    scales by quantiles.

    Input and output shape: [n, features].

    Examples:
        >>> import numpy as np, polycera as pc
        >>> from polycera.layers.embedding import SmoothClip
        >>> np.asarray(SmoothClip()(np.array([[0.1, 1000.0]], "float32"))).round(2).tolist()
        [[0.10000000149011612, 4.0]]
    """

    def __init__(self, **kwargs: Any) -> None:
        # In half precision the square of a thousand is infinite.
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs: Tensor) -> Tensor:
        return bent(inputs, ops)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def bent(x: Any, xp: Any) -> Any:
    """Return x / sqrt(1 + (x / 4)²), of the shape of x; `xp` is keras.ops or NumPy."""
    return x / xp.sqrt(1.0 + xp.square(x / FAR))


@keras.saving.register_keras_serializable(package="polycera")
class PiecewiseLinear(keras.layers.Layer):
    """Give the first columns bins of their own, at whose edges a network can change its slope.

    A forest would split there.

    Each number becomes a vector: for each bin how much of it lies below the number, 0 to 1
    (Gorishniy et al. 2022, arXiv:2203.05556), times a matrix of the column's own, through a ReLU.
    The columns themselves stay beside it. Each member has matrices of its own.

    Args:
        columns: the number of columns that are embedded, counted from the first.
        bins: the largest number of bins of each column; see `bins_of`.
        members: the number of ensemble members.
        seed: of the initial weights.
        members_first: whether the axis of members comes before the rows.

    Weights, not trained by gradients: `edges` [columns, bins] and `widths` [columns, bins], from
    the training rows; a bin of width 0 is not used.

    Input shape: [n, features]. Output shape: [n, members, features + columns * size], or [members,
        n, ...].
    """

    def __init__(
        self,
        columns: int,
        bins: int,
        members: int = 1,
        seed: int = 0,
        members_first: bool = False,
        **kwargs: Any,
    ) -> None:
        # Bins can be narrower than half precision resolves.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.columns, self.bins, self.members, self.seed = columns, bins, members, seed
        self.size, self.members_first = size_of(columns), members_first

    def build(self, input_shape: Any) -> None:
        shape = (self.columns, self.bins)
        self.edges = add_fixed_weight(self, "edges", shape)
        self.widths = add_fixed_weight(self, "widths", shape)
        first = Drawn(self.bins**-0.5, self.seed)
        self.kernel = self.add_weight(
            name="kernel", shape=(self.members, *shape, self.size), initializer=first
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.members, self.columns, self.size), initializer="zeros"
        )

    def fit_to(self, features: Array) -> None:
        """Compute bins from training rows [n, features]."""
        edges, widths = bins_of(features[:, : self.columns], self.bins)
        self.edges.assign(edges)
        self.widths.assign(widths)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the columns and, beside them, the vectors of the embedded ones."""
        widths, edges = (ops.convert_to_tensor(variable) for variable in (self.widths, self.edges))
        used = ops.cast(widths > 0, "float32")
        numbers = ops.expand_dims(ops.cast(inputs[:, : self.columns], "float32"), -1)
        # An unused bin has width 0: divide by 1 instead, then multiply by 0.
        filled = ops.clip((numbers - edges) / (widths + 1.0 - used), 0.0, 1.0) * used
        bias = ops.reshape(
            ops.convert_to_tensor(self.bias), (self.members, 1, self.columns * self.size)
        )
        vectors = ops.einsum("nfb,mfbs->mnfs", ops.cast(filled, self.compute_dtype), self.kernel)
        flat = ops.relu(ops.reshape(vectors, (self.members, -1, self.columns * self.size)) + bias)
        beside = ops.repeat(ops.expand_dims(ops.cast(inputs, flat.dtype), 0), self.members, axis=0)
        outputs = ops.concatenate([beside, flat], axis=-1)
        return outputs if self.members_first else ops.transpose(outputs, (1, 0, 2))

    def compute_output_shape(self, input_shape: Any) -> Any:
        wide = input_shape[-1] + self.columns * self.size
        return (
            (self.members, input_shape[0], wide)
            if self.members_first
            else (input_shape[0], self.members, wide)
        )

    def get_config(self) -> dict[str, Any]:
        arguments = {
            "columns": self.columns,
            "bins": self.bins,
            "members": self.members,
            "seed": self.seed,
        }
        return {**super().get_config(), **arguments, "members_first": self.members_first}


def size_of(columns: int) -> int:
    """Return the size of the vector of one column, if so many columns are embedded.

    Examples:
        >>> size_of(8), size_of(50), size_of(1000)
        (8, 5, 4)
    """
    return min(max(TOGETHER // columns, LEAST), MOST)


def bins_of(numbers: Array, bins: int) -> tuple[Array, Array]:
    """Return bins between quantiles of the columns of [n, columns]: lower edges and widths.

    Both have shape [columns, bins]. A value that many rows share ends one bin, not several. The
    bins that are left over have width 0.
    """
    quantiles = np.quantile(numbers.astype("float64"), np.linspace(0.0, 1.0, bins + 1), axis=0).T
    widths = np.diff(quantiles, axis=1)
    return quantiles[:, :-1].astype("float32"), np.where(widths > 1e-6, widths, 0.0).astype(
        "float32"
    )
