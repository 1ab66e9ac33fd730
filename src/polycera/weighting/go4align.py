"""Compute GO4Align: put tasks into groups and give each group one weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import LEAST, count, mean, positive, shares, usual, zeros
from polycera.weighting.method import LARGEST, Paper, State, StepLosses, WeightingMethod

FURTHEST = 10.0
"""Largest change of a task's log indicator in one step."""


@dataclass(frozen=True)
class GO4Align(WeightingMethod):
    """Bring all losses to one scale, favour tasks with small losses, and average within groups.

    Shen et al. 2024, arXiv:2404.06486, as in the authors' code: q_t <- q_t exp(-rate L_t), divided
    by their sum; v_t = q_t sum(L) / L_t; k-means puts the v into `groups`, and each task gets the
    mean v of its group.

    Scale: v x loss is the same for all tasks at first; the groups bring differences back. `rate`
        applies to losses in their own scale.

    Where we differ: groups of numbers on a line are found exactly, by dynamic programming over the
        sorted v. K-means from random centres may end in a worse split, or in another one in the
        next step. A loss counts as at least a thousandth of its usual absolute value. A task that
        is absent is treated like one with a mean loss.

    Attributes:
        groups: the number of groups, at least 1; with 1 all tasks have one weight.
        rate: the step size of q, at least 0.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get("go4align"), np.ones(3, "float32")
        >>> step = StepLosses(np.array([1.0, 1.1, 4.0], "float32"), ones, ones, ones, ones, ones)
        >>> _, weights = method.update(method.init(3), step)
        >>> [round(float(w), 2) for w in weights]
        [1.94, 1.94, 0.51]
    """

    name = "go4align"
    title = "GO4Align"
    paper = Paper("Shen et al.", 2024, "2404.06486")
    cost = "O(groups m^2)"
    when = "many tasks, some of them alike"

    groups: int = 2
    rate: float = 1e-4

    def limits(self) -> None:
        self.check("groups", 1 <= self.groups <= 100, "a whole number from 1 to 100")
        self.check("rate", 0 <= self.rate <= 1, "a number from 0 to 1")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "log", "usual")

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        usual_losses = usual(state, step)
        losses = positive(step.losses, usual_losses)
        above = ops.where(step.present > 0, losses - mean(losses, step.present), 0.0)
        log = state["log"] - ops.clip(self.rate * above, -FURTHEST, FURTHEST)
        scale = count(step.present) * mean(losses, step.present) / losses
        values = ops.minimum(scale * shares(log, step.present), LARGEST)
        return {"log": log, "usual": usual_losses}, grouped(values, step.present, self.groups)


def grouped(values: Tensor, present: Tensor, groups: int) -> Tensor:
    """Return the values [m], each replaced by the mean of its group.

    The groups have the least possible sum of squares within (exact k-means).

    Args:
        values: [m] the values to group.
        present: [m] 1.0 for the tasks that count, else 0.0.
        groups: the number of groups.
    """
    m = values.shape[0]
    top = ops.maximum(ops.max(values * present), LEAST)
    # Values lie within 0 and 1, so the 2 puts absent tasks at the end.
    order = ops.argsort(ops.where(present > 0, values / top, 2.0))
    sorted_present, x = ops.take(present, order), ops.take(present * values / top, order)
    counts, sums, squares = (_before(part) for part in (sorted_present, x, x * x))
    size, total = counts[None, :] - counts[:, None], sums[None, :] - sums[:, None]
    spread = squares[None, :] - squares[:, None] - total * total / ops.maximum(size, 1.0)
    # cost[i, j] is the cost of one group from position i to before j. best[j] is the cost of all
    # positions before j, in as many groups as there have been rounds.
    cost = ops.where(ops.triu(ops.ones((m + 1, m + 1))) > 0, ops.relu(spread), LARGEST)
    best, starts = cost[0], []
    for _ in range(groups - 1):
        totals = best[:, None] + cost
        starts.append(ops.argmin(totals, axis=0))
        best = ops.min(totals, axis=0)
    # Walk back through the best starts, from the last group to the first.
    positions, result, end = ops.arange(m), ops.zeros_like(x), ops.convert_to_tensor(m, "int32")
    for start in [
        *(ops.cast(start, "int32") for start in reversed(starts)),
        ops.zeros((m + 1,), "int32"),
    ]:
        start = ops.take(start, end)
        inside = sorted_present * ops.cast(
            ops.logical_and(positions >= start, positions < end), "float32"
        )
        result, end = result + inside * mean(x, inside), start
    return top * ops.take(result, ops.argsort(order))


def _before(values: Tensor) -> Tensor:
    """Return the sum of the values before each position [m + 1]."""
    return ops.concatenate([ops.zeros((1,)), ops.cumsum(values)])
