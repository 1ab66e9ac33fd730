"""A table: ordered, named columns of one length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from polycera.data.column import Values, as_text, canonical
from polycera.errors import InputError, UnknownName, listing, shorten


class Table:
    """Rows as columns: each name has one array [rows].

    Numbers are float64 (NaN where missing), text and booleans are object (None where missing),
    dates are datetime64[us] (NaT where missing). Messages count rows from 0, as NumPy does.

    Example:
        >>> table = Table({"rooms": [3, None], "town": ["Oslo", "Bergen"]})
        >>> table.rows, table.names, table["rooms"]
        (2, ['rooms', 'town'], array([ 3., nan]))
    """

    def __init__(self, columns: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Takes the columns in order.

        Args:
            columns: name to values [rows], as a mapping or as pairs.

        Raises:
            InputError: a name twice, no column, or columns of several lengths.
        """
        pairs = list(columns.items() if isinstance(columns, Mapping) else columns)
        pairs = [(str(name), values) for name, values in pairs]
        check_names(name for name, _ in pairs)
        self._columns: dict[str, Values] = {name: canonical(values, name) for name, values in pairs}
        self._values: dict[str, Values] = {}
        self._check_lengths()

    @classmethod
    def _of(cls, columns: dict[str, Values]) -> Table:
        """A table of columns that are canonical already."""
        table = cls.__new__(cls)
        table._columns = columns
        table._values = {}
        return table

    def with_levels(self, levels: Mapping[str, Values]) -> Table:
        """Return the table with these columns as levels, which are text; their values are remembered for `labelled`.

        Args:
            levels: categorical columns whose categories are numbers or booleans, canonical, [rows]
                each.
        """
        table = Table._of(
            self._columns | {name: as_text(values) for name, values in levels.items()}
        )
        table._values = dict(levels)
        return table

    def labelled(self, names: Iterable[str]) -> Table:
        """Return the table with the values of their levels in these columns: labels come back as they were given."""
        own = {name: self._values[name] for name in names if name in self._values}
        table = Table._of(self._columns | own)
        table._values = own
        return table

    @property
    def levels(self) -> frozenset[str]:
        """Return the columns of numbers or booleans that came as categorical ones."""
        return frozenset(self._values)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self._columns.values()), ()))

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return list(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> Values:
        """The column [rows] of that name; UnknownName where there is none."""
        if name not in self._columns:
            raise UnknownName("column", name, self._columns)
        return self._columns[name]

    def __repr__(self) -> str:
        return f"Table({self.rows} rows, columns {listing(self._columns)})"

    def take(self, indices: ArrayLike) -> Table:
        """The rows at the indices [k] (or where a mask [rows] is true), in that order."""
        places = np.asarray(indices)
        places = places if places.size or places.dtype == bool else places.astype(np.int64)
        return Table._of({name: values[places] for name, values in self._columns.items()})

    def select(self, names: Iterable[str]) -> Table:
        """Only these columns, in the order asked for; UnknownName for one that is not there."""
        wanted = list(names)
        check_names(wanted)
        return Table._of({name: self[name] for name in wanted})

    def without(self, names: Iterable[str]) -> Table:
        """All columns but these; UnknownName for one that is not there."""
        unwanted = {name for name in names if self[name] is not None}
        return Table._of(
            {name: values for name, values in self._columns.items() if name not in unwanted}
        )

    def _check_lengths(self) -> None:
        if not self._columns:
            raise InputError("The table has no column; at least one is expected.")
        first = self.names[0]
        for name, values in self._columns.items():
            if len(values) != self.rows:
                raise InputError(
                    f"Column {shorten(name)!r} has {len(values)} rows and column {shorten(first)!r} has "
                    f"{self.rows}; all columns must have the same number of rows."
                )


def check_names(names: Iterable[str]) -> None:
    """Refuses a name that comes twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"Column names must differ, and these come more than once: {listing(twice)}."
        )
