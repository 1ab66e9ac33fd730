"""The logarithm of each loss: scale-invariant weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polycera.typing import Tensor
from polycera.weighting.arithmetic import positive, usual, zeros
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod


@dataclass(frozen=True)
class Log(WeightingMethod):
    """Minimise the sum of the losses' logarithms, which no unit of a loss can change.

    Lin et al. 2023, arXiv:2308.12029, section 3.1, balances scales of losses in this way before it
    turns to gradients; Navon et al. 2022, arXiv:2202.01017, have the same as the baseline
    "scale-invariant" (SI): f = sum_t log L_t. weights_t = 1 / L_t is its derivative.

    Scale: none: weight x loss is 1 for every task in every step. The total loss is then the number
        of tasks, whatever
    is learnt; watch the tasks' own.

    Where we differ: a loss counts as at least a thousandth of its usual absolute value, which a
    running mean keeps, where others add 1e-8 or so, which is much to a small loss. The other half
    of DB-MTL is a matter for balancing.

    Example:
        >>> import numpy as np
        >>> from polycera.weighting import Seen, get
        >>> method, ones = get("log"), np.ones(2, "float32")
        >>> seen = Seen(np.array([4.0, 0.5], "float32"), ones, ones, ones, ones, ones)
        >>> _, weights = method.update(method.init(2), seen)
        >>> [round(float(w), 2) for w in weights]
        [0.25, 2.0]
    """

    name = "log"
    title = "Log"
    paper = Paper("Lin et al.", 2023, "2308.12029")
    when = "losses in different units; beside a balancing. Alone it can leave a task behind once losses are small"

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        return zeros(m, "usual")

    def weigh(self, state: State, seen: StepLosses) -> tuple[State, Tensor]:
        often = usual(state, seen)
        return {"usual": often}, 1.0 / positive(seen.losses, often)
