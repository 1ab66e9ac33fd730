"""Hold rows as a table: ordered, named columns of the same length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from polycera.data.column import Values, as_text, canonical, distinct, is_missing
from polycera.data.level_codes import LevelCodes
from polycera.data.reading import Reading
from polycera.errors import InputError, UnknownName, listing, shorten


@dataclass(frozen=True)
class Unread:
    """Describes a column that was left out before it was read.

    Attributes:
        place: its position in the source; the reader fills it in.
        reason: one sentence on why it was left out.
        notable: whether to tell the user, who did not ask for it.
    """

    place: int = 0
    reason: str = "declared so."
    notable: bool = False


Value = TypeVar("Value")

LeaveOut = Callable[[list[str]], Mapping[str, Unread]]
"""Function from the columns of a source to those that are not to be read."""


class Table:
    """Hold rows as columns: each name has one array [rows].

    Numbers are float64 (NaN where missing), text and booleans are object (None where missing),
    dates are datetime64[us] (NaT where missing). Messages count rows from 0, as NumPy does.

    Examples:
        >>> table = Table({"rooms": [3, None], "town": ["Oslo", "Bergen"]})
        >>> table.rows, table.names, table["rooms"]
        (2, ['rooms', 'town'], array([ 3., nan]))
    """

    def __init__(self, columns: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Take the columns, in order.

        Args:
            columns: name -> values [rows], as a mapping or as pairs.

        Raises:
            InputError: for a name given twice, no column, or columns of several lengths.
        """
        pairs = list(columns.items() if isinstance(columns, Mapping) else columns)
        pairs = [(joined_name(name), values) for name, values in pairs]
        check_names(name for name, _ in pairs)
        self._columns: dict[str, Values] = {name: canonical(values, name) for name, values in pairs}
        self._values: dict[str, Values] = {}
        self._reading = Reading()
        self._unread: dict[str, Unread] = {}
        self._codes: dict[str, LevelCodes] = {}
        self._check_lengths()

    @classmethod
    def _of(
        cls,
        columns: dict[str, Values],
        originals: Mapping[str, Values],
        reading: Reading | None = None,
        unread: Mapping[str, Unread] | None = None,
        codes: dict[str, LevelCodes] | None = None,
    ) -> Table:
        """Return a table of columns that are already canonical, and of their original values."""
        # Skips `__init__`, which would convert and check the columns again.
        table = cls.__new__(cls)
        table._columns = columns
        table._reading = Reading() if reading is None else reading
        table._values = {name: originals[name] for name in columns if name in originals}
        table._unread = dict(unread or {})
        table._codes = {} if codes is None else codes
        return table

    @classmethod
    def of_canonical(cls, columns: Mapping[str, Values]) -> Table:
        """Return a table of columns that are canonical already, see `column.canonical`.

        Args:
            columns: name -> values [rows]; at least one.

        Raises:
            InputError: for columns of several lengths.
        """
        table = cls._of(dict(columns), {})
        table._check_lengths()
        return table

    def with_unread(self, unread: Mapping[str, Unread]) -> Table:
        """Return the table with what is known of columns of its source that were not read."""
        return Table._of(self._columns, self._values, self._reading, unread, self._codes)

    def with_codes(self, codes: Mapping[str, LevelCodes]) -> Table:
        """Return the table with the codes of columns that were read as codes."""
        every = self._codes | dict(codes)
        return Table._of(self._columns, self._values, self._reading, self._unread, every)

    def distinct(self, name: str) -> list[Any]:
        """Return the different values of a column, sorted; UnknownName where there is none.

        None is missing, and whole floats are integers, see `column.distinct`.
        """
        values = self[name]
        if values.dtype.kind == "O":
            return sorted(self.codes(name).levels)
        return distinct(values)

    def missing(self, name: str) -> int:
        """Return in how many rows a column has no value; UnknownName where there is none."""
        values = self[name]
        if (codes := self.known_codes(name)) is not None:
            return codes.missing
        return int(np.count_nonzero(is_missing(values)))

    def known_codes(self, name: str) -> LevelCodes | None:
        """Return the codes of an object column where they are known; None where they are not."""
        known = self._codes.get(name)
        return known if known is not None and known.values is self[name] else None

    def codes(self, name: str) -> LevelCodes:
        """Return the codes of an object column, found out once; UnknownName where there is none."""
        known = self.known_codes(name)
        if known is None:
            known = self._codes[name] = LevelCodes.of(self[name])
        return known

    def with_columns(self, columns: Mapping[str, Values], instead_of: str) -> Table:
        """Return the table with canonical columns in the place of one that it has."""
        changed: dict[str, Values] = {}
        for name, values in self._columns.items():
            changed |= columns if name == instead_of else {name: values}
        return Table._of(changed, self._values, self._reading, self._unread, self._codes)

    def with_levels(self, levels: Mapping[str, Values]) -> Table:
        """Return the table with these columns as text; `labelled` gives their values back.

        Args:
            levels: categorical columns whose categories are numbers or booleans, canonical, [rows]
                each.
        """
        texts = {name: as_text(values) for name, values in levels.items()}
        columns = self._columns | texts
        return Table._of(columns, levels, self._reading, self._unread, self._codes)

    def replaced(self, columns: Mapping[str, Values]) -> Table:
        """Return the table with other values in these columns, canonical, [rows] each."""
        every = self._columns | dict(columns)
        return Table._of(every, self._values, self._reading, self._unread, self._codes)

    def read_as(self, reading: Reading) -> Table:
        """Return the table with what was found out about its cells."""
        return Table._of(self._columns, self._values, reading, self._unread, self._codes)

    @property
    def reading(self) -> Reading:
        """Return how the cells were read: formats, sentences, remarks."""
        return self._reading

    def labelled(self, names: Iterable[str]) -> Table:
        """Return the table with the original values of these columns, so labels keep their type."""
        originals = {name: self._values[name] for name in names if name in self._values}
        columns = self._columns | originals
        return Table._of(columns, originals, self._reading, self._unread, self._codes)

    @property
    def levels(self) -> frozenset[str]:
        """Return the categorical columns whose categories are numbers or booleans."""
        return frozenset(self._values)

    @property
    def unread(self) -> Mapping[str, Unread]:
        """Return the columns of the source that were left out before they were read."""
        return self._unread

    @property
    def source_names(self) -> list[str]:
        """Return the names of all columns of the source, in order, those not read among them."""
        names = self.names
        for name, unread in sorted(self._unread.items(), key=lambda item: item[1].place):
            names.insert(unread.place, name)
        return names

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self._columns.values()), ()))

    @property
    def names(self) -> list[str]:
        """Return the columns' names, in order."""
        return list(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> Values:
        """Return the column [rows] of that name; UnknownName where there is none."""
        if name in self._unread:
            raise InputError(
                f"Column {shorten(name)!r} was left out: {self._unread[name].reason} A column "
                "that holds one number, text, boolean or date a row is expected here."
            )
        if name not in self._columns:
            raise UnknownName("column", name, self.source_names)
        return self._columns[name]

    def __repr__(self) -> str:
        return f"Table({self.rows} rows, columns {listing(self._columns)})"

    def take(self, indices: ArrayLike) -> Table:
        """Return the rows at the indices [k] (or where a mask [rows] is true), in that order."""
        rows = np.asarray(indices)
        # NumPy makes an empty list float64, which is no index.
        rows = rows if rows.size or rows.dtype == bool else rows.astype(np.int64)
        return Table._of(
            {name: values[rows] for name, values in self._columns.items()},
            {name: values[rows] for name, values in self._values.items()},
            self._reading,
            self._unread,
        )

    def select(self, names: Iterable[str]) -> Table:
        """Return only these columns, in the given order; UnknownName for one that is missing."""
        selected = list(names)
        check_names(selected)
        columns = {name: self[name] for name in selected}
        return Table._of(columns, self._values, self._reading, self._unread, self._codes)

    def without(self, names: Iterable[str]) -> Table:
        """Return all columns but these; UnknownName for one that does not exist."""
        # `self[name]` raises UnknownName; it is never None.
        unwanted = {name for name in names if self[name] is not None}
        rest = {name: values for name, values in self._columns.items() if name not in unwanted}
        return Table._of(rest, self._values, self._reading, self._unread, self._codes)

    def _check_lengths(self) -> None:
        if not self._columns:
            raise InputError("The table has no column; at least one is expected.")
        first = self.names[0]
        for name, values in self._columns.items():
            if len(values) != self.rows:
                raise InputError(
                    f"Column {shorten(name)!r} has {len(values)} rows "
                    f"and column {shorten(first)!r} has "
                    f"{self.rows}; all columns must have the same number of rows."
                )


def check_names(names: Iterable[str]) -> None:
    """Raise where a name occurs twice."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"Column names must differ, and these come more than once: {listing(repeated)}."
        )


def joined_name(name: Any) -> str:
    """Return a column's name as text; the parts of a MultiIndex's are joined by "_".

    Parts without text, as pandas puts them under a column of fewer levels, are left out.

    Examples:
        >>> joined_name(("price", "mean")), joined_name(("town", "")), joined_name(7)
        ('price_mean', 'town', '7')
    """
    if not isinstance(name, tuple):
        return str(name)
    return "_".join(str(part) for part in name if str(part) != "")


def by_name(values: Mapping[Any, Value]) -> dict[str, Value]:
    """Return values by the names of columns as text, see `joined_name`.

    Examples:
        >>> by_name({("price", "mean"): "number"})
        {'price_mean': 'number'}
    """
    return {joined_name(name): value for name, value in values.items()}
