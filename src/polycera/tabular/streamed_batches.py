"""Give the training rows of a table that is larger than memory as packed batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polycera.data import Table
from polycera.data.streaming.stream_batches import StreamBatches
from polycera.model.model import Model
from polycera.model.targets import encode, pack
from polycera.tabular.step_plan import StepPlan
from polycera.tabular.streamed_table import Stream


class PackedRows:
    """Gives training rows as features and packed targets.

    Args:
        stream: the rows.
        model: its layout and target scaling pack the targets; the scaling must have been taken.
    """

    def __init__(self, stream: Stream, model: Model) -> None:
        self._stream, self._layout, self._scaling = stream, model.layout, model.units
        self.counts, self.digest = stream.counts, stream.digest

    def read(self, stretches: Sequence[int]) -> Table:
        """Return the training rows of these stretches, in order."""
        return self._stream.read(stretches)

    def encode(self, rows: Table, indices: np.ndarray) -> tuple[Any, Any]:
        """Return features [n, width] and packed targets [n, width] of some of these rows."""
        features, targets = self._stream.encoded(rows.take(indices))
        encoded = encode(self._layout, targets, "the table")
        return features, pack(self._layout, encoded, self._scaling)


def of(stream: Stream, model: Model, steps: StepPlan, seed: int) -> StreamBatches:
    """Return the batches of a training; their order depends on the seed and the epoch alone."""
    return StreamBatches(
        PackedRows(stream, model),
        batch_size=steps.batch_size,
        seed=seed,
        passes=steps.passes,
        steps=steps.steps,
        block=stream.block,
        width=stream.encoder.width + sum(task.width for task in stream.tasks),
    )
