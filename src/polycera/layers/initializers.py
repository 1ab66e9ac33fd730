"""Draw initial weights on the host.

A backend would compile a program for each shape, which takes seconds for a small table.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.typing import Tensor


@keras.saving.register_keras_serializable(package="polycera")
class Drawn(keras.initializers.Initializer):
    """Draw independent normal numbers of mean 0, the same ones on every backend.

    Args:
        stddev: their standard deviation.
        seed: of the network.
        place: the position of the layer in the network: no two layers draw the same numbers.

    Examples:
        >>> import numpy as np
        >>> np.asarray(Drawn(0.1, seed=3)((2, 2))).shape
        (2, 2)
    """

    def __init__(self, stddev: float, seed: int = 0, place: int = 0) -> None:
        self.stddev, self.seed, self.place = stddev, seed, place

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        """Return a tensor of this shape; each call returns the same numbers."""
        # NumPy takes no negative seed.
        generator = np.random.default_rng([self.seed % 2**64, self.place])
        drawn = generator.standard_normal(tuple(shape), "float32")
        return ops.convert_to_tensor(drawn * np.float32(self.stddev), dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"stddev": self.stddev, "seed": self.seed, "place": self.place}
