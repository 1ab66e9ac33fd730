"""Decide the columns' roles and fit the encoder from what one pass over a table has counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from polycera.data import outliers, roles
from polycera.data.booleans import Booleans
from polycera.data.categories import Categories, Levels
from polycera.data.coerce import as_kind
from polycera.data.column import EXACT, Values, as_text, kind_of
from polycera.data.dates import Dates
from polycera.data.encode import Encoder
from polycera.data.schema import ROLES, Column, Schema
from polycera.data.standardise import Floats, Numbers
from polycera.data.streaming.moments import Moments
from polycera.data.streaming.parquet_rows import ParquetRows
from polycera.data.streaming.row_parts import TRAIN
from polycera.data.streaming.survey import Survey, moments_within
from polycera.data.table import Table
from polycera.errors import InputError, UnknownName, listing

UNIQUE = 0.9
"""Share of different values from which all are taken to differ: their number is an estimate."""


def check_declared(rows: ParquetRows, targets: Iterable[str], overrides: Mapping[str, str]) -> None:
    """Raise, before anything is counted, for targets and roles that cannot be.

    Raises:
        UnknownName: for a target, column or role that does not exist.
        InputError: for a target with a role.
    """
    names = list(targets)
    for name in [*names, *overrides]:
        rows.sql(name)  # raises UnknownName
    for role in overrides.values():
        if role not in ROLES:
            raise UnknownName("role", role, ROLES)
    if both := sorted({*names} & {*overrides}):
        raise InputError(
            f"Targets have no role as inputs, but these were given one: {listing(both)}."
        )


def infer(
    found: Survey, targets: Iterable[str] = (), overrides: Mapping[str, str] | None = None
) -> Schema:
    """Return the schema of a table, by the rules of `polycera.data.infer`.

    Numbers of rows, missing values and levels are those of the whole table.

    Args:
        found: what was counted.
        targets: names of the columns to predict.
        overrides: column -> role; see `check_declared`.
    """
    declared, names = dict(overrides or {}), list(targets)
    columns = []
    for name, kind in found.rows.kinds.items():
        if name in names:
            continue
        if name in declared:
            columns.append(Column(name, declared[name], kind, "declared so."))
        else:
            role, reason, notable = _verdict(found, name)
            columns.append(Column(name, role, kind, reason, notable))
    return Schema(tuple(columns))


def fit(found: Survey, schema: Schema) -> Encoder:
    """Return the encoder of a table, fitted to all of its training rows.

    Outliers are looked for in the training rows that are held in memory; where there are some, the
    column is read once more.

    Raises:
        InputError: where no column is left to learn from.
    """
    if not schema.used:
        names = listing(column.name for column in schema.columns)
        raise InputError(f"No column is left to learn from; these were left out: {names}.")
    numbers, booleans, dates = (schema.names(role) for role in ("number", "boolean", "date"))
    ordinary = {name: _ordinary(found, name) for name in numbers}
    trained = [found.of_train[name] for name in numbers]
    ranges = [moments.range for moments in trained]
    dated = [found.of_train[name] for name in dates]
    return Encoder(
        Numbers(
            tuple(numbers),
            _column([ordinary[name].mean[0] for name in numbers]),
            _column([ordinary[name].deviation[0] for name in numbers]),
            np.array([moments.gaps[0] for moments in trained], bool),
            _column([low[0] for low, _ in ranges]),
            _column([high[0] for _, high in ranges]),
        ),
        Booleans(
            tuple(booleans),
            tuple(float(found.of_train[name].mean[0]) for name in booleans),
            tuple(bool(found.of_train[name].gaps[0]) for name in booleans),
        ),
        Categories(tuple(_levels(found, name) for name in schema.names("category"))),
        Dates(
            tuple(dates),
            np.array([moments.mean for moments in dated]).reshape(-1, 2),
            np.array([moments.deviation for moments in dated]).reshape(-1, 2),
            tuple(bool(moments.gaps[0]) for moments in dated),
        ),
        tuple(column.name for column in schema.columns if not column.used),
    )


def representative(found: Survey, names: Iterable[str]) -> Table:
    """Return a small table in which each column has all that decides on a task of its name.

    These are its levels where they were counted, else its values in the rows that are held in
    memory, with the smallest and the largest of the whole table. Rows do not belong together.
    """
    columns: dict[str, Values] = {}
    for name in names:
        levels, held = found.levels.get(name), found.held[name]
        if levels is not None and levels.whole:
            columns[name] = Table({name: list(levels.counts) or [None]})[name]
        elif kind_of(held) == "number" and found.kinds[name] == "number":
            low, high = found.of_all[name].range
            columns[name] = np.concatenate([held, low, high])
        else:
            columns[name] = held
    most = max(map(len, columns.values()))
    return Table({name: _padded(values, most) for name, values in columns.items()})


def outlying(found: Survey, columns: Iterable[str], label: str = "Column") -> list[str]:
    """Return a sentence for each column in which a few outliers would decide the scale."""
    sentences = []
    for name in columns:
        values = as_kind(found.held[name], "number", name)
        bounds = outliers.limits(values)
        if bounds is None:
            continue
        outside = (values < bounds[0]) | (values > bounds[1])
        sentences.append(
            f"{outliers.counted(label, name, values, outside, found.positions)} far from all "
            "others, among the rows in memory: its scale is computed from the other values; check "
            "it, or leave it empty."
        )
    return sentences


def _verdict(found: Survey, name: str) -> roles.Verdict:
    """Return the role of a column by the rules of `roles.of`."""
    rows, kind, missing = found.rows.rows, found.rows.kinds[name], found.missing[name][0]
    # These depend on the name alone, or on there being no value.
    if name.startswith("__") or missing == rows:
        return roles.of(name, np.full(1, np.nan))
    remark = found.rows.reading.remarks.get(name)
    if remark is not None and remark.ambiguous_dates:
        return "ignore", remark.text, True
    if kind == "text":
        levels = found.levels[name]
        noted = "" if remark is None else f" {remark.text}"
        return roles.of_levels(levels.counts, levels.distinct, rows, missing, noted)
    moments = found.of_all[name]
    low, high = (float(edge[0]) for edge in moments.range)
    if kind == "number" and not missing and moments.whole[0] and roles.is_key(name):
        huge = max(abs(low), abs(high)) > EXACT
        if huge or found.distinct[name] >= UNIQUE * rows:
            return roles.of(name, np.arange(3.0))
    if not missing and (moments.low == moments.high).all():
        return roles.of("value", found.held[name][:1])
    if kind == "number":
        rounded = bool(moments.whole[0]) and max(abs(low), abs(high)) > EXACT
        return roles.of_range(low, high, missing, rounded)
    return roles.of_present(kind, missing)


def _ordinary(found: Survey, name: str) -> Moments:
    """Return the moments of a column over training rows without its outliers."""
    values = as_kind(found.held[name], "number", name)[found.codes == TRAIN]
    bounds = outliers.limits(values)
    return found.of_train[name] if bounds is None else moments_within(found, name, *bounds)


def _levels(found: Survey, name: str) -> Levels:
    """Return the encoding of a category by the texts of the training rows."""
    counts = found.levels[name].trained
    if found.rows.kinds[name] != "text":
        texts = as_text(Table({name: list(counts)})[name])
        counts = dict(zip(texts.tolist(), counts.values(), strict=True))
    return Levels.of_counts(name, counts, found.missing[name][1] > 0)


def _column(values: list[Any]) -> Floats:
    return np.array(values, dtype=np.float64)


def _padded(values: Values, length: int) -> Values:
    """Return a canonical column with missing values at its end."""
    short = length - len(values)
    if values.dtype.kind == "f":
        return np.concatenate([values, np.full(short, np.nan)])
    if values.dtype.kind == "M":
        return np.concatenate([values, np.full(short, np.datetime64("NaT"), values.dtype)])
    return np.concatenate([values, np.full(short, None, dtype=object)])
