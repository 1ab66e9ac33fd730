"""Data frames of any library, and dicts of arrays -> a table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import narwhals as nw
import numpy as np

from polycera.data import parse_objects
from polycera.data.column import EXACT, Values, canonical, kind_of
from polycera.data.reading import Reading
from polycera.data.table import LeaveOut, Table, check_names, joined_name
from polycera.data.unread_columns import left_out
from polycera.errors import InputError


def is_frame(source: Any) -> bool:
    """Whether narwhals knows it as a data frame (pandas, polars, pyarrow, lazy ones too)."""
    try:
        return isinstance(nw.from_native(source, pass_through=True), nw.DataFrame | nw.LazyFrame)
    except nw.exceptions.DuplicateError:
        # a data frame all right; `read_frame` says what is wrong with it
        return True


def read_frame(
    source: Any, as_text: Collection[str] = (), leave_out: LeaveOut | None = None
) -> Table:
    """Return a data frame's columns; its row index is no column and is left out.

    Columns of lists, structs or bytes are left out, see `Table.unread`.

    Args:
        source: a frame of pandas, polars or pyarrow.
        as_text: columns whose whole numbers become text where float64 would round them.
        leave_out: see `polycera.data.read`.

    Raises:
        InputError: for a frame without rows, a name that occurs twice, or no column that can be
            read.
    """
    check_names(map(joined_name, _native_names(source)))
    if getattr(getattr(source, "columns", None), "nlevels", 1) > 1:  # a MultiIndex of pandas
        source = source.set_axis([joined_name(name) for name in source.columns], axis=1)
    frame = nw.from_native(source)
    frame = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    _check_rows(len(frame), "The data frame")
    columns = {str(series.name): series for series in frame.iter_columns()}
    unread = left_out(list(columns), leave_out, lambda name: _what_nests(columns[name]))
    read = {name: series for name, series in columns.items() if name not in unread}
    table = Table((name, _column(_exact(series, as_text))) for name, series in read.items())
    # Who made a column categorical meant levels, even where the levels are numbers.
    categorical = [name for name, series in read.items() if _has_levels(series)]
    orders = {
        name: list(series.dtype.categories)
        for name, series in read.items()
        if isinstance(series.dtype, nw.Enum)
    }
    return (
        table.read_as(Reading(orders=orders))
        .with_levels({name: table[name] for name in categorical if kind_of(table[name]) != "text"})
        .with_unread(unread)
    )


def read_mapping(source: Mapping[Any, Any], leave_out: LeaveOut | None = None) -> Table:
    """Return a dict of column name to values [rows] as a table, as `read_frame` does."""
    columns = {joined_name(name): values for name, values in source.items()}
    if len(columns) < len(source):
        check_names(map(joined_name, source))
    unread = left_out(list(columns), leave_out, lambda name: parse_objects.nests(columns[name]))
    table = Table((name, values) for name, values in columns.items() if name not in unread)
    _check_rows(table.rows, "The dict of columns")
    return table.with_unread(unread)


def _what_nests(series: nw.Series[Any]) -> str | None:
    """Return what the cells of a series are, where no table can hold them."""
    if series.dtype.is_nested() or isinstance(series.dtype, nw.Binary):
        return f"of type {series.dtype}"
    # pandas has lists and bytes in columns of objects
    if isinstance(series.dtype, nw.Object):
        return parse_objects.nests(np.asarray(series.to_numpy()))
    return None


def _column(series: nw.Series[Any]) -> Values:
    name, dtype = str(series.name), series.dtype
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


def _exact(series: nw.Series[Any], as_text: Collection[str]) -> nw.Series[Any]:
    """Return a series of whole numbers as text where float64 would round them, if that is asked."""
    if str(series.name) not in as_text or not series.dtype.is_integer():
        return series
    largest = max(abs(int(series.max() or 0)), abs(int(series.min() or 0)))
    return series.cast(nw.String) if largest > EXACT else series


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
