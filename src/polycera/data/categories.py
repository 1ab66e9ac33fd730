"""Encode categories as one-hot features."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data.coerce import as_kind
from polycera.data.column import Values, is_missing, kind_of
from polycera.data.table import Table
from polycera.errors import InputError, listing, shorten

MOST = 255
"""Most levels of a column with a feature of their own; rarer ones share the feature "other"."""
NO_WORD = re.compile(r"[-+]?[0-9][0-9.,:/ T-]*(?:[eE][-+]?[0-9]+)?")
"""A text that is a number, a date or a time."""
FEWEST_NUMBERS = 3
"""Different numbers from which a column of text does not hold the categories of training: one or
two may be new codes."""


@dataclass(frozen=True)
class Levels:
    """Encodes one column as one-hot: its levels, missing (if there were any), all others.

    Attributes:
        column: its name.
        levels: texts in training, at most `MOST`, the most frequent ones, sorted.
        rare: further texts in training, too rare for a feature of their own.
        gap: whether values were missing in training.
    """

    column: str
    levels: tuple[str, ...]
    rare: tuple[str, ...]
    gap: bool

    @classmethod
    def fit(cls, values: Values, column: str) -> Levels:
        """Return the levels of a text column [n]."""
        counts = Counter(values.tolist())
        gap = counts.pop(None, 0) > 0
        return cls.of_counts(column, counts, gap)

    @classmethod
    def of_counts(cls, column: str, counts: Mapping[str, int], gap: bool) -> Levels:
        """Return the levels of a column whose texts were counted.

        Args:
            column: its name.
            counts: text -> number of training rows.
            gap: whether values are missing in training rows.
        """
        # Equal counts are ordered by text, so that equal tables give equal encoders.
        ranked = sorted(counts, key=lambda level: (-counts[level], level))
        return cls(column, tuple(sorted(ranked[:MOST])), tuple(sorted(ranked[MOST:])), gap)

    @property
    def features(self) -> list[str]:
        """Return the names of the features."""
        names = [f"{self.column}={level}" for level in self.levels]
        return names + [f"{self.column} is missing"] * self.gap + [f"{self.column} is other"]

    def indices(self, values: Values) -> NDArray[np.intp]:
        """Return the index of the feature for each row's text [n]."""
        known: dict[str | None, int] = {level: index for index, level in enumerate(self.levels)}
        if self.gap:
            known[None] = len(self.levels)
        other = len(self.levels) + self.gap
        return np.fromiter(map(known.get, values, repeat(other)), np.intp, len(values))

    def check_kind(self, column: Values) -> None:
        """Raise where a column holds numbers or dates in place of the words of training.

        Args:
            column: canonical, as the source has it, [n].

        Raises:
            InputError: where no cell is a category of training, the source declares another type,
                or all its texts are numbers, and none of the categories is one.
        """
        known = {*self.levels, *self.rare}
        kind = kind_of(column)
        if not known or any(map(NO_WORD.fullmatch, known)) or is_missing(column).all():
            return
        found = {text for text in as_kind(column, "text", self.column).tolist() if text is not None}
        if found & known:
            return
        if kind == "text":
            if len(found) < FEWEST_NUMBERS or not all(map(NO_WORD.fullmatch, found)):
                return
            kind = "number"
        raise InputError(
            f"Column {shorten(self.column)!r} was a category in training "
            f"({listing(sorted(known), 3)}), and all its cells are {kind}s here "
            f"({listing(sorted(found), 3)}): give it the categories of training, or leave its "
            "cells empty."
        )

    def notice(self, values: Values) -> str | None:
        """Return a sentence on rows whose text was not in training; None if there are none."""
        unseen = Counter(values[self.indices(values) == len(self.levels) + self.gap].tolist())
        for level in self.rare:
            unseen.pop(level, None)
        if not unseen:
            return None
        rows = sum(unseen.values())
        texts = listing(["missing" if level is None else level for level in unseen], 3)
        return (
            f"Column {shorten(self.column)!r} has {rows} row{'s' * (rows != 1)} with categories "
            f"that were not in training ({texts}); they are encoded as one category for all "
            "others."
        )


@dataclass(frozen=True)
class Categories:
    """Encodes several columns as one-hot, side by side."""

    parts: tuple[Levels, ...]

    @classmethod
    def fit(cls, table: Table, columns: Sequence[str]) -> Categories:
        """Return the columns with the levels of these rows."""
        return cls(
            tuple(Levels.fit(as_kind(table[column], "text", column), column) for column in columns)
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns [k]."""
        return tuple(part.column for part in self.parts)

    @property
    def features(self) -> list[tuple[str, str]]:
        """Return (feature name, source column) for each feature, in order."""
        return [(feature, part.column) for part in self.parts for feature in part.features]

    def write(self, table: Table, out: NDArray[np.float32]) -> None:
        """Write the features into out [n, features], which must hold zeros."""
        start, rows = 0, np.arange(table.rows)
        for part in self.parts:
            out[rows, start + part.indices(as_kind(table[part.column], "text", part.column))] = 1.0
            start += len(part.features)

    def notices(self, table: Table) -> list[str]:
        """Return a sentence for each column with categories that did not occur in training.

        Raises:
            InputError: for a column that holds numbers or dates in place of categories.
        """
        for part in self.parts:
            part.check_kind(table[part.column])
        sentences = [
            part.notice(as_kind(table[part.column], "text", part.column)) for part in self.parts
        ]
        return [sentence for sentence in sentences if sentence]

    def to_config(self) -> list[dict[str, Any]]:
        """Return the levels as JSON values."""
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
        """Return the columns that `to_config` wrote."""
        return cls(
            tuple(
                Levels(c["column"], tuple(c["levels"]), tuple(c["rare"]), c["gap"]) for c in config
            )
        )
