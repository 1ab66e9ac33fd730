"""Apply a balancing method to named tasks, and keep its state from step to step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from keras import ops

from polycera.balancing import BalancingMethod, StepGradients, get
from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.layers.packed_arrays import StatefulMethod
from polycera.tasks.terms import factor
from polycera.typing import TaskName, Tensor


@dataclass(frozen=True)
class ActiveBalancing(StatefulMethod):
    """Holds a balancing method with its settings for some tasks that share weights.

    Attributes:
        names: the tasks.
        method: Gramian -> weights.
        preference: the user's weight of each task in the method, [tasks].
        seed: of the numbers that a method with randomness draws.
        every: weights are recomputed every so many steps, and reused in between.
    """

    names: tuple[TaskName, ...]
    method: BalancingMethod
    preference: tuple[float, ...]
    seed: int = 0
    every: int = 1

    @classmethod
    def of(cls, names: Sequence[TaskName], balancing: Any, seed: int = 0, every: int = 1) -> Self:
        """Make it from a method or a method's name, with the same preference for all tasks.

        Raises:
            UnknownName: for a method that is not known.
            InputError: for a single task, `every` below 1, or above 1 for a method that has no
                weights to reuse.
        """
        method = get(balancing)
        if len(names) < 2:
            raise InputError(
                f"Balancing {method.name!r} needs two or more tasks on one trunk, got "
                f"{listing(names)}."
            )
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(
                f"Balancing {method.name!r} got every={every!r}: give a whole number of steps, 1 "
                "or more."
            )
        if method.elementwise and every != 1:
            raise InputError(
                f"Balancing {method.name!r} draws new weights in every step and has none to "
                "reuse: leave every= out."
            )
        return cls(tuple(names), method, (1.0,) * len(names), seed, every)

    def among(self, names: Sequence[TaskName]) -> Self:
        """Return the same balancing for some of the tasks."""
        chosen = {name: self.preference[self.names.index(name)] for name in names}
        if not sum(chosen.values()) > 0:
            raise InputError(
                f"Balancing needs a preference above 0 for at least one of {listing(chosen)}, "
                "which share layers."
            )
        return replace(self, names=tuple(names), preference=preferences(names, chosen))

    @property
    def tasks(self) -> int:  # type: ignore[override]
        """Return the number of tasks, m."""
        return len(self.names)

    @property
    def initial(self) -> dict[str, np.ndarray]:
        # `step` counts the steps since the weights were recomputed.
        return {"gramian": np.zeros((self.tasks,) * 2), **super().initial, "step": np.zeros(())}

    def start(self) -> np.ndarray:
        """Return the state before the first step, [2, size]."""
        vector = super().start()
        # Row 0 holds the positive part, row 1 the negative part; see `step`.
        return np.stack([np.maximum(vector, 0), np.maximum(-vector, 0)])

    def read(self, previous: Any) -> dict[str, Any]:
        """Return the arrays of a state by name."""
        return self.packed.read(previous[0] - previous[1])

    def step(
        self,
        previous: Tensor,
        gramian: Callable[[], Tensor],
        losses: Tensor,
        last: Tensor | float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Return the weights of this step [m], and the state for the next step [2, size].

        Args:
            previous: the state from the step before.
            gramian: computes the tasks' Gramian [m, m]; not called in a step that reuses weights.
            losses: the tasks' losses, [m].
            last: 0.0 in a step whose gradient is only accumulated, to be added to those that
                follow.

        The state is stored as its positive and its negative part. Keras merges the states of
        several accumulated steps by the maximum. All steps but the last return 0, so the maximum is
        the state of the last step.
        """
        before = self.read(previous)
        memory = self.recalled(before)

        def computed() -> list[Tensor]:
            products = gramian()
            gradients = StepGradients(
                gramian=products,
                present=ops.cast(ops.diagonal(products) > 0, "float32"),
                preference=ops.convert_to_tensor(np.array(self.preference, "float32")),
                losses=losses,
                noise=before["noise"],
            )
            state, weights = self.method.update(memory, gradients)
            # A task without a gradient in this step may have one in a later step that reuses these
            # weights, so it keeps its weight.
            if self.every > 1:
                weights = ops.where(gradients.present > 0, weights, before["weights"])
            return [
                ops.cast(part, "float32")
                for part in (products, weights, *(state[name] for name in memory))
            ]

        def reused() -> list[Tensor]:
            return [before["gramian"], before["weights"], *memory.values()]

        # `ops.cond` so that a compiled step computes no Gramian where weights are reused.
        results = (
            computed() if self.every == 1 else ops.cond(before["step"] < 0.5, computed, reused)
        )
        after = dict(zip(("gramian", "weights", *self.named(memory)), results, strict=True))
        after |= {
            "noise": self.noise.after(before["noise"]),
            "step": ops.mod(before["step"] + 1.0, self.every),
        }
        vector = self.packed.pack(after) * last
        return after["weights"], ops.stack([ops.relu(vector), ops.relu(-vector)])


def preferences(
    names: Sequence[TaskName], preference: Mapping[TaskName, float]
) -> tuple[float, ...]:
    """Return the user's weights as one for each task, with mean 1; 1 for a task that is not named.

    Raises:
        UnknownName: for a name that is no task.
        InputError: for weights that are not finite, 0 or more, with a positive sum.
    """
    for name in preference:
        if name not in names:
            raise UnknownName("task in the preference:", name, names)
    weights = [
        factor(preference.get(name, 1.0), f"the preference of {shorten(name)!r}") for name in names
    ]
    if not sum(weights) > 0:
        raise InputError("A preference needs at least one weight above 0.")
    return tuple(weight * len(weights) / sum(weights) for weight in weights)
