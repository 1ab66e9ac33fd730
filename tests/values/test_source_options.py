"""The options `sql` and `sheet`, and standard input, from `fit` to `predict`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xlsxwriter

import polycera as pc
from polycera.tabular.prepare import prepared_again
from polycera_cli import main

pytestmark = [pytest.mark.nobackend, pytest.mark.filterwarnings("ignore::UserWarning")]

SHORT: dict[str, Any] = {"network": {"members": 2, "width": 8}, "training": {"max_steps": 8}}
ROWS = [(i % 7, i % 3, i % 7 + 2 * (i % 3)) for i in range(60)]
TABLE = "a;b;y\n" + "".join(f"{a};{b};{y}\n" for a, b, y in ROWS)
SQL = "select a, a * b as ab, y from source where a > 0"


def test_sql_from_fit_to_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The spec stores it, a training is resumed with it, and new rows are asked for by it."""
    path = tmp_path / "t.csv"
    path.write_text(TABLE, encoding="utf-8")
    run = pc.fit(path, {"y": "regression"}, sql=SQL, out=tmp_path / "run", **SHORT)
    stored = run.spec.data
    assert (stored.source, stored.sql, sorted(stored.columns)) == (str(path), SQL, ["a", "ab"])
    whole = "select *, a * b as ab from source"
    predicted = run.predict(path, sql=whole)["y"]
    assert len(predicted) == 60
    alone = run.predict(None, sql=f"select *, a * b as ab from '{path}'")["y"]
    np.testing.assert_array_equal(alone, predicted)
    again = pc.fit(spec=tmp_path / "run" / "spec.yaml", out=tmp_path / "again")
    np.testing.assert_array_equal(again.predict(path, sql=whole)["y"], predicted)
    with pytest.raises(pc.errors.InputError, match="Column 'ab' is missing"):
        run.predict(path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABLE.encode())))
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(tmp_path / "run"), "-", "--sql", whole])
    assert ended.value.code == 0
    printed = capsys.readouterr().out.split()
    np.testing.assert_allclose([float(cell) for cell in printed[1:]], predicted)


def test_sql_over_a_frame_wants_the_frame_again(tmp_path: Path) -> None:
    """A run of a frame and SQL does not know its table; SQL alone without a table says so."""
    frame = {name: [row[place] for row in ROWS] for place, name in enumerate("aby")}
    run = pc.fit(frame, {"y": "regression"}, sql=SQL, out=tmp_path / "run", **SHORT)
    with pytest.raises(pc.errors.InputError, match="was started with a data frame: pass it again"):
        prepared_again(run)
    assert prepared_again(run, frame).table.names == ["a", "ab", "y"]
    with pytest.raises(pc.errors.InputError, match="reads from source, and no table came"):
        pc.inspect(None, sql=SQL)
    own = "with source as (select range as a, range % 3 as b from range(9)) select * from source"
    assert pc.inspect(None, sql=own).rows == 9


@pytest.mark.parametrize("encoding", [None, "utf-8", "cp1252"])
def test_an_encoding_that_was_given_is_obeyed(tmp_path: Path, encoding: str | None) -> None:
    """A later file may show another encoding, unless the user gave one."""
    path, later = tmp_path / "t.csv", tmp_path / "later.csv"
    path.write_text(TABLE, encoding="utf-8")
    text = "\n".join(f"{line};{'süd' if row else 'ß'}" for row, line in enumerate(TABLE.split()))
    later.write_bytes(text.encode("cp1252"))
    run = pc.fit(path, {"y": "regression"}, encoding=encoding, out=tmp_path / "run", **SHORT)
    assert run.spec.data.encoding == encoding
    if encoding == "utf-8":
        with pytest.raises(pc.errors.InputError, match=r"is not utf-8 text: byte 6 \(0xdf\)"):
            run.predict(later)
    else:
        assert len(run.predict(later)["y"]) == 60


def test_the_sheet_of_the_training_is_the_sheet_of_new_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    with xlsxwriter.Workbook(path) as workbook:
        workbook.add_worksheet("notes").write(0, 0, "nothing here")
        sheet = workbook.add_worksheet("rows")
        for place, row in enumerate([("a", "b", "y"), *ROWS]):
            sheet.write_row(place, 0, row)
    run = pc.fit(path, {"y": "regression"}, sheet="rows", out=tmp_path / "run", **SHORT)
    assert run.spec.data.sheet == "rows"
    assert len(run.predict(path)["y"]) == 60
    assert "y" in run.evaluate(path, sheet="rows")
