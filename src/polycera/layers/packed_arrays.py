"""Named arrays as one vector: what goes from step to step in a single variable, or is added up in a single addition."""

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
    """Where each array lies in the vector.

    Attributes:
        shapes: name -> shape, in the order of the vector.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @cached_property
    def size(self) -> int:
        """Length of the vector."""
        return sum(map(prod, self.shapes.values()))

    def pack(self, arrays: Mapping[str, Tensor]) -> Tensor:
        """The arrays of these names as one vector of float32."""
        return ops.concatenate(
            [ops.reshape(ops.cast(arrays[name], "float32"), (-1,)) for name in self.shapes]
        )

    def read(self, vector: Any) -> dict[str, Any]:
        """The arrays by name: parts of a tensor, or of a NumPy array."""
        reshape = np.reshape if isinstance(vector, np.ndarray) else ops.reshape
        found, start = {}, 0
        for name, shape in self.shapes.items():
            found[name] = reshape(vector[start : start + prod(shape)], shape)
            start += prod(shape)
        return found


@dataclass(frozen=True)
class Noise:
    """Uniform numbers for methods with randomness: a part of what is carried, not of a generator.

    Independent strides visit all orders alike (Weyl 1916). They are saved with the model, resumed
    exactly, and the same on every backend, which a backend's generator is not.
    """

    size: int
    seed: int

    def start(self) -> np.ndarray:
        """Those of the first step, [size]."""
        return np.random.default_rng(self.seed).random(self.size).astype("float32")

    @cached_property
    def stride(self) -> np.ndarray:
        """By how much each goes on in a step, modulo 1, [size]."""
        return np.random.default_rng([self.seed, 1]).random(self.size).astype("float32")

    def after(self, noise: Tensor) -> Tensor:
        """Those of the next step."""
        return ops.mod(ops.add(noise, self.stride), 1.0)


class StatefulMethod:
    """What a method at work carries from step to step: its memory, its noise, and what its room adds to them.

    Attributes:
        method: whose memory it is.
        tasks: their number, m.
        seed: of the numbers that a method with randomness draws.
    """

    method: MethodBase
    tasks: int
    seed: int

    @property
    def own(self) -> dict[str, np.ndarray]:
        """What is carried beside the method's memory, before the first step; rooms add to it."""
        return {"weights": np.ones(self.tasks), "noise": self.noise.start()}

    @cached_property
    def memory(self) -> dict[str, np.ndarray]:
        """What the method remembers, before the first step."""
        return {
            name: np.asarray(value, "float32")
            for name, value in sorted(self.method.init(self.tasks).items())
        }

    @cached_property
    def noise(self) -> Noise:
        """The numbers that a method with randomness draws."""
        return Noise(self.tasks, self.seed)

    @cached_property
    def first(self) -> dict[str, np.ndarray]:
        """All that is carried into the first step, by name."""
        return self.own | self.named(self.memory)

    @cached_property
    def packed(self) -> Packed:
        """Where each part of it lies."""
        return Packed({name: value.shape for name, value in self.first.items()})

    def start(self) -> np.ndarray:
        """The same as one vector, [size]."""
        return np.concatenate([value.ravel() for value in self.first.values()]).astype("float32")

    def named(self, memory: Mapping[str, Any]) -> dict[str, Any]:
        """The method's memory by the names under which it is carried."""
        return {f"memory/{name}": memory[name] for name in self.memory}

    def recalled(self, carried: Mapping[str, Any]) -> dict[str, Any]:
        """The method's memory out of what was carried."""
        return {name: carried[f"memory/{name}"] for name in self.memory}
