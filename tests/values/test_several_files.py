"""Several files as one table: a folder, a pattern, a list; of text, of JSON lines, of Parquet."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polycera as pc
import polycera_cli
from polycera import data
from polycera.data import sources
from polycera.errors import InputError

pytestmark = pytest.mark.nobackend


def columns(source: Any, **options: Any) -> dict[str, list[Any]]:
    """Return the columns of a source as they are understood."""
    table = data.read(source, **options)
    return {name: table[name].tolist() for name in table.names}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files with the same columns in another order, delimiter and encoding; one is packed."""
    place = tmp_path / "days"
    place.mkdir()
    (place / "2024-01.csv").write_text("town,price\nOslo,1.5\nBergen,2\n")
    (place / "2024-02.csv").write_bytes("price;town\n3;Malmö\n".encode("cp1252"))
    with gzip.open(place / "2025-01.csv.gz", "wt") as file:
        file.write("town,price\nOslo,4\n")
    (place / "2025-02.csv").write_text("town,price\n")  # a day without a row
    (place / "README.txt").write_text("what these files are")
    return place


def test_a_folder_a_pattern_and_a_list_of_csv_are_one_table(folder: Path) -> None:
    """Rows come file by file in the order of the names, whatever the order of the columns."""
    whole = {"town": ["Oslo", "Bergen", "Malmö", "Oslo"], "price": [1.5, 2.0, 3.0, 4.0]}
    assert columns(folder) == whole
    assert columns(folder / "*.csv*") == whole
    first = {name: values[:3] for name, values in whole.items()}
    assert columns(str(folder / "2024-*.csv")) == first
    assert columns([folder / "2024-01.csv", str(folder / "2024-02.csv")]) == first
    assert columns(folder, sql="select price from source where town = 'Malmö'") == {"price": [3.0]}
    said = sources.open(folder).said
    assert len(said) == 1 and "2024-02.csv' is not UTF-8" in said[0]
    assert columns(folder, encoding="latin-1") == whole


def test_a_column_is_of_one_type_in_all_files(tmp_path: Path) -> None:
    """A column of numbers in a large file stays as written where another file has text in it."""
    large = "n,code\n" + "".join(f"{i},{i:05}\n" for i in range(100_000))
    (tmp_path / "a.csv").write_text(large)
    (tmp_path / "b.csv").write_text("n,code\n1,x\n1.50,y\n")
    rows = sources.open(tmp_path, as_text=())
    assert rows.types == {"n": "VARCHAR", "code": "VARCHAR"} and rows.count() == 100_002
    last = rows.execute(f"select n, code from {rows.relation} offset 99999").fetchall()
    assert last == [("99999", "99999"), ("1", "x"), ("1.50", "y")]
    (tmp_path / "b.csv").write_text(large)
    assert sources.open(tmp_path, as_text=()).types["n"] == "BIGINT"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_folders_give_columns(tmp_path: Path, ending: str) -> None:
    """Folders such as year=2024 are columns, of files of text and of JSON lines too."""
    for year, town, price in ((2024, "north", 1), (2025, "south", 2)):
        place = tmp_path / f"year={year}" / f"town={town}"
        place.mkdir(parents=True)
        text = f"price\n{price}\n" if ending == "csv" else f'{{"price": {price}}}\n'
        (place / f"part.{ending}").write_text(text)
    found = columns(tmp_path)
    assert found == {"price": [1.0, 2.0], "year": [2024.0, 2025.0], "town": ["north", "south"]}
    rows = sources.open(tmp_path, exclude=["year"])
    assert list(rows.types) == ["price", "town"] and rows.left_out == ("year",)


def test_json_lines_of_a_folder_are_one_table(tmp_path: Path) -> None:
    """A key that a file has not is missing there, and types fit all files."""
    (tmp_path / "a.jsonl").write_text('{"n": 1, "only": null}\n{"n": 2}\n')
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write('{"n": 2.5, "only": "x"}\n')
    found = data.read(tmp_path)
    assert found["n"].tolist() == [1.0, 2.0, 2.5]
    assert found["only"].tolist() == [None, None, "x"]


def test_files_that_are_not_one_table_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    """Other columns, other kinds of files, a file that is named twice or is not there."""

    def message(source: Any) -> str:
        with pytest.raises(InputError) as raised:
            sources.open(source)
        return str(raised.value)

    (folder / "2024-03.csv").write_text("town,cost\nOslo,1\n")
    said = message(folder)
    assert "2024-03.csv' has other columns than" in said and "'cost', 'price'" in said
    (folder / "2024-03.csv").unlink()
    (folder / "2026.jsonl").write_text('{"town": "Oslo", "price": 1}\n')
    assert "2026.jsonl'; several files are read as one table where all" in message(folder)
    twice = [folder / "2024-01.csv", folder / "2024-*.csv"]
    assert "2024-01.csv' twice" in message(twice)
    assert "does not exist" in message([folder / "2024-01.csv", folder / "no.csv"])
    for name in ("year=1/a.csv", "month=1/a.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x\n1\n")
    assert "give the columns 'year'" in message(tmp_path / "*=1" / "a.csv")


def test_several_files_train_and_predict_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell's pattern is several words; they are one table in every command."""
    rng = np.random.default_rng(0)
    for part in range(3):
        a = rng.normal(size=40)
        lines = "".join(f"{x:.6f},{2 * x:.6f}\n" for x in a)
        (tmp_path / f"{part}.csv").write_text(f"a,y\n{lines}")
    monkeypatch.chdir(tmp_path)

    def called(*words: str, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            polycera_cli.main(list(words))
        assert (ended.value.code or 0) == code
        printed = capsys.readouterr()
        return printed.out, printed.err

    files = ("0.csv", "1.csv", "2.csv")
    page = json.loads(called("inspect", *files, "-t", "y", "--json")[0])
    assert page["rows"] == 120
    called("fit", *files, "-t", "y", "--max-steps", "3", "--folds", "1", "-o", "run", "-q")
    assert pc.load("run").spec.data.source == list(files)
    assert pc.load("run").evaluate(by="a").rows == pc.load("run").metrics["rows"]["test"]
    assert len(called("predict", "run", *files)[0].splitlines()) == 121
    assert (
        called("evaluate", "run", "*.csv", "--json")[0]
        == called("evaluate", "run", *files, "--json")[0]
    )
    error = called("fit", *files, "-t", "y", "a", code=2)[1]
    assert "Write --target before each column to predict" in error
