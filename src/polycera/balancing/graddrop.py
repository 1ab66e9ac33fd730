"""Compute GradDrop: where gradients disagree in sign, pass those of one sign, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.typing import Tensor

STRIDES = (-1052792407, -1847521881)
"""Strides of the R2 sequence: 1/p and 1/p^2 as 32-bit fractions, p = 1.3247 (plastic number)."""


@dataclass(frozen=True)
class GradDrop(BalancingMethod):
    """Pass at each feature the gradients of one sign and drop the others, the sign drawn at random.

    The sign with the larger sum of gradients is the more likely one.

    Chen et al. 2020, arXiv:2010.06808, algorithm 1: with P = (1 + sum_i g_i / sum_i |g_i|) / 2,
    element by element, and U uniform in (0, 1), positive gradients pass where P > U and negative
    ones where P < U; f is the identity. The mean over U is the plain sum.

    Scale: long gradients decide the sign; the gradients that pass have their original length.

    The method works element by element at the features that enter the heads. It is no function of
    the Gramian, so the logged weights are 1. Only `Heads(balancing="graddrop")` can apply it.

    Where we differ: U comes from a low-discrepancy sequence over rows and features that shifts from
        step to step, not from a random generator. So U is the same on every backend, resumes
        exactly, and is closer to its mean within a step. With `over="row"`, each row of the batch
        has its own P and U. `over="batch"` is the paper's treatment of batches: the gradients,
        times the sign of the feature, are added up over the rows, and a feature of a task passes or
        is dropped for the whole batch.

    Attributes:
        leak: the share of the dropped gradients that passes nevertheless, from 0 to 1; 1 is the
            plain sum. The same for all tasks.
        over: "row" or "batch".

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import get
        >>> positive, negative = np.float32([3.0, 3.0, 2.0]), np.float32([1.0, 1.0, 0.0])
        >>> [
        ...     float(g)
        ...     for g in get("graddrop").combine(positive, negative, np.float32([0.7, 0.8, 0.99]))
        ... ]
        [3.0, -1.0, 2.0]
    """

    name = "graddrop"
    title = "GradDrop"
    paper = Paper("Chen et al.", 2020, "2010.06808")
    sees = ("noise",)
    cost = "O(m d) a row"
    when = "many tasks in conflict, as a kind of dropout"
    elementwise = True

    leak: float = 0.0
    over: str = "row"

    def limits(self) -> None:
        self.check("leak", 0 <= self.leak <= 1, "a number from 0 to 1")
        self.check("over", self.over in ("row", "batch"), "'row' or 'batch'")

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        return state, gradients.present

    def combine(self, positive: Tensor, negative: Tensor, uniform: Tensor) -> Tensor:
        """Return what flows into the trunk in place of the sum of the gradients.

        Args:
            positive: the sum of the positive gradients, at each element.
            negative: the sum of the absolute values of the negative gradients, at each element.
            uniform: numbers in [0, 1), one for each element.
        """
        plain = positive - negative
        one_sign = ops.where(_above(positive, negative, uniform), positive, -negative)
        return one_sign if self.leak == 0 else self.leak * plain + (1.0 - self.leak) * one_sign

    def passing(self, gradients: Tensor, uniform: Tensor) -> Tensor:
        """Return the share of each task's gradient that passes, from 0 to 1 [..., m].

        Args:
            gradients: [..., m] the tasks in the last axis.
            uniform: [..., 1] numbers in [0, 1).
        """
        positive = ops.sum(ops.relu(gradients), axis=-1, keepdims=True)
        negative = ops.sum(ops.relu(-gradients), axis=-1, keepdims=True)
        sign = ops.where(_above(positive, negative, uniform), 1.0, -1.0)
        return self.leak + (1.0 - self.leak) * ops.cast(gradients * sign > 0, "float32")


def _above(positive: Tensor, negative: Tensor, uniform: Tensor) -> Tensor:
    """Return whether the positive purity P is above the drawn number."""
    # P = positive / (positive + negative); multiplied out, because both sums may be 0.
    return positive > uniform * (positive + negative)


def scattered(rows: Any, columns: int, noise: Tensor) -> Tensor:
    """Return evenly spread numbers in [0, 1): the R2 sequence, shifted by the noise.

    Roberts 2018. The fractions are computed as 32-bit integers that wrap around. So the numbers are
    the same on every backend and do not get coarser with the number of rows.

    Args:
        rows, columns: the size of the result.
        noise: [] the shift of this step.

    Returns:
        The numbers [rows, columns].
    """
    positions = (
        ops.arange(rows, dtype="int32")[:, None] * STRIDES[0]
        + ops.arange(columns, dtype="int32") * STRIDES[1]
    )
    # The upper 24 bits: as many as float32 holds exactly. The mask removes the sign of the shift.
    fractions = (
        ops.cast(ops.bitwise_and(ops.right_shift(positions, 8), 2**24 - 1), "float32") / 2.0**24
    )
    shifted = fractions + noise
    return shifted - ops.cast(shifted >= 1.0, "float32")
