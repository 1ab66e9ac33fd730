"""Record gradient statistics of tasks by epoch, shared region and task, as arrays and state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from polycera.errors import InputError
from polycera.typing import TaskName

MOST = 2_000_000
"""Most numbers stored in all [m, m] matrices together.

500 epochs of 200 tasks would need 20 times as many for one shared region.
"""


class GradientHistory:
    """Holds the gradient statistics of each task, in each shared region, in each measured epoch.

    Cosines and conflicts are [m, m] for each shared region. No more than `MOST` of these numbers
    are stored: those of evenly spaced epochs and of the newest one. A number that is not defined is
    NaN.

    Attributes:
        tasks: names of the tasks, m.
        places: names of the shared regions, p.
        serving: for each shared region, the indices of its tasks in `tasks`.
        source: "balancing": measured in every step; or "probe": measured on a sample of rows at
            the end of an epoch.
        epochs: the measured epochs, e.
    """

    def __init__(
        self,
        tasks: Sequence[TaskName],
        places: Sequence[str],
        serving: Sequence[Sequence[int]],
        source: str,
    ) -> None:
        self.tasks, self.places, self.source = tuple(tasks), tuple(places), source
        self.serving = [[int(task) for task in region_tasks] for region_tasks in serving]
        self.epochs: list[int] = []
        self._weights: list[np.ndarray] = []
        self._norms: list[np.ndarray] = []
        # index in `epochs` -> cosines and conflicts, [2, p, m, m]
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
        """Add the statistics of an epoch: two arrays [p, m] and two [p, m, m]."""
        newest = len(self.epochs)
        # the epoch before was stored only because it was the newest
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
        """Return for how many epochs matrices are stored at most."""
        return max(2, MOST // (2 * len(self.places) * len(self.tasks) ** 2))

    @property
    def weights(self) -> np.ndarray:
        """Return the factor of each task's gradient in each shared region, [e, p, m]."""
        return np.array(self._weights).reshape(self._shape)

    @property
    def norms(self) -> np.ndarray:
        """Return the norms of the gradients, before those weights, [e, p, m]."""
        return np.array(self._norms).reshape(self._shape)

    @property
    def _shape(self) -> tuple[int, int, int]:
        """Return e, p and m."""
        return len(self.epochs), len(self.places), len(self.tasks)

    @property
    def looks(self) -> list[int]:
        """Return the epochs whose cosines and conflicts are stored, k."""
        return [self.epochs[i] for i in self._matrices]

    @property
    def cosines(self) -> np.ndarray:
        """Return the cosines between the gradients of every two tasks, [k, p, m, m]."""
        return self._both[:, 0]

    @property
    def conflicts(self) -> np.ndarray:
        """Return the share of steps, or batches, in which two tasks conflicted, [k, p, m, m]."""
        return self._both[:, 1]

    @property
    def _both(self) -> np.ndarray:
        """Return cosines and conflicts, [k, 2, p, m, m]."""
        _, p, m = self._shape
        return np.array(list(self._matrices.values()), "float32").reshape(-1, 2, p, m, m)

    def vectors(self, i: int) -> np.ndarray:
        """Return weights and norms of the i-th of the epochs, [2, p, m]."""
        return np.stack([self._weights[i], self._norms[i]])

    def matrices(self, i: int) -> np.ndarray:
        """Return cosines and conflicts of the i-th epoch, [2, p, m, m]; NaN where not stored."""
        _, p, m = self._shape
        return self._matrices.get(i, np.full((2, p, m, m), np.nan, "float32"))

    # -- as files and state ------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of `gradients.safetensors`."""
        return {name: getattr(self, name) for name in ("weights", "norms", "cosines", "conflicts")}

    def notes(self) -> dict[str, Any]:
        """Return the metadata that is stored beside the arrays."""
        named = {"tasks": list(self.tasks), "source": self.source, "places": list(self.places)}
        return {**named, "epochs": self.epochs, "looks": self.looks}

    def state(self) -> dict[str, Any]:
        """Return everything as plain state, for checkpoints."""
        extra = {"kept": list(self._matrices), "stride": self._stride, "serving": self.serving}
        return {**self.notes(), **extra, **self.arrays()}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Self:
        """Return the history from what `state` returned.

        Raises:
            InputError: for anything else.
        """
        try:
            history = cls(state["tasks"], state["places"], state["serving"], state["source"])
            history.epochs, history._stride = (
                [int(epoch) for epoch in state["epochs"]],
                int(state["stride"]),
            )
            for name in ("weights", "norms"):
                array = np.asarray(state[name], "float64")
                if array.shape != history._shape:
                    raise ValueError(f"{name} are {list(array.shape)}")
                setattr(history, f"_{name}", list(array))
            both = np.stack([state["cosines"], state["conflicts"]], axis=1).astype("float32")
            history._matrices = dict(zip(map(int, state["kept"]), both, strict=True))
            history._check()
        # a checkpoint may be damaged or come from a stranger: every error is that of the file
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"The gradient statistics in the checkpoint are not valid ({error}): remove it to "
                "start from the beginning."
            ) from None
        return history

    def _check(self) -> None:
        """Check that shapes, stored epochs and indices of tasks agree.

        Raises:
            ValueError: where they do not.
        """
        last, (_, p, m) = len(self.epochs) - 1, self._shape
        if any(matrix.shape != (2, p, m, m) for matrix in self._matrices.values()):
            raise ValueError(
                "cosines and conflicts do not have one row and one column for each task"
            )
        expected = {
            i for i in range(last + 1) if self._stride > 0 and (i % self._stride == 0 or i == last)
        }
        if list(self._matrices) != sorted(expected):
            raise ValueError("the recorded epochs do not fit the interval")
        if len(self.serving) != p or any(
            not 0 <= task < m for region_tasks in self.serving for task in region_tasks
        ):
            raise ValueError("a shared region names an unknown task")


def shares(norms: np.ndarray) -> np.ndarray:
    """Return each task's share of the sum of norms, [..., m]; NaN for a task without a gradient."""
    total = np.nansum(norms, axis=-1, keepdims=True)
    return np.divide(norms, total, out=np.full(norms.shape, np.nan), where=total > 0)
