"""Add up the sums of an epoch in one vector on the device.

A step makes one addition, whatever the number of tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.layers.packed_arrays import Packed
from polycera.model.objective import BatchSums, Objective
from polycera.typing import Tensor


def shapes_of(objective: Objective) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what the steps add up, apart from gradient statistics."""
    terms = (len(objective.names),)
    counts = dict.fromkeys(("batches", "steps", "skipped", "first", "regularization"), ())
    return {
        "sums": terms,
        "rows": terms,
        "spoilt": terms,
        "weighted": terms,
        "tallies": (objective.size,),
        **counts,
    }


def of_batch(measured: BatchSums, regularization: Tensor) -> dict[str, Tensor]:
    """Return what every batch adds to the epoch sums."""
    return {**measured._asdict(), "regularization": regularization, "batches": ops.ones(())}


class EpochSums(keras.metrics.Metric):
    """Hold a vector of sums over the batches of an epoch; Keras resets it with the other metrics.

    Args:
        shapes: what is added up: name -> shape.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], name: str = "ledger") -> None:
        super().__init__(name=name, dtype="float32")
        self.packed = Packed(dict(shapes))
        self.sums = self.add_variable(
            (self.packed.size,), initializer="zeros", name="sums", aggregation="sum"
        )

    def update_state(self, entries: Mapping[str, Tensor]) -> None:
        """Add what a batch contributes; entries that are not named stay unchanged."""
        zeros = {
            name: np.zeros(shape, "float32")
            for name, shape in self.packed.shapes.items()
            if name not in entries
        }
        self.sums.assign(self.sums + ops.stop_gradient(self.packed.pack({**entries, **zeros})))

    def untouched(self, name: str) -> Tensor:
        """Return 1.0 if nothing was added to this scalar since the last reset, else 0.0."""
        return ops.cast(self.so_far(name) <= 0, "float32")

    def so_far(self, name: str) -> Tensor:
        """Return what was added to this entry since the last reset."""
        return self.packed.read(ops.convert_to_tensor(self.sums))[name]

    def result(self) -> Any:
        """Return nothing: `scores.py` makes names and values on the host, once an epoch."""
        return {}

    def read(self) -> dict[str, np.ndarray]:
        """Return the sums by name, as float64 on the host."""
        return self.packed.read(ops.convert_to_numpy(self.sums).astype("float64"))
