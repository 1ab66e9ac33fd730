"""docs/report-json.md describes every field of the findings, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polycera.runs.findings import Findings

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

PAGE = Path(__file__).resolve().parents[2] / "docs/report-json.md"


def forms(kind: Any, found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the name of each form with the names of its fields, those within it included."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind.__name__ not in found:
            fields = msgspec.structs.fields(kind)
            found[kind.__name__] = {field.name for field in fields}
            for field in fields:
                forms(field.type, found)
    else:
        for part in getattr(kind, "__args__", ()):
            forms(part, found)
    return found


def test_each_field_is_described() -> None:
    page = PAGE.read_text(encoding="utf-8")
    described: dict[str, set[str]] = {}
    for part in re.split(r"^### ", page, flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        cells = re.findall(r"^\| (`.*?) \| *\S", rest, flags=re.MULTILINE)
        described[name] = {field for cell in cells for field in re.findall(r"`(\w+)`", cell)}
    assert described == forms(Findings, {})
