"""Encode a table as the matrix that a network takes, by what the training rows contain."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data.booleans import Booleans
from polycera.data.categories import Categories
from polycera.data.dates import Dates
from polycera.data.schema import Schema
from polycera.data.standardise import Numbers
from polycera.data.table import Table
from polycera.errors import InputError, listing, shorten


@dataclass(frozen=True, eq=False)
class Encoder:
    """Encode numbers, booleans, categories and dates as columns of a matrix, in this order.

    Attributes:
        numbers, booleans, categories, dates: the four blocks of the matrix.
        left_out: columns of the training table that are not used; a table may have them.

    Examples:
        >>> from polycera.data import infer
        >>> table = Table({"rooms": [1.0, 3.0], "town": ["Oslo", "Bergen"]})
        >>> encoder = Encoder.fit(
        ...     table, infer(table, overrides={"rooms": "number", "town": "category"})
        ... )
        >>> encoder.feature_names
        ['rooms', 'town=Bergen', 'town=Oslo', 'town is other']
        >>> encoder.transform(table)
        array([[-1.,  0.,  1.,  0.],
               [ 1.,  1.,  0.,  0.]], dtype=float32)
    """

    numbers: Numbers
    booleans: Booleans
    categories: Categories
    dates: Dates
    left_out: tuple[str, ...] = ()

    @classmethod
    def fit(cls, table: Table, schema: Schema) -> Encoder:
        """Return an encoder with the means, deviations and levels of these rows.

        Args:
            table: the training rows only; nothing may be learned from validation and test rows.
            schema: the columns' roles.

        Raises:
            InputError: where there is no column to learn from or one is missing, for an infinite
                number, and for a value of another kind.
        """
        if not schema.used:
            names = listing(column.name for column in schema.columns)
            raise InputError(f"No column is left to learn from; these were left out: {names}.")
        _check_columns(schema.used, table.names)
        return cls(
            Numbers.fit(table, schema.names("number")),
            Booleans.fit(table, schema.names("boolean")),
            Categories.fit(table, schema.names("category")),
            Dates.fit(table, schema.names("date")),
            tuple(column.name for column in schema.columns if not column.used),
        )

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns that a table must have."""
        return [column for block in self._blocks for column in block.columns]

    @property
    def feature_names(self) -> list[str]:
        """Return the name of each column of the matrix."""
        return [feature for block in self._blocks for feature, _ in block.features]

    @property
    def sources(self) -> list[str]:
        """Return the table's column from which each column of the matrix is made."""
        return [column for block in self._blocks for _, column in block.features]

    @property
    def width(self) -> int:
        """Return the number of columns of the matrix."""
        return len(self.sources)

    def transform(self, table: Table) -> NDArray[np.float32]:
        """Return the matrix, float32 [n, width], finite throughout.

        A missing number is 0 (the training mean), and 1 in the column's mark if training had
        missing values in it.

        Raises:
            InputError: for a column that is missing, an infinite number, and a value of another
                kind.
        """
        _check_columns(self.columns, table.names)
        matrix = np.zeros((table.rows, self.width), dtype=np.float32)
        start = 0
        for block in self._blocks:
            end = start + len(block.features)
            # A view: each block writes its own columns, and nothing is copied.
            block.write(table, matrix[:, start:end])
            start = end
        return matrix

    def check(self, table: Table) -> list[str]:
        """Return a sentence for each difference from training: extra columns, categories, gaps.

        Raises:
            InputError: as `transform`.
        """
        self.check_names(table.names)
        notices = [notice for block in self._blocks for notice in block.notices(table)]
        return self.unknown(table.names) + notices

    def check_names(self, names: Collection[str]) -> None:
        """Raise InputError where a table with these columns lacks one that is needed."""
        _check_columns(self.columns, names)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return a sentence on columns that the training table did not have, if there are any."""
        known = {*self.columns, *self.left_out}
        extra = [name for name in names if name not in known]
        if not extra:
            return []
        return [f"These columns were not in the training table and are ignored: {listing(extra)}."]

    def to_config(self) -> dict[str, Any]:
        """Return the encoder as JSON values; floats come back exactly."""
        blocks = {field.name: getattr(self, field.name).to_config() for field in fields(self)[:4]}
        return blocks | {"left_out": list(self.left_out)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Encoder:
        """Return the encoder that `to_config` wrote."""
        return cls(
            Numbers.from_config(config["numbers"]),
            Booleans.from_config(config["booleans"]),
            Categories.from_config(config["categories"]),
            Dates.from_config(config["dates"]),
            tuple(config["left_out"]),
        )

    @property
    def _blocks(self) -> tuple[Numbers | Booleans | Categories | Dates, ...]:
        return (self.numbers, self.booleans, self.categories, self.dates)


def _check_columns(needed: list[str], names: Collection[str]) -> None:
    """Raise where the table lacks a column, with the nearest name that it has."""
    for name in needed:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"is {shorten(close[0])!r} the one? " if close else ""
            raise InputError(
                f"Column {shorten(name)!r} is missing from the table, but the network was trained "
                f"with it; {hint}the table has: {listing(names)}."
            )
