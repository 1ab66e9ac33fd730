"""Give every task the weight 1: the plain sum of the losses."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.typing import Tensor
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod


@dataclass(frozen=True)
class Equal(WeightingMethod):
    """Give every task the weight 1: the tasks' own loss weights decide alone, as in stock Keras.

    This baseline is hard to beat: with tuned task weights it does as well as the methods here in
    the comparisons of Kurin et al. 2022, arXiv:2201.04122, and Xin et al. 2022, arXiv:2209.11379.
    Begin with it.

    Scale: a task whose loss is twice as large counts twice.

    Where we differ: papers that average divide by the number of tasks, we do not (see
        `weighting.method`).

    Examples:
        >>> from polycera.weighting import get
        >>> get("equal").to_config()
        {'name': 'equal'}
    """

    name = "equal"
    title = "Equal"
    paper = Paper("Kurin et al.", 2022, "2201.04122")
    sees = ()
    when = "first; with tuned task weights it is hard to beat"

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        return state, ops.ones_like(step.losses)
