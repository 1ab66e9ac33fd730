"""Compute the plain sum of the tasks' gradients."""

from __future__ import annotations

from dataclasses import dataclass

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.typing import Tensor


@dataclass(frozen=True)
class Mean(BalancingMethod):
    """Pass every task's gradient unchanged: the trunk receives the sum, as in stock Keras.

    With a preference p, weights_i = p_i. Nothing is balanced. A well-tuned preference is often as
    good as any method here (Kurin 2022, arXiv:2201.04122; Xin 2022, arXiv:2209.11379). So begin
    with it.

    Scale: a task whose gradients are twice as long counts twice.

    Where we differ: papers divide by the number of tasks, we do not (see `balancing.method`).

    Examples:
        >>> from polycera.balancing import get
        >>> get("mean").to_config()
        {'name': 'mean'}
    """

    name = "mean"
    title = "Mean"
    paper = Paper("Caruana", 1997, "")
    sees = ("preference",)
    cost = "O(m)"
    when = "first; with tuned weights it is hard to beat"
    preferring = True

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        return state, gradients.preference
