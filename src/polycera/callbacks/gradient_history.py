"""What was seen of the tasks' gradients in a training: by epoch, place and task, and how it is written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from polycera.errors import InputError
from polycera.typing import TaskName

MOST = 2_000_000
"""Numbers in all matrices that are kept: what 500 epochs of 200 tasks would come to is a hundred times as many."""


class GradientHistory:
    """How hard each task pulled in which direction, in each place that tasks share, in each epoch that was looked at.

    Of cosines and conflicts, which are [m, m] for each place, no more than `MOST` numbers are kept:
    of evenly spaced epochs and the newest one. Where a number is not defined, it is NaN.

    Attributes:
        tasks: names, m.
        places: names, p.
        serving: which tasks each place serves, by their place among all.
        source: "balancing", what every step saw; or "probe", what a sample of rows shows at the end
            of an epoch.
        epochs: that were looked at, e.
    """

    def __init__(
        self,
        tasks: Sequence[TaskName],
        places: Sequence[str],
        serving: Sequence[Sequence[int]],
        source: str,
    ) -> None:
        self.tasks, self.places, self.source = tuple(tasks), tuple(places), source
        self.serving = [[int(task) for task in own] for own in serving]
        self.epochs: list[int] = []
        self._weights: list[np.ndarray] = []
        self._norms: list[np.ndarray] = []
        # place in `epochs` -> cosines and conflicts, [2, p, m, m]
        self._matrices: dict[int, np.ndarray] = {}
        self._stride = 1

    def add(
        self,
        epoch: int,
        weights: np.ndarray,
        norms: np.ndarray,
        cosines: np.ndarray,
        conflicts: np.ndarray,
    ) -> None:
        """What an epoch saw: two arrays [p, m] and two [p, m, m]."""
        newest = len(self.epochs)
        if (newest - 1) % self._stride:
            del self._matrices[newest - 1]
        self.epochs.append(int(epoch))
        self._weights.append(np.asarray(weights, "float64"))
        self._norms.append(np.asarray(norms, "float64"))
        self._matrices[newest] = np.stack([cosines, conflicts]).astype("float32")
        if len(self._matrices) > self._most:
            self._stride *= 2
            self._matrices = {
                i: m for i, m in self._matrices.items() if i % self._stride == 0 or i == newest
            }

    @property
    def _most(self) -> int:
        return max(2, MOST // (2 * len(self.places) * len(self.tasks) ** 2))

    @property
    def weights(self) -> np.ndarray:
        """By which each place took each task's gradient, [e, p, m]."""
        return np.array(self._weights).reshape(self._shape)

    @property
    def norms(self) -> np.ndarray:
        """Of the gradients, before those weights, [e, p, m]."""
        return np.array(self._norms).reshape(self._shape)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return len(self.epochs), len(self.places), len(self.tasks)

    @property
    def looks(self) -> list[int]:
        """The epochs of which cosines and conflicts are kept, k."""
        return [self.epochs[i] for i in self._matrices]

    @property
    def cosines(self) -> np.ndarray:
        """Between the gradients of every two tasks, [k, p, m, m]."""
        return self._both[:, 0]

    @property
    def conflicts(self) -> np.ndarray:
        """In which share of the steps, or batches, every two tasks pulled against each other, [k, p, m, m]."""
        return self._both[:, 1]

    @property
    def _both(self) -> np.ndarray:
        _, p, m = self._shape
        return np.array(list(self._matrices.values()), "float32").reshape(-1, 2, p, m, m)

    def vectors(self, i: int) -> np.ndarray:
        """Weights and norms of the i-th of the epochs, [2, p, m]."""
        return np.stack([self._weights[i], self._norms[i]])

    def matrices(self, i: int) -> np.ndarray:
        """Cosines and conflicts of the i-th of the epochs, [2, p, m, m]; NaN where they were not kept."""
        _, p, m = self._shape
        return self._matrices.get(i, np.full((2, p, m, m), np.nan, "float32"))

    # -- as files and states -------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of `gradients.safetensors`."""
        return {name: getattr(self, name) for name in ("weights", "norms", "cosines", "conflicts")}

    def notes(self) -> dict[str, Any]:
        """What stands beside them."""
        named = {"tasks": list(self.tasks), "source": self.source, "places": list(self.places)}
        return {**named, "epochs": self.epochs, "looks": self.looks}

    def state(self) -> dict[str, Any]:
        """As plain state."""
        own = {"kept": list(self._matrices), "stride": self._stride, "serving": self.serving}
        return {**self.notes(), **own, **self.arrays()}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Self:
        """From what `state` gave.

        Raises:
            InputError: for anything else.
        """
        try:
            found = cls(state["tasks"], state["places"], state["serving"], state["source"])
            found.epochs, found._stride = (
                [int(epoch) for epoch in state["epochs"]],
                int(state["stride"]),
            )
            for name in ("weights", "norms"):
                array = np.asarray(state[name], "float64")
                if array.shape != found._shape:
                    raise ValueError(f"{name} are {list(array.shape)}")
                setattr(found, f"_{name}", list(array))
            both = np.stack([state["cosines"], state["conflicts"]], axis=1).astype("float32")
            found._matrices = dict(zip(map(int, state["kept"]), both, strict=True))
            found._check()
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"The checkpoint holds gradients that no training saw ({error}): remove it to begin anew."
            ) from None
        return found

    def _check(self) -> None:
        last, (_, p, m) = len(self.epochs) - 1, self._shape
        if any(matrix.shape != (2, p, m, m) for matrix in self._matrices.values()):
            raise ValueError("cosines and conflicts are not as wide and as high as there are tasks")
        expected = {
            i for i in range(last + 1) if self._stride > 0 and (i % self._stride == 0 or i == last)
        }
        if list(self._matrices) != sorted(expected):
            raise ValueError("the epochs that are kept are others")
        if len(self.serving) != p or any(not 0 <= task < m for own in self.serving for task in own):
            raise ValueError("a place serves a task that there is not")


def shares(norms: np.ndarray) -> np.ndarray:
    """Each task's share of the sum of the norms [..., m] -> [..., m]; NaN for a task without a gradient."""
    total = np.nansum(norms, axis=-1, keepdims=True)
    return np.divide(norms, total, out=np.full(norms.shape, np.nan), where=total > 0)
