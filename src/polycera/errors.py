"""Define every error that polycera raises; `pc.errors` is this module.

Each message is one sentence: the thing, what came, what was expected, what to do.

    Exception
    └── PolyceraError          everything below; the command line exits with 1
        ├── InputError         what was given cannot be used (a ValueError too); exits with 2
        │   ├── UnknownName    a task, column, metric or method that does not exist
        │   └── Taken          the folder or file to write is there already
        ├── MissingExtra       an optional package is not installed (an ImportError too)
        ├── Damaged            a file is not as it was written
        ├── InUse              another process trains in the folder
        ├── InTraining         another thread trains the model
        └── NotFinite          a loss, a gradient or a weight is NaN or infinite
    KeyboardInterrupt
    └── Interrupted            Ctrl-C in a training, after a checkpoint; exits with 130
    SystemExit
    └── Terminated             SIGTERM or SIGHUP in a training, after a checkpoint
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "Damaged",
    "InTraining",
    "InUse",
    "InputError",
    "Interrupted",
    "MissingExtra",
    "NotFinite",
    "PolyceraError",
    "Taken",
    "Terminated",
    "UnknownName",
]


class PolyceraError(Exception):
    """Base class of polycera's errors; the command line prints the error and exits with 1."""


class InputError(PolyceraError, ValueError):
    """Raised for input that cannot be used; the command line exits with 2."""


class UnknownName(InputError):
    """Raised for a name that does not exist: of a task, a column, a metric, a method.

    Attributes:
        name: the unknown name.
        known: the names that exist.
    """

    def __init__(self, what: str, name: object, known: Iterable[str], hint: str = "") -> None:
        self.name, self.known = name, list(known)
        close = difflib.get_close_matches(str(name), self.known, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ";"
        message = f"Unknown {what} {shorten(name)!r}{guess} known: {listing(self.known)}."
        super().__init__(f"{message} {hint}".strip())


class MissingExtra(PolyceraError, ImportError):
    """Raised where an optional package is needed and not installed."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'polycera[{extra}]'.")


class Taken(InputError):
    """Raised when the name of a new folder is already in use."""


class Damaged(PolyceraError):
    """Raised when a file is not what was written."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"The file {path.name!r} in {shorten(path.parent)!r} is damaged or was changed: {why}."
        )


class InUse(PolyceraError):
    """Raised when another process is training into a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Another process is training in {shorten(folder)!r}: "
            "wait until it ends, or end it first."
        )


class InTraining(PolyceraError):
    """Raised when a thread uses a model that another thread trains."""

    def __init__(self) -> None:
        super().__init__(
            "This model is being trained in another thread, so it cannot be used here: wait "
            "until the training has ended, or use a model of its own, such as one that pc.load "
            "opens."
        )


class NotFinite(PolyceraError):
    """Raised when a NaN or infinite loss, gradient or weight ends a training."""


class Interrupted(KeyboardInterrupt):
    """Raised after Ctrl-C in a training has saved a checkpoint; the message says how to resume."""

    code = 130


class Terminated(SystemExit):
    """Raised after SIGTERM or SIGHUP in a training has saved a checkpoint.

    The message says how to resume.
    """

    def __init__(self, message: str, code: int = 143) -> None:
        super().__init__(code)
        self.message = message

    def __str__(self) -> str:
        return self.message


def shorten(value: object, limit: int = 80) -> str:
    """Return a name or value as text of at most `limit` characters, to fit a sentence."""
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def listing(names: Iterable[object], limit: int = 20) -> str:
    """Return the names, separated by commas; the first `limit` of many."""
    shown = [
        repr(shorten(name, 40)) if isinstance(name, str) else shorten(repr(name), 40)
        for name in names
    ]
    more = f", … ({len(shown)} in all)" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more if shown else "none"
