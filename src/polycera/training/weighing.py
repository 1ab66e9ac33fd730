"""A weighting at work in a model: what is carried from step to step, and what a step makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from keras import ops

from polycera.networks.packed import Noise, Packed
from polycera.shapes import Tensor
from polycera.weighting import Method, Seen


@dataclass(frozen=True)
class Weighing:
    """How the losses of some tasks are weighted.

    Attributes:
        method: losses -> weights.
        tasks: their number, m.
        preference: the user's weight of each task in the method, or None for all alike.
        seed: of the numbers that a method with randomness draws.
    """

    method: Method
    tasks: int
    preference: tuple[float, ...] | None = None
    seed: int = 0

    @cached_property
    def memory(self) -> dict[str, np.ndarray]:
        """What the method remembers, before the first step."""
        return {name: np.asarray(value, "float32") for name, value in sorted(self.method.init(self.tasks).items())}

    @cached_property
    def noise(self) -> Noise:
        """The numbers that a method with randomness draws."""
        return Noise(self.tasks, self.seed)

    @cached_property
    def packed(self) -> Packed:
        """What is carried."""
        m = self.tasks
        own: dict[str, tuple[int, ...]] = {"weights": (m,), "noise": (m,)}
        return Packed(own | {f"memory/{name}": value.shape for name, value in self.memory.items()})

    def start(self) -> np.ndarray:
        """What is carried into the first step, [size]."""
        arrays = {"weights": np.ones(self.tasks), "noise": self.noise.start()}
        arrays |= {f"memory/{name}": value for name, value in self.memory.items()}
        return np.concatenate([arrays[name].ravel() for name in self.packed.shapes]).astype("float32")

    def step(self, carried: Tensor, losses: Tensor, present: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of this step [m], and what is carried into the next.

        Args:
            carried: from the step before, [size].
            losses, present: of the global batch, [m]; see `weighting.Seen`.
            norms: of the tasks' gradients in the step before, [m].
        """
        before = self.packed.read(carried)
        seen = Seen(
            losses=losses,
            present=present,
            norms=norms,
            preference=ops.convert_to_tensor(np.array(self.preference or (1.0,) * self.tasks, "float32")),
            noise=before["noise"],
            weights=before["weights"],
        )
        memory, weights = self.method.update({name: before[f"memory/{name}"] for name in self.memory}, seen)
        after = {"weights": weights, "noise": self.noise.after(before["noise"])}
        after |= {f"memory/{name}": memory[name] for name in self.memory}
        return ops.stop_gradient(weights), ops.stop_gradient(self.packed.pack(after))
