"""Ctrl-C, SIGTERM and SIGHUP, put off until a training can be left in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from polycera.errors import Interrupted, Terminated

HEARD = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""What ends a training. SIGHUP comes where the terminal or the connection is gone."""


class InterruptRequest:
    """Whether somebody has asked the training to end; true once they have."""

    def __init__(self) -> None:
        self._number = 0
        self._listens = self._notes = False

    def __bool__(self) -> bool:
        return self._number > 0

    def end(self, message: str) -> Interrupted | Terminated:
        """Return what to raise: Python ends with 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
        if self._number in (0, signal.SIGINT):
            return Interrupted(message)
        return Terminated(message, 128 + self._number)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """End at once when a signal comes, by raising what `end` returns; a second one while that goes on, too.

        Only the main thread hears signals. Inside of another `listening` nothing changes.
        """
        if self._listens or threading.current_thread() is not threading.main_thread():
            yield
            return

        def heard(number: int, frame: Any) -> None:
            again, self._number = bool(self), self._number or number
            if again or not self._notes:
                raise self.end("")

        self._number, self._listens = 0, True
        before = {number: signal.getsignal(number) for number in HEARD}
        try:
            for number, handler in before.items():
                # nohup has a program ignore that the terminal is gone
                if number == signal.SIGINT or handler != signal.SIG_IGN:
                    signal.signal(number, heard)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._listens = False

    @contextmanager
    def noting(self) -> Iterator[None]:
        """In here the first signal is only noted, for whoever looks; a second one ends at once."""
        before, self._notes = self._notes, True
        try:
            yield
        finally:
            self._notes = before
