"""Rows of every kind of source, as DuckDB holds them."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import io
import sqlite3
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import xlsxwriter

from polycera.data import sources
from polycera.data.sources import SourceRows
from polycera.errors import InputError

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]


def opened(path: Path, content: str | bytes, **options: object) -> SourceRows:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return sources.open(path, **options)  # type: ignore[arg-type]


def cells(rows: SourceRows) -> list[tuple[object, ...]]:
    return rows.execute(f"from {rows.relation}").fetchall()


# -- files of text ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names", "first"),
    [
        ("a,b\n1,2\n", ["a", "b"], ("1", "2")),
        ("\ufeffa\tb\r\n1\t2\r\n", ["a", "b"], ("1", "2")),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ["a", "b"], ("1,5", "2,5")),
        ("a,b\n1,x;y;z\n2,u;v;w\n", ["a", "b"], ("1", "x;y;z")),
        ("a,b\n#N/A,007\n", ["a", "b"], ("#N/A", "007")),
        ('a,b\n"x ""y"", z", 1\n', ["a", "b"], ('x "y", z', " 1")),
        ('a,b\n"x \\"y\\", z",1\n', ["a", "b"], ('x "y", z', "1")),
        ("a,b\n'x, y',1\n'z',2\n", ["a", "b"], ("x, y", "1")),
        ("a,b\nit's,1\nwe're,2\n", ["a", "b"], ("it's", "1")),
        ('a,b\n5" disk,1\n', ["a", "b"], ('5" disk', "1")),
        ("a,A,a_1\n1,2,3\n", ["a", "A", "a_1"], ("1", "2", "3")),
        ("a,b\n1,2,\n3,4,\n", ["a", "b"], ("1", "2")),
        ("a,b\n1,\n,2\n", ["a", "b"], ("1", None)),
        ("a,b\r\n1,2\n3,4\r\n", ["a", "b"], ("1", "2")),
        ("a,b\n1,2\r\n3,4\n", ["a", "b"], ("1", "2")),
        ('a,"b\nc"\r\n1,2\r\n3,4\r\n', ["a", "b\nc"], ("1", "2")),
        ("a,b\r1,2\r3,4\r", ["a", "b"], ("1", "2")),
        (",b\n1,2\n", ["column 1", "b"], ("1", "2")),
        ("a\n1\n\n2\n", ["a"], ("1",)),
    ],
    ids=repr,
)
def test_a_file_of_text_is_read_as_it_is_written(
    tmp_path: Path, text: str, names: list[str], first: tuple[str, ...]
) -> None:
    rows = opened(tmp_path / "t.csv", text)
    assert list(rows.types) == names and set(rows.types.values()) == {"VARCHAR"}
    assert cells(rows)[0] == first and rows.said == () and rows.written
    last = rows.execute(f"select {rows.quoted(names[-1])} from {rows.relation}").fetchall()
    assert last[0][0] == first[-1]
    assert None not in [cell for row in cells(rows) for cell in row] or first[-1] is None


@pytest.mark.parametrize(
    "above",
    [
        "Report of the lab\n",
        "Report of the lab, spring\nmade 2024-05-01\n\n",
        "# made, by x\n# y\n",
        "Report,,\n",
    ],
)
def test_lines_above_the_header_are_skipped_and_said(tmp_path: Path, above: str) -> None:
    rows = opened(tmp_path / "t.csv", above + "x,y,z\n1,2,3\n4,5,6\n")
    assert cells(rows) == [("1", "2", "3"), ("4", "5", "6")]
    assert "skipped" in rows.said[0] and above.split("\n")[0] in rows.said[0]


def test_the_line_that_tells_excel_the_delimiter_is_no_header(tmp_path: Path) -> None:
    rows = opened(tmp_path / "t.csv", "sep=;\nx;y\n1,5;2\n4,5;6\n")
    assert list(rows.types) == ["x", "y"] and "'sep=;'" in rows.said[0]


def test_row_names_of_r_are_a_column(tmp_path: Path) -> None:
    rows = opened(tmp_path / "t.csv", '"x","y"\n"1",2,3\n"2",4,5\n')
    assert list(rows.types) == ["column 1", "x", "y"] and "row names" in rows.said[0]


def test_a_first_line_of_numbers_is_remarked(tmp_path: Path) -> None:
    assert "holds only numbers" in opened(tmp_path / "t.csv", "1,2\n3,4\n").said[0]


TEXT = "straße,y\nsüd,1\nnord,2\n"


@pytest.mark.parametrize(
    ("encoding", "given", "said"),
    [
        ("utf-8", None, ""),
        ("utf-16", None, "the mark of UTF-16"),
        ("utf-16", "utf-16", ""),
        ("cp1252", None, "not UTF-8 (byte 4 is 0xdf): it was read as windows-1252"),
        ("latin-1", "latin-1", ""),
        ("mac-roman", "mac-roman", ""),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, given: str | None, said: str) -> None:
    rows = opened(tmp_path / "t.csv", TEXT.encode(encoding), encoding=given)
    assert list(rows.types) == ["straße", "y"] and cells(rows)[0] == ("süd", "1")
    assert said in " ".join(rows.said) and bool(said) == bool(rows.said)


def test_bytes_that_are_not_utf_8_far_below(tmp_path: Path) -> None:
    text = "name,y\n" + "nord,1\n" * 160_000 + "süd,2\n"
    rows = opened(tmp_path / "t.csv", text.encode("cp1252"))
    assert rows.count() == 160_001 and rows.encoding == "cp1252" and "windows-1252" in rows.said[0]
    assert cells(rows)[-1] == ("süd", "2")


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_packed_files(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.csv{ending}"
    if ending == ".gz":
        path.write_bytes(gzip.compress(b"a;b\n1;2\n"))
    else:
        duckdb.sql("select 1 a, 2 b").write_csv(str(path), sep=";", compression="zstd")
    rows = sources.open(path)
    assert list(rows.types) == ["a", "b"] and cells(rows) == [("1", "2")]


def test_excluded_columns_are_not_there(tmp_path: Path) -> None:
    rows = opened(tmp_path / "t.csv", "a,b,c\n1,2,3\n", exclude=["b", "d"])
    assert list(rows.types) == ["a", "c"] and rows.left_out == ("b",)
    assert cells(rows) == [("1", "3")]


def test_plain_numbers_of_a_large_file_are_numbers(tmp_path: Path) -> None:
    """A cell far below that is none makes all columns text; what a code is, stays one."""
    body = "".join(f"{k},{k / 8},town {k % 7},,1\n" for k in range(55_000))
    path = tmp_path / "t.csv"
    rows = opened(path, "n,x,town,empty,zip\n" + body, as_text=["zip"])
    assert list(rows.types.values()) == ["BIGINT", "DOUBLE", "VARCHAR", "VARCHAR", "VARCHAR"]
    row = rows.execute(f"from {rows.relation} limit 1 offset 9").fetchone()
    assert row == (9, 1.125, "town 2", None, "1")
    for cell in ("007", "1.5", "1_000", "99999999999999999999"):
        rows = opened(path, f"n,x,town,empty,zip\n{body}{cell},1,a,,1\n", as_text=())
        row = rows.execute(f"select n from {rows.relation} offset 55000").fetchone()
        assert set(rows.types.values()) == {"VARCHAR"} and row == (cell,)
    assert set(sources.open(path).types.values()) == {"VARCHAR"}


# -- typed files -----------------------------------------------------------------------------------


@pytest.fixture
def duckdb_file(tmp_path: Path) -> Path:
    path = tmp_path / "it's.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table people as select 1 a, '007' b union all select 2, null")
        connection.execute("create table other as select 3 a")
    return path


def test_a_parquet_file_keeps_its_types_and_its_levels(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    stars = pd.Categorical([3, 1])
    frame = pd.DataFrame({"code": ["007", None], "n": [2**60, 1], "x": [1.5, 2], "stars": stars})
    frame.to_parquet(path)
    rows = sources.open(path, exclude=["x"])
    assert rows.types == {"code": "VARCHAR", "n": "BIGINT", "stars": "BIGINT"}
    assert rows.categorical == {"stars"} and not rows.written
    assert cells(rows) == [("007", 2**60, 3), (None, 1, 1)]


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    for year, code, value in ((2024, "007", 1), (2025, "008", 2)):
        folder = tmp_path / "big" / f"year={year}" / f"code={code}"
        folder.mkdir(parents=True)
        duckdb.sql(f"select {value} a, {value}.5 b").write_parquet(str(folder / "part-0.parquet"))
    (tmp_path / "big" / "_SUCCESS").touch()
    for source in (tmp_path / "big", tmp_path / "big" / "*" / "*" / "*.parquet"):
        rows = sources.open(source)
        assert rows.types["year"] == "BIGINT" and rows.types["code"] == "VARCHAR"
        assert rows.execute(f"select a, code, year from {rows.relation}").fetchall() == [
            (1, "007", 2024),
            (2, "008", 2025),
        ]


def test_json_lines_keep_what_json_says(tmp_path: Path) -> None:
    text = '{"a": 1, "day": "2024-01-02", "code": "007"}\n{"a": 2.5, "code": null, "b": true}\n'
    rows = opened(tmp_path / "t.jsonl", text)
    assert rows.types == {"a": "DOUBLE", "day": "VARCHAR", "code": "VARCHAR", "b": "BOOLEAN"}
    assert cells(rows) == [(1, "2024-01-02", "007", None), (2.5, None, None, True)]
    packed = opened(tmp_path / "t.jsonl.gz", gzip.compress(text.encode()), exclude=["b", "day"])
    assert cells(packed) == [(1, "007"), (2.5, None)] and packed.left_out == ("day", "b")


def sqlite_file(path: Path) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table people (id integer, x real, code text, mixed, blob blob)")
        rows = [
            (2**60, 1, "007", 1, b"1"),
            (2, 0.1, 'a "b"\r', "x", None),
            (3, None, None, 2.5, None),
        ]
        database.executemany("insert into people values (?, ?, ?, ?, ?)", rows)
        database.commit()
    return path


def test_an_sqlite_file(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path / "it's.db")
    rows = sources.open(path)
    assert rows.types == {
        "id": "BIGINT",
        "x": "DOUBLE",
        "code": "VARCHAR",
        "mixed": "VARCHAR",
        "blob": "BLOB",
    }
    assert [row[:4] for row in cells(rows)] == [
        (2**60, 1.0, "007", "1"),
        (2, 0.1, 'a "b"\r', "x"),
        (3, None, None, "2.5"),
    ]
    named = sources.open(f"{path}?table=people", exclude=["blob"])
    assert "blob" not in named.types and named.left_out == ()
    own = sources.open(path, sql="select id, code from people where x is not null")
    assert cells(own) == [(2**60, "007"), (2, 'a "b"\r')]


def test_a_duckdb_file(duckdb_file: Path) -> None:
    rows = sources.open(f"duckdb:{duckdb_file}?table=people")
    assert rows.types == {"a": "INTEGER", "b": "VARCHAR"} and cells(rows) == [(1, "007"), (2, None)]
    own = sources.open(duckdb_file, sql="select a from people union all select a from other")
    assert cells(own) == [(1,), (2,), (3,)]
    over = sources.open(f"{duckdb_file}?table=people", sql="select a + 1 c, b from source")
    assert cells(over) == [(2, "007"), (3, None)]


def test_a_relation_of_the_users_own_duckdb() -> None:
    with duckdb.connect() as connection:
        connection.execute("create table t as select range a, 'x' b from range(5)")
        rows = sources.open(connection.sql("from t order by a desc"), exclude=["b"])
    assert sources.is_source(connection.sql) is False
    assert rows.types == {"a": "BIGINT"} and cells(rows) == [(a,) for a in (4, 3, 2, 1, 0)]


def test_a_workbook(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    day = datetime.datetime(2024, 5, 1)
    rows = [
        ["Report of the lab"],
        ["n", "x", "code", "day", "ok", "price"],
        [1, 1.5, "007", day, True, "1,50 €"],
        [],
        [2, None, 5, day, None, 2],
    ]
    with xlsxwriter.Workbook(path) as workbook:
        for name in ("May", "June"):
            sheet = workbook.add_worksheet(name)
            form = workbook.add_format({"num_format": "yyyy-mm-dd"})
            for place, row in enumerate(rows):
                for column, cell in enumerate(row):
                    sheet.write(place, column, cell, *([form] if cell is day else []))
    found = sources.open(path)
    assert found.types == {
        "n": "BIGINT",
        "x": "DOUBLE",
        "code": "VARCHAR",
        "day": "TIMESTAMP",
        "ok": "BOOLEAN",
        "price": "VARCHAR",
    }
    assert cells(found) == [
        (1, 1.5, "007", day, True, "1,50 €"),
        (2, None, "5", day, None, "2"),
    ]
    assert found.written and "'May', the first, was read" in found.said[0]
    assert sources.open(path, sheet="June").said == found.said[1:]


# -- SQL -------------------------------------------------------------------------------------------


def test_sql_over_a_file_of_text_sees_plain_types(tmp_path: Path) -> None:
    text = "a;b;c;day;zip\n1;1,5;x;2024-01-02;007\n20;2,5;;2024-03-04;123\n3;;y;;008\n"
    sql = "select day + 1 as next, a * 2 as d, b, zip from source where a > 2 order by a"
    rows = opened(tmp_path / "t.csv", text, sql=sql, exclude=["zip"])
    assert rows.types == {"next": "DATE", "d": "BIGINT", "b": "VARCHAR"}
    assert [row[1:] for row in cells(rows)] == [(6, None), (40, "2,5")]
    assert sources.open(tmp_path / "t.csv", sql="select zip from source").types["zip"] == "VARCHAR"


def test_sql_alone_names_files_itself(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id;p\n1;1,5\n2;2,5\n", encoding="utf-8")
    duckdb.sql("select 2 id, 'x' name").write_parquet(str(tmp_path / "b.parquet"))
    rows = sources.open(
        sql=f"select * from '{tmp_path}/a.csv' join '{tmp_path}/b.parquet' using (id);"
    )
    assert cells(rows) == [(2, "2,5", "x")] and list(rows.types) == ["id", "p", "name"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "sqlite", "jsonl", "csv.gz"])
def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = tmp_path / f"t.{kind}"
    if kind == "sqlite":
        sqlite_file(path)
    else:
        form = {"jsonl": "json", "csv.gz": "csv"}.get(kind, kind)
        table = "(select 1 a, 'x' b union all select 2, 'y')"
        duckdb.execute(f"copy {table} to '{path}' (format {form})")
    with path.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        rows = sources.open("-")
    assert rows.label == "Standard input" and rows.count() == (3 if kind == "sqlite" else 2)


# -- what is no table ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        ("имя,y\nсевер,1\nюг,2\n".encode("cp1251"), None, "is not utf-8 text: byte 0 (0xe8)"),
        (TEXT.encode("cp1252"), "utf-8", "is not utf-8 text: byte 4 (0xdf), in line 1, cannot be"),
        ("a\n1\n".encode("utf-16"), "utf-8", "is not utf-8 text: byte 0 (0xff), in line 1"),
        (b"a,b\n1,\x81\xff\n", "cp1252", "is not cp1252 text: byte 6 (0x81)"),
        (b'a,b\n1,2\n1,2\n1,2,3\n1,"x', None, "line 4: 3 fields found and 2 expected"),
        (b'a,b\n1,2\n1,"x\n1,2\n', None, "is a quotation mark left open there?"),
        (b"a,b,c\n1,2\n1,2\n", None, "line 2: 2 fields found and 3 expected"),
        (b"a\n", None, "has column names ('a') and 0 rows"),
        (b"a\n" + b"1\n" * 600_000 + b"\xfc\n", "utf-8", "byte 1200002 (0xfc), in line 600002,"),
        (b"a\n" + b"1\n" * 600_000 + b"\x81\n", "cp1252", "byte 1200002 (0x81), in line 600002,"),
    ],
    ids=[
        *("cyrillic", "latin", "utf-16", "cp1252", "long", "open quote", "short", "header"),
        *("far below", "far below cp1252"),
    ],
)
def test_files_of_text_that_cannot_be_read(
    tmp_path: Path, content: bytes, encoding: str | None, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        opened(tmp_path / "t.csv", content, encoding=encoding)
    assert said in str(caught.value) and "t.csv" in str(caught.value)


def test_all_columns_excluded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"All columns of File .* are excluded: 'a', 'b'"):
        opened(tmp_path / "t.csv", "a,b\n1,2\n", exclude=["a", "b"])


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select 1; select 2", "must be one SELECT statement, and SELECT, SELECT came"),
        ("drop table source", "must be one SELECT statement, and DROP came"),
        ("copy (select 1) to 'x.csv'", "must be one SELECT statement, and COPY came"),
        ("", "must be one SELECT statement, and nothing came"),
        ("selec 1", "The SQL cannot be read: syntax error"),
        ("select nope from source", "cannot be run: Referenced column"),
        ("select * from nope", "cannot be run: Table with name nope does not exist"),
        ("select * from source where a > 9", "has 0 rows; at least one is expected."),
        ("select a, a from source", "must differ, and these come more than once: 'a'"),
    ],
)
def test_sql_that_is_no_table(tmp_path: Path, sql: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(tmp_path / "t.csv", "a,b\n1,2\n", sql=sql)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_typed_files_that_cannot_be_read(tmp_path: Path, duckdb_file: Path) -> None:
    def message(source: str | Path, **options: object) -> str:
        with pytest.raises(InputError) as caught:
            sources.open(source, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
        return str(caught.value)

    for ending, said in {
        "parquet": "is no readable Parquet file",
        "jsonl": "is no readable JSON",
        "xlsx": "is no readable workbook",
        "db": "cannot be opened as a DuckDB database",
        "csv.gz": "is named .gz and cannot be unpacked",
        "csv.zst": "is named .zst and cannot be unpacked",
        "docx": "has the extension '.docx'",
    }.items():
        path = tmp_path / f"nonsense.{ending}"
        path.write_bytes(b"nonsense of some length, " * 10)
        assert said in message(path) and str(path) in message(path)
    sqlite = sqlite_file(tmp_path / "a.sqlite")
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(sqlite.read_bytes()[:4096])
    assert "Cannot read file" in message(damaged)
    assert "?table=NAME is all that can be said" in message("duckdb:a.db?tabel=x")
    assert "has 2 tables ('other', 'people'); one is expected" in message(duckdb_file)
    assert "Unknown table of File" in message(f"{sqlite}?table=peopel")
    assert "The SQL cannot be run on file" in message(sqlite, sql="select nope from people")
    assert "The SQL cannot be run on file" in message(sqlite, sql="delete from people")
    assert "No file has a name like" in message(tmp_path / "*.arrow")
    assert "several files are read as one table where" in message(tmp_path / "*.sqlite")
    assert "Unknown sheet" in message(_workbook(tmp_path), sheet="Mai")
    assert "does not exist; the folder looked in" in message("duckdb:no.duckdb?table=x")


def _workbook(folder: Path) -> Path:
    with xlsxwriter.Workbook(folder / "w.xlsx") as workbook:
        workbook.add_worksheet("May").write_row(0, 0, ["a", "b"])
    return folder / "w.xlsx"


def test_files_of_a_folder_with_other_columns(tmp_path: Path) -> None:
    duckdb.sql("select 1 a, 2 b").write_parquet(str(tmp_path / "1.parquet"))
    duckdb.sql("select 1 a, 2 c").write_parquet(str(tmp_path / "2.parquet"))
    with pytest.raises(InputError, match=r"is not one table: .* they differ in 'b', 'c'"):
        sources.open(tmp_path)
    for path in tmp_path.glob("*.parquet"):
        path.unlink()
    with pytest.raises(InputError, match=r"Folder .* or .parquet file; a folder is read"):
        sources.open(tmp_path)
