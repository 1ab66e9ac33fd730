"""The API reference lists every public name and no other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import reference  # noqa: E402

pytestmark = pytest.mark.nobackend


def test_the_page_is_as_the_tool_writes_it() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), (
        "run python tools/reference.py"
    )


@pytest.mark.parametrize("face", reference.FACES)
def test_every_public_name_is_there_and_explained(face: str) -> None:
    module = importlib.import_module(face)
    for name in reference.names(face):
        assert getattr(module, name).__doc__, name


def test_public_faces_are_those_that_users_reach() -> None:
    import polycera as pc

    faces = {name for name in pc.__all__ if f"polycera.{name}" in reference.FACES}
    assert faces == {"layers", "callbacks", "diagnostics", "plots"}
