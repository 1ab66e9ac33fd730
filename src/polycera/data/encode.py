"""A table -> the matrix that a network takes, by what the training rows showed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
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
    """Numbers, booleans, categories and dates, side by side in this order.

    Attributes:
        numbers, booleans, categories, dates: the four parts of the matrix.
        left_out: columns that training had and did not use; they may come again without a word.

    Example:
        >>> from polycera.data import infer
        >>> table = Table({"rooms": [1.0, 3.0], "town": ["Oslo", "Bergen"]})
        >>> encoder = Encoder.fit(table, infer(table, overrides={"rooms": "number", "town": "category"}))
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
        """Learns means, deviations and levels.

        Args:
            table: the training rows, and no others: what validation and test hold must not be
                known.
            schema: the columns' roles.

        Raises:
            InputError: no column to learn from, one missing, an infinite number, a value of another
                kind.
        """
        if not schema.used:
            names = listing(column.name for column in schema.columns)
            raise InputError(f"No column is left to learn from; these were left out: {names}.")
        _check_columns(schema.used, table)
        return cls(
            Numbers.fit(table, schema.names("number")),
            Booleans.fit(table, schema.names("boolean")),
            Categories.fit(table, schema.names("category")),
            Dates.fit(table, schema.names("date")),
            tuple(column.name for column in schema.columns if not column.used),
        )

    @property
    def columns(self) -> list[str]:
        """Names of the columns that a table must have."""
        return [column for block in self._blocks for column in block.columns]

    @property
    def feature_names(self) -> list[str]:
        """What each column of the matrix is."""
        return [feature for block in self._blocks for feature, _ in block.features]

    @property
    def sources(self) -> list[str]:
        """The table's column that each column of the matrix comes from."""
        return [column for block in self._blocks for _, column in block.features]

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return len(self.sources)

    def transform(self, table: Table) -> NDArray[np.float32]:
        """The matrix, float32 [n, width], finite throughout.

        A missing number is 0 (the training mean), and 1 in the column's mark if training had
        missing ones.

        Raises:
            InputError: for a column that is missing, an infinite number, a value of another kind.
        """
        _check_columns(self.columns, table)
        matrix = np.zeros((table.rows, self.width), dtype=np.float32)
        start = 0
        for block in self._blocks:
            end = start + len(block.features)
            block.write(table, matrix[:, start:end])
            start = end
        return matrix

    def check(self, table: Table) -> list[str]:
        """What is unlike training in a table, a sentence each: columns too many, unseen categories, new gaps.

        Raises:
            InputError: as `transform`.
        """
        _check_columns(self.columns, table)
        known = {*self.columns, *self.left_out}
        extra = [name for name in table.names if name not in known]
        found = (
            [f"These columns were not there in training and are ignored: {listing(extra)}."]
            if extra
            else []
        )
        return found + [notice for block in self._blocks for notice in block.notices(table)]

    def to_config(self) -> dict[str, Any]:
        """JSON values; floats come back exactly."""
        blocks = {field.name: getattr(self, field.name).to_config() for field in fields(self)[:4]}
        return blocks | {"left_out": list(self.left_out)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Encoder:
        """The encoder that `to_config` wrote down."""
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


def _check_columns(needed: list[str], table: Table) -> None:
    for name in needed:
        if name not in table:
            close = difflib.get_close_matches(name, table.names, n=1)
            guess = f"is {shorten(close[0])!r} the one? " if close else ""
            raise InputError(
                f"Column {shorten(name)!r} is missing from the table, and the network was trained with it; "
                f"{guess}the table has: {listing(table.names)}."
            )
