"""Nash-MTL: the step that the tasks would agree on as bargainers."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import fair
from polycera.typing import Tensor


@dataclass(frozen=True)
class NashMTL(BalancingMethod):
    """Maximise the product of the tasks' gains: no task can gain a percent without others losing more than that.

    Navon et al. 2022, arXiv:2202.01017, claim 3.1: the weights a > 0 that solve G a = 1 / a.

    Scale: the direction does not depend on the scale of any task.

    Where we differ: the paper approximates the solution by a few convex programmes from the last
    weights. But G a = 1/a is where the convex function a'Ga / 2 - sum log a has slope 0, so
    Newton's method finds it to float32 precision without a memory. By the equation the step has
    norm sqrt(m) whatever the gradients, which would undo loss scaling; we divide G by the mean
    squared norm of the tasks' gradients first, so weights are 1 for equally long orthogonal ones.
    No weight exceeds about `solvers.REACH` (70) times what it would be for orthogonal gradients,
    where the authors' code clips the step (`max_norm`): at a Pareto-stationary point no finite
    weights solve the equation. To reuse weights for some steps is left to the layer.

    Example:
        >>> import numpy as np
        >>> from polycera.balancing import Seen, get
        >>> gramian, ones = np.diag([1.0, 4.0]).astype("float32"), np.ones(2, "float32")
        >>> _, weights = get("nash_mtl").update({}, Seen(gramian, ones, ones, ones, ones))
        >>> [round(float(w), 3) for w in weights]
        [1.581, 0.791]
    """

    name = "nash_mtl"
    title = "Nash-MTL"
    paper = Paper("Navon et al.", 2022, "2202.01017")
    cost = "O(m^3), 3 to 8 solves"
    when = "tasks of very different scale; no weights to tune"

    def weigh(self, state: State, seen: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        return state, fair(
            rows.cosines, ops.ones_like(rows.active), 1.0, rows.active
        ) / rows.typical
