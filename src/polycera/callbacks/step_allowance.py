"""Limit the cost of extra measurements to a part of the training, counted in steps.

Steps are counted and not seconds, so that equal seeds give equal files on slow and fast machines.
"""

from __future__ import annotations

import math
from typing import Any

from polycera.errors import InputError

COMPILING = 300.0
"""Cost of compiling the measurement, in steps.

`benchmarks/probe.py` and the default network of a table: 0.9 to 3 s on JAX and TensorFlow, where a
step of that network takes 3 to 10 ms.
"""

PASS = 1 / 3
"""Cost of one way back through the network, in steps.

A step is one way forth and about two of its length back. Measured on batches of equal size
(`benchmarks/README.md`, `probe.py`), a batch costs 0.8 to 2 steps for 2 and for 8 tasks, 2 to 14
for 40 and 13 to 70 for 200.
"""


def cost_of(batches: int, gradients: int) -> float:
    """Return the cost of the gradients of that many tasks in that many batches, in steps."""
    return batches * (1.0 + PASS * gradients)


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
