"""Scale numbers to zero mean and unit deviation; a missing number becomes the mean, with a mark."""

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

FAR = 1e6
"""Scaled values are cut at this many deviations, so that float32 does not overflow.

No row of the fit is that far off.
"""

_CELLS = 1 << 22
"""Cells of a block: 32 MB of float64, whatever the size of the table."""


@dataclass(frozen=True)
class Numbers:
    """Holds the scaling of number columns, with a 0/1 mark for each that had missing values.

    Attributes:
        columns: names [k].
        mean: [k].
        deviation: [k], 1 where the column does not vary.
        gaps: bool [k], whether values were missing in training.
        low, high: [k], the smallest and largest value in training; empty where an older version
            wrote the encoder.
    """

    columns: tuple[str, ...]
    mean: Floats
    deviation: Floats
    gaps: NDArray[np.bool_]
    low: Floats = field(default_factory=lambda: np.empty(0))
    high: Floats = field(default_factory=lambda: np.empty(0))

    @classmethod
    def fit(cls, table: Table, columns: Sequence[str]) -> Numbers:
        """Return the scaling fitted to these rows; InputError for an infinite value.

        Outliers do not count in a column's mean and deviation.
        """
        fitted = []
        for _, block in blocks(table, columns):
            mean, deviation, _ = moments(_ordinary(block))
            fitted.append((mean, deviation, np.isnan(block).any(axis=1), *ranges(block)))
        parts = [
            np.concatenate([part[i] for part in fitted]) if fitted else np.empty(0)
            for i in range(5)
        ]
        return cls(tuple(columns), parts[0], parts[1], parts[2].astype(bool), parts[3], parts[4])

    @property
    def features(self) -> list[tuple[str, str]]:
        """Return (feature name, source column) for each feature, in order."""
        marks = [column for column, gap in zip(self.columns, self.gaps, strict=True) if gap]
        return [(c, c) for c in self.columns] + [(f"{c} is missing", c) for c in marks]

    def write(self, table: Table, out: NDArray[np.float32]) -> None:
        """Write the features into out [n, features]."""
        marks = np.cumsum(self.gaps) + len(self.columns) - 1
        for part, block in blocks(table, self.columns):
            missing, gaps = np.isnan(block), self.gaps[part]
            out[:, part] = scaled(block, self.mean[part], self.deviation[part]).T
            out[:, marks[part][gaps]] = missing[gaps].T

    def notices(self, table: Table) -> list[str]:
        """Return sentences on new missing values and on values far outside the training range."""
        sentences: list[str] = []
        for part, block in blocks(table, self.columns):
            counts = np.isnan(block).sum(axis=1) * ~self.gaps[part]
            sentences += [
                missing_notice(self.columns[part][i], int(counts[i]))
                for i in np.flatnonzero(counts)
            ]
            if len(self.low):
                sentences += self._far(part, block)
        return sentences

    def _far(self, part: slice, block: Floats) -> list[str]:
        """Return a sentence for each column with values far outside of the training range.

        Far means farther away from the range than the range is wide.
        """
        low, high = self.low[part], self.high[part]
        # Values near float64's limits overflow to infinity, which compares rightly.
        with np.errstate(over="ignore"):
            margin = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
            outside = (block < (low - margin)[:, None]) | (block > (high + margin)[:, None])
        names = self.columns[part]
        return [
            f"{outliers.counted('Column', names[i], block[i], outside[i])} far outside the range "
            f"of the training rows ({low[i]:g} to {high[i]:g}): predictions there are "
            "extrapolated."
            for i in np.flatnonzero(outside.any(axis=1))
        ]

    def to_config(self) -> dict[str, Any]:
        """Return the scaling as JSON values."""
        scaling = {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}
        training_range = (
            {"low": self.low.tolist(), "high": self.high.tolist()} if len(self.low) else {}
        )
        return {
            "columns": list(self.columns),
            **scaling,
            "gaps": self.gaps.tolist(),
            **training_range,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Numbers:
        """Return the scaling that `to_config` wrote."""
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
    """Yield some columns at a time as a matrix [k, n], finite or NaN, with their slice."""
    step = max(1, _CELLS // max(table.rows, 1))
    for start in range(0, len(columns), step):
        names = columns[start : start + step]
        block = np.stack([_finite(table, name) for name in names])
        yield slice(start, start + len(names)), block


def _finite(table: Table, name: str) -> Floats:
    """Return a column of numbers, finite or NaN.

    Raises:
        InputError: for an infinite number, with its row in this table.
    """
    values = as_kind(table[name], "number", name)
    if (infinite := np.isinf(values)).any():
        raise InputError(
            f"Column {shorten(name)!r} holds an infinite number in row {int(infinite.argmax())}; "
            "leave the cell empty if the value is not known, or write a large number."
        )
    return values


def outlying(table: Table, columns: Sequence[str]) -> list[str]:
    """Return a sentence for each column in which a few outliers would decide the scale.

    Raises:
        InputError: for an infinite number, with its row in this table.
    """
    sentences = []
    for name in columns:
        if (notice := outliers.notice("Column", name, _finite(table, name))) is not None:
            sentences.append(
                f"{notice}: its scale is computed from the other values; check it, or leave "
                "it empty."
            )
    return sentences


def _ordinary(block: Floats) -> Floats:
    """Return columns [k, n] with NaN in place of outliers."""
    limits = [outliers.limits(values) for values in block]
    if not any(limits):
        return block
    low, high = np.array([limit or (-np.inf, np.inf) for limit in limits]).T
    return np.where((block < low[:, None]) | (block > high[:, None]), np.nan, block)


def ranges(block: Floats) -> tuple[Floats, Floats]:
    """Return the smallest and the largest value of columns [k, n]; 0 and 0 for an empty column."""
    empty = np.isnan(block).all(axis=1)
    low = np.where(np.isnan(block), np.inf, block).min(axis=1, initial=np.inf)
    high = np.where(np.isnan(block), -np.inf, block).max(axis=1, initial=-np.inf)
    return np.where(empty, 0.0, low), np.where(empty, 0.0, high)


def moments(block: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return mean [k], deviation [k] and whether values are missing [k], of columns [k, n].

    The deviation is 1 where nothing varies.
    """
    missing = np.isnan(block)
    count = np.maximum((~missing).sum(axis=1), 1)
    filled = np.where(missing, 0.0, block)
    # Columns of huge values are divided by their largest value first: squares of 1e200 would
    # overflow.
    size = np.abs(filled).max(axis=1, initial=0.0)
    unit = np.where(size > 1e100, size, 1.0)
    mean = (filled / unit[:, None]).sum(axis=1) / count
    centred = np.where(missing, 0.0, filled / unit[:, None] - mean[:, None])
    mean += centred.sum(axis=1) / count  # corrects the rounding error of the first sum
    deviation = np.sqrt((centred**2).sum(axis=1) / count)
    # Rounding alone gives a constant column a deviation of a few eps of its mean.
    constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return mean * unit, np.where(constant, 1.0, deviation * unit), np.asarray(missing.any(axis=1))


def scaled(block: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Return columns [k, n] in deviations from their mean; 0 where missing."""
    with np.errstate(over="ignore"):
        standard = (block - mean[:, None]) / deviation[:, None]
    return np.where(np.isnan(block), 0.0, np.clip(standard, -FAR, FAR))


def missing_notice(column: str, count: int) -> str:
    """Return the sentence on a column that has missing values, but had none in training."""
    return (
        f"Column {shorten(column)!r} has {count} missing value{'s' * (count != 1)} and had none "
        "in training; the training mean is used instead."
    )
