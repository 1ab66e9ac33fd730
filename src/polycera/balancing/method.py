"""Define the base of all balancing methods: frozen hyperparameters with `init` and `update`.

The convention of the whole room: the trunk receives `sum_i weights_i * g_i`, where `g_i` is the
gradient of task i's weighted loss. Weights of 1 are the plain sum, which is what stock Keras does.
If a paper averages, so that equal treatment means weights of 1/m, its weights are multiplied by m
here (m is the number of tasks present in the batch).

Two laws hold for every method. `BalancingMethod.update` enforces them:

- A task that is absent gets weight 0 and takes no part: the others get the weights that they would
  get without it.
- The weights do not change when all gradients are multiplied by one number. So loss scaling in
  float16 and the learning rate have their usual meaning. Where a paper's weights do change
  (Nash-MTL, FairGrad), its file says so.

The step of every method is bounded, also where the tasks' gradients cancel out, which is where
balanced training ends. Where a paper's equation has no finite solution, the step stays within a
limit that the method's file states.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

from keras import ops

from polycera.method_base import MethodBase, Paper, State
from polycera.typing import Tensor

__all__ = ["BalancingMethod", "Paper", "Rows", "State", "StepGradients"]

FAINT = 1e-30
"""Squared norms below this share of the largest count as no gradient.

In the norm these are 15 orders of magnitude.
"""


class StepGradients(NamedTuple):
    """Hold the inputs of a balancing method in one step, in float32.

    Attributes:
        gramian: [m, m] inner products of the gradients of the tasks' weighted losses; rows of
            absent tasks are 0.
        present: [m] 1.0 where the task had a label in the batch, else 0.0.
        preference: [m] the user's preference for each task, at least 0, mean 1.
        losses: [m] the tasks' losses in this step.
        noise: [m] uniform(0, 1) numbers of this step, for methods with randomness; `argsort` gives
            a permutation.
    """

    gramian: Tensor
    present: Tensor
    preference: Tensor
    losses: Tensor
    noise: Tensor


class Rows:
    """Split the Gramian into angles and lengths, so that float32 is enough for tasks of any scale.

    A part is computed when a method first uses it. An entry of the Gramian that is not finite
    counts as 0.

    Attributes:
        present: [m] 1.0 for tasks that had a label in the batch, else 0.0.
        active: [m] 1.0 for tasks that are present and have a gradient, else 0.0.
        gramian: [m, m] inner products of the active tasks, divided by the largest squared norm.
    """

    def __init__(self, gradients: StepGradients) -> None:
        finite = ops.nan_to_num(gradients.gramian, nan=0.0, posinf=0.0, neginf=0.0)
        # Divided by the largest squared norm below, so that no product overflows or underflows.
        squares = ops.diagonal(finite) * gradients.present
        top = ops.max(squares) + 1e-37
        self.present = gradients.present
        self.active = ops.cast(squares > FAINT * top, "float32")
        self.gramian = finite * (self.active[:, None] / top) * self.active[None, :]
        self._squares = squares / top

    @cached_property
    def lengths(self) -> Tensor:
        """Return the norms divided by the largest [m]; tasks without a gradient get 1.

        So the result is safe to divide by.
        """
        return ops.sqrt(self._squares * self.active + (1.0 - self.active))

    @cached_property
    def norms(self) -> Tensor:
        """Return the norms of the gradients divided by the largest [m]; 0 without a gradient."""
        return self.lengths * self.active

    @cached_property
    def cosines(self) -> Tensor:
        """Return the cosines between gradients [m, m]; rows of tasks without a gradient are 0."""
        return self.gramian / self.lengths[:, None] / self.lengths[None, :]

    @cached_property
    def count(self) -> Tensor:
        """Return the number of tasks present [], at least 1."""
        return ops.maximum(ops.sum(self.present), 1.0)

    @cached_property
    def share(self) -> Tensor:
        """Return 1 / count for the tasks present, 0 for the others [m]."""
        return self.present / self.count

    @cached_property
    def inverse(self) -> Tensor:
        """Return the shortest norm divided by each norm [m]; 0 for tasks without a gradient."""
        return self.active * ops.min(self.lengths) / self.lengths

    @cached_property
    def typical(self) -> Tensor:
        """Return the lengths divided by their root mean square over the tasks present [m]."""
        return self.lengths / ops.sqrt(ops.sum(self.norms * self.norms) / self.count + 1e-37)

    def shortened(self, weights: Tensor, times: float) -> Tensor:
        """Return `weights` [m], scaled down where the step is too long.

        Args:
            weights: [m] the weights of the gradients.
            times: the maximum length of the step, as a multiple of the sum of all gradient norms.
        """
        along = (weights[None, :] @ self.gramian)[0]
        length = ops.sqrt(ops.relu(ops.sum(weights * along)))
        longest = times * ops.sum(self.norms)
        return weights * (longest / (ops.maximum(length, longest) + 1e-37))

    def regularized(self, amount: float, relative: str) -> Tensor:
        """Return the cosines [m, m] with a regularised diagonal.

        Args:
            amount: the factor of what is added.
            relative: "task" adds `amount` times each task's own squared norm, "trace" adds `amount`
                times the sum of all squared norms. Both are meant for the diagonal of the Gramian.
        """
        eye = ops.eye(self.active.shape[0], dtype="float32")
        if relative == "task":
            return self.cosines + amount * eye
        return (
            self.cosines
            + amount * eye * (ops.sum(self._squares) / (self.lengths * self.lengths))[None, :]
        )


@dataclass(frozen=True)
class BalancingMethod(MethodBase):
    """Describe a published method that turns the Gramian of the tasks' gradients into weights.

    A method is the frozen dataclass of its hyperparameters. Whatever it remembers from step to step
    is in the state, which `init` creates and `update` returns, as arrays of fixed shape. `update`
    is written in `keras.ops`, has no Python branch on values and can be compiled. Its loops end
    after a fixed number of rounds at the latest.

    Attributes:
        elementwise: True for a method that is no function of the Gramian but works at each feature
            of each row. Its weights are then 1. `graddrop.GradDrop` shows the methods that the fork
            calls instead.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian = np.array([[1.0, -0.5], [-0.5, 1.0]], "float32")
        >>> ones = np.ones(2, "float32")
        >>> method = get("upgrad")
        >>> state, weights = method.update(
        ...     method.init(2), StepGradients(gramian, ones, ones, ones, ones)
        ... )
        >>> [round(float(w), 2) for w in weights]
        [1.5, 1.5]
    """

    room = "Balancing"
    sees: ClassVar[tuple[str, ...]] = ("gramian",)
    elementwise: ClassVar[bool] = False

    def update(self, state: State, gradients: StepGradients) -> tuple[State, Tensor]:
        """Return the state after this step, and the weights of the tasks' gradients in the trunk.

        Args:
            state: what `init` or the last `update` returned.
            gradients: the inputs of this step.

        Returns:
            The new state and the weights [m], 0 for absent tasks.
        """
        gradients = StepGradients(*(ops.cast(part, "float32") for part in gradients))
        state = {name: ops.convert_to_tensor(part) for name, part in state.items()}
        state, weights = self.weigh(state, gradients, Rows(gradients))
        return state, weights * gradients.present

    @abstractmethod
    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        """Compute the new state and the weights from the parts of the Gramian.

        The weights of absent tasks are ignored.
        """
