"""Encode dates as year and elapsed days, scaled, and calendar cycles as sine and cosine."""

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
"""Cycles of the calendar."""
_PARTS = (
    "year",
    "elapsed days",
    *(f"{turn} ({wave})" for turn in _TURNS for wave in ("sin", "cos")),
)
"""Names of a date's features."""


@dataclass(frozen=True)
class Dates:
    """Encodes dates as eight features a column, and a mark where training had missing values.

    Attributes:
        columns: names [k].
        mean: of year and elapsed days [k, 2].
        deviation: of year and elapsed days [k, 2].
        gaps: whether values were missing in training [k].
    """

    columns: tuple[str, ...]
    mean: Floats
    deviation: Floats
    gaps: tuple[bool, ...]

    @classmethod
    def fit(cls, table: Table, columns: Sequence[str]) -> Dates:
        """Return the scaling fitted to these rows."""
        values = [as_kind(table[column], "date", column) for column in columns]
        fitted = [moments(elapsed(dates)) for dates in values]
        mean, deviation = (np.array([part[i] for part in fitted]).reshape(-1, 2) for i in (0, 1))
        return cls(
            tuple(columns),
            mean,
            deviation,
            tuple(bool(is_missing(dates).any()) for dates in values),
        )

    @property
    def features(self) -> list[tuple[str, str]]:
        """Return (feature name, source column) for each feature, in order."""
        names = []
        for column, gap in zip(self.columns, self.gaps, strict=True):
            parts = [*_PARTS, "is missing"] if gap else _PARTS
            names += [(f"{column} {part}", column) for part in parts]
        return names

    def write(self, table: Table, out: NDArray[np.float32]) -> None:
        """Write the features into out [n, features]."""
        start = 0
        for index, column in enumerate(self.columns):
            dates, gap = as_kind(table[column], "date", column), self.gaps[index]
            missing = is_missing(dates)
            linear = scaled(elapsed(dates), self.mean[index], self.deviation[index])
            parts = [*linear, *np.where(missing, 0.0, _waves(dates)), missing][: len(_PARTS) + gap]
            out[:, start : start + len(parts)] = np.stack(parts, axis=1)
            start += len(parts)

    def notices(self, table: Table) -> list[str]:
        """Return a sentence for each column with missing values that had none in training."""
        without_gaps = [
            column for column, gap in zip(self.columns, self.gaps, strict=True) if not gap
        ]
        counts = {
            column: int(is_missing(as_kind(table[column], "date", column)).sum())
            for column in without_gaps
        }
        return [missing_notice(column, count) for column, count in counts.items() if count]

    def to_config(self) -> dict[str, Any]:
        """Return the scaling as JSON values."""
        scaling = {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}
        return {"columns": list(self.columns), **scaling, "gaps": list(self.gaps)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Dates:
        """Return the scaling that `to_config` wrote."""
        mean, deviation = (
            np.array(config[key], dtype=np.float64).reshape(-1, 2) for key in ("mean", "deviation")
        )
        return cls(tuple(config["columns"]), mean, deviation, tuple(config["gaps"]))


def elapsed(dates: Values) -> Floats:
    """Return the year, and the days since 1970 with their fraction: [2, n], NaN where missing."""
    missing = np.isnat(dates)
    years = dates.astype("datetime64[Y]").astype(np.float64) + 1970
    days = dates.astype(np.int64) / 86_400e6
    return np.where(missing, np.nan, np.stack([years, days]))


def _waves(dates: Values) -> Floats:
    """Return sine and cosine of month, day of week and day of year: [6, n]."""
    days = dates.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    year = dates.astype("datetime64[Y]").astype("datetime64[D]")
    since = (days - year).astype(np.float64)
    turns = np.stack(
        # 1970-01-01 was a Thursday; + 3 makes Monday 0.
        [months.astype(np.int64) % 12 / 12, (days.astype(np.int64) + 3) % 7 / 7, since / 365.25]
    )
    angles = 2 * np.pi * turns
    return np.stack([np.sin(angles), np.cos(angles)], axis=1).reshape(6, -1)
