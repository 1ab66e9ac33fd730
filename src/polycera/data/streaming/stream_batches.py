"""Make batches from files larger than memory, in an order that seed, epoch and position decide."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import keras
import numpy as np

from polycera.data.batches import Batches

PIECE_BYTES = 32 * 2**20
"""Bytes of features that are encoded at a time."""


class Source(Protocol):
    """Gives training rows, a stretch at a time.

    Attributes:
        counts: [stretches], number of training rows of each stretch.
        digest: a checksum of the rows.
    """

    counts: np.ndarray
    digest: str

    def read(self, stretches: Sequence[int]) -> Any:
        """Return the training rows of these stretches, in order, as `encode` takes them."""

    def encode(self, rows: Any, indices: np.ndarray) -> Any:
        """Return (x, packed targets), or with weights, of some of these rows."""


@dataclass(frozen=True)
class Piece:
    """Names rows that are encoded together: the number of a pass, of a block, of a piece of it."""

    turn: int
    block: int
    number: int


class StreamBatches(Batches):
    """Gives the rows of a source as batches, in a reproducible order, reading ahead in a thread.

    The order has two levels. In each pass over the table, the stretches of rows are put in a new
    order. Then several stretches at a time, a block, are read, and the rows of the block are put
    in a new order. Both orders depend on the seed and the number of the pass alone, so an epoch
    has the same batches whenever it runs, and may be entered anywhere.

    Args:
        source: the training rows.
        batch_size: rows a step; the rows at the end of a pass that fill no batch are left out.
        seed: seed of the order of rows.
        passes: how often an epoch passes over the rows.
        steps: most steps of an epoch; where a pass has more, the next epoch goes on with it.
        block: number of stretches whose rows are shuffled together.
        width: numbers of an encoded row.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int,
        passes: int = 1,
        steps: int | None = None,
        block: int = 8,
        width: int = 1,
    ) -> None:
        # Not the constructor of `Batches`, which takes arrays.
        keras.utils.PyDataset.__init__(self, workers=1, use_multiprocessing=False)
        self.source, self.block = source, block
        self.rows = int(source.counts.sum())
        self.batch_size = min(batch_size, self.rows)
        self.seed, self.passes, self.whole = seed, passes, True
        self.steps_per_pass = self.rows // self.batch_size
        limit = steps or self.steps_per_pass * passes
        self._steps = min(self.steps_per_pass * passes, limit)
        self.epoch, self.first = 0, 0
        self.piece_rows = max(self.batch_size, PIECE_BYTES // (4 * max(width, 1)))
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "polycera reader")
        self._pieces: dict[Piece, Future[Any]] = {}
        self._last_ends: tuple[int, int | None, np.ndarray] | None = None
        self._block_rows: tuple[tuple[int, int], Any, np.ndarray] | None = None

    @property
    def steps(self) -> int:
        """Return the number of batches of a whole epoch."""
        return self._steps

    @cached_property
    def digest(self) -> str:
        """Return a checksum of the rows and how they are divided into batches."""
        division = (self.batch_size, self.passes, self._steps, self.block, self.piece_rows)
        return hashlib.sha256(repr((self.source.digest, division)).encode()).hexdigest()

    def batch(self, epoch: int, index: int) -> Any:
        """Return a batch of an epoch: (x, y) or (x, y, weights)."""
        turn, number = divmod(epoch * self._steps + index, self.steps_per_pass)
        parts = []
        start, end = number * self.batch_size, (number + 1) * self.batch_size
        ends = self._ends(turn)
        while start < end:
            block = int(np.searchsorted(ends, start, side="right"))
            begin = int(ends[block - 1]) if block else 0
            piece, offset = divmod(start - begin, self.piece_rows)
            size = min(self.piece_rows, int(ends[block]) - begin - piece * self.piece_rows)
            taken = min(end - start, size - offset)
            rows = slice(offset, offset + taken)
            encoded = self._piece(Piece(turn, block, piece))
            parts.append(keras.tree.map_structure(lambda part, rows=rows: part[rows], encoded))
            start += taken
        if len(parts) == 1:
            return parts[0]
        return keras.tree.map_structure(lambda *pieces: np.concatenate(pieces), *parts)

    def _order(self, turn: int) -> np.ndarray:
        """Return the order of the stretches that have training rows in a pass."""
        used = np.flatnonzero(self.source.counts)
        return used[np.random.default_rng([self.seed or 0, turn]).permutation(len(used))]

    def _ends(self, turn: int) -> np.ndarray:
        """Return the number of training rows up to the end of each block in a pass."""
        if self._last_ends is None or self._last_ends[:2] != (turn, self.seed):
            counts = self.source.counts[self._order(turn)]
            starts = np.arange(0, len(counts), self.block)
            self._last_ends = turn, self.seed, np.cumsum(np.add.reduceat(counts, starts))
        return self._last_ends[2]

    def _piece(self, piece: Piece) -> Any:
        """Return a piece, and let the thread make the next one."""
        with self._lock:
            wanted = [piece, self._after(piece)]
            # Kept: the piece before, of which the batch at hand may still need rows.
            kept = {key: made for key, made in self._pieces.items() if key in wanted}
            for key in wanted:
                if key not in kept:
                    kept[key] = self._pool.submit(self._made, key, self.seed)
            self._pieces = kept
        return kept[piece].result()

    def _after(self, piece: Piece) -> Piece:
        """Return the piece that follows."""
        ends = self._ends(piece.turn)
        begin = int(ends[piece.block - 1]) if piece.block else 0
        if begin + (piece.number + 1) * self.piece_rows < ends[piece.block]:
            return Piece(piece.turn, piece.block, piece.number + 1)
        if piece.block + 1 < len(ends):
            return Piece(piece.turn, piece.block + 1, 0)
        return Piece(piece.turn + 1, 0, 0)

    def _made(self, piece: Piece, seed: int | None) -> Any:
        """Read the block of a piece, unless it is at hand, and encode the piece; in the thread."""
        key = piece.turn, piece.block
        if self._block_rows is None or self._block_rows[0] != key:
            self._block_rows = None  # before another block takes its memory
            first = piece.block * self.block
            chosen = self._order(piece.turn)[first : first + self.block]
            rows = self.source.read(chosen.tolist())
            count = int(self.source.counts[chosen].sum())
            order = np.random.default_rng([seed or 0, *key]).permutation(count)
            self._block_rows = key, rows, order
        _, rows, order = self._block_rows
        start = piece.number * self.piece_rows
        return self.source.encode(rows, order[start : start + self.piece_rows])
