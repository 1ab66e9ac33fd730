"""The package behind the commands, imported when a command needs it."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from polycera_cli.saying import complain

BACKENDS = ("jax", "tensorflow", "torch")


def package() -> Any:
    """The package, on the backend that the user chose or, where nobody chose, the first one installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "KERAS_BACKEND" not in os.environ:
        chosen = _configured()
        installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
        if installed:
            os.environ["KERAS_BACKEND"] = chosen if chosen in installed else installed[0]
    if "keras" not in sys.modules and os.environ.get("KERAS_BACKEND") in ("jax", "torch"):
        # Keras imports TensorFlow on every backend to save a model: seconds, and a page of its log on stderr
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
    warnings.showwarning = _show_warning
    import polycera

    return polycera


@contextmanager
def without_keras() -> Iterator[None]:
    """In here the rooms that need no Keras can be imported without it: the package stands there without its face."""
    if "polycera" in sys.modules:
        yield
        return
    warnings.showwarning = _show_warning
    found, bare = importlib.util.find_spec("polycera"), ModuleType("polycera")
    assert found is not None
    bare.__path__ = list(found.submodule_search_locations or ())
    sys.modules["polycera"] = bare
    try:
        yield
    finally:  # whoever imports the package from here on gets all of it
        for name in [name for name in sys.modules if name.split(".")[0] == "polycera"]:
            del sys.modules[name]


def _configured() -> str | None:
    """The backend in keras.json. Keras writes that file unasked, so one that is not installed was nobody's choice."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return str(json.loads((home / "keras.json").read_text())["backend"])
    except (OSError, ValueError, KeyError):
        return None


def _show_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    """Our own warnings as a plain sentence; those of other packages are not the user's business here."""
    here = Path(__file__).parent
    own = any(Path(filename).is_relative_to(place) for place in (here, here.with_name("polycera")))
    if own and issubclass(category, UserWarning):
        print(f"Note: {message}", file=sys.stderr)


def check_lock(run: Path) -> None:
    """Refuse a run that another process trains before Keras is imported, which takes seconds."""
    from filelock import FileLock, Timeout

    lock = run / "checkpoints" / "lock"
    try:
        if lock.exists():
            with FileLock(lock, timeout=0):
                pass
    except Timeout:
        complain(f"Another process is training in {str(run)!r}: wait until it ends, or end it first.")
        sys.exit(1)
    except OSError:  # said in full by who opens the run
        pass


def as_the_run_began(run: Path) -> None:
    """Choose the backend that the run has, where the user chose none: on another the bits would differ."""
    try:
        began = json.loads(_start(run / "versions.json"))["backend"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    if began in BACKENDS and importlib.util.find_spec(began):
        os.environ.setdefault("KERAS_BACKEND", began)


def _start(path: Path) -> bytes:
    """The first bytes of a file of a run: of no link, and without waiting for who may write into a pipe."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        return file.read(2**16) or b""
