"""Define the base of all loss weightings: frozen hyperparameters with `init` and `update`.

The convention of the whole room: the total loss is `sum_t weights_t * task_weight_t * losses_t`,
with the weights as constants. Weights of 1 are the plain sum, which is what stock Keras does. If a
paper's weights sum to 1, they are multiplied by m here (m is the number of tasks present in the
batch). A paper that minimises a function f of the losses has weights_t = c * df/dlosses_t, which
gives exactly its gradient; its file says what c is.

Three laws hold for every method. `WeightingMethod.update` enforces them:

- A task that is absent gets weight 0 and takes no part: the others get the weights that they would
  get without it, and the state of the absent task does not change. A task whose loss is NaN or
  infinite counts as absent in that step.
- Weights are finite and at least 0 for any input.
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
"""Largest weight, loss or norm; larger values count as this.

Float32 ends at 3e38, and weights are multiplied by losses.
"""


class StepLosses(NamedTuple):
    """Hold the inputs of a weighting in one step, in float32.

    Attributes:
        losses: [m] the tasks' losses in this step: sum of term weight x term, without the task's
            own loss weight, which is multiplied with the weight from here.
        present: [m] 1.0 where the task had a label in the batch, else 0.0.
        norms: [m] norms of the gradients of the tasks' weighted losses (weight x task weight x
            loss) at the fork, in the step before; 0 before the first step, for absent tasks and
            where there is no fork.
        preference: [m] the user's preference for each task, at least 0, mean 1.
        noise: [m] uniform(0, 1) numbers of this step, for methods with randomness.
        weights: [m] the weights from the step before, 1 at first.
    """

    losses: Tensor
    present: Tensor
    norms: Tensor
    preference: Tensor
    noise: Tensor
    weights: Tensor


@dataclass(frozen=True)
class WeightingMethod(MethodBase):
    """Describe a published method that turns the tasks' losses into weights of whole losses.

    The weights apply to trunk and heads alike.

    A method is the frozen dataclass of its hyperparameters. Whatever it remembers from step to step
    is in the state, which `init` creates and `update` returns, as arrays of fixed shape. `update`
    is written in `keras.ops`, has no Python branch on values and can be compiled.

    An entry of the state is either a scalar or has the tasks as its first axis. In the latter case
    the rows of absent tasks do not change. A scalar belongs to all tasks and changes in every step.
    Neither takes a value that is not finite.

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> ones = np.ones(2, "float32")
        >>> step = StepLosses(np.array([4.0, 1.0], "float32"), ones, ones, ones, ones, ones)
        >>> method = get("gls")
        >>> state, weights = method.update(method.init(2), step)
        >>> [round(float(w), 2) for w in weights]
        [0.5, 2.0]
    """

    room = "Weighting"
    sees: ClassVar[tuple[str, ...]] = ("losses",)
    cost = "O(m)"

    def bind(self, names: Sequence[TaskName]) -> Self:
        """Return the method for these tasks, in this order.

        This is the method itself, unless its hyperparameters name tasks.

        Raises:
            UnknownName: for a task in the hyperparameters that is not among them.
        """
        return self

    def update(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        """Return the state after this step, and the weights of the tasks' losses in the total loss.

        Args:
            state: what `init` or the last `update` returned.
            step: the inputs of this step.

        Returns:
            The new state and the weights [m], 0 for absent tasks.
        """
        step = clean(step)
        state = {
            name: ops.stop_gradient(ops.convert_to_tensor(part)) for name, part in state.items()
        }
        following, weights = self.weigh(state, step)
        state = {
            name: present_only(part, following[name], step.present) for name, part in state.items()
        }
        # A method may divide by a loss of 0; the weights that come out must still be usable.
        weights = ops.clip(
            ops.nan_to_num(weights, nan=0.0, posinf=LARGEST, neginf=0.0), 0.0, LARGEST
        )
        return state, ops.where(step.present > 0, weights, 0.0)

    @abstractmethod
    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        """Compute the new state and the weights.

        All inputs are finite here, and the results of absent tasks are ignored.
        """


def clean(step: StepLosses) -> StepLosses:
    """Return the inputs in float32, finite and without gradients.

    Values that are not finite become 0, and tasks with such a loss become absent.
    """
    step = StepLosses(*(ops.stop_gradient(ops.cast(part, "float32")) for part in step))
    # Before infinities become 0: a loss of 0 would look perfect.
    present = step.present * ops.cast(ops.isfinite(step.losses), "float32")
    finite = StepLosses(
        *(ops.clip(ops.where(ops.isfinite(part), part, 0.0), -LARGEST, LARGEST) for part in step)
    )
    return finite._replace(present=present)


def present_only(old: Tensor, new: Tensor, present: Tensor) -> Tensor:
    """Return the new entry of the state, with old values where the new ones do not count.

    These are the rows of absent tasks and the values that are not finite.
    """
    usable = ops.isfinite(new)
    # A scalar belongs to all tasks, so it changes whichever of them are absent.
    if len(old.shape):
        usable = ops.logical_and(
            usable, ops.reshape(present > 0, (-1,) + (1,) * (len(old.shape) - 1))
        )
    return ops.where(usable, new, old)
