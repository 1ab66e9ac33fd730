"""GradDrop: where the tasks' gradients disagree in sign, those of one sign are kept, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.typing import Tensor

STRIDES = (-1052792407, -1847521881)
"""1/p and 1/p^2 as fractions of 32 bits, with p = 1.3247 the plastic number: the strides of the R2 sequence."""


@dataclass(frozen=True)
class GradDrop(BalancingMethod):
    """At each feature keep the gradients of one sign and drop the others; the heavier sign is the likelier.

    Chen et al. 2020, arXiv:2010.06808, algorithm 1: with P = (1 + sum_i g_i / sum_i |g_i|) / 2,
    element by element, and U uniform in (0, 1), positive gradients are kept where P > U and
    negative ones where P < U; f is the identity. On average over U that is the plain sum.

    Scale: long gradients decide the sign; what is kept has the length it had.

    It works element by element at the features that enter the heads, and is no function of the
    Gramian: the weights that are logged are 1. Only `Heads(balancing="graddrop")` can do it.

    Where we differ: U comes from a low-discrepancy sequence over rows and features that shifts from
    step to step, and not from a generator: the same on every backend, resumed exactly, and within a
    step closer to its mean. With `over="row"`, each row of the batch has its own P and U.
    `over="batch"` is the paper's treatment of batches: the gradients, times the sign of the
    feature, are added up over the rows, and a task keeps or loses a feature in all.

    Attributes:
        leak: the part of what is dropped that comes through, from 0 to 1; 1 is the plain sum. One
            for all tasks.
        over: "row" or "batch".

    Example:
        >>> import numpy as np
        >>> from polycera.balancing import get
        >>> positive, negative = np.float32([3.0, 3.0, 2.0]), np.float32([1.0, 1.0, 0.0])
        >>> [float(g) for g in get("graddrop").combine(positive, negative, np.float32([0.7, 0.8, 0.99]))]
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

    def weigh(self, state: State, seen: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        return state, seen.present

    def combine(self, positive: Tensor, negative: Tensor, uniform: Tensor) -> Tensor:
        """What goes on in place of the sum of the gradients.

        Args:
            positive: the sum of those above 0, at each element.
            negative: the sum of the sizes of those below 0.
            uniform: numbers in [0, 1), one for each element.
        """
        plain = positive - negative
        kept = ops.where(_above(positive, negative, uniform), positive, -negative)
        return kept if self.leak == 0 else self.leak * plain + (1.0 - self.leak) * kept

    def passing(self, gradients: Tensor, uniform: Tensor) -> Tensor:
        """The part of each task's gradient that goes on, from 0 to 1.

        Args:
            gradients: of each task in the last axis, [..., m].
            uniform: numbers in [0, 1), [..., 1].
        """
        positive = ops.sum(ops.relu(gradients), axis=-1, keepdims=True)
        negative = ops.sum(ops.relu(-gradients), axis=-1, keepdims=True)
        sign = ops.where(_above(positive, negative, uniform), 1.0, -1.0)
        return self.leak + (1.0 - self.leak) * ops.cast(gradients * sign > 0, "float32")


def _above(positive: Tensor, negative: Tensor, uniform: Tensor) -> Tensor:
    """Whether the positive purity is above the drawn number; no division by 0."""
    return positive > uniform * (positive + negative)


def scattered(rows: Any, columns: int, noise: Tensor) -> Tensor:
    """Uniform numbers [rows, columns] in [0, 1), evenly spread: the R2 sequence (Roberts 2018), shifted by the noise.

    Whole numbers of 32 bits wrap around where fractions are taken, so that the numbers are the same
    on every backend and do not coarsen with the number of rows.

    Args:
        rows, columns: how many.
        noise: the shift of this step, [].
    """
    places = (
        ops.arange(rows, dtype="int32")[:, None] * STRIDES[0]
        + ops.arange(columns, dtype="int32") * STRIDES[1]
    )
    fractions = (
        ops.cast(ops.bitwise_and(ops.right_shift(places, 8), 2**24 - 1), "float32") / 2.0**24
    )
    shifted = fractions + noise
    return shifted - ops.cast(shifted >= 1.0, "float32")
