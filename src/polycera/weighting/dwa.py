"""Compute DWA: give more weight to losses that have stopped falling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import count, shares, zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod

STEEPEST = 1000.0
"""Largest absolute value of the ratio of two window means."""


@dataclass(frozen=True)
class DWA(WeightingMethod):
    """Weight each task by its mean loss in one window of steps over that of the window before.

    Liu, Johns & Davison 2019, arXiv:1803.10704, eq. 7: weights = m softmax(r / T), where r_t is the
    mean loss of the last epoch over that of the epoch before it; r = 1 until two epochs have
    passed.

    Scale: a task's weight does not depend on the scale of any loss.

    Where we differ: a step has no access to epochs. Windows of `window` steps take their place, and
        each task counts the steps in which it was present. With the number of steps in an epoch as
        `window`, this is the paper's method. After a window whose mean is not above 0, r = 1. |r|
        counts as at most 1000.

    Attributes:
        window: the number of steps that are averaged.
        temperature: T; the larger, the more equal the weights.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get({"name": "dwa", "window": 1}), np.ones(2, "float32")
        >>> state = method.init(2)
        >>> for losses in ([8.0, 8.0], [8.0, 4.0], [8.0, 2.0]):
        ...     state, weights = method.update(
        ...         state, StepLosses(np.float32(losses), ones, ones, ones, ones, ones)
        ...     )
        >>> [round(float(w), 2) for w in weights]
        [1.12, 0.88]
    """

    name = "dwa"
    title = "DWA"
    paper = Paper("Liu, Johns & Davison", 2019, "1803.10704")
    when = "tasks that learn at different speeds"

    window: int = 100
    temperature: float = 2.0

    def limits(self) -> None:
        self.check("window", 1 <= self.window <= 10**6, "a whole number from 1 to a million")
        self.check("temperature", self.temperature > 0, "a number above 0")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "sum", "steps", "newer", "older")

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        # "older" is 0 until two windows have passed.
        comparable = state["older"] > 0
        rates = ops.where(
            comparable, state["newer"] / ops.where(comparable, state["older"], 1.0), 1.0
        )
        rates = ops.clip(rates, -STEEPEST, STEEPEST)
        weights = count(step.present) * shares(rates / self.temperature, step.present)
        total, steps = state["sum"] + step.losses, state["steps"] + 1.0
        full = steps >= self.window
        state = {
            "sum": ops.where(full, 0.0, total),
            "steps": ops.where(full, 0.0, steps),
            "newer": ops.where(full, total / steps, state["newer"]),
            "older": ops.where(full, state["newer"], state["older"]),
        }
        return state, weights
