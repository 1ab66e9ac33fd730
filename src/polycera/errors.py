"""The tree of errors. Each message is one sentence: the thing, what came, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PolyceraError(Exception):
    """Everything that polycera raises on purpose; the command line prints it and exits with 1."""


class InputError(PolyceraError, ValueError):
    """What the user gave cannot be used; the command line prints it and exits with 2."""


class UnknownName(InputError):
    """A task, column, metric or method that nobody declared.

    Attributes:
        name: what came.
        known: what there is.
    """

    def __init__(self, what: str, name: object, known: Iterable[str], hint: str = "") -> None:
        self.name, self.known = name, list(known)
        close = difflib.get_close_matches(str(name), self.known, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ";"
        message = f"Unknown {what} {shorten(name)!r}{guess} known: {listing(self.known)}."
        super().__init__(f"{message} {hint}".strip())


class MissingExtra(PolyceraError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'polycera[{extra}]'.")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of a training, after a checkpoint; the message says how to go on."""

    code = 130


class Terminated(SystemExit):
    """SIGTERM or SIGHUP in the middle of a training, after a checkpoint; the message says how to go on."""

    def __init__(self, message: str, code: int = 143) -> None:
        super().__init__(code)
        self.message = message

    def __str__(self) -> str:
        return self.message


def shorten(value: object, limit: int = 80) -> str:
    """A name or value as text that fits a sentence, however long it came."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def listing(names: Iterable[object], limit: int = 20) -> str:
    """The names, comma-separated; the first `limit` of many."""
    shown = [
        repr(shorten(name, 40)) if isinstance(name, str) else shorten(repr(name), 40)
        for name in names
    ]
    more = f", … ({len(shown)} in all)" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more if shown else "none"
