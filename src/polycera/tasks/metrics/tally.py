"""Define a tally: the sums over rows from which all metrics of a kind are computed.

In a training step the sums are computed on the device for all tasks of a group at once and added up
over batches. At evaluation the same formulas run in float64 over the predictions. Where training
uses a histogram as an approximation (`ranking.py`), evaluation uses the exact order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from polycera.tasks import numpy_ops
from polycera.tasks.metrics.metric import Metric, Tallies
from polycera.typing import Array, Tensor

CHUNK = 2048
"""Rows at a time in an exact evaluation: limits the memory of pairwise metrics."""


class Tally(ABC):
    """Computes the sums of one kind.

    Class Attributes:
        metrics: the kind's metrics by name.
    """

    metrics: ClassVar[dict[str, Metric]]

    @abstractmethod
    def sizes(self, task: Any) -> dict[str, tuple[int, ...]]:
        """Return the shape of every sum for one task, by name."""

    @abstractmethod
    def batch(
        self,
        task: Any,
        y: Tensor,
        raw: Tensor,
        prior: Tensor,
        counted: Tensor,
        needs: set[str],
        xp: Any,
    ) -> dict[str, Tensor]:
        """Return the sums over a batch.

        Args:
            task: a task of the group.
            y: labels [n, k, width], 0 where missing.
            raw: raw outputs [n, k, units], 0 where a label is missing.
            prior: the trivial predictor's raw outputs, [k, units].
            counted: 1.0 where a label counts, else 0.0, [n, k, width].
            needs: names of the sums to compute.
            xp: `keras.ops`, or `polycera.tasks.numpy_ops` for NumPy.

        Returns:
            name in `needs` -> [k, *shape].
        """

    def constants(self, task: Any, prior: Array) -> Tallies:
        """Return what the metrics need of the trivial predictor.

        Args:
            task: a task of the group.
            prior: the trivial predictor's raw outputs, [k, units].
        """
        return {}

    def read(self, sums: Tallies) -> Tallies:
        """Return the tallies that the metrics take for the sums of a training step."""
        return sums

    def ranked(
        self, task: Any, y: Tensor, raw: Tensor, counted: Tensor, xp: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the labels of 0 and 1, logits and counts that metrics of rank compare.

        They are [n, k, e] each. Only kinds with the sum `bins` have such metrics.
        """
        return y, raw, counted

    def exact(
        self, task: Any, y: Array, raw: Array, prior: Array, counted: Array, needs: set[str]
    ) -> Tallies:
        """Return the tallies that the metrics take for all rows, in float64."""
        total: Tallies = {}
        for start in range(0, max(len(y), 1), CHUNK):
            rows = slice(start, start + CHUNK)
            part = self.batch(task, y[rows], raw[rows], prior, counted[rows], needs, numpy_ops)
            total = {
                name: total.get(name, 0.0) + np.asarray(value, float)
                for name, value in part.items()
            }
        return total
