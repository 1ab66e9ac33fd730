"""What every balancing method is: a frozen set of hyperparameters with the pair `init` and `update`.

The convention of the whole room: the trunk receives `sum_i weights_i * g_i`, where `g_i` is the
gradient of task i's weighted loss. Weights of 1 are the plain sum, which is what stock Keras does.
A paper that averages, so that equal treatment reads 1/m, has its weights multiplied by m here (m
counts the tasks present in the batch).

Two laws hold for every method, and `Method.update` sees to them:

- A task that is absent gets weight 0 and takes no part: the others get what they would get without
  it.
- The weights do not change when all gradients are multiplied by one number. Loss scaling in float16
  and a learning rate then keep their meaning. Where a paper's weights do change (Nash-MTL,
  FairGrad), its file says so.

And every method's step is bounded, also where the tasks' gradients cancel out, which is where
balanced training ends: what a paper's equation leaves without a finite solution there is kept
    within a limit that the method's file states.
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
"""A squared norm below this part of the largest counts as no gradient at all: 15 orders of magnitude in the norm."""


class StepGradients(NamedTuple):
    """What a balancing method sees of a step, in float32.

    Attributes:
        gramian: [m, m] inner products of the tasks' gradients (of the weighted losses); rows of
            absent tasks are 0.
        present: [m] 1.0 where the task had a label in the batch, else 0.0.
        preference: [m] the user's weight per task, at least 0, mean 1.
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
    """The Gramian taken apart into angles and lengths, so that float32 serves tasks of any scale.

    Parts are computed when a method first asks for them. An entry of the Gramian that is not finite
    counts as 0.

    Attributes:
        gramian: [m, m] of the tasks that take part, divided by the largest squared norm.
        active: [m] 1.0 for tasks that are present and have a gradient, else 0.0.
    """

    def __init__(self, seen: StepGradients) -> None:
        finite = ops.nan_to_num(seen.gramian, nan=0.0, posinf=0.0, neginf=0.0)
        squares = ops.diagonal(finite) * seen.present
        top = ops.max(squares) + 1e-37
        self.present = seen.present
        self.active = ops.cast(squares > FAINT * top, "float32")
        self.gramian = finite * (self.active[:, None] / top) * self.active[None, :]
        self._squares = squares / top

    @cached_property
    def lengths(self) -> Tensor:
        """[m] norms of the gradients divided by the largest, with 1 for tasks that have none: safe to divide by."""
        return ops.sqrt(self._squares * self.active + (1.0 - self.active))

    @cached_property
    def norms(self) -> Tensor:
        """[m] norms of the gradients divided by the largest."""
        return self.lengths * self.active

    @cached_property
    def cosines(self) -> Tensor:
        """[m, m] cosines between gradients; rows of tasks that are absent or have no gradient are 0."""
        return self.gramian / self.lengths[:, None] / self.lengths[None, :]

    @cached_property
    def count(self) -> Tensor:
        """[] how many tasks are present, at least 1."""
        return ops.maximum(ops.sum(self.present), 1.0)

    @cached_property
    def share(self) -> Tensor:
        """[m] 1 / count for the tasks present, 0 for the others."""
        return self.present / self.count

    @cached_property
    def inverse(self) -> Tensor:
        """[m] the shortest norm divided by each norm, 0 for tasks without a gradient."""
        return self.active * ops.min(self.lengths) / self.lengths

    @cached_property
    def typical(self) -> Tensor:
        """[m] the lengths divided by their root mean square over the tasks present."""
        return self.lengths / ops.sqrt(ops.sum(self.norms * self.norms) / self.count + 1e-37)

    def shortened(self, weights: Tensor, times: float) -> Tensor:
        """Return `weights` [m], scaled down to a step of `times` the length of all gradients laid end to end."""
        along = (weights[None, :] @ self.gramian)[0]
        length = ops.sqrt(ops.relu(ops.sum(weights * along)))
        longest = times * ops.sum(self.norms)
        return weights * (longest / (ops.maximum(length, longest) + 1e-37))

    def regularized(self, amount: float, relative: str) -> Tensor:
        """[m, m] the cosines with `amount` times each task's own squared norm, or the trace, on the diagonal."""
        eye = ops.eye(self.active.shape[0], dtype="float32")
        if relative == "task":
            return self.cosines + amount * eye
        return (
            self.cosines
            + amount * eye * (ops.sum(self._squares) / (self.lengths * self.lengths))[None, :]
        )


@dataclass(frozen=True)
class BalancingMethod(MethodBase):
    """A published way to turn the Gramian of the tasks' gradients into weights.

    A method is the frozen dataclass of its hyperparameters; whatever it remembers from step to step
    is in the state that `init` makes and `update` hands back, in arrays of fixed shape. `update` is
    written in `keras.ops`, has no Python branch on values and can be compiled; loops end after a
    fixed number of rounds at the latest.

    Attributes:
        elementwise: True where the method is no function of the Gramian but works at each feature
            of each row; its weights are then 1, and `graddrop.GradDrop` shows what it offers to the
            fork instead.

    Example:
        >>> import numpy as np
        >>> from polycera.balancing import Seen, get
        >>> gramian = np.array([[1.0, -0.5], [-0.5, 1.0]], "float32")
        >>> ones = np.ones(2, "float32")
        >>> method = get("upgrad")
        >>> state, weights = method.update(method.init(2), Seen(gramian, ones, ones, ones, ones))
        >>> [round(float(w), 2) for w in weights]
        [1.5, 1.5]
    """

    room = "Balancing"
    sees: ClassVar[tuple[str, ...]] = ("gramian",)
    elementwise: ClassVar[bool] = False

    def update(self, state: State, seen: StepGradients) -> tuple[State, Tensor]:
        """The state after this step, and the weights [m] by which the trunk takes the tasks' gradients."""
        seen = StepGradients(*(ops.cast(part, "float32") for part in seen))
        state = {name: ops.convert_to_tensor(part) for name, part in state.items()}
        state, weights = self.weigh(state, seen, Rows(seen))
        return state, weights * seen.present

    @abstractmethod
    def weigh(self, state: State, seen: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        """The method itself, given the Gramian taken apart; weights of absent tasks are ignored."""
