"""What every weighting is: a frozen set of hyperparameters with the pair `init` and `update`.

The convention of the whole room: the total loss is `sum_t weights_t * task_weight_t * losses_t`,
with the weights as constants. Weights of 1 are the plain sum, which is what stock Keras does. A
paper whose weights sum to 1 has them multiplied by m here (m counts the tasks present in the
batch). A paper that minimises a function f of the losses is served by weights_t = c * df/dlosses_t,
which gives exactly its gradient; its file says what c is.

Three laws hold for every method, and `Method.update` sees to them:

- A task that is absent gets weight 0 and takes no part: the others get what they would get without
  it, and what is remembered of it stays as it is. A task whose loss is NaN or infinite counts as
  absent in that step.
- Weights are finite and at least 0, whatever comes.
- Nothing is differentiated: losses go in, weights come out, and no gradient flows through either.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from keras import ops

from polycera.method_base import MethodBase, Paper, State
from polycera.typing import TaskName, Tensor

__all__ = ["LARGEST", "Paper", "State", "StepLosses", "WeightingMethod"]

LARGEST = 1e30
"""No weight, loss or norm counts as more than this: float32 ends at 3e38, and weights are multiplied by losses."""


class StepLosses(NamedTuple):
    """What a weighting sees of a step, in float32.

    Attributes:
        losses: [m] the tasks' losses in this step: sum of term weight x term, without the task's
            own weight, which multiplies whatever the weighting says.
        present: [m] 1.0 where the task had a label in the batch, else 0.0.
        norms: [m] norms of the tasks' gradients at the fork in the step before, of the losses as
            they were weighted then (weight x task weight x loss); 0 before the first step, for
            absent tasks and where there is no fork.
        preference: [m] the user's weight per task, at least 0, mean 1.
        noise: [m] uniform(0, 1) numbers of this step, for methods with randomness.
        weights: [m] what this weighting said in the step before, 1 at first.
    """

    losses: Tensor
    present: Tensor
    norms: Tensor
    preference: Tensor
    noise: Tensor
    weights: Tensor


@dataclass(frozen=True)
class WeightingMethod(MethodBase):
    """A published way to turn the tasks' losses into weights of whole losses, trunk and heads alike.

    A method is the frozen dataclass of its hyperparameters; whatever it remembers from step to step
    is in the state that `init` makes and `update` hands back, in arrays of fixed shape. `update` is
    written in `keras.ops`, has no Python branch on values and can be compiled.

    An entry of the state is either a scalar or has the tasks as its first axis. In the latter the
    rows of absent tasks stay as they are; a scalar belongs to all tasks and moves on in every step.
    Neither takes a value that is not finite.

    Example:
        >>> import numpy as np
        >>> from polycera.weighting import Seen, get
        >>> ones = np.ones(2, "float32")
        >>> seen = Seen(np.array([4.0, 1.0], "float32"), ones, ones, ones, ones, ones)
        >>> method = get("gls")
        >>> state, weights = method.update(method.init(2), seen)
        >>> [round(float(w), 2) for w in weights]
        [0.5, 2.0]
    """

    room = "Weighting"
    sees: ClassVar[tuple[str, ...]] = ("losses",)
    cost = "O(m)"

    def bind(self, names: Sequence[TaskName]) -> Self:
        """The method for these tasks, in this order; itself, unless its hyperparameters name tasks.

        Raises:
            UnknownName: for a task in the hyperparameters that is not among them.
        """
        return self

    def update(self, state: State, seen: StepLosses) -> tuple[State, Tensor]:
        """The state after this step, and the weights [m] by which the total loss takes the tasks' losses."""
        seen = clean(seen)
        state = {
            name: ops.stop_gradient(ops.convert_to_tensor(part)) for name, part in state.items()
        }
        following, weights = self.weigh(state, seen)
        state = {name: kept(part, following[name], seen.present) for name, part in state.items()}
        weights = ops.clip(
            ops.nan_to_num(weights, nan=0.0, posinf=LARGEST, neginf=0.0), 0.0, LARGEST
        )
        return state, ops.where(seen.present > 0, weights, 0.0)

    @abstractmethod
    def weigh(self, state: State, seen: StepLosses) -> tuple[State, Tensor]:
        """The method itself; all is finite here, and what it says of absent tasks is ignored."""


def clean(seen: StepLosses) -> StepLosses:
    """The same in float32 and without gradients; what is not finite taken out, and tasks with such a loss absent."""
    seen = StepLosses(*(ops.stop_gradient(ops.cast(part, "float32")) for part in seen))
    present = seen.present * ops.cast(ops.isfinite(seen.losses), "float32")
    finite = StepLosses(
        *(ops.clip(ops.where(ops.isfinite(part), part, 0.0), -LARGEST, LARGEST) for part in seen)
    )
    return finite._replace(present=present)


def kept(old: Tensor, new: Tensor, present: Tensor) -> Tensor:
    """An entry of the state: the new one, with the old values of absent tasks and in place of what is not finite."""
    good = ops.isfinite(new)
    if len(old.shape):
        good = ops.logical_and(good, ops.reshape(present > 0, (-1,) + (1,) * (len(old.shape) - 1)))
    return ops.where(good, new, old)
