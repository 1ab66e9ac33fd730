"""Limit the time for extra measurements to a part of the training time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from polycera.errors import InputError

COMPILING, WARMING = 5.0, 0.25
"""Most seconds that a trial is estimated at before one was measured.

COMPILING: with something to compile; WARMING: without.
"""

LEAST = 0.02
"""Fewest seconds that a trial is estimated at.

Between these limits, the estimate is the extra time of the first epoch, in which its step compiles.
"""


class TimeAllowance:
    """Counts the time of the training and of the measurements.

    Args:
        part: the part of the training time that measurements may take; training time does not
            include them.

    Attributes:
        spent: seconds of all measurements so far.
    """

    def __init__(self, part: float) -> None:
        self.part = part
        self.begin()

    def begin(self, spent: float = 0.0, trained: float = 0.0) -> None:
        """Start the clocks of a training, or of one that resumes after so many seconds."""
        self.spent, self._each, self._epochs = spent, 0.0, [0.0, 0.0]
        self._start = self._epoch = perf_counter()
        self._start -= trained + spent

    def state(self) -> dict[str, float]:
        """Return what a checkpoint needs to resume."""
        return {"spent": self.spent, "trained": self.trained}

    def set_state(self, state: dict[str, float]) -> None:
        """Resume from what `state` returned.

        Raises:
            InputError: for values that are no seconds.
        """
        times = [state.get("spent"), state.get("trained")]
        if not all(
            isinstance(seconds, float) and math.isfinite(seconds) and seconds >= 0
            for seconds in times
        ):
            raise InputError(
                "The times in the checkpoint are not valid: remove it to start from the beginning."
            )
        self.begin(*map(float, times))  # type: ignore[arg-type]

    @property
    def trained(self) -> float:
        """Return the seconds of training so far."""
        return perf_counter() - self._start - self.spent

    def begin_epoch(self) -> None:
        """Note the time at which an epoch begins."""
        self._epoch = perf_counter()

    def end_epoch(self) -> None:
        """Note the duration of an epoch: of the first one, and the shortest of the others."""
        first, other = self._epochs
        seconds = perf_counter() - self._epoch
        self._epochs = [first, min(other or seconds, seconds)] if first else [seconds, 0.0]

    @contextmanager
    def spending(self, batches: int = 0) -> Iterator[None]:
        """Count the time of the block as measurement.

        Args:
            batches: number of batches in the block; 0 where its time says nothing about the time of
                a batch, such as when it compiles.
        """
        begun = perf_counter()
        yield
        seconds = perf_counter() - begun
        self.spent += seconds
        if batches:
            self._each = seconds / batches

    def allows_trial(self, compiles: bool) -> bool:
        """Return whether there is time to try out one batch.

        The estimate is the time of the first epoch beyond the shortest other one, within limits.

        Args:
            compiles: whether the trial has to compile something.
        """
        first, other = self._epochs
        return self._allows(min(COMPILING if compiles else WARMING, max(LEAST, first - other)))

    def allows(self, batches: int) -> bool:
        """Return whether there is time for so many batches, by their last measured time."""
        return self._allows(batches * self._each)

    def _allows(self, seconds: float) -> bool:
        """Return whether the measurements stay within their part after so many more seconds."""
        return self.spent + seconds <= self.part * self.trained
