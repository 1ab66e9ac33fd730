"""Import the package behind the commands, when a command needs it."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from polycera_cli.output import complain, note, settings


def package() -> Any:
    """Return the package; Keras is imported later, on the backend that is chosen here."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.showwarning = _show_warning
    import polycera
    from polycera import startup
    from polycera.errors import PolyceraError

    try:
        with warnings.catch_warnings():
            if not settings.verbose:
                # Keras writes keras.json by itself, so its backend is not the user's choice.
                warnings.simplefilter("ignore")
            backend = startup.choose_backend()
    except PolyceraError:  # raised again when Keras is imported; a command may not need it
        return polycera
    if "keras" not in sys.modules and backend in ("jax", "torch"):
        # Keras imports TensorFlow on every backend to save a model, which takes seconds and prints
        # a page of log lines.
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
    return polycera


def _show_warning(
    message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Print polycera's own warnings as plain sentences; drop those of other packages."""
    here = Path(__file__).parent
    is_ours = any(
        Path(filename).is_relative_to(package_folder)
        for package_folder in (here, here.with_name("polycera"))
    )
    if is_ours and issubclass(category, UserWarning):
        note(str(message))


def check_lock(run: Path | str) -> None:
    """Refuse a run that another process trains before Keras is imported, which takes seconds.

    A remote store has no lock.
    """
    if isinstance(run, str):
        return
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


def as_the_run_began(run: Path | str) -> None:
    """Choose the backend of the run where the user chose none: on another the bits would differ."""
    if isinstance(run, str):
        from polycera.errors import PolyceraError
        from polycera.storage import remote

        try:
            run = remote.fetched(f"{run.rstrip('/')}/timing.json").parent
        except PolyceraError:  # said in full by who opens the run
            return
    try:
        began = str(json.loads(_start(run / "timing.json"))["timing"]["versions"]["backend"])
    except FileNotFoundError:
        began = _backend_of_older(run)  # of a run of an older version
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    from polycera import startup

    if began in startup.BACKENDS and startup.installed(began):
        os.environ.setdefault("KERAS_BACKEND", began)


def _backend_of_older(run: Path) -> str:
    """Return the backend of a run that an older version of polycera began; empty where it names none."""
    try:
        return str(json.loads(_start(run / "versions.json"))["backend"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _start(path: Path) -> bytes:
    """Return the first bytes of a run's file; do not follow a link or wait for a pipe."""
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    )
    with open(descriptor, "rb") as file:
        return file.read(2**16) or b""
