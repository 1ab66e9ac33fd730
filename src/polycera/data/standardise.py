"""Numbers -> zero mean and unit deviation; missing ones -> the mean, and a mark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data import outliers
from polycera.data.coerce import as_kind
from polycera.data.table import Table
from polycera.errors import InputError, shorten

Floats = NDArray[np.float64]

# no row that was fitted lies as many deviations off; further out is cut, lest float32 overflow
FAR = 1e6
_CELLS = 1 << 22  # of one block: 32 MB, however many rows and columns the table has


@dataclass(frozen=True)
class Numbers:
    """Standardised columns, then one 0/1 mark for each that had missing values where it was fitted.

    Attributes:
        columns: names [k].
        mean: [k].
        deviation: [k], 1 where the column does not vary.
        gaps: bool [k], whether values were missing.
        low, high: [k], the smallest and largest value there was; empty where an older version wrote
            the encoder.
    """

    columns: tuple[str, ...]
    mean: Floats
    deviation: Floats
    gaps: NDArray[np.bool_]
    low: Floats = field(default_factory=lambda: np.empty(0))
    high: Floats = field(default_factory=lambda: np.empty(0))

    @classmethod
    def fit(cls, table: Table, columns: Sequence[str]) -> Numbers:
        """Learns from the rows given; InputError for an infinite value.

        Mean and deviation of a column with outliers are those of its other values.
        """
        found = []
        for _, block in blocks(table, columns):
            mean, deviation, _ = moments(_ordinary(block))
            found.append((mean, deviation, np.isnan(block).any(axis=1), *ranges(block)))
        parts = [
            np.concatenate([part[i] for part in found]) if found else np.empty(0) for i in range(5)
        ]
        return cls(tuple(columns), parts[0], parts[1], parts[2].astype(bool), parts[3], parts[4])

    @property
    def features(self) -> list[tuple[str, str]]:
        """(name of the feature, column it comes from), in order."""
        marks = [column for column, gap in zip(self.columns, self.gaps, strict=True) if gap]
        return [(c, c) for c in self.columns] + [(f"{c} is missing", c) for c in marks]

    def write(self, table: Table, out: NDArray[np.float32]) -> None:
        """Fills out [n, features]."""
        marks = np.cumsum(self.gaps) + len(self.columns) - 1
        for part, block in blocks(table, self.columns):
            missing, gaps = np.isnan(block), self.gaps[part]
            out[:, part] = scaled(block, self.mean[part], self.deviation[part]).T
            out[:, marks[part][gaps]] = missing[gaps].T

    def notices(self, table: Table) -> list[str]:
        """Missing values where none had been, counted."""
        found: list[str] = []
        for part, block in blocks(table, self.columns):
            counts = np.isnan(block).sum(axis=1) * ~self.gaps[part]
            found += [
                missing_notice(self.columns[part][i], int(counts[i]))
                for i in np.flatnonzero(counts)
            ]
            if len(self.low):
                found += self._far(part, block)
        return found

    def _far(self, part: slice, block: Floats) -> list[str]:
        """Return a sentence for each column with values farther outside of the training range than it is wide."""
        low, high = self.low[part], self.high[part]
        with np.errstate(over="ignore"):
            room = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
            outside = (block < (low - room)[:, None]) | (block > (high + room)[:, None])
        names = self.columns[part]
        return [
            f"{outliers.counted('Column', names[i], block[i], outside[i])} far outside of what training saw "
            f"({low[i]:g} to {high[i]:g}): what is predicted there is a guess."
            for i in np.flatnonzero(outside.any(axis=1))
        ]

    def to_config(self) -> dict[str, Any]:
        """JSON values."""
        numbers = {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}
        ranges_seen = (
            {"low": self.low.tolist(), "high": self.high.tolist()} if len(self.low) else {}
        )
        return {"columns": list(self.columns), **numbers, "gaps": self.gaps.tolist(), **ranges_seen}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Numbers:
        """What `to_config` wrote down."""
        mean, deviation = (np.array(config[key], dtype=np.float64) for key in ("mean", "deviation"))
        low, high = (np.array(config.get(key, []), dtype=np.float64) for key in ("low", "high"))
        return cls(
            tuple(config["columns"]),
            mean,
            deviation,
            np.array(config["gaps"], dtype=bool),
            low,
            high,
        )


def blocks(table: Table, columns: Sequence[str]) -> Iterator[tuple[slice, Floats]]:
    """Some columns at a time as one matrix [k, n], finite or NaN, with their places."""
    step = max(1, _CELLS // max(table.rows, 1))
    for start in range(0, len(columns), step):
        names = columns[start : start + step]
        block = np.stack([as_kind(table[name], "number", name) for name in names])
        if (infinite := np.isinf(block)).any():
            place, row = np.argwhere(infinite)[0]
            raise InputError(
                f"Column {shorten(names[place])!r} holds an infinite number in row {row}; "
                "leave the cell empty if the value is not known, or write a large number."
            )
        yield slice(start, start + len(names)), block


def outlying(table: Table, columns: Sequence[str]) -> list[str]:
    """Return a sentence for each column in which a few cells would decide the scale.

    Raises:
        InputError: for an infinite number, naming its row in this table.
    """
    found = []
    for part, block in blocks(table, columns):
        for name, values in zip(columns[part], block, strict=True):
            if (far := outliers.notice("Column", name, values)) is not None:
                found.append(f"{far}: it is scaled by the others; check it, or leave it empty.")
    return found


def _ordinary(block: Floats) -> Floats:
    """Columns [k, n] with NaN in place of outliers."""
    limits = [outliers.limits(values) for values in block]
    if not any(limits):
        return block
    low, high = np.array([limit or (-np.inf, np.inf) for limit in limits]).T
    return np.where((block < low[:, None]) | (block > high[:, None]), np.nan, block)


def ranges(block: Floats) -> tuple[Floats, Floats]:
    """Return the smallest and the largest value of columns [k, n]; 0 and 0 for one without values."""
    empty = np.isnan(block).all(axis=1)
    low = np.where(np.isnan(block), np.inf, block).min(axis=1, initial=np.inf)
    high = np.where(np.isnan(block), -np.inf, block).max(axis=1, initial=-np.inf)
    return np.where(empty, 0.0, low), np.where(empty, 0.0, high)


def moments(block: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Mean [k], deviation [k] (1 where nothing varies) and whether some are missing [k] of columns [k, n]."""
    missing = np.isnan(block)
    count = np.maximum((~missing).sum(axis=1), 1)
    filled = np.where(missing, 0.0, block)
    # by its largest value each column becomes small: squares of 1e200 would overflow
    size = np.abs(filled).max(axis=1, initial=0.0)
    unit = np.where(size > 1e100, size, 1.0)
    mean = (filled / unit[:, None]).sum(axis=1) / count
    off = np.where(missing, 0.0, filled / unit[:, None] - mean[:, None])
    mean += off.sum(axis=1) / count  # what rounding left over
    deviation = np.sqrt((off**2).sum(axis=1) / count)
    constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return mean * unit, np.where(constant, 1.0, deviation * unit), np.asarray(missing.any(axis=1))


def scaled(block: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Columns [k, n] in deviations from their mean; 0 where missing."""
    with np.errstate(over="ignore"):
        standard = (block - mean[:, None]) / deviation[:, None]
    return np.where(np.isnan(block), 0.0, np.clip(standard, -FAR, FAR))


def missing_notice(column: str, count: int) -> str:
    """The sentence on values that are missing where none had been in training."""
    return (
        f"Column {shorten(column)!r} has {count} missing value{'s' * (count != 1)} and had none in training; "
        "the training mean stands in."
    )
