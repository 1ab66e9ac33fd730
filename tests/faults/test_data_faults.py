"""Bad input to the data room: one sentence each, which names the thing."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from polycera.data import (
    Encoder,
    Schema,
    Table,
    from_column,
    infer,
    infer_task,
    labels,
    read,
    split,
    tasks_for,
)
from polycera.errors import InputError, UnknownName
from polycera.tasks import Binary, Multilabel, Regression

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]


def message(action: Callable[[], Any], error: type[Exception] = InputError) -> str:
    with pytest.raises(error) as caught:
        action()
    assert type(caught.value) is error
    return str(caught.value)


# -- files -----------------------------------------------------------------------------------------

FILES = {
    "empty": (b"", "is empty; a line of column names and at least one row are expected."),
    "blank": (b"\n \n", "is empty; a line of column names and at least one row are expected."),
    "header": (b"a,b\n", "has column names ('a', 'b') and 0 rows; at least one row is expected."),
    "png": (b"\x89PNG\r\n\x1a\n\0\0", "is no delimited text; it looks like a PNG image."),
    "parquet": (
        b"PAR1\x15\x04",
        "is no delimited text; it looks like a Parquet file: name it .parquet.",
    ),
    "gzip": (
        gzip.compress(b"a\n1\n"),
        "is no delimited text; it looks like gzip: name it .csv.gz.",
    ),
    "excel": (
        b"PK\x03\x04\x14",
        (
            "is no delimited text; it looks like a ZIP archive or an Excel workbook: unpack it, "
            "or name the workbook .xlsx."
        ),
    ),
    "page": (
        b"\n<!DOCTYPE html>",
        "is no delimited text; it looks like a web page: download the file itself.",
    ),
    "nul": (
        b"a,b\n1,\0\n",
        "is no delimited text: it holds NUL bytes, the first at byte 6, and looks binary.",
    ),
    "junk": (
        b"\xfe\0\xff\x80",
        "is no delimited text: it holds NUL bytes, the first at byte 1, and looks binary.",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_table(tmp_path: Path, name: str) -> None:
    content, expected = FILES[name]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert message(lambda: read(path)) == f"File {str(path)[:200]!r} {expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a,b\n1,2\n3\n",
            "line 3: 1 field found and 2 expected, as in the first line, divided by ','",
        ),
        (
            "a;b\n1;2\n\n1;2;3\n",
            "line 4: 3 fields found and 2 expected, as in the first line, divided by ';'",
        ),
        ('a,b\n"1\n\n1",2\n3,"4\n4",5\n', "line 5: 3 fields found and 2 expected"),
        ("a,b\n" + "1,2\n" * 1000 + "9,9,9\n", "line 1002: 3 fields found and 2 expected"),
        ('a,b\n1,2\n"3,4\n5,6\n', "is a quotation mark left open there?"),
    ],
    ids=["short", "long", "quoted", "late", "open quote"],
)
def test_a_row_of_another_length_is_named_by_its_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    said = message(lambda: read(path))
    assert expected in said
    assert said.endswith("is a quotation mark left open there?") == ('"3' in text)


def test_a_field_beyond_all_measure(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"' + "x" * 200_000, encoding="utf-8")
    said = message(lambda: read(path))
    assert "cannot be read beyond line" in said and "is a quotation mark left open there?" in said


def test_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a, b,b,a,c\n1,2,3,4,5\n", encoding="utf-8")
    expected = "Column names must differ, and these come more than once: 'a', 'b'."
    assert message(lambda: read(path)) == expected
    arrow = pa.table([pa.array([1])] * 5, names=["a", "b", "b", "a", "c"])
    assert message(lambda: read(arrow)) == expected
    assert message(lambda: read(pd.DataFrame([[1] * 5], columns=list("abbac")))) == expected
    assert message(lambda: Table([("a", [1]), ("b", [1]), ("b", [1]), ("a", [1])])) == expected


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    assert ".jsonl or .parquet file; a folder is read as one table of" in message(
        lambda: read(tmp_path)
    )
    assert f"no.csv' does not exist; the folder looked in is '{tmp_path}" in message(
        lambda: read(tmp_path / "no.csv")
    )
    assert message(lambda: read("x" * 5000 + ".csv")).endswith(
        "…' cannot be opened: File name too long."
    )
    path = tmp_path / "t.docx"
    path.touch()
    assert message(lambda: read(path)).endswith(
        "extension '.docx'; .csv, .tsv, .txt, .jsonl (also .gz, .zst), .parquet, .xlsx, .sqlite, "
        ".db and .duckdb can be read."
    )
    for name in ("t.parquet", "t.csv.gz"):
        path = tmp_path / name
        path.write_bytes(b"nonsense of some length")
        assert str(path) in message(lambda path=path: read(path))
    path = tmp_path / "none.parquet"
    pd.DataFrame({"a": []}).to_parquet(path)
    assert (
        message(lambda: read(path)) == f"File {str(path)!r} has 0 rows; at least one is expected."
    )
    assert "There is no encoding 'klingon'" in message(
        lambda: _write_and_read(tmp_path / "t.csv", "klingon")
    )


def _write_and_read(path: Path, encoding: str) -> Table:
    path.write_text("a\n1\n", encoding="utf-8")
    return read(path, encoding=encoding)


def test_parquet_needs_no_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert read(path)["a"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, "A table was expected, and a NoneType came"),
        (np.ones((2, 2)), "A table was expected, and a ndarray came"),
        (pd.Series([1]), "A table was expected, and a Series came"),
        ({}, "The table has no column; at least one is expected."),
        ({"a": []}, "The dict of columns has 0 rows; at least one is expected."),
        (pd.DataFrame({"a": []}), "The data frame has 0 rows; at least one is expected."),
        (
            {"a": [1], "b": [1, 2]},
            "Column 'b' has 2 rows and column 'a' has 1; all columns must have the same",
        ),
        ({"a": 1}, "Column 'a' is a single int; one value a row is expected."),
        ({"a": "text"}, "Column 'a' is a single str; one value a row is expected."),
        (
            {"a": np.ones((3, 2))},
            "Column 'a' has shape (3, 2); shape (rows,), one value a row, is expected.",
        ),
        ({"a": [1, [2]]}, "No column is left to read, and"),
        ({"a": np.array([1j])}, "Column 'a' holds complex128 values;"),
        (pd.DataFrame({"a": [{"b": 1}]}), "No column is left to read, and"),
        (pl.DataFrame({"a": [[1]]}), "No column is left to read, and"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sources_that_are_no_table(source: Any, expected: str) -> None:
    assert message(lambda: read(source)).startswith(expected)


# -- roles -----------------------------------------------------------------------------------------

TABLE = Table(
    {
        "age": [1, 2, 3],
        "town": ["Oslo", "12", None],
        "day": np.array(["2024-01-01"] * 3, "datetime64[D]"),
    }
)


def test_names_that_nobody_declared() -> None:
    known = "known: 'age', 'town', 'day'."
    assert (
        message(lambda: TABLE["towm"], UnknownName)
        == f"Unknown column 'towm'; did you mean 'town'? {known}"
    )
    for action in (
        lambda: TABLE.select(["towm"]),
        lambda: TABLE.without(["towm"]),
        lambda: infer(TABLE, ["towm"]),
        lambda: infer(TABLE, overrides={"towm": "number"}),
        lambda: tasks_for(TABLE, ["towm"]),
        lambda: tasks_for(TABLE, [Multilabel("tags", labels=["age", "towm"])]),
    ):
        assert "Unknown column 'towm'" in message(action, UnknownName)
    assert "Unknown role 'numbr'" in message(
        lambda: infer(TABLE, overrides={"age": "numbr"}), UnknownName
    )
    assert "Unknown role 'x'" in message(lambda: infer(TABLE).names("x"), UnknownName)
    config = {"columns": [{"name": "a", "role": "x", "kind": "text", "reason": "."}]}
    assert "Unknown role 'x'" in message(lambda: Schema.from_config(config), UnknownName)


@pytest.mark.parametrize(
    ("column", "role", "expected"),
    [
        (
            "town",
            "number",
            "Column 'town' is expected to hold a number in each row, and row 0 holds 'Oslo';",
        ),
        (
            "town",
            "boolean",
            "Column 'town' is expected to hold a boolean in each row, and row 0 holds 'Oslo';",
        ),
        (
            "town",
            "date",
            "Column 'town' is expected to hold a date in each row, and row 0 holds 'Oslo';",
        ),
        (
            "age",
            "boolean",
            "Column 'age' is expected to hold a boolean in each row, and row 1 holds ",
        ),
        ("age", "date", "Column 'age' is expected to hold a date in each row, and row 0 holds "),
        (
            "day",
            "number",
            "Column 'day' is expected to hold a number in each row, and row 0 holds ",
        ),
    ],
)
def test_a_column_that_is_not_what_was_declared(column: str, role: str, expected: str) -> None:
    said = message(lambda: infer(TABLE, overrides={column: role}))
    assert said.startswith(expected)
    assert said.endswith("; clean the value, or declare another role for the column.")


def test_a_target_has_no_role() -> None:
    expected = "Targets have no role as inputs, but these were given one: 'age'."
    assert message(lambda: infer(TABLE, ["age"], {"age": "number"})) == expected


# -- tasks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "wish", "expected"),
    [
        ([None, None], None, "The task 'y' has no label at all: all 2 rows are missing."),
        ([None, None], "count", "The task 'y' has no label at all: all 2 rows are missing."),
        (
            [None, None],
            Regression("y"),
            "The task 'y' has no label at all: all 2 rows are missing.",
        ),
        ([1.0, np.inf], None, "The task 'y' has an infinite label in row 1."),
        (np.array(["2024-01-01"] * 2, "datetime64[D]"), None, "The task 'y' has dates as labels,"),
        (
            [1, 2, 3],
            "binary",
            "The task 'y' is declared binary and has 3 values: 1, 2, 3; two are expected.",
        ),
        (
            ["a", "b", "c"],
            Binary("y"),
            "The task 'y' is declared binary and has 3 values: 'a', 'b', 'c';",
        ),
        ([1, 2], "multilabel", "Target 'y' cannot be multilabel by its name alone;"),
        (
            ["1", "two"],
            "regression",
            "Column 'y' is expected to hold a number in each row, and row 1 holds 'two';",
        ),
        (
            [1, 2],
            Regression("z"),
            "The target 'y' was given a task of another name, Regression('z').",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_labels_that_a_task_cannot_take(values: Any, wish: Any, expected: str) -> None:
    assert message(lambda: tasks_for(Table({"y": values}), {"y": wish})).startswith(expected)


def test_targets_that_cannot_be() -> None:
    table = Table({"a": [0, 1], "b": [0, 1]})
    assert (
        message(lambda: tasks_for(table, []))
        == "No target was named; name at least one column to predict."
    )
    twice = "Name each target once; these are named more than once: 'a'."
    assert message(lambda: tasks_for(table, ["a", "b", "a"])) == twice
    assert message(lambda: tasks_for(table, ["a", {"a": "binary"}])) == twice
    assert message(lambda: tasks_for(table, ["a", Multilabel("tags", labels=["a", "b"])])) == twice
    assert "Unknown kind 'binry'; did you mean 'binary'?" in message(
        lambda: tasks_for(table, {"a": "binry"}), UnknownName
    )
    assert (
        message(lambda: tasks_for(table, 3)) == "A target is a column's name or a task, got a int."
    )
    assert (
        message(lambda: infer_task("y", []))
        == "The task 'y' has no label at all: all 0 rows are missing."
    )
    assert "row 0 holds 'x'" in message(lambda: labels(Table({"y": ["x"]}), Regression("y")))


# -- encoding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["3", "1", "2"], "numbers here ('1', '2', '3')"),
        ([3.0, None, 7.5], "numbers here ('3', '7.5')"),
        ([True, False, True], "booleans here ('False', 'True')"),
        (np.array(["2024-01-01"] * 3, "datetime64[us]"), "dates here ('2024-01-01T00:00:00')"),
    ],
)
def test_a_category_that_became_numbers_is_no_category(cells: Any, expected: str) -> None:
    """Cells of another type than in training are refused, with both; a new word or code is not."""
    words = Encoder.fit(
        training := Table({"plan": ["pro", "team", "pro"]}),
        infer(training, (), {"plan": "category"}),
    )
    with pytest.raises(InputError, match="'plan' was a category in training") as raised:
        words.check(Table({"plan": cells}))
    assert "('pro', 'team')" in str(raised.value) and expected in str(raised.value)
    for fine in (["3", "pro", "2"], ["7", None, "7"], ["basic", "new", "old"], [None, None, None]):
        words.check(Table({"plan": fine}))
    training = Table({"plan": [1, 2, 1]})
    codes = Encoder.fit(training, infer(training, (), {"plan": "category"}))
    codes.check(Table({"plan": [5, 6, 7]}))


def test_a_declared_category_of_different_numbers_is_said() -> None:
    """A spec may name a column that was of words, and hardly any of its numbers occurs twice."""
    notices = [
        infer(Table({"plan": cells}), (), {"plan": "category"}).notices
        for cells in ([i / 7 for i in range(40)], [i % 9 for i in range(40)], ["a", "b"] * 20)
    ]
    assert notices == [
        ["Column 'plan' (category): declared so, though its cells are 40 different numbers."],
        [],
        [],
    ]


def test_tables_that_are_not_what_training_saw() -> None:
    train = Table({"age": [1.0, 2.0, 4.0], "town": ["a", "b", "a"], "id": [1, 2, 3]})
    encoder = Encoder.fit(train, infer(train))
    missing = message(lambda: encoder.transform(Table({"Age": [1.0], "town": ["a"]})))
    assert missing == (
        "Column 'age' is missing from the table, but the network was trained with it; is 'Age' "
        "the one? "
        "the table has: 'Age', 'town'."
    )
    assert missing == message(lambda: encoder.check(Table({"Age": [1.0], "town": ["a"]})))
    infinite = "Column 'age' holds an infinite number in row 1;"
    endless = Table({"age": [1.0, -np.inf, 4.0], "town": ["a", "b", "a"]})
    assert message(lambda: encoder.transform(endless)).startswith(infinite)
    assert message(lambda: Encoder.fit(endless, infer(endless))).startswith(infinite)
    text = message(lambda: encoder.transform(Table({"age": ["1", "old"], "town": ["a", "b"]})))
    assert text.startswith(
        "Column 'age' is expected to hold a number in each row, and row 1 holds 'old';"
    )
    ids = train.select(["id"])
    assert message(lambda: Encoder.fit(ids, infer(ids))) == (
        "No column is left to learn from; these were left out: 'id'."
    )


MORE = "at least one row for each is expected: give more rows."
BELOW_ONE = "a number from 0 up to, not including, 1 is expected."

# -- dividing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "arguments", "expected"),
    [
        (0, {}, f"0 rows cannot be divided into 3 parts; {MORE}"),
        (1, {}, f"1 row cannot be divided into 3 parts; {MORE}"),
        (2, {}, f"2 rows cannot be divided into 3 parts; {MORE}"),
        (1, {"test": 0.0}, f"1 row cannot be divided into 2 parts; {MORE}"),
        (9, {"test": 1.5}, f"The share of test is 1.5; {BELOW_ONE}"),
        (9, {"validation": -0.1}, f"The share of validation is -0.1; {BELOW_ONE}"),
        (
            9,
            {"test": 0.5, "validation": 0.5},
            "Validation (0.5) and test (0.5) together leave no row to train on.",
        ),
        (
            9,
            {"groups": [0, 1] * 4 + [0]},
            "2 groups cannot be divided into 3 parts without splitting a group; at least 3 are "
            "expected.",
        ),
        (
            9,
            {"time": [1.0] * 8 + [None]},
            "The time of row 8 is missing; a split by time needs the time of every row.",
        ),
        (9, {"time": [1.0] * 8}, "time has 8 values for 9 rows; one a row is expected."),
        (9, {"stratify": [1] * 8}, "stratify has 8 values for 9 rows; one a row is expected."),
        (
            9,
            {"time": range(9), "groups": [0, 1] * 4 + [0]},
            "2 groups cannot be divided into 3 parts without splitting a group; at least 3 are "
            "expected.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_that_cannot_be_divided(rows: int, arguments: dict[str, Any], expected: str) -> None:
    assert message(lambda: split(rows, seed=0, **arguments)) == expected


def test_split_columns_that_divide_nothing() -> None:
    none = "Row 1 belongs to no part; train, validation or test is expected."
    assert message(lambda: from_column(["train", None], seed=0)) == none
    assert (
        message(lambda: from_column(["test"], seed=0))
        == "The split column has no row 'train'; at least one is expected."
    )
    assert "Unknown part of a split 'trian'" in message(
        lambda: from_column(["trian"], seed=0), UnknownName
    )


def test_a_split_column_that_divides_a_group() -> None:
    parts, groups = ["train", "train", "test", "test"], ["a", "b", "b", "c"]
    said = message(lambda: from_column(parts, seed=0, groups=groups))
    assert said.startswith(
        "The split column divides 1 of the groups, such as 'b', which has rows in train and test"
    )
