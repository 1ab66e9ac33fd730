"""Dates -> year and elapsed days, standardised, and the turns of the calendar as sine and cosine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data.coerce import as_kind
from polycera.data.column import Values, is_missing
from polycera.data.standardise import Floats, missing_notice, moments, scaled
from polycera.data.table import Table

_TURNS = ("month", "day of week", "day of year")
_PARTS = (
    "year",
    "elapsed days",
    *(f"{turn} ({wave})" for turn in _TURNS for wave in ("sin", "cos")),
)


@dataclass(frozen=True)
class Dates:
    """Eight features a column, and a mark for each that had missing values in training.

    Attributes:
        columns: names [k].
        mean: of year and elapsed days [k, 2].
        deviation: of both [k, 2].
        gaps: whether values were missing [k].
    """

    columns: tuple[str, ...]
    mean: Floats
    deviation: Floats
    gaps: tuple[bool, ...]

    @classmethod
    def fit(cls, table: Table, columns: Sequence[str]) -> Dates:
        """Learns from the rows given."""
        values = [as_kind(table[column], "date", column) for column in columns]
        found = [moments(_elapsed(dates)) for dates in values]
        mean, deviation = (np.array([part[i] for part in found]).reshape(-1, 2) for i in (0, 1))
        return cls(
            tuple(columns),
            mean,
            deviation,
            tuple(bool(is_missing(dates).any()) for dates in values),
        )

    @property
    def features(self) -> list[tuple[str, str]]:
        """(name of the feature, column it comes from), in order."""
        return [
            (f"{column} {part}", column)
            for column, gap in zip(self.columns, self.gaps, strict=True)
            for part in (*_PARTS, "is missing")[: len(_PARTS) + gap]
        ]

    def write(self, table: Table, out: NDArray[np.float32]) -> None:
        """Fills out [n, features]."""
        start = 0
        for place, column in enumerate(self.columns):
            dates, gap = as_kind(table[column], "date", column), self.gaps[place]
            missing = is_missing(dates)
            linear = scaled(_elapsed(dates), self.mean[place], self.deviation[place])
            parts = [*linear, *np.where(missing, 0.0, _waves(dates)), missing][: len(_PARTS) + gap]
            out[:, start : start + len(parts)] = np.stack(parts, axis=1)
            start += len(parts)

    def notices(self, table: Table) -> list[str]:
        """Missing values where none had been, counted."""
        whole = [column for column, gap in zip(self.columns, self.gaps, strict=True) if not gap]
        counts = {
            column: int(is_missing(as_kind(table[column], "date", column)).sum())
            for column in whole
        }
        return [missing_notice(column, count) for column, count in counts.items() if count]

    def to_config(self) -> dict[str, Any]:
        """JSON values."""
        numbers = {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}
        return {"columns": list(self.columns), **numbers, "gaps": list(self.gaps)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Dates:
        """What `to_config` wrote down."""
        mean, deviation = (
            np.array(config[key], dtype=np.float64).reshape(-1, 2) for key in ("mean", "deviation")
        )
        return cls(tuple(config["columns"]), mean, deviation, tuple(config["gaps"]))


def _elapsed(dates: Values) -> Floats:
    """Year, and days since 1970 with their fraction: [2, n], NaN where missing."""
    missing = np.isnat(dates)
    years = dates.astype("datetime64[Y]").astype(np.float64) + 1970
    days = dates.astype(np.int64) / 86_400e6
    return np.where(missing, np.nan, np.stack([years, days]))


def _waves(dates: Values) -> Floats:
    """Sine and cosine of month, day of week and day of year: [6, n]."""
    days = dates.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    year = dates.astype("datetime64[Y]").astype("datetime64[D]")
    since = (days - year).astype(np.float64)
    turns = np.stack(
        # 0 is a Monday
        [months.astype(np.int64) % 12 / 12, (days.astype(np.int64) + 3) % 7 / 7, since / 365.25]
    )
    angles = 2 * np.pi * turns
    return np.stack([np.sin(angles), np.cos(angles)], axis=1).reshape(6, -1)
