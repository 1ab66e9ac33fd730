"""Limit the cost of extra measurements to a part of the training, counted in steps.

Steps are counted and not seconds, so that equal seeds give equal files on slow and fast machines.
"""

from __future__ import annotations

import math
from typing import Any

from polycera.errors import InputError

COMPILING = 200.0
"""Cost of compiling the measurement, in steps: the first batch of the default network of a table
costs 160 to 250 (JAX, 2 to 30 tasks; `benchmarks/README.md`, `probe.py`)."""

BACKWARD = 0.5
"""Cost of one gradient of a batch, in steps.

A batch costs 1.7, 4.9 and 30 steps for 2, 8 and 30 tasks in the default network of a table on JAX;
2 to 63 for 2 to 200 tasks in a small one, where PyTorch takes 1 to 13 (`benchmarks/README.md`).
"""


def cost_of(batches: int, gradients: int) -> float:
    """Return the cost of the gradients of that many tasks in that many batches, in steps."""
    return batches * (1.0 + BACKWARD * gradients)


class StepAllowance:
    """Counts the steps of the training, and the cost of the measurements in steps.

    Args:
        part: the part of the training that measurements may take.

    Attributes:
        spent: cost of all measurements so far, in steps.
        trained: steps of the training so far.
    """

    def __init__(self, part: float) -> None:
        self.part, self.spent, self.trained = part, 0.0, 0

    def begin(self) -> None:
        """Start a training."""
        self.spent, self.trained = 0.0, 0

    def state(self) -> dict[str, float]:
        """Return what a checkpoint needs to resume."""
        return {"spent": float(self.spent), "trained": float(self.trained)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resume from what `state` returned.

        Raises:
            InputError: for values that are no numbers of steps.
        """
        counts = [state.get("spent"), state.get("trained")]
        if not all(
            isinstance(count, float) and math.isfinite(count) and count >= 0 for count in counts
        ):
            raise InputError(
                "The numbers of steps in the checkpoint are not valid: remove it to start from the "
                "beginning."
            )
        self.spent, self.trained = float(state["spent"]), int(state["trained"])

    def allows(self, cost: float) -> bool:
        """Return whether the measurements stay within their part after one of this cost."""
        return self.spent + cost <= self.part * self.trained
