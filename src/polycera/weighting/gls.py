"""Compute GLS: minimise the geometric mean of the losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import mean, positive, usual, zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod


@dataclass(frozen=True)
class GLS(WeightingMethod):
    """Minimise the geometric mean of the losses, so that halving any of them has the same value.

    Chennupati et al. 2019, arXiv:1904.08492: f = (prod_t L_t)^(1 / m). weights_t = f / L_t, which
    is m times its derivative; equal losses have weights of 1. Computed in logs, where the product
    of many losses does not overflow.

    Scale: a change of one loss's unit multiplies all of f, and the direction of the step does not
        change. weight x loss is the same for all tasks.

    Where we differ: m times the paper's gradient. A loss counts as at least a thousandth of its
        usual absolute value, which is a running mean.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method, ones = get("gls"), np.ones(2, "float32")
        >>> step = StepLosses(np.array([4.0, 1.0], "float32"), ones, ones, ones, ones, ones)
        >>> _, weights = method.update(method.init(2), step)
        >>> [round(float(w), 2) for w in weights]
        [0.5, 2.0]
    """

    name = "gls"
    title = "GLS"
    paper = Paper("Chennupati et al.", 2019, "1904.08492")
    when = "losses in different units, nothing to tune; positive losses"

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "usual")

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        usual_losses = usual(state, step)
        logs = ops.log(positive(step.losses, usual_losses))
        # e^69 is 1e30, the largest weight.
        return {"usual": usual_losses}, ops.exp(ops.minimum(mean(logs, step.present) - logs, 69.0))
