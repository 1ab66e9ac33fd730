"""Hold a column of text or booleans as codes: which of its levels each row has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data.column import Values


@dataclass(frozen=True, eq=False)
class LevelCodes:
    """Holds the different values of an object column, and which of them each row has.

    Attributes:
        values: the column itself, canonical [rows].
        levels: its different values, none missing, in any order.
        codes: place of each row's value in `levels`; their number where it is missing; [rows].
    """

    values: Values
    levels: Sequence[str | bool]
    codes: NDArray[np.integer]

    @classmethod
    def of(cls, values: Values) -> LevelCodes:
        """Return the codes of an object column [rows]."""
        levels = [value for value in dict.fromkeys(values.tolist()) if value is not None]
        place: dict[Any, int] = {level: code for code, level in enumerate(levels)}
        place[None] = len(levels)
        codes = np.fromiter(map(place.__getitem__, values), np.int32, len(values))
        return cls(values, levels, codes)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return the number of rows of each level, and then that of rows without a value."""
        return np.bincount(self.codes, minlength=len(self.levels) + 1)

    @property
    def missing(self) -> int:
        """Return the number of rows without a value."""
        return int(self.counts[-1])

    @property
    def by_first_row(self) -> NDArray[np.int64]:
        """Return codes [rows] that number the values as they first occur, missing ones too."""
        number = np.full(len(self.levels) + 1, -1, np.int64)
        # Of several rows with one code the last assignment stays: backwards, the first row.
        number[self.codes[::-1]] = np.arange(len(self.codes) - 1, -1, -1)
        found = np.flatnonzero(number >= 0)
        number[found[np.argsort(number[found])]] = np.arange(len(found))
        return number[self.codes]
