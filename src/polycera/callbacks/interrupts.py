"""Delay Ctrl-C, SIGTERM and SIGHUP until a training can save a checkpoint and end."""

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
"""Signals that end a training. SIGHUP arrives when the terminal or the connection is closed."""


class InterruptRequest:
    """Holds whether a signal has arrived that ends the training; it is true from then on."""

    def __init__(self) -> None:
        self._number = 0
        self._listens = self._notes = False

    def __bool__(self) -> bool:
        return self._number > 0

    def end(self, message: str) -> Interrupted | Terminated:
        """Return the error to raise; it sets the exit code of Python.

        Python ends with 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
        """
        if self._number in (0, signal.SIGINT):
            return Interrupted(message)
        return Terminated(message, 128 + self._number)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Raise what `end` returns as soon as a signal arrives, a second signal included.

        Only the main thread gets signals: in other threads, and inside of another `listening`,
        this does nothing.
        """
        if self._listens or threading.current_thread() is not threading.main_thread():
            yield
            return

        def heard(number: int, frame: Any) -> None:
            """Note the signal; raise where it is the second one, or `noting` is not active."""
            again, self._number = bool(self), self._number or number
            if again or not self._notes:
                raise self.end("")

        self._number, self._listens = 0, True
        before = {number: signal.getsignal(number) for number in HEARD}
        try:
            for number, handler in before.items():
                # nohup makes a program ignore SIGHUP: leave every ignored signal but Ctrl-C alone
                if number == signal.SIGINT or handler != signal.SIG_IGN:
                    signal.signal(number, heard)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._listens = False

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Only note the first signal, for the caller to check; raise at once on a second one."""
        before, self._notes = self._notes, True
        try:
            yield
        finally:
            self._notes = before
