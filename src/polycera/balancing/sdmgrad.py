"""Compute SDMGrad: MGDA near a preferred direction, with weights that move a little each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import on_simplex
from polycera.typing import Tensor


@dataclass(frozen=True)
class SDMGrad(BalancingMethod):
    """Take the shortest sum of a convex combination and `pull` times a preferred direction.

    The weights move towards it step by step.

    Xiao, Ban & Ji 2023, arXiv:2305.18409, eq. 7 and algorithm 1: w moves on the simplex against the
    gradient of |sum_i (w_i + pull p_i) g_i|^2 / 2, in `steps` projected steps with momentum,
    starting from its last value. The trunk receives the gradients with weights
    (w + pull p) / (1 + pull).

    Scale: as MGDA, drawn towards the mean by `pull`.

    Where we differ: the paper estimates the slope from two independent batches and steps with a
        third. A step has one batch here, whose Gramian is biased upwards by noise on its diagonal.
        The rest is as in the authors' code: G is divided by the squared mean norm, and with the
        published `rate` the steps do not settle but move among the corners of the simplex.

    Attributes:
        pull: the weight of the preferred direction (lambda), at least 0.
        rate: the learning rate of w.
        momentum: the momentum of the steps of w, 0 to below 1.
        steps: the number of steps of w in each training step.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.diag([1.0, 1.0]).astype("float32"), np.ones(2, "float32")
        >>> method = get("sdmgrad")
        >>> state, weights = method.update(
        ...     method.init(2), StepGradients(gramian, ones, ones, ones, ones)
        ... )
        >>> [round(float(w), 2) for w in weights]
        [1.0, 1.0]
    """

    name = "sdmgrad"
    title = "SDMGrad"
    paper = Paper("Xiao, Ban & Ji", 2023, "2305.18409")
    sees = ("gramian", "preference")
    cost = "O(m^2), 20 small steps"
    when = "MGDA, but steadier"
    preferring = True

    pull: float = 0.3
    rate: float = 10.0
    momentum: float = 0.5
    steps: int = 20

    def limits(self) -> None:
        self.check("pull", self.pull >= 0, "a number of at least 0")
        self.check("rate", self.rate > 0, "a number above 0")
        self.check("momentum", 0 <= self.momentum < 1, "a number from 0 to below 1")
        self.check("steps", self.steps >= 1, "a whole number of at least 1")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return {"weights": np.full(m, 1.0 / m, "float32")}

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        size = ops.sum(rows.norms) / rows.count
        gramian = rows.gramian / (size * size + 1e-35)
        # The tasks present share the weight that they had before; absent tasks keep theirs.
        present_share = ops.sum(state["weights"] * gradients.present)
        preferred = self.pull * gradients.preference * rows.share

        def step(t: Tensor, loop: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            w, speed = loop
            speed = self.momentum * speed + ((w + preferred)[None, :] @ gramian)[0]
            return on_simplex(w - self.rate * speed, gradients.present), speed

        # Equal shares where the tasks present had no weight.
        w = state["weights"] * gradients.present / (present_share + 1e-35) + rows.share * ops.cast(
            present_share < 1e-30, "float32"
        )
        w, _ = ops.fori_loop(0, self.steps, step, (w, ops.zeros_like(w)))
        weights = (
            state["weights"] * (1.0 - gradients.present) + w * gradients.present * present_share
        )
        return {"weights": weights}, rows.count * (w + preferred) / (1.0 + self.pull)
