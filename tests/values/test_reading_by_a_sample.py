"""The first rows of a file only choose how it is read: what is found is that of all rows."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polycera.data import cells, read, sources
from polycera.data.cells import distinct_cells
from polycera.data.cells.fetch import expression, kinds_in
from polycera.data.sources import text_files
from polycera.inspection import inspect

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

HEAD = ("{k}", "{k}.25", "town {t}", "0{t}", "2024-01-{d:02}", "yes", "{k},5 €", "12{k}", "{k}/x")
TAIL = {
    "as the head": HEAD,
    "with words for missing": ("-", "NA", "?", "n/a", "NULL", " ", "--", "none", "-"),
    "with other kinds": ("1.5", "x", "Oslo ", "7", "3/2/2024", "Yes", "3 kg", "1e3", "9"),
    "with local signs": (
        "1.234",
        "1,5",
        "",
        "007",
        "2024-01-05 10:00",
        " no",
        "1.234,5 €",
        "7",
        "x",
    ),
}


def written(path: Path, tail: tuple[str, ...]) -> Path:
    """Write a table of 800 rows; 100 of the last 200 rows hold the cells of the tail."""
    draw = random.Random(0)
    lines = [";".join(f"c{place}" for place in range(len(HEAD))) + ";y"]
    for k in range(800):
        cells_of = tail if k >= 600 and k % 2 else HEAD
        values = [c.format(k=k, t=k % 7, d=k % 28 + 1) for c in cells_of]
        lines.append(";".join([*values, draw.choice("ab")]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("tail", TAIL)
def test_what_is_found_does_not_depend_on_the_sample(
    tmp_path: Path, tail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "t.csv", TAIL[tail])

    def found(**constants: int) -> dict[str, Any]:
        with monkeypatch.context() as patch:
            for name, value in constants.items():
                patch.setattr(distinct_cells, name, value)
            return inspect(path, "y").to_dict()

    of_all_rows = found(FEW=-1)  # no column is supposed to have few different cells
    assert found(SAMPLE=50) == of_all_rows
    assert found(SAMPLE=50, FEW=20, MANY=5) == of_all_rows


@pytest.mark.parametrize("tail", TAIL)
def test_types_that_the_first_rows_show_are_checked_in_all_rows(
    tmp_path: Path, tail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "t.csv", TAIL[tail])
    all_text = inspect(path, "y").to_dict()
    monkeypatch.setattr(text_files, "SAMPLE", 2_000)
    assert inspect(path, "y").to_dict() == all_text


ROWS = 300_000
"""More than DuckDB gives to one thread."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a table of many rows, in whose columns each row has its number."""
    path = tmp_path_factory.mktemp("large") / "t.csv"
    head, names = "NA,x,-,NULL,1/2/2024,yes\n" * 2, "id,text,few,money,day,ok\n"
    rows = "".join(
        f"{k},text {k},level {k % 9},{k} €,{k % 28 + 1}/3/2024,{'yes' if k % 2 else 'No'}\n"
        for k in range(2, ROWS)
    )
    path.write_text(names + head + rows, encoding="utf-8")
    return path


def test_the_cells_of_a_row_stay_together_in_a_long_file(large: Path) -> None:
    table = read(large)
    number = np.arange(ROWS)
    assert (table["id"][2:] == number[2:]).all()
    assert (table["money"][2:] == number[2:]).all()
    assert table["text"].tolist()[2:] == [f"text {k}" for k in number[2:]]
    assert table["few"].tolist()[2:] == [f"level {k % 9}" for k in number[2:]]
    assert (table["few"][:2] == None).all()  # noqa: E711


def test_no_cell_is_read_by_a_join_which_would_change_the_order(large: Path) -> None:
    rows = sources.open(large, as_text=True)
    reading = cells.understand(rows, missing=["-999", "-998", "-997", "-996", "-995", "-994"])
    for name, kind in kinds_in(rows, reading).items():
        value = expression(rows, reading, name, kind)
        plan = rows.execute(f"explain select {value} from {rows.relation}").fetchall()
        assert "join" not in str(plan).lower(), name


def test_sql_with_a_list_of_values_gives_the_rows_in_their_order(large: Path) -> None:
    few = ", ".join(f"'text {k}'" for k in range(100, 120))
    table = read(
        None, sql=f"select try_cast(id as bigint) as id, text in ({few}) as chosen from '{large}'"
    )
    assert (table["id"][2:] == np.arange(2, ROWS)).all()
    assert np.flatnonzero(table["chosen"]).tolist() == list(range(100, 120))
