"""Rows in batches, in an order that is a function of seed and epoch alone: a training can go on within an epoch."""

from __future__ import annotations

import hashlib
import math
from functools import cached_property, lru_cache, total_ordering
from typing import Any

import keras
import numpy as np

PACKED = "\0packed"
"""The key under which packed targets travel through Keras, so that no array of a user is taken for them."""


def marked(packed: Any) -> dict[str, Any]:
    """Return packed targets [n, width], or their weights, in the form in which a training step knows them."""
    return {PACKED: packed}


class Batches(keras.utils.PyDataset):
    """Arrays as batches for `fit`.

    Keras shuffles by generators whose state nobody can save. Here epoch 7 has the same order
    whenever it begins, on each backend.

    Args:
        x: features; arrays, data frames or tensors with rows along the first axis, in any nest of
            dicts and lists.
        y: packed targets, [n, width].
        weights: [n, tasks], [n, 1], or None.
        batch_size: rows a step; the last batch of an epoch may have fewer.
        seed: of the order of rows; None leaves them in theirs.
        passes: how often an epoch passes over the rows, each time in another order.
        whole: whether to leave out the last batch of an epoch where it has fewer rows than the
            others: a training step is then compiled once, and not for both sizes. The next epoch
                has another order, so no row is
            left out for good.
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
        """Batches of a whole epoch."""
        if self.whole:
            return max(1, self.rows * self.passes // self.batch_size)
        return math.ceil(self.rows * self.passes / self.batch_size)

    @property
    def num_batches(self) -> Any:
        return Left(self)

    def at(self, epoch: int, first: int = 0) -> None:
        """Go to this epoch, and leave out the batches before this one."""
        self.epoch, self.first = epoch, first

    def __getitem__(self, index: int) -> Any:
        x, y, *weights = self.batch(self.epoch, self.first + index)
        return (x, marked(y), *map(marked, weights))

    def batch(self, epoch: int, index: int) -> Any:
        """One batch of an epoch: (x, y) or (x, y, weights)."""
        start = index * self.batch_size
        rows = _order(self.rows, self.passes, self.seed, epoch)[start : start + self.batch_size]
        return keras.tree.map_structure(lambda part: part[rows], self.parts)

    @cached_property
    def digest(self) -> str:
        """Of the rows and how they are divided: other data, other digest."""
        divided = (self.rows, self.batch_size, self.passes, self.seed is None, self.whole)
        found = hashlib.sha256(repr(divided).encode())
        for part in keras.tree.flatten(self.parts):
            found.update(repr((part.dtype, part.shape)).encode())
            found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()


@total_ordering
class Left:
    """How many batches are left of the epoch, asked anew each time: an epoch that goes on is shorter than the next.

    Keras takes the number once, before the first epoch. It runs a step too many where an epoch ends
    before that number, and on TensorFlow such a step counts and draws numbers although it has no
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
    """What `fit` was given as arrays -> batches to train with, and rows held out for validation, or None.

    Args:
        x, y, weights: as for `Batches`.
        batch_size: rows a step.
        shuffle: whether each epoch has an order of its own; by NumPy's global seed.
        validation_split: the share of the rows, the last ones, that is held out.
    """
    x = keras.tree.map_structure(_array, x)
    last = math.floor(len(y) * (1.0 - validation_split))

    def part(rows: slice) -> tuple[Any, ...]:
        parts = (x, y) if weights is None else (x, y, weights)
        return tuple(keras.tree.map_structure(lambda leaf: leaf[rows], parts))

    seed = int(np.random.randint(2**31)) if shuffle else None
    train = Batches(*part(slice(last)), batch_size=batch_size, seed=seed)
    if last == len(y):
        return train, None
    held, *packed = part(slice(last, None))
    return train, (held, *map(marked, packed))


@lru_cache(2)  # of the epoch, and of the one that a thread may be ahead or behind
def _order(rows: int, passes: int, seed: int | None, epoch: int) -> np.ndarray:
    if seed is None:
        return np.tile(np.arange(rows), passes)
    orders = [
        np.random.default_rng([seed, epoch, turn]).permutation(rows) for turn in range(passes)
    ]
    return np.concatenate(orders)


def _array(part: Any) -> np.ndarray:
    if hasattr(part, "to_numpy"):
        part = part.to_numpy()
    return part if isinstance(part, np.ndarray) else np.asarray(keras.ops.convert_to_numpy(part))
