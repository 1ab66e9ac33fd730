"""Compute UW-SO: the optimum of uncertainty weighting in closed form, with a temperature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import count, positive, shares, usual, zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod


@dataclass(frozen=True)
class UWSO(WeightingMethod):
    """Take the softmax of the inverse losses: the optimum of uncertainty weighting, tempered.

    Without the temperature T the optimum is 1 / L.

    Kirchdorfer et al. 2024, arXiv:2408.07985: weights = softmax((1 / L) / T), losses as constants.

    Scale: the weights depend on the scale of the losses: dividing all losses by 2 is the same as
        halving T.

    Where we differ: multiplied by the number of tasks present. A loss counts as at least a
        thousandth of its usual absolute value, which is a running mean.

    Attributes:
        temperature: T, to be tuned for the data, as in the paper. Start with about the usual size
            of 1 / L: with a much smaller T the task with the smallest loss gets all the weight.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get("uw_so"), np.ones(2, "float32")
        >>> step = StepLosses(np.array([2.0, 1.0], "float32"), ones, ones, ones, ones, ones)
        >>> state, weights = method.update(method.init(2), step)
        >>> [round(float(w), 2) for w in weights]
        [0.76, 1.24]
    """

    name = "uw_so"
    title = "UW-SO"
    paper = Paper("Kirchdorfer et al.", 2024, "2408.07985")
    when = (
        "only with a temperature tuned to the size of your losses; "
        "the default lost wherever it was tried"
    )

    temperature: float = 1.0

    def limits(self) -> None:
        self.check("temperature", self.temperature > 0, "a number above 0")

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "usual")

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        usual_losses = usual(state, step)
        inverse = 1.0 / positive(step.losses, usual_losses)
        return {"usual": usual_losses}, count(step.present) * shares(
            inverse / self.temperature, step.present
        )
