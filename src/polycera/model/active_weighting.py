"""Apply a loss weighting in a model's steps, with the state that it carries from step to step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops

from polycera.layers.packed_arrays import StatefulMethod
from polycera.typing import Tensor
from polycera.weighting import StepLosses, WeightingMethod


@dataclass(frozen=True)
class ActiveWeighting(StatefulMethod):
    """Hold how the losses of some tasks are weighted.

    Attributes:
        method: losses -> weights.
        tasks: their number, m.
        preference: the user's weight of each task in the method, or None for all alike.
        seed: of the random numbers that a method draws.
    """

    method: WeightingMethod
    tasks: int
    preference: tuple[float, ...] | None = None
    seed: int = 0

    def step(
        self, carried: Tensor, losses: Tensor, present: Tensor, norms: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the weights of this step [m], and the state for the next step.

        Args:
            carried: state from the step before, [size].
            losses, present: of the global batch, [m]; see `weighting.StepLosses`.
            norms: of the tasks' gradients in the step before, [m].
        """
        before = self.packed.read(carried)
        seen = StepLosses(
            losses=losses,
            present=present,
            norms=norms,
            preference=ops.convert_to_tensor(
                np.array(self.preference or (1.0,) * self.tasks, "float32")
            ),
            noise=before["noise"],
            weights=before["weights"],
        )
        memory, weights = self.method.update(self.recalled(before), seen)
        after = {
            "weights": weights,
            "noise": self.noise.after(before["noise"]),
            **self.named(memory),
        }
        return ops.stop_gradient(weights), ops.stop_gradient(self.packed.pack(after))
