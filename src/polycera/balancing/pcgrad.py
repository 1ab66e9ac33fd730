"""PCGrad: gradient surgery, conflicting parts projected away."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.typing import Tensor

BLOCK = 8
"""So many tasks' projections are worked out together."""


@dataclass(frozen=True)
class PCGrad(BalancingMethod):
    """Where two gradients conflict, take from each the part along the other; then add up what is left.

    Yu et al. 2020, arXiv:2001.06782, algorithm 1: for each task i and the others j in random order,
    where g_i . g_j < 0, g_i <- g_i - (g_i . g_j / |g_j|^2) g_j, with g_j as it came. In
    coefficients of the gradients this needs the Gramian only, and all tasks i take one step
    together.

    Scale: which pairs conflict does not depend on the scale of a task, what is taken away does.

    Where we differ: one random order a step serves all tasks, as in the authors' code; the paper's
    text draws one for each.

    Example:
        >>> import numpy as np
        >>> from polycera.balancing import Seen, get
        >>> gramian, ones = np.array([[1.0, -0.5], [-0.5, 1.0]], "float32"), np.ones(2, "float32")
        >>> _, weights = get("pcgrad").update({}, Seen(gramian, ones, ones, ones, np.array([0.3, 0.1], "float32")))
        >>> [round(float(w), 2) for w in weights]
        [1.5, 1.5]
    """

    name = "pcgrad"
    title = "PCGrad"
    paper = Paper("Yu et al.", 2020, "2001.06782")
    sees = ("gramian", "noise")
    cost = "O(m^3), m / 8 small steps"
    when = "few tasks that conflict now and then"

    def weigh(self, state: State, seen: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        order = ops.argsort(seen.noise)
        added = surgery(ops.take(ops.take(rows.cosines, order, axis=0), order, axis=1))
        weights = 1.0 + (added @ ops.take(rows.norms, order)[:, None])[:, 0] / ops.take(
            rows.lengths, order
        )
        return state, ops.take(weights, ops.argsort(order))


def surgery(cosines: Tensor) -> Tensor:
    """How much of each unit gradient (a row each, in order) is added to each task's (a column each): [m, m] -> [m, m].

    How much of gradient t is added depends on what was added of those before it. So a block of rows
    is computed anew until it is right: the first row is so at once, and each round makes one more
    so. That is a few products of small matrices in place of a product with the whole one for each
    task.
    """
    m = cosines.shape[0]
    before = ops.tril(-cosines, k=-1)
    alone = -cosines - 1e30 * ops.eye(m, dtype="float32")  # a gradient is not projected on itself
    if m <= BLOCK:
        return settled(alone, before)
    more = -m % BLOCK
    before, alone = ops.pad(before, ((0, more), (0, more))), ops.pad(alone, ((0, more), (0, 0)))

    def step(t: Tensor, added: Tensor) -> Tensor:
        at = t * BLOCK
        known = (
            ops.slice(alone, (at, 0), (BLOCK, m))
            + ops.slice(before, (at, 0), (BLOCK, m + more)) @ added
        )
        return ops.slice_update(
            added, (at, 0), settled(known, ops.slice(before, (at, at), (BLOCK, BLOCK)))
        )

    added = ops.zeros((m + more, m), dtype="float32")
    return ops.fori_loop(0, (m + more) // BLOCK, step, added)[:m]


def settled(known: Tensor, among: Tensor) -> Tensor:
    """The x for which x = relu(`known` + `among` x), `among` strictly lower triangular: [k, m], [k, k] -> [k, m]."""
    found = ops.relu(known)
    for _ in range(known.shape[0] - 1):
        found = ops.relu(known + among @ found)
    return found
