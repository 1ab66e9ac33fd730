"""Compute FAMO: let all losses fall at the same rate, using the losses alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import adam, count, mean, positive, shares, usual, zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod


@dataclass(frozen=True)
class FAMO(WeightingMethod):
    """Learn weights of the log losses that favour the task whose loss fell least, relatively.

    Liu et al. 2023, arXiv:2306.03792, algorithm 2: with z = softmax(w) the network descends along
    c sum_t z_t grad log L_t, 1 / c = sum_t z_t / L_t. Then w has a step of Adam, with weight decay,
    along J' (log L - log L'), where J is the Jacobian of the softmax and L' the losses after the
    network's step. weights_t = m c z_t / L_t, whose weighted mean is 1 whatever the losses.

    Scale: the direction of the step does not depend on the scale of any loss.

    Where we differ, and it matters: the authors compute the losses of the batch a second time after
        the step. We take the losses of the next step, which come from other rows. So no second
        forward pass is needed, but a difference contains the noise of two batches: use large
        batches, or a smaller `rate`. The weights are multiplied by the number of tasks present. A
        loss counts as at least a thousandth of its usual absolute value.

    Attributes:
        rate: the learning rate of w.
        decay: how strongly w is drawn towards 0, like weight decay in Adam.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get("famo"), np.ones(2, "float32")
        >>> state = method.init(2)
        >>> for losses in ([1.0, 1.0], [1.0, 0.5]):
        ...     state, weights = method.update(
        ...         state, StepLosses(np.float32(losses), ones, ones, ones, ones, ones)
        ...     )
        >>> [round(float(w), 2) for w in weights], [round(float(w), 3) for w in state["w"]]
        ([0.69, 1.31], [0.025, -0.025])
    """

    name = "famo"
    title = "FAMO"
    paper = Paper("Liu et al.", 2023, "2306.03792")
    when = "many tasks; large batches"

    rate: float = 0.025
    decay: float = 1e-3

    def limits(self) -> None:
        self.check("rate", self.rate > 0, "a number above 0")
        self.check("decay", self.decay >= 0, "a number of at least 0")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "w", "count", "mean", "square", "usual", "last")

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        usual_losses = usual(state, step)
        losses = positive(step.losses, usual_losses)
        comparable = step.present * ops.cast(state["last"] > 0, "float32")
        z = shares(state["w"], step.present)
        fallen = ops.log(ops.where(comparable > 0, state["last"], losses)) - ops.log(losses)
        gradient = (
            z * comparable * (fallen - mean(fallen, z * comparable)) + self.decay * state["w"]
        )
        moments, change = adam(state, gradient, self.rate)
        # A task that is present for the first time has no earlier loss to compare with. Its w and
        # its Adam moments stay unchanged.
        next_state = {
            name: ops.where(comparable > 0, moment, state[name]) for name, moment in moments.items()
        }
        next_state["w"] = ops.where(comparable > 0, state["w"] - change, state["w"])
        # c z / L, computed in logs, where small losses do not overflow.
        weights = count(step.present) * shares(next_state["w"] - ops.log(losses), step.present)
        return {**next_state, "usual": usual_losses, "last": losses}, weights
