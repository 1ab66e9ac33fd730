"""Write named columns as a CSV file, a Parquet file or an Excel workbook."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polycera.errors import InputError, MissingExtra, shorten
from polycera.storage import atomic, remote


def as_csv(columns: Mapping[str, Sequence[Any]], header: bool = True) -> str:
    """Return the columns as CSV text; a missing value is an empty cell.

    Args:
        columns: name -> values, all of one length.
        header: whether the first line has the names.
    """
    text = _text(columns, csv.QUOTE_MINIMAL, header)
    # Python's csv writer does not quote a lone carriage return, but its reader ends the line
    # there.
    return _text(columns, csv.QUOTE_ALL, header) if "\r" in text else text


def _text(columns: Mapping[str, Sequence[Any]], quoting: Literal[0, 1], header: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=quoting)
    if header:
        writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        # NaN differs from itself; it counts as missing.
        writer.writerow(["" if value is None or value != value else value for value in row])
    return text.getvalue()


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet read a cell as a formula (OWASP, CSV Injection)."""


def without_formulas(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Return the columns with an apostrophe before text that a spreadsheet would read as a formula.

    Names are changed too. Numbers stay as they are, and so do texts that are numbers. Use this
    only for files that are opened in a spreadsheet: other programs read the apostrophe as part of
    the label.

    Examples:
        >>> without_formulas({"=1+1": ["@sum", "-1", "no", -1.5]})
        {"'=1+1": ["'@sum", '-1', 'no', -1.5]}
    """
    return {
        _no_formula(name): [_no_formula(value) for value in values]
        for name, values in columns.items()
    }


def _no_formula(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def check_path(path: Path | str) -> None:
    """Check, before any work is done, that `write` can write a file of this name.

    Whether a remote store takes it shows only when it is written.

    Raises:
        InputError: for an ending other than .csv, .parquet and .xlsx, or a folder that does not
            exist.
        MissingExtra: for an Excel workbook without XlsxWriter.
    """
    is_remote = remote.is_address(path)
    path = Path(remote.name_of(str(path)) if is_remote else path)
    if path.suffix not in WRITERS:
        raise InputError(
            f"Cannot write {shorten(path.name)!r}: end the name in .csv, .parquet or .xlsx."
        )
    if path.suffix == ".xlsx":
        _xlsxwriter()
    if is_remote:
        return
    if not path.parent.is_dir():
        raise InputError(
            f"Cannot write {shorten(path)!r}: there is no folder {shorten(path.parent)!r}."
        )
    if path.is_dir():
        raise InputError(
            f"Cannot write {shorten(path)!r}: it is a folder; the path of a file is expected."
        )


def write(path: Path | str, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write the columns to a .csv, .parquet or .xlsx file, all or nothing.

    Args:
        path: a file in a folder that exists, or the address of one in a remote store.
        columns: name -> values, all of one length: numbers, text, booleans, dates, None.

    Raises:
        InputError, MissingExtra: as `check_path`; for more rows than an Excel sheet holds.
        PolyceraError: where the disk refuses.
    """
    check_path(path)
    if remote.is_address(path):
        here = remote.new_folder() / remote.name_of(str(path))
        WRITERS[here.suffix](here, columns)
        remote.sent(here, str(path))
        here.unlink()
        return
    WRITERS[Path(path).suffix](Path(path), columns)


def _write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    atomic.write(path, as_csv(columns).encode())


def _write_parquet(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    # Imported here: it takes 0.1 s, which a run that writes no Parquet need not pay.
    import duckdb

    with atomic.replacing(path) as temporary, duckdb.connect() as connection:
        connection.register(
            "predictions", {name: _array(values) for name, values in columns.items()}
        )
        # The path is a parameter: it may hold quotation marks.
        connection.execute("COPY predictions TO $1 (FORMAT parquet)", [str(temporary)])


def _array(values: Sequence[Any]) -> np.ndarray:
    """Return values [n] as an array whose type is decided by all of them; None is masked.

    DuckDB would decide by a sample.
    """
    types = {type(value) for value in values} - {type(None)}
    missing = np.array([value is None for value in values], dtype=bool)
    for kind, dtype, filler in ((bool, np.bool_, False), (int, np.int64, 0)):
        if types == {kind}:
            with suppress(OverflowError):  # an integer beyond 64 bits is written as text
                filled = [filler if value is None else value for value in values]
                return np.ma.masked_array(np.array(filled, dtype), missing)
    if float in types and types <= {int, float}:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = [None if value is None else str(value) for value in values]
    return array


def _write_xlsx(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    rows = len(next(iter(columns.values()), ()))
    if rows >= SHEET_ROWS or len(columns) > SHEET_COLUMNS:
        raise InputError(
            f"Cannot write {shorten(path)!r}: {rows} rows and {len(columns)} columns do not fit "
            f"into an Excel sheet ({SHEET_ROWS - 1} and {SHEET_COLUMNS}); write .parquet or .csv."
        )
    options = {
        # Text stays text: a label such as "=1+1" is no formula, "1.0" no number.
        "strings_to_formulas": False,
        "strings_to_numbers": False,
        "strings_to_urls": False,
        "constant_memory": True,
    }
    with atomic.replacing(path) as temporary:
        workbook = _xlsxwriter().Workbook(str(temporary), options)
        sheet = workbook.add_worksheet("predictions")
        sheet.write_row(0, 0, list(columns))
        for row, values in enumerate(zip(*columns.values(), strict=True), start=1):
            for place, value in enumerate(values):
                # A cell has no NaN or infinity: NaN is missing, infinity is written as text.
                if value is None or value != value:
                    continue
                is_infinite = isinstance(value, float) and np.isinf(value)
                sheet.write(row, place, str(value) if is_infinite else value)
        workbook.close()


def _xlsxwriter() -> Any:
    try:
        import xlsxwriter
    except ImportError:
        raise MissingExtra("Writing an Excel workbook", "XlsxWriter", "excel") from None
    return xlsxwriter


SHEET_ROWS, SHEET_COLUMNS = 2**20, 2**14
"""Rows (with the header) and columns of an Excel sheet, since Excel 2007."""

WRITERS = {".csv": _write_csv, ".parquet": _write_parquet, ".xlsx": _write_xlsx}
"""Ending of a file's name -> function that writes it."""
