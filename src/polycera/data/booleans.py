"""Encode booleans as 0 and 1, with a mark for missing values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data.coerce import as_kind
from polycera.data.column import is_missing
from polycera.data.standardise import missing_notice
from polycera.data.table import Table


@dataclass(frozen=True)
class Booleans:
    """Encodes boolean columns as 0 and 1, and a mark where training had missing values.

    Attributes:
        columns: names [k].
        share: share of True in training [k]; used for a missing value in a column that had none
            in training.
        gaps: whether values were missing in training [k].
    """

    columns: tuple[str, ...]
    share: tuple[float, ...]
    gaps: tuple[bool, ...]

    @classmethod
    def fit(cls, table: Table, columns: Sequence[str]) -> Booleans:
        """Return the shares of True and the gaps in these rows."""
        values = [as_kind(table[column], "boolean", column) for column in columns]
        present = [
            [value for value in column_values if value is not None] for column_values in values
        ]
        share = [
            sum(column_values) / len(column_values) if column_values else 0.0
            for column_values in present
        ]
        return cls(
            tuple(columns),
            tuple(share),
            tuple(bool(is_missing(column_values).any()) for column_values in values),
        )

    @property
    def features(self) -> list[tuple[str, str]]:
        """Return (feature name, source column) for each feature, in order."""
        marked = [c for c, gap in zip(self.columns, self.gaps, strict=True) if gap]
        return [(c, c) for c in self.columns] + [(f"{c} is missing", c) for c in marked]

    def write(self, table: Table, out: NDArray[np.float32]) -> None:
        """Write the features into out [n, features]."""
        gap_index = len(self.columns)
        for index, (column, share, gap) in enumerate(
            zip(self.columns, self.share, self.gaps, strict=True)
        ):
            values = as_kind(table[column], "boolean", column)
            missing = is_missing(values)
            out[:, index] = np.where(missing, 0.0 if gap else share, np.equal(values, True))
            if gap:
                out[:, gap_index] = missing
                gap_index += 1

    def notices(self, table: Table) -> list[str]:
        """Return a sentence for each column with missing values that had none in training."""
        without_gaps = [
            column for column, gap in zip(self.columns, self.gaps, strict=True) if not gap
        ]
        counts = {
            column: int(is_missing(as_kind(table[column], "boolean", column)).sum())
            for column in without_gaps
        }
        return [missing_notice(column, count) for column, count in counts.items() if count]

    def to_config(self) -> dict[str, Any]:
        """Return the columns as JSON values."""
        return {"columns": list(self.columns), "share": list(self.share), "gaps": list(self.gaps)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Booleans:
        """Return the columns that `to_config` wrote."""
        return cls(tuple(config["columns"]), tuple(config["share"]), tuple(config["gaps"]))
