"""GO4Align: tasks in groups, one weight a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import LEAST, count, mean, positive, shares, usual, zeros
from polycera.weighting.method import LARGEST, Paper, State, StepLosses, WeightingMethod

FURTHEST = 10.0
"""A loss moves its task's indicator by at most this in a step."""


@dataclass(frozen=True)
class GO4Align(WeightingMethod):
    """Bring all losses to one scale, lean towards tasks whose losses have been small, and even out within groups.

    Shen et al. 2024, arXiv:2404.06486, as in the authors' code: q_t <- q_t exp(-rate L_t), divided
    by their sum; v_t = q_t sum(L) / L_t; k-means puts the v into `groups`, and each task gets the
    mean v of its group.

    Scale: v x loss is the same for all tasks at first; groups bring differences back. `rate` works
        on losses in
    their units.

    Where we differ: groups of numbers on a line are found exactly, by dynamic programming over the
    sorted v, where k-means from random centres may end in a worse split or another one in the next
    step. A loss counts as at least a thousandth of its usual absolute value. A task that is absent
    fares as one of mean loss would.

    Attributes:
        groups: how many, at least 1; with 1 all tasks have one weight.
        rate: how fast q moves, at least 0.

    Example:
        >>> import numpy as np
        >>> from polycera.weighting import Seen, get
        >>> method, ones = get("go4align"), np.ones(3, "float32")
        >>> seen = Seen(np.array([1.0, 1.1, 4.0], "float32"), ones, ones, ones, ones, ones)
        >>> _, weights = method.update(method.init(3), seen)
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

    def weigh(self, state: State, seen: StepLosses) -> tuple[State, Tensor]:
        often = usual(state, seen)
        losses = positive(seen.losses, often)
        above = ops.where(seen.present > 0, losses - mean(losses, seen.present), 0.0)
        log = state["log"] - ops.clip(self.rate * above, -FURTHEST, FURTHEST)
        scale = count(seen.present) * mean(losses, seen.present) / losses
        values = ops.minimum(scale * shares(log, seen.present), LARGEST)
        return {"log": log, "usual": often}, grouped(values, seen.present, self.groups)


def grouped(values: Tensor, present: Tensor, groups: int) -> Tensor:
    """[m] each value replaced by the mean of its group, groups having the least sum of squares within (k-means)."""
    m = values.shape[0]
    top = ops.maximum(ops.max(values * present), LEAST)
    order = ops.argsort(ops.where(present > 0, values / top, 2.0))
    here, x = ops.take(present, order), ops.take(present * values / top, order)
    counts, sums, squares = (_before(part) for part in (here, x, x * x))
    size, total = counts[None, :] - counts[:, None], sums[None, :] - sums[:, None]
    spread = squares[None, :] - squares[:, None] - total * total / ops.maximum(size, 1.0)
    # cost[i, j]: of one group from place i to before j; best[j]: of all places before j, in as many
    # groups as rounds.
    cost = ops.where(ops.triu(ops.ones((m + 1, m + 1))) > 0, ops.relu(spread), LARGEST)
    best, starts = cost[0], []
    for _ in range(groups - 1):
        both = best[:, None] + cost
        starts.append(ops.argmin(both, axis=0))
        best = ops.min(both, axis=0)
    place, result, end = ops.arange(m), ops.zeros_like(x), ops.convert_to_tensor(m, "int32")
    for start in [
        *(ops.cast(start, "int32") for start in reversed(starts)),
        ops.zeros((m + 1,), "int32"),
    ]:
        start = ops.take(start, end)
        inside = here * ops.cast(ops.logical_and(place >= start, place < end), "float32")
        result, end = result + inside * mean(x, inside), start
    return top * ops.take(result, ops.argsort(order))


def _before(values: Tensor) -> Tensor:
    """[m + 1] sums of the values before each place."""
    return ops.concatenate([ops.zeros((1,)), ops.cumsum(values)])
