"""The meaning of cells: what a person wrote is what is read, or a sentence says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from polycera.data import Table, read, tasks_for
from polycera.data.cells import CellFormat
from polycera.data.reading import CellWishes
from polycera.errors import InputError
from polycera.runs.spec import Data
from polycera.tabular.prepare import read_cells

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]


def column(tmp_path: Path, cells: list[str], **options: Any) -> tuple[np.ndarray, Table]:
    """Return the column `x` of a file of text, and the table."""
    path = tmp_path / "t.csv"
    lines = ["x;y", *(f'"{cell}";{row}' for row, cell in enumerate(cells))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = read(path, **options)
    return table["x"], table


NUMBERS = {
    "decimal comma": (["1,5", "-0,25", "7"], [1.5, -0.25, 7]),
    "thousands by point": (["1.234,5", "1.234.567", "12"], [1234.5, 1234567, 12]),
    "thousands by comma": (["1,234.5", "12,345,678", "0.5"], [1234.5, 12345678, 0.5]),
    "as in India": (["1,23,456.5", "1,234"], [123456.5, 1234]),
    "thousands by blanks": (["1 234,5", "1\u202f234\u00a0567", "-5"], [1234.5, 1234567, -5]),
    "thousands by apostrophes": (["1'234.5", "1’234’567"], [1234.5, 1234567]),
    "money": (["$1,234.50", "($5)", "-$3", "$-3"], [1234.5, -5, -3, -3]),
    "money after": (["1.234,50 €", "5 €", "3,- €"], None),
    "codes of money": (["CHF 1'200.50", "CHF 3"], [1200.5, 3]),
    "percents": (["37 %", "-2.5%", "0"], [0.37, -0.025, 0]),
    "a unit": (["41 kg", "3.5kg", "7"], [41, 3.5, 7]),
    "mixed units": (["41 kg", "3 g"], None),
    "percents and others": (["41 %", "0.3"], None),
    "signs": (["(123)", "7-", "+4", "\u22125"], [-123, -7, 4, -5]),
    "limits": (["<0.1", "2.5", "> 9"], [0.1, 2.5, 9]),
    "exponents": (["1,5e3", "2,5"], [1500, 2.5]),
    "words for missing": (
        ["1", "-", "--", "n/a", "#N/A", "<NA>", "\\N", ".", "?", " ", "nil", "NULL"],
        [1] + [np.nan] * 11,
    ),
    "versions": (["1.2.3", "1.2.4"], None),
    "grouped wrongly": (["1,23", "1,234,5"], None),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_as_people_write_them(tmp_path: Path, name: str) -> None:
    cells, expected = NUMBERS[name]
    values, table = column(tmp_path, cells)
    if expected is None:
        assert values.tolist() == cells
    else:
        np.testing.assert_allclose(values.astype(float), expected, rtol=1e-15)
        assert not table.reading.remarks


DATES = {
    "day first": (["31/12/2024", "1/2/2024"], ["2024-12-31", "2024-02-01"], "%d/%m/%Y"),
    "month first": (["12/31/2024", "1/2/2024"], ["2024-12-31", "2024-01-02"], "%m/%d/%Y"),
    "points": (["01.02.2024", "02.01.2024"], ["2024-02-01", "2024-01-02"], "%d.%m.%Y"),
    "short years": (["31-12-24", "01-02-99"], ["2024-12-31", "1999-02-01"], "%d-%m-%y"),
    "names": (
        ["3. März 2024", "24 Dezember 2023", "1 May 2024"],
        ["2024-03-03", "2023-12-24", "2024-05-01"],
        "%d %b %Y",
    ),
    "names first": (
        ["Feb 5, 2024 3:04 pm", "Mar 6, 2024"],
        ["2024-02-05T15:04", "2024-03-06"],
        "%b %d %Y",
    ),
    "zones": (
        ["2024-02-05T11:00:00+02:00", "2024-02-05 11:00:00Z", "2024-02-05"],
        ["2024-02-05T09:00", "2024-02-05T11:00", "2024-02-05"],
        None,
    ),
    "one that is missing": (["2024-02-05", "none"], ["2024-02-05", "NaT"], None),
}


@pytest.mark.parametrize("name", DATES)
def test_dates_as_people_write_them(tmp_path: Path, name: str) -> None:
    cells, expected, order = DATES[name]
    values, table = column(tmp_path, cells)
    assert values.dtype == "datetime64[us]"
    np.testing.assert_array_equal(values, np.array(expected, dtype="datetime64[us]"))
    assert table.reading.formats["x"] == CellFormat("date", date=order)
    assert bool(table.reading.said) == (order is not None or "missing" in name)


def test_dates_with_two_readings_are_left_out_until_their_order_is_given(tmp_path: Path) -> None:
    cells = ["01/02/2024", "03/04/2024"]
    values, table = column(tmp_path, cells)
    assert values.tolist() == cells and table.reading.remarks["x"].ambiguous_dates
    assert "--date-format x=%d/%m/%Y or x=%m/%d/%Y" in table.reading.remarks["x"].text
    american = {"x": CellFormat("date", date="%m/%d/%Y")}
    values, _ = column(tmp_path, cells, formats=american)
    assert values.astype(str)[0].startswith("2024-01-02")


def test_a_given_format_names_the_cell_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        column(
            tmp_path, ["1/2/2024", "31/2/2024"], formats={"x": CellFormat("date", date="%d/%m/%Y")}
        )
    assert str(caught.value).startswith(
        "Column 'x' is read as a date written as %d/%m/%Y, and row 1 holds '31/2/2024'"
    )
    with pytest.raises(InputError, match=r"row 0 holds '1\.5'"):
        column(tmp_path, ["1.5"], formats={"x": CellFormat("number", decimal=",")})


def test_a_sign_with_two_readings_is_read_as_in_the_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b;c\n1.234;0,5;12\n5.678;1,25;13\n", encoding="utf-8")
    table = read(path)
    assert table["a"].tolist() == [1234, 5678] and "--number-format a=" in table.reading.said[0]
    path.write_text("a;b\n1.234;12\n5.678;13\n", encoding="utf-8")
    assert read(path)["a"].tolist() == [1.234, 5.678]
    wishes = CellWishes({"a": "1.234,5"})
    assert read(path, wishes=wishes)["a"].tolist() == [1234, 5678]


def test_codes_and_large_numbers_are_kept_apart(tmp_path: Path) -> None:
    assert column(tmp_path, ["007", "12"])[0].tolist() == ["007", "12"]
    large = ["1152921504606846981", "1152921504606846982"]
    assert column(tmp_path, large)[0].tolist() == large
    assert column(tmp_path, ["0.07", "12"])[0].tolist() == [0.07, 12]


def test_blanks_and_capitals_make_no_labels(tmp_path: Path) -> None:
    assert column(tmp_path, ["y", "y ", "n", " N", "n"])[0].tolist() == list("yynnn")
    assert column(tmp_path, ["red", "Red"])[0].tolist() == ["red", "Red"]
    values, table = column(tmp_path, ["+", "-", "+"])
    assert values.tolist() == ["+", "-", "+"] and "is a label" in table.reading.said[0]


def test_what_stands_in_the_way_of_a_number_is_named(tmp_path: Path) -> None:
    _, table = column(tmp_path, [*map(str, range(30)), "about 7"])
    assert table.reading.remarks["x"].text.startswith(
        "It would be numeric except for 1 cell, the first 'about 7' in row 30"
    )


def test_missing_words_can_be_given(tmp_path: Path) -> None:
    values, table = column(tmp_path, ["1", "-999", "void"], missing=["-999", "void"])
    assert np.isnan(values[1:]).all()
    assert "Column 'x': 1 of 3 cells is '-999': read as missing." in table.reading.said
    only = CellWishes(missing={"x": ("none",)})
    assert column(tmp_path, ["a", "-", "none"], wishes=only)[0].tolist() == ["a", "-", None]


def test_text_of_a_frame_is_understood_where_it_can_only_be_a_number() -> None:
    frame = pl.DataFrame(
        {"code": ["01", "2"], "price": ["1.200,50 €", "-"], "town": ["Oslo ", None]}
    )
    for source in (frame, frame.to_pandas(), frame.to_dict(as_series=False)):
        table = read(source)
        assert table["code"].tolist() == ["01", "2"]
        np.testing.assert_array_equal(table["price"], [1200.5, np.nan])
        assert table["town"].tolist() == ["Oslo", None]


def test_formats_are_written_and_read() -> None:
    formats = [
        CellFormat("number", ",", ".", "€"),
        CellFormat("date", date="%d/%m/%Y"),
        CellFormat("text", missing=("x",), labels=(("No", "no"),)),
    ]
    for format in formats:
        assert CellFormat.from_config(format.to_config()) == format
    for wrong in (
        {"kind": "int"},
        {"kind": "number", "decimal": "x"},
        {"kind": "date", "date": "d"},
    ):
        with pytest.raises(InputError, match="'x'"):
            CellFormat.from_config(wrong, "x")


def test_ordinal_levels_have_the_order_that_is_known() -> None:
    levels = ["good", "bad", "ok"]
    assert tasks_for(Table({"a": levels}), {"a": "ordinal"})[0][0].classes == ("bad", "ok", "good")
    task = tasks_for(Table({"a": levels}), {"a": "ordinal"}, orders={"a": ["ok", "good", "bad"]})
    assert task[0][0].classes == ("ok", "good", "bad")
    declared = pd.DataFrame({"a": pd.Categorical(levels, ["good", "ok", "bad"], ordered=True)})
    assert tasks_for(read(declared), {"a": "ordinal"})[0][0].classes == ("good", "ok", "bad")
    _, reasons = tasks_for(Table({"a": ["p", "q", "r"]}), {"a": "ordinal"})
    assert "Warning: no order is known" in reasons["a"]
    for order, expected in (["ok", "bad"], "lacks 'good'"), (["ok", "bad", "ok"], "twice"):
        with pytest.raises(InputError, match=expected):
            tasks_for(Table({"a": levels}), {"a": "ordinal"}, orders={"a": order})
    with pytest.raises(InputError, match="is multiclass: only ordinal"):
        tasks_for(Table({"a": levels}), {"a": "multiclass"}, orders={"a": levels})


def test_a_given_order_makes_a_target_ordinal() -> None:
    """Whoever gives the order of the levels wants it kept; the reason says so."""
    for cells, order, classes in (
        (["good", "bad", "ok"], ["ok", "good", "bad"], ("ok", "good", "bad")),
        ([3, 1, 2, 1], ["2", "1", "3"], (2.0, 1.0, 3.0)),
        (["yes", "no", "no"], ["yes", "no"], ("yes", "no")),
    ):
        tasks, reasons = tasks_for(Table({"a": cells}), "a", orders={"a": order})
        assert (tasks[0].kind, tasks[0].classes) == ("ordinal", classes)
        assert reasons["a"] == "ordinal, because its order was given, in the given order."


def test_a_later_file_is_read_by_the_pinned_formats_and_old_runs_as_they_were(
    tmp_path: Path,
) -> None:
    _, table = column(tmp_path, ["31/12/2024", "1/2/2024"])
    pinned = {name: f.to_config() for name, f in table.reading.pinned.items()}
    assert pinned == {"x": {"kind": "date", "date": "%d/%m/%Y"}}
    path = tmp_path / "later.csv"
    path.write_text("x\n1/2/2024\n", encoding="utf-8")
    later = read_cells(path, Data(cells=pinned))
    assert later["x"].astype(str)[0].startswith("2024-02-01")
    path.write_text('x,n\n"yes ",01\n-,2\n', encoding="utf-8")
    old = read_cells(path, Data(), old=True)
    assert old["x"].tolist() == ["yes ", "-"] and old["n"].tolist() == [1, 2]
