"""What docs/tables.md says of cells is what polycera prints."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

import polycera as pc

pytestmark = pytest.mark.nobackend

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tables.md"
LEAD = re.compile(r"^Column 'x'(?: \([^)]*\))?: ")
CELL = re.compile(r"`([^`]*)`")
HEADING = "| cells of a column `x` | read as | what polycera says |"


def lines() -> list[tuple[list[str], str, str]]:
    """The lines of the table: cells, role, sentence; an empty sentence where nothing is said."""
    table = PAGE.read_text(encoding="utf-8").split(HEADING)[1].split("\n\n")[0]
    found = []
    for line in table.strip().splitlines()[1:]:
        cells, role, sentence = (part.strip() for part in line.strip("|").split(" | "))
        found.append((CELL.findall(cells), role.split(",")[0].split(":")[0], sentence))
    return found


@pytest.mark.parametrize(("cells", "role", "sentence"), lines(), ids=lambda part: str(part)[:30])
def test_the_page_says_what_polycera_says(
    cells: list[str], role: str, sentence: str, tmp_path: Path
) -> None:
    """Forty rows of such cells have this role, and give this sentence."""
    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["x", "other"])
        writer.writerows([cells[i % len(cells)], i * 7 % 13 + i / 64] for i in range(40))
    found = pc.inspect(tmp_path / "x.csv")
    assert found.columns["x"].role == role
    about_x = [LEAD.sub("", said) for said in found.said if LEAD.match(said)]
    if sentence == "nothing":
        assert not about_x
    else:
        assert sentence in about_x
