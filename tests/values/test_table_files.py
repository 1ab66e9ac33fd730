"""What is written to a table file is read back by others as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from polycera.errors import InputError
from polycera.storage import table_files

pytestmark = pytest.mark.nokeras

COLUMNS: dict[str, list[Any]] = {
    "number": [1.5, None, float("inf")],
    "code": [1, None, 2**53 + 1],
    "=label": ["=1+1", "1.0", None],
    "truth": [True, None, False],
    "mixed": [1, "one", None],
    "beyond": [2**70, 1, None],
}


def test_parquet_keeps_types_and_gaps(tmp_path: Path) -> None:
    path = tmp_path / "it's.parquet"
    table_files.write(path, COLUMNS)
    with duckdb.connect() as connection:
        rows = connection.execute("SELECT * FROM read_parquet($1)", [str(path)]).fetchall()
        types = connection.execute("DESCRIBE SELECT * FROM read_parquet($1)", [str(path)])
        names = {name: kind for name, kind, *_ in types.fetchall()}
    assert names == {
        "number": "DOUBLE",
        "code": "BIGINT",
        "=label": "VARCHAR",
        "truth": "BOOLEAN",
        "mixed": "VARCHAR",
        "beyond": "VARCHAR",
    }
    as_text = COLUMNS | {"mixed": ["1", "one", None], "beyond": [str(2**70), "1", None]}
    assert rows == list(zip(*as_text.values(), strict=True))


def test_a_type_is_decided_by_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "late.parquet"
    values = [True] * 5000 + ["maybe"]
    table_files.write(path, {"late": values})
    with duckdb.connect() as connection:
        rows = connection.execute("SELECT * FROM read_parquet($1)", [str(path)]).fetchall()
    assert [value for (value,) in rows] == [str(value) for value in values]


def test_a_workbook_has_numbers_as_numbers_and_no_formula(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="reads cells with their types")
    path = tmp_path / "answers.xlsx"
    table_files.write(path, COLUMNS)
    cells = list(openpyxl.load_workbook(path).active.iter_rows())
    assert [cell.value for cell in cells[0]] == list(COLUMNS)
    kinds = {column[0].value: column[1].data_type for column in zip(*cells, strict=True)}
    assert kinds == {
        "number": "n",
        "code": "n",
        "=label": "s",
        "truth": "b",
        "mixed": "n",
        "beyond": "n",
    }
    assert [cells[row][2].value for row in (1, 2, 3)] == ["=1+1", "1.0", None]
    assert [cells[row][2].data_type for row in (1, 2)] == ["s", "s"]


def test_too_many_rows_for_a_sheet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1048576 rows .* do not fit into an Excel sheet"):
        table_files.write(tmp_path / "answers.xlsx", {"a": range(2**20)})
    assert not list(tmp_path.iterdir())
