"""Run code in a fresh Python process that finds polycera and these tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a fresh process that finds polycera and these tests.

    The test is skipped where the backend that it names is not installed.
    """
    backend = changes.get("KERAS_BACKEND")
    if backend and importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed here: pip install 'polycera[{backend}]'")
    here = Path(__file__).resolve().parent
    path = os.pathsep.join(map(str, (here.parent / "src", here, here / "values")))
    return os.environ | {"PYTHONPATH": path} | changes


def python(code: str, **changes: str) -> str:
    """Return what a fresh Python process prints; show its stderr where it fails."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment(**changes), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
