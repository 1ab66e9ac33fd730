"""Minimise the logarithm of each loss, which gives scale-invariant weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import positive, usual, zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod


@dataclass(frozen=True)
class Log(WeightingMethod):
    """Minimise the sum of the losses' logarithms, which does not depend on the scale of a loss.

    Lin et al. 2023, arXiv:2308.12029, section 3.1, balance the scales of losses in this way before
    they turn to gradients. Navon et al. 2022, arXiv:2202.01017, have the same as the baseline
    "scale-invariant" (SI): f = sum_t log L_t. weights_t = 1 / L_t is its derivative.

    Scale: none: weight x loss is 1 for every task in every step. So the total loss is always the
        number of tasks, whatever the network learns; watch the losses of the tasks.

    Where we differ: a loss counts as at least a thousandth of its usual absolute value, which is a
        running mean. Others add 1e-8 or so, which is much compared with a small loss. The other
        half of DB-MTL concerns gradients and so is no part of this method.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get("log"), np.ones(2, "float32")
        >>> step = StepLosses(np.array([4.0, 0.5], "float32"), ones, ones, ones, ones, ones)
        >>> _, weights = method.update(method.init(2), step)
        >>> [round(float(w), 2) for w in weights]
        [0.25, 2.0]
    """

    name = "log"
    title = "Log"
    paper = Paper("Lin et al.", 2023, "2308.12029")
    when = (
        "losses in different units; together with a balancing. Alone it can leave a task behind "
        "once losses are small"
    )

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "usual")

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        usual_losses = usual(state, step)
        return {"usual": usual_losses}, 1.0 / positive(step.losses, usual_losses)
