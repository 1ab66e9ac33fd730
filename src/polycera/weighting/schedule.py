"""Move the weights of some losses to given factors over a number of steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
from keras import ops
from numpy.typing import NDArray

from polycera.errors import InputError, UnknownName
from polycera.typing import TaskName, Tensor
from polycera.weighting.method import Paper, State, StepLosses, WeightingMethod


@dataclass(frozen=True)
class Schedule(WeightingMethod):
    """Move each task's weight from 1 to a factor that the user gives, over a number of steps.

    Bowman et al. 2016, arXiv:1511.06349, section 3.1, raise the weight of one part of their loss
    while training in the same way: weights_t = 1 + (to_t - 1) p, with p from 0 in the first step to
    1 after `steps` steps, and 1 from then on. p = k / steps in step k (linear),
    (1 - cos(pi k / steps)) / 2 (cosine), or 0 until the last (step).

    Scale: does not use the losses.

    Where we differ: the authors start at 0 and follow a sigmoid; here a task starts at its own
        weight. To start a task late, give it a task weight of 0.01, for example, and a factor of
        100.

    Attributes:
        to: the factor of each task whose weight is to change, by the task's name, at least 0.
        steps: the number of steps that the change takes.
        shape: "linear", "cosine" or "step".

    Examples:
        >>> import numpy as np
        >>> from polycera.weighting import StepLosses, get
        >>> method = get({"name": "schedule", "to": {"price": 0.0}, "steps": 2}).bind(
        ...     ["volume", "price"]
        ... )
        >>> ones, state = np.ones(2, "float32"), method.init(2)
        >>> for _ in range(3):
        ...     state, weights = method.update(
        ...         state, StepLosses(ones, ones, ones, ones, ones, ones)
        ...     )
        ...     print([round(float(w), 2) for w in weights])
        [1.0, 1.0]
        [1.0, 0.5]
        [1.0, 0.0]
    """

    name = "schedule"
    title = "Schedule"
    paper = Paper("Bowman et al.", 2016, "1511.06349")
    sees = ()
    when = "you know which task should matter when"

    to: Mapping[TaskName, float] | None = field(default=None, hash=False)
    steps: int = 1000
    shape: str = "linear"

    tasks: ClassVar[tuple[TaskName, ...] | None] = None

    def limits(self) -> None:
        self.check(
            "to", all(factor >= 0 for factor in (self.to or {}).values()), "factors of at least 0"
        )
        self.check("steps", 1 <= self.steps <= 10**7, "a whole number from 1 to ten million")
        self.check(
            "shape", self.shape in ("linear", "cosine", "step"), "'linear', 'cosine' or 'step'"
        )

    def bind(self, names: Sequence[TaskName]) -> Self:
        self.check("to", bool(self.to), "a mapping from task names to factors, say {'price': 0.1}")
        for name in self.to or {}:
            if name not in names:
                raise UnknownName("task in the schedule:", name, names)
        bound = copy.copy(self)
        # The dataclass is frozen, so a plain assignment would raise.
        object.__setattr__(bound, "tasks", tuple(names))
        return bound

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        if self.tasks is None or len(self.tasks) != m:
            named = "no task" if self.tasks is None else f"{len(self.tasks)} tasks"
            raise InputError(
                f"Weighting 'schedule' was given the names of {named} and has to start with {m}: "
                "call bind(names) first."
            )
        factors = [(self.to or {}).get(name, 1.0) for name in self.tasks]
        return {"step": np.zeros((), "float32"), "to": np.array(factors, "float32")}

    def weigh(self, state: State, step: StepLosses) -> tuple[State, Tensor]:
        progress = state["step"] / self.steps
        if self.shape == "cosine":
            progress = 0.5 - 0.5 * ops.cos(math.pi * progress)
        elif self.shape == "step":
            progress = ops.floor(progress)
        next_step = ops.minimum(state["step"] + 1.0, float(self.steps))
        return {"step": next_step, "to": state["to"]}, 1.0 + (state["to"] - 1.0) * progress
