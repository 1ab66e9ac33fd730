"""Ctrl-C and SIGTERM, put off until a training can be left in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from polycera.errors import Interrupted, Terminated


class Asked:
    """Whether somebody has asked the training to end; true once they have."""

    def __init__(self) -> None:
        self._number = 0

    def __bool__(self) -> bool:
        return self._number > 0

    def end(self, message: str) -> Interrupted | Terminated:
        """What to raise, with what to say: Python ends with 130 after Ctrl-C, with 143 after SIGTERM."""
        return (Terminated if self._number == signal.SIGTERM else Interrupted)(message)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note the first signal; a second one ends at once. Only the main thread hears any."""
        self._number = 0
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def noted(number: int, frame: Any) -> None:
            if self:
                raise KeyboardInterrupt
            self._number = number

        before = {number: signal.signal(number, noted) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
