"""Read a sheet of an Excel or OpenDocument workbook, by python-calamine."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from polycera.data.sources import connections, staged
from polycera.data.sources.rows import TEXT, SourceRows, kept
from polycera.data.table import check_names
from polycera.errors import InputError, MissingExtra, UnknownName, listing, shorten

ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
EXACT = 2.0**53
"""Workbooks hold numbers as float64: beyond this, whole numbers are rounded already."""


def read(
    path: Path, label: str, *, sheet: str | None = None, exclude: Collection[str] = ()
) -> SourceRows:
    """Return the rows of a sheet, its first row of several cells naming the columns.

    A column has the type that all of its cells have: numbers, dates, booleans; else it is text,
    as a person wrote it. Blank rows are no rows.

    Args:
        path: path of the workbook.
        label: what errors call it.
        sheet: name of the sheet; None: the first, which is said where there are others.
        exclude: columns that are not read.

    Raises:
        InputError: for a file that is no workbook, an empty sheet, a column twice.
        UnknownName: for a sheet that it has not.
        MissingExtra: without python-calamine.
    """
    names, name, records = _sheet(path, label, sheet)
    said = []
    if sheet is None and len(names) > 1:
        said.append(
            f"{label} has {len(names)} sheets; {name!r}, the first, was read: choose another of "
            f"{listing(names, 10)} with --sheet."
        )
    records = [record for record in records if any(cell not in ("", None) for cell in record)]
    if not records:
        raise InputError(f"Sheet {name!r} of {label} is empty; a row of column names is expected.")
    start = next((place for place, record in enumerate(records) if _cells(record) > 1), 0)
    if start:
        rows = "1 row" if start == 1 else f"{start} rows"
        said.append(f"{rows} above the header of {label} were skipped.")
    width = max(
        place + 1
        for record in records[start:]
        for place, cell in enumerate(record)
        if cell not in ("", None)
    )
    header = [
        str(_plain(cell)).strip() if cell not in ("", None) else f"column {place}"
        for place, cell in enumerate(records[start][:width], 1)
    ]
    check_names(header)
    wanted = kept(header, exclude, label)
    place_of = {name: place for place, name in enumerate(header)}
    places = [place_of[name] for name in wanted]
    columns = [[record[place] for record in records[start + 1 :]] for place in places]
    types = {name: _type(cells) for name, cells in zip(wanted, columns, strict=True)}
    texts = [
        [_plain(cell) for cell in cells] if kind in (TEXT, "BIGINT") else cells
        for kind, cells in zip(types.values(), columns, strict=True)
    ]
    return staged.rows(
        connections.connect(),
        zip(*texts, strict=True),
        types,
        label,
        written=True,
        said=said,
    )


def _sheet(
    path: Path, label: str, sheet: str | None
) -> tuple[list[str], str, Sequence[Sequence[Any]]]:
    """Return the names of all sheets, the name of the one that is read, and its rows."""
    try:
        import python_calamine
    except ImportError:
        raise MissingExtra("Reading a workbook", "python-calamine", "excel") from None
    try:
        workbook = python_calamine.CalamineWorkbook.from_path(str(path))
        names = list(workbook.sheet_names)
        name = names[0] if sheet is None else sheet
        if name not in names:
            raise UnknownName(f"sheet of {label}", name, names)
        return names, name, workbook.get_sheet_by_name(name).to_python()
    except (python_calamine.CalamineError, IndexError, OSError) as error:
        raise InputError(f"{label} is no readable workbook: {shorten(error, 160)}.") from None


def _cells(record: Sequence[Any]) -> int:
    return sum(cell not in ("", None) for cell in record)


def _type(cells: Sequence[Any]) -> str:
    """Return the type of a column by all of its cells."""
    kinds = {type(cell) for cell in cells if cell not in ("", None)}
    if kinds and kinds <= {int, float}:
        whole = all(
            float(cell).is_integer() and abs(cell) < EXACT
            for cell in cells
            if cell not in ("", None)
        )
        return "BIGINT" if whole else "DOUBLE"
    if kinds and kinds <= {datetime.datetime, datetime.date}:
        return "TIMESTAMP"
    return "BOOLEAN" if kinds == {bool} else TEXT


def _plain(cell: Any) -> Any:
    """Return a cell as a person reads it: 3.0 is 3."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT:
        return int(cell)
    return cell.isoformat() if isinstance(cell, datetime.date) else cell
