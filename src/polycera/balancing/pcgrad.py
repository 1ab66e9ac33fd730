"""Compute PCGrad: remove the conflicting parts of the gradients by projection."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.typing import Tensor

BLOCK = 8
"""Number of tasks whose projections are computed together."""


@dataclass(frozen=True)
class PCGrad(BalancingMethod):
    """Remove from each of two conflicting gradients its part along the other; then add up the rest.

    Yu et al. 2020, arXiv:2001.06782, algorithm 1: for each task i and the others j in random order,
    where g_i . g_j < 0, g_i <- g_i - (g_i . g_j / |g_j|^2) g_j, with the original g_j. In
    coefficients of the gradients this needs the Gramian only, and all tasks i take one step
    together.

    Scale: which pairs conflict does not depend on the scale of a task; what is removed does.

    Where we differ: one random order a step serves all tasks, as in the authors' code; the paper's
        text draws one for each task.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.array([[1.0, -0.5], [-0.5, 1.0]], "float32"), np.ones(2, "float32")
        >>> noise = np.array([0.3, 0.1], "float32")
        >>> _, weights = get("pcgrad").update({}, StepGradients(gramian, ones, ones, ones, noise))
        >>> [round(float(w), 2) for w in weights]
        [1.5, 1.5]
    """

    name = "pcgrad"
    title = "PCGrad"
    paper = Paper("Yu et al.", 2020, "2001.06782")
    sees = ("gramian", "noise")
    cost = "O(m^3), m / 8 small steps"
    when = "few tasks that conflict now and then"

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        order = ops.argsort(gradients.noise)
        added = surgery(ops.take(ops.take(rows.cosines, order, axis=0), order, axis=1))
        weights = 1.0 + (added @ ops.take(rows.norms, order)[:, None])[:, 0] / ops.take(
            rows.lengths, order
        )
        return state, ops.take(weights, ops.argsort(order))


def surgery(cosines: Tensor) -> Tensor:
    """Return how much of each unit gradient is added to each task's gradient.

    How much of gradient t is added depends on what was added of the gradients before it. So a block
    of rows is recomputed until it is right: the first row is right at once, and each round makes
    one more row right. This takes a few products of small matrices in place of a product with the
    whole matrix for each task.

    Args:
        cosines: [m, m] cosines between the gradients, in the order of the projections.

    Returns:
        [m, m]: a row for each gradient that is added, a column for each task.
    """
    m = cosines.shape[0]
    before = ops.tril(-cosines, k=-1)
    alone = -cosines - 1e30 * ops.eye(m, dtype="float32")  # a gradient is not projected on itself
    if m <= BLOCK:
        return settled(alone, before)
    # The loop below takes whole blocks, so the matrices are padded.
    padding = -m % BLOCK
    before, alone = (
        ops.pad(before, ((0, padding), (0, padding))),
        ops.pad(alone, ((0, padding), (0, 0))),
    )

    def step(t: Tensor, added: Tensor) -> Tensor:
        start = t * BLOCK
        from_earlier = (
            ops.slice(alone, (start, 0), (BLOCK, m))
            + ops.slice(before, (start, 0), (BLOCK, m + padding)) @ added
        )
        return ops.slice_update(
            added,
            (start, 0),
            settled(from_earlier, ops.slice(before, (start, start), (BLOCK, BLOCK))),
        )

    added = ops.zeros((m + padding, m), dtype="float32")
    return ops.fori_loop(0, (m + padding) // BLOCK, step, added)[:m]


def settled(known: Tensor, among: Tensor) -> Tensor:
    """Return the x [k, m] for which x = relu(`known` + `among` x).

    Args:
        known: [k, m] the part that does not depend on x.
        among: [k, k] strictly lower triangular.
    """
    # Row i depends on the rows before it only, so it is right after i rounds.
    x = ops.relu(known)
    for _ in range(known.shape[0] - 1):
        x = ops.relu(known + among @ x)
    return x
