"""The package behind the commands, imported when a command needs it."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from polycera_cli.saying import complain, note, settings


def package() -> Any:
    """Return the package. Keras is imported later, by what needs it, and on the backend that is chosen here."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.showwarning = _show_warning
    import polycera
    from polycera import startup
    from polycera.errors import PolyceraError

    try:
        with warnings.catch_warnings():
            if not settings.verbose:
                # Keras writes keras.json unasked: that another backend is taken than stands there
                # is no news.
                warnings.simplefilter("ignore")
            backend = startup.choose_backend()
    except PolyceraError:  # raised again when Keras is imported; a command may not need it
        return polycera
    if "keras" not in sys.modules and backend in ("jax", "torch"):
        # Keras imports TensorFlow on every backend to save a model: seconds, and a page of its log
        # on stderr
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
    return polycera


def _show_warning(
    message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Our own warnings as a plain sentence; those of other packages are not the user's business here."""
    here = Path(__file__).parent
    is_ours = any(
        Path(filename).is_relative_to(package_folder)
        for package_folder in (here, here.with_name("polycera"))
    )
    if is_ours and issubclass(category, UserWarning):
        note(str(message))


def check_lock(run: Path) -> None:
    """Refuse a run that another process trains before Keras is imported, which takes seconds."""
    from filelock import FileLock, Timeout

    lock = run / "checkpoints" / "lock"
    try:
        if lock.exists():
            with FileLock(lock, timeout=0):
                pass
    except Timeout:
        complain(
            f"Another process is training in {str(run)!r}: wait until it ends, or end it first."
        )
        sys.exit(1)
    except OSError:  # said in full by who opens the run
        pass


def as_the_run_began(run: Path) -> None:
    """Choose the backend that the run has, where the user chose none: on another the bits would differ."""
    try:
        began = json.loads(_start(run / "versions.json"))["backend"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    from polycera import startup

    if began in startup.BACKENDS and startup.installed(began):
        os.environ.setdefault("KERAS_BACKEND", began)


def _start(path: Path) -> bytes:
    """The first bytes of a file of a run: of no link, and without waiting for who may write into a pipe."""
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    )
    with open(descriptor, "rb") as file:
        return file.read(2**16) or b""
