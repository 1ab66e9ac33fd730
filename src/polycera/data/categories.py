"""Categories -> one place a level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data.coerce import as_kind
from polycera.data.column import Values
from polycera.data.table import Table
from polycera.errors import listing, shorten

MOST = 255  # levels a column may have; the rarer ones share the place "other"


@dataclass(frozen=True)
class Levels:
    """One column as one-hot: its levels, then a place for missing if there were any, then one for all others.

    Attributes:
        column: its name.
        levels: the texts met in training, at most `MOST`, the most frequent ones, sorted.
        rare: further texts met in training, too rare for a place of their own.
        gap: whether values were missing in training.
    """

    column: str
    levels: tuple[str, ...]
    rare: tuple[str, ...]
    gap: bool

    @classmethod
    def fit(cls, values: Values, column: str) -> Levels:
        """Learns from a text column [n]."""
        counts = Counter(values.tolist())
        gap = counts.pop(None, 0) > 0
        ranked = sorted(counts, key=lambda level: (-counts[level], level))
        return cls(column, tuple(sorted(ranked[:MOST])), tuple(sorted(ranked[MOST:])), gap)

    @property
    def features(self) -> list[str]:
        """Names of the places."""
        names = [f"{self.column}={level}" for level in self.levels]
        return names + [f"{self.column} is missing"] * self.gap + [f"{self.column} is other"]

    def places(self, values: Values) -> NDArray[np.intp]:
        """The place of each row's text [n]."""
        known: dict[str | None, int] = {level: place for place, level in enumerate(self.levels)}
        if self.gap:
            known[None] = len(self.levels)
        other = len(self.levels) + self.gap
        return np.fromiter(map(known.get, values, repeat(other)), np.intp, len(values))

    def notice(self, values: Values) -> str | None:
        """A sentence on the rows whose text was not met in training."""
        other = Counter(values[self.places(values) == len(self.levels) + self.gap].tolist())
        for level in self.rare:
            other.pop(level, None)
        if not other:
            return None
        rows = sum(other.values())
        texts = listing(["missing" if level is None else level for level in other], 3)
        return (
            f"Column {shorten(self.column)!r} has {rows} row{'s' * (rows != 1)} with categories that were "
            f"not in training ({texts}); they share the place of all others."
        )


@dataclass(frozen=True)
class Categories:
    """One-hot columns side by side."""

    parts: tuple[Levels, ...]

    @classmethod
    def fit(cls, table: Table, columns: Sequence[str]) -> Categories:
        """Learns the levels of the rows given."""
        return cls(
            tuple(Levels.fit(as_kind(table[column], "text", column), column) for column in columns)
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns [k]."""
        return tuple(part.column for part in self.parts)

    @property
    def features(self) -> list[tuple[str, str]]:
        """(name of the feature, column it comes from), in order."""
        return [(feature, part.column) for part in self.parts for feature in part.features]

    def write(self, table: Table, out: NDArray[np.float32]) -> None:
        """Fills out [n, features], which holds zeros."""
        start, rows = 0, np.arange(table.rows)
        for part in self.parts:
            out[rows, start + part.places(as_kind(table[part.column], "text", part.column))] = 1.0
            start += len(part.features)

    def notices(self, table: Table) -> list[str]:
        """Unseen categories, counted for each column."""
        found = [
            part.notice(as_kind(table[part.column], "text", part.column)) for part in self.parts
        ]
        return [notice for notice in found if notice]

    def to_config(self) -> list[dict[str, Any]]:
        """JSON values."""
        return [
            {
                "column": part.column,
                "levels": list(part.levels),
                "rare": list(part.rare),
                "gap": part.gap,
            }
            for part in self.parts
        ]

    @classmethod
    def from_config(cls, config: Sequence[Mapping[str, Any]]) -> Categories:
        """What `to_config` wrote down."""
        return cls(
            tuple(
                Levels(c["column"], tuple(c["levels"]), tuple(c["rare"]), c["gap"]) for c in config
            )
        )
