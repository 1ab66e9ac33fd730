"""Write named columns as a CSV or Parquet file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from polycera.errors import InputError, MissingExtra, shorten
from polycera.storage import atomic


def as_csv(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return the columns as CSV text; a missing value is an empty cell."""
    text = _text(columns, csv.QUOTE_MINIMAL)
    # Python's csv writer does not quote a lone carriage return, but its reader ends the line
    # there.
    return _text(columns, csv.QUOTE_ALL) if "\r" in text else text


def _text(columns: Mapping[str, Sequence[Any]], quoting: Literal[0, 1]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=quoting)
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


def check_path(path: Path) -> None:
    """Check, before any work is done, that `write` can write a file of this name.

    Raises:
        InputError: for an ending other than .csv and .parquet, or a folder that does not exist.
        MissingExtra: for Parquet without pyarrow.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"Cannot write {shorten(path.name)!r}: end the name in .csv or .parquet.")
    if not path.parent.is_dir():
        raise InputError(
            f"Cannot write {shorten(path)!r}: there is no folder {shorten(path.parent)!r}."
        )
    if path.is_dir():
        raise InputError(
            f"Cannot write {shorten(path)!r}: it is a folder; the path of a file is expected."
        )
    if path.suffix == ".parquet":
        _pyarrow()


def write(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write the columns to a .csv or .parquet file, all or nothing."""
    check_path(path)
    if path.suffix == ".csv":
        atomic.write(path, as_csv(columns).encode())
        return
    pyarrow = _pyarrow()
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(
        pyarrow.table({name: list(values) for name, values in columns.items()}), buffer
    )
    atomic.write(path, buffer.getvalue().to_pybytes())


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("Writing Parquet", "pyarrow", "parquet") from None
    return pyarrow
