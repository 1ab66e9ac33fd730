"""Make batches in an order that depends on seed and epoch only, to resume within an epoch."""

from __future__ import annotations

import hashlib
import math
from functools import cached_property, lru_cache, total_ordering
from typing import Any

import keras
import numpy as np

PACKED = "\0packed"
"""Key under which packed targets travel through Keras, a name that no user's array has."""


def marked(packed: Any) -> dict[str, Any]:
    """Return packed targets [n, width], or their weights, in the form a training step expects."""
    return {PACKED: packed}


class Batches(keras.utils.PyDataset):
    """Give arrays as batches to `fit`, in a reproducible order.

    Keras shuffles with generators whose state cannot be saved. Here an epoch has the same order
    whenever and on whichever backend it runs.

    Args:
        x: features; arrays, data frames or tensors with rows along the first axis, in any nest of
            dicts and lists.
        y: packed targets, [n, width].
        weights: [n, tasks], [n, 1], or None.
        batch_size: rows a step; the last batch of an epoch may have fewer.
        seed: seed of the order of rows; None keeps the given order.
        passes: how often an epoch passes over the rows, each time in another order.
        whole: whether to leave out the last batch of an epoch where it has fewer rows than the
            others: a training step is then compiled once, not once for each size. The next epoch
            has another order, so no row is always left out.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        weights: Any = None,
        *,
        batch_size: int = 32,
        seed: int | None = 0,
        passes: int = 1,
        whole: bool = False,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        parts = (x, y) if weights is None else (x, y, weights)
        self.parts = keras.tree.map_structure(_array, parts)
        self.rows = len(keras.tree.flatten(self.parts)[0])
        self.batch_size, self.seed, self.passes, self.whole = batch_size, seed, passes, whole
        self.epoch, self.first = 0, 0

    @property
    def steps(self) -> int:
        """Return the number of batches of a whole epoch."""
        if self.whole:
            return max(1, self.rows * self.passes // self.batch_size)
        return math.ceil(self.rows * self.passes / self.batch_size)

    @property
    def num_batches(self) -> Any:
        """Return the number of batches left in the epoch, see `Left`."""
        return Left(self)

    def at(self, epoch: int, first: int = 0) -> None:
        """Go to an epoch, and skip the batches before `first`."""
        self.epoch, self.first = epoch, first

    def __getitem__(self, index: int) -> Any:
        x, y, *weights = self.batch(self.epoch, self.first + index)
        return (x, marked(y), *map(marked, weights))

    def batch(self, epoch: int, index: int) -> Any:
        """Return a batch of an epoch: (x, y) or (x, y, weights)."""
        start = index * self.batch_size
        rows = _order(self.rows, self.passes, self.seed, epoch)[start : start + self.batch_size]
        return keras.tree.map_structure(lambda part: part[rows], self.parts)

    @cached_property
    def digest(self) -> str:
        """Return a checksum of the rows and how they are divided into batches."""
        division = (self.rows, self.batch_size, self.passes, self.seed is None, self.whole)
        checksum = hashlib.sha256(repr(division).encode())
        for part in keras.tree.flatten(self.parts):
            checksum.update(repr((part.dtype, part.shape)).encode())
            checksum.update(np.ascontiguousarray(part).data)
        return checksum.hexdigest()


@total_ordering
class Left:
    """Count the batches left in the epoch, anew each time: a resumed epoch has fewer.

    Keras takes the number once, before the first epoch. Where an epoch ends earlier, Keras runs a
    step too many; on TensorFlow such a step counts and draws random numbers although it has no
    rows.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __index__(self) -> int:
        return self.batches.steps - self.batches.first

    def __bool__(self) -> bool:
        return int(self) > 0

    def __eq__(self, other: object) -> bool:
        return int(self) == other

    def __lt__(self, other: int) -> bool:
        return int(self) < other

    def __hash__(self) -> int:
        return id(self)


def of(
    x: Any,
    y: np.ndarray,
    weights: np.ndarray | None,
    batch_size: int,
    shuffle: bool,
    validation_split: float,
) -> tuple[Batches, Any]:
    """Return batches to train with and validation rows (or None), for arrays that `fit` was given.

    Args:
        x, y, weights: as for `Batches`.
        batch_size: rows a step.
        shuffle: whether each epoch has an order of its own, by NumPy's global seed.
        validation_split: share of the rows, the last ones, that are for validation.
    """
    x = keras.tree.map_structure(_array, x)
    first_validation = math.floor(len(y) * (1.0 - validation_split))

    def part(rows: slice) -> tuple[Any, ...]:
        parts = (x, y) if weights is None else (x, y, weights)
        return tuple(keras.tree.map_structure(lambda leaf: leaf[rows], parts))

    # NumPy's global generator, so that `keras.utils.set_random_seed` decides the order.
    seed = int(np.random.randint(2**31)) if shuffle else None
    train = Batches(*part(slice(first_validation)), batch_size=batch_size, seed=seed)
    if first_validation == len(y):
        return train, None
    validation_x, *packed = part(slice(first_validation, None))
    return train, (validation_x, *map(marked, packed))


@lru_cache(2)  # this epoch's order, and the next one's: a thread may be an epoch ahead or behind
def _order(rows: int, passes: int, seed: int | None, epoch: int) -> np.ndarray:
    """Return the order of rows in an epoch [rows x passes]."""
    if seed is None:
        return np.tile(np.arange(rows), passes)
    orders = [
        np.random.default_rng([seed, epoch, turn]).permutation(rows) for turn in range(passes)
    ]
    return np.concatenate(orders)


def _array(part: Any) -> np.ndarray:
    """Return a data frame, a tensor or an array as a NumPy array."""
    if hasattr(part, "to_numpy"):
        part = part.to_numpy()
    return part if isinstance(part, np.ndarray) else np.asarray(keras.ops.convert_to_numpy(part))
