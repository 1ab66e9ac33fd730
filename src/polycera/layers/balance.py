"""A balancing method at work on named tasks: settings, and what is carried from step to step."""

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
    """How the gradients of some tasks meet in what they share.

    Attributes:
        names: the tasks.
        method: Gramian -> weights.
        preference: the user's weight of each task in the method, [tasks].
        seed: of the numbers that a method with randomness draws.
        every: weights are made anew every so many steps, and kept in between.
    """

    names: tuple[TaskName, ...]
    method: BalancingMethod
    preference: tuple[float, ...]
    seed: int = 0
    every: int = 1

    @classmethod
    def of(cls, names: Sequence[TaskName], balancing: Any, seed: int = 0, every: int = 1) -> Self:
        """A method by name or as it is, all tasks alike.

        Raises:
            UnknownName: for a method that is not known.
            InputError: for a single task, `every` below 1, or above 1 for a method that has no
                weights to keep.
        """
        method = get(balancing)
        if len(names) < 2:
            raise InputError(
                f"Balancing {method.name!r} needs two or more tasks on one trunk, got {listing(names)}."
            )
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(
                f"Balancing {method.name!r} got every={every!r}: give a whole number of steps, 1 or more."
            )
        if method.elementwise and every != 1:
            raise InputError(
                f"Balancing {method.name!r} draws anew in every step and keeps nothing: leave every= out."
            )
        return cls(tuple(names), method, (1.0,) * len(names), seed, every)

    def among(self, names: Sequence[TaskName]) -> Self:
        """The same for some of the tasks."""
        kept = {name: self.preference[self.names.index(name)] for name in names}
        if not sum(kept.values()) > 0:
            raise InputError(
                f"Balancing: a preference of 0 for each of {listing(kept)}, which share layers."
            )
        return replace(self, names=tuple(names), preference=preferences(names, kept))

    @property
    def tasks(self) -> int:  # type: ignore[override]
        """Their number, m."""
        return len(self.names)

    @property
    def own(self) -> dict[str, np.ndarray]:
        return {"gramian": np.zeros((self.tasks,) * 2), **super().own, "step": np.zeros(())}

    def start(self) -> np.ndarray:
        """What is carried into the first step, [2, size]."""
        vector = super().start()
        return np.stack([np.maximum(vector, 0), np.maximum(-vector, 0)])

    def read(self, carried: Any) -> dict[str, Any]:
        """What was carried, by name."""
        return self.packed.read(carried[0] - carried[1])

    def step(
        self,
        carried: Tensor,
        gramian: Callable[[], Tensor],
        losses: Tensor,
        last: Tensor | float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """The weights of this step [m], and what is carried into the next [2, size].

        Args:
            carried: from the step before.
            gramian: makes the tasks' Gramian [m, m]; not called in a step that keeps its weights.
            losses: the tasks' losses, [m].
            last: 0.0 in a step whose gradient is only put aside, to be added to those that follow.

        The vector is carried as its positive and its negative part. Keras merges what several
        accumulated steps hand on by the maximum; where all but the last hand on 0, that is the
        last.
        """
        before = self.read(carried)
        memory = self.recalled(before)

        def anew() -> list[Tensor]:
            found = gramian()
            seen = StepGradients(
                gramian=found,
                present=ops.cast(ops.diagonal(found) > 0, "float32"),
                preference=ops.convert_to_tensor(np.array(self.preference, "float32")),
                losses=losses,
                noise=before["noise"],
            )
            state, weights = self.method.update(memory, seen)
            # a task without a gradient now may have one before weights are made anew
            if self.every > 1:
                weights = ops.where(seen.present > 0, weights, before["weights"])
            return [
                ops.cast(part, "float32")
                for part in (found, weights, *(state[name] for name in memory))
            ]

        def kept() -> list[Tensor]:
            return [before["gramian"], before["weights"], *memory.values()]

        found = anew() if self.every == 1 else ops.cond(before["step"] < 0.5, anew, kept)
        after = dict(zip(("gramian", "weights", *self.named(memory)), found, strict=True))
        after |= {
            "noise": self.noise.after(before["noise"]),
            "step": ops.mod(before["step"] + 1.0, self.every),
        }
        vector = self.packed.pack(after) * last
        return after["weights"], ops.stack([ops.relu(vector), ops.relu(-vector)])


def preferences(
    names: Sequence[TaskName], preference: Mapping[TaskName, float]
) -> tuple[float, ...]:
    """A user's weights by name -> one for each task, 1 where none is named, of mean 1.

    Raises:
        UnknownName: for a name that is no task.
        InputError: for weights that are not finite, 0 or more, with a positive sum.
    """
    for name in preference:
        if name not in names:
            raise UnknownName("task in the preference:", name, names)
    given = [
        factor(preference.get(name, 1.0), f"the preference of {shorten(name)!r}") for name in names
    ]
    if not sum(given) > 0:
        raise InputError("A preference needs at least one weight above 0.")
    return tuple(weight * len(given) / sum(given) for weight in given)
