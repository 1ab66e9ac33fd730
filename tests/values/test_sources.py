"""Rows of every kind of source, as DuckDB holds them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

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
    text = "name,y\n" + "nord,1\n" * 200_000 + "süd,2\n"
    rows = opened(tmp_path / "t.csv", text.encode("cp1252"))
    assert rows.count() == 200_001 and rows.encoding == "cp1252" and "windows-1252" in rows.said[0]
    assert cells(rows)[-1] == ("süd", "2")


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_packed_files(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.csv{ending}"
    if ending == ".gz":
        path.write_bytes(gzip.compress(b"a;b\n1;2\n"))
    else:
        duckdb = pytest.importorskip("duckdb")
        duckdb.sql("select 1 a, 2 b").write_csv(str(path), sep=";", compression="zstd")
    rows = sources.open(path)
    assert list(rows.types) == ["a", "b"] and cells(rows) == [("1", "2")]


def test_excluded_columns_are_not_there(tmp_path: Path) -> None:
    rows = opened(tmp_path / "t.csv", "a,b,c\n1,2,3\n", exclude=["b", "d"])
    assert list(rows.types) == ["a", "c"] and rows.left_out == ("b",)
    assert cells(rows) == [("1", "3")]


# -- what is no table ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        ("имя,y\nсевер,1\nюг,2\n".encode("cp1251"), None, "is not utf-8 text: byte 0 (0xe8)"),
        (TEXT.encode("cp1252"), "utf-8", "is not utf-8 text: byte 4 (0xdf) cannot be decoded"),
        (b"a\n" + b"1\n" * 600_000 + b"\xfc\n", "utf-8", "cannot be decoded; pass the file's"),
        (b"a,b\n1,\x81\xff\n", "cp1252", "is not cp1252 text: byte 6 (0x81)"),
        (b'a,b\n1,2\n1,2\n1,2,3\n1,"x', None, "line 4: 3 fields found and 2 expected"),
        (b'a,b\n1,2\n1,"x\n1,2\n', None, "is a quotation mark left open there?"),
        (b"a,b,c\n1,2\n1,2\n", None, "line 2: 2 fields found and 3 expected"),
        (b"a\n", None, "has column names ('a') and 0 rows"),
    ],
    ids=repr,
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
