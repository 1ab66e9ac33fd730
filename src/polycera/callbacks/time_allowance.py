"""How much time may go into looking at a training, as a part of the time that it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from polycera.errors import InputError

COMPILING, WARMING = 5.0, 0.25
"""Seconds, at most, that a trial is put down for before anything was measured: with compiling and without."""

LEAST = 0.02
"""Seconds, at least, for the same; in between it is what the first epoch took beyond another, in compiling its step."""


class TimeAllowance:
    """Keeps account of time.

    Args:
        part: of the training time that may be spent; the time spent is no training time.

    Attributes:
        spent: seconds.
    """

    def __init__(self, part: float) -> None:
        self.part = part
        self.begin()

    def begin(self, spent: float = 0.0, trained: float = 0.0) -> None:
        """A training begins, or goes on after so many seconds."""
        self.spent, self._each, self._epochs = spent, 0.0, [0.0, 0.0]
        self._start = self._epoch = perf_counter()
        self._start -= trained + spent

    def state(self) -> dict[str, float]:
        """What it takes to go on."""
        return {"spent": self.spent, "trained": self.trained}

    def set_state(self, state: dict[str, float]) -> None:
        """Go on from what `state` gave.

        Raises:
            InputError: for what are no seconds.
        """
        found = [state.get("spent"), state.get("trained")]
        if not all(isinstance(s, float) and math.isfinite(s) and s >= 0 for s in found):
            raise InputError(
                "The checkpoint holds times that are no seconds: remove it to begin anew."
            )
        self.begin(*map(float, found))  # type: ignore[arg-type]

    @property
    def trained(self) -> float:
        """Seconds of training so far."""
        return perf_counter() - self._start - self.spent

    def begin_epoch(self) -> None:
        """An epoch begins."""
        self._epoch = perf_counter()

    def end_epoch(self) -> None:
        """An epoch ends."""
        first, other = self._epochs
        seconds = perf_counter() - self._epoch
        self._epochs = [first, min(other or seconds, seconds)] if first else [seconds, 0.0]

    @contextmanager
    def spending(self, batches: int = 0) -> Iterator[None]:
        """Around what is spent on so many batches; 0 where it does not tell what a batch takes."""
        begun = perf_counter()
        yield
        seconds = perf_counter() - begun
        self.spent += seconds
        if batches:
            self._each = seconds / batches

    def allows_trial(self, compiles: bool) -> bool:
        """Whether there is time to try out a batch, by what the first epoch took beyond the shortest other one.

        Args:
            compiles: whether something is to be compiled for it.
        """
        first, other = self._epochs
        return self._allows(min(COMPILING if compiles else WARMING, max(LEAST, first - other)))

    def allows(self, batches: int) -> bool:
        """Whether there is time for so many batches, by what they took last."""
        return self._allows(batches * self._each)

    def _allows(self, seconds: float) -> bool:
        return self.spent + seconds <= self.part * self.trained
