"""Data frames of any library, and dicts of arrays -> a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals as nw
import numpy as np

from polycera.data.column import Values, canonical, kind_of
from polycera.data.reading import Reading
from polycera.data.table import Table, check_names
from polycera.errors import InputError, shorten


def is_frame(source: Any) -> bool:
    """Whether narwhals knows it as a data frame (pandas, polars, pyarrow, lazy ones too)."""
    try:
        return isinstance(nw.from_native(source, pass_through=True), nw.DataFrame | nw.LazyFrame)
    except nw.exceptions.DuplicateError:
        # a data frame all right; `read_frame` says what is wrong with it
        return True


def read_frame(source: Any) -> Table:
    """A data frame's columns; its row index is no column and is left out.

    Raises:
        InputError: no row, a column twice, a column of lists.
    """
    check_names(map(str, _native_names(source)))
    frame = nw.from_native(source)
    frame = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    _check_rows(len(frame), "The data frame")
    table = Table((str(series.name), _column(series)) for series in frame.iter_columns())
    # who made a column categorical meant levels, even where the levels are numbers
    categorical = [str(series.name) for series in frame.iter_columns() if _has_levels(series)]
    orders = {
        str(series.name): list(series.dtype.categories)
        for series in frame.iter_columns()
        if isinstance(series.dtype, nw.Enum)
    }
    return table.read_as(Reading(orders=orders)).with_levels(
        {name: table[name] for name in categorical if kind_of(table[name]) != "text"}
    )


def read_mapping(source: Mapping[Any, Any]) -> Table:
    """A dict of column name to values [rows]."""
    table = Table((str(name), values) for name, values in source.items())
    _check_rows(table.rows, "The dict of columns")
    return table


def _column(series: nw.Series[Any]) -> Values:
    name, dtype = str(series.name), series.dtype
    if dtype.is_nested():
        raise InputError(
            f"Column {shorten(name)!r} holds {dtype} cells; one number, text, boolean or date is expected: "
            "spread it over several columns or leave the column out."
        )
    if isinstance(dtype, nw.Decimal):
        series = series.cast(nw.Float64)
    elif _has_levels(series) and series.implementation.is_pyarrow():
        # to_numpy of pyarrow's dictionaries turns nulls into the last level
        series = series.cast(nw.String)
    elif isinstance(dtype, nw.Date):
        series = series.cast(nw.Datetime("us"))
    elif isinstance(dtype, nw.Datetime) and dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return canonical(np.asarray(series.to_numpy()), name)


def _has_levels(series: nw.Series[Any]) -> bool:
    return isinstance(series.dtype, nw.Categorical | nw.Enum)


def _native_names(source: Any) -> list[Any]:
    names = getattr(source, "column_names", None)  # pyarrow, whose .columns are the data
    if names is None and not hasattr(source, "collect"):
        names = getattr(source, "columns", None)
    return list(names) if names is not None else []


def _check_rows(rows: int, label: str) -> None:
    if rows == 0:
        raise InputError(f"{label} has 0 rows; at least one is expected.")
