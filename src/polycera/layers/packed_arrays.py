"""Pack named arrays into one vector.

One variable then carries them from step to step, and one addition adds them all up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from keras import ops

from polycera.method_base import MethodBase
from polycera.typing import Tensor


@dataclass(frozen=True)
class Packed:
    """Describes where each array is in the vector.

    Attributes:
        shapes: name -> shape, in the order of the vector.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @cached_property
    def size(self) -> int:
        """Return the length of the vector."""
        return sum(map(prod, self.shapes.values()))

    def pack(self, arrays: Mapping[str, Tensor]) -> Tensor:
        """Return the arrays of these names as one vector of float32."""
        return ops.concatenate(
            [ops.reshape(ops.cast(arrays[name], "float32"), (-1,)) for name in self.shapes]
        )

    def read(self, vector: Any) -> dict[str, Any]:
        """Return the arrays by name: slices of a tensor, or of a NumPy array."""
        # NumPy arrays stay on the host, so that reading a state starts no work on a device.
        reshape = np.reshape if isinstance(vector, np.ndarray) else ops.reshape
        arrays, start = {}, 0
        for name, shape in self.shapes.items():
            arrays[name] = reshape(vector[start : start + prod(shape)], shape)
            start += prod(shape)
        return arrays


@dataclass(frozen=True)
class Noise:
    """Computes uniform numbers for methods with randomness.

    They belong to the state that is carried from step to step, and need no generator. Steps by
    independent strides visit all orders equally often (Weyl 1916). The numbers are saved with the
    model, resumed exactly, and the same on every backend. A backend's generator is not.

    Attributes:
        size: how many numbers a step has.
        seed: of the first numbers and the strides.
    """

    size: int
    seed: int

    def start(self) -> np.ndarray:
        """Return the numbers of the first step, [size]."""
        return np.random.default_rng(self.seed).random(self.size).astype("float32")

    @cached_property
    def stride(self) -> np.ndarray:
        """Return how far each number moves in a step, modulo 1, [size]."""
        return np.random.default_rng([self.seed, 1]).random(self.size).astype("float32")

    def after(self, noise: Tensor) -> Tensor:
        """Return the numbers of the next step."""
        return ops.mod(ops.add(noise, self.stride), 1.0)


class StatefulMethod:
    """Hold what a method carries from step to step: its memory, its noise and its last weights.

    A subclass may add arrays; see `initial`.

    Attributes:
        method: the method.
        tasks: the number of tasks, m.
        seed: of the numbers that a method with randomness draws.
    """

    method: MethodBase
    tasks: int
    seed: int

    @property
    def initial(self) -> dict[str, np.ndarray]:
        """Return what is carried beside the method's memory, before the first step.

        Subclasses add to it.
        """
        return {"weights": np.ones(self.tasks), "noise": self.noise.start()}

    @cached_property
    def memory(self) -> dict[str, np.ndarray]:
        """Return the method's memory before the first step."""
        return {
            name: np.asarray(value, "float32")
            # Sorted, so that the order in the vector does not depend on the method's code.
            for name, value in sorted(self.method.init(self.tasks).items())
        }

    @cached_property
    def noise(self) -> Noise:
        """Return the noise of a method with randomness."""
        return Noise(self.tasks, self.seed)

    @cached_property
    def first(self) -> dict[str, np.ndarray]:
        """Return everything that is carried into the first step, by name."""
        return self.initial | self.named(self.memory)

    @cached_property
    def packed(self) -> Packed:
        """Return where each array is in the vector."""
        return Packed({name: value.shape for name, value in self.first.items()})

    def start(self) -> np.ndarray:
        """Return everything that is carried into the first step, as one vector, [size]."""
        return np.concatenate([value.ravel() for value in self.first.values()]).astype("float32")

    def named(self, memory: Mapping[str, Any]) -> dict[str, Any]:
        """Return the method's memory under the names in which it is carried."""
        return {f"memory/{name}": memory[name] for name in self.memory}

    def recalled(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the method's memory out of what was carried."""
        return {name: state[f"memory/{name}"] for name in self.memory}
