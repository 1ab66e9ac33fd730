"""Count the rows of each level of a column: texts, numbers, dates or booleans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from polycera.data.column import Values, is_missing
from polycera.data.streaming.parquet_rows import ParquetRows

LEVELS = 100_000
"""Most different texts of a column that are kept, the most frequent ones."""


@dataclass(frozen=True)
class LevelCounts:
    """Holds the different values of a column, the most frequent first.

    Attributes:
        counts: value -> number of rows.
        trained: value -> number of training rows, where there are any.
        distinct: number of different values; an estimate above `LEVELS`.
        whole: whether `counts` has all of them.
    """

    counts: dict[Any, int]
    trained: dict[Any, int]
    distinct: int
    whole: bool

    @classmethod
    def of(cls, counts: dict[Any, int], trained: dict[Any, int], distinct: int = 0) -> Self:
        """Return the levels by frequency; those that are equally frequent by value.

        Args:
            counts, trained: value -> number of rows, and of training rows, in any order.
            distinct: estimated number of different values, where `counts` does not have all.
        """
        whole = len(counts) <= LEVELS
        ranked = sorted(counts, key=lambda value: (-counts[value], value))[:LEVELS]
        return cls(
            {value: counts[value] for value in ranked},
            {value: trained[value] for value in ranked if value in trained},
            len(counts) if whole else max(distinct, LEVELS + 1),
            whole,
        )


def of_query(rows: ParquetRows, name: str, train: str, estimate: int) -> LevelCounts:
    """Return the levels of a column of very many, counted by DuckDB.

    Args:
        rows: the table.
        name: the column.
        train: SQL of whether a row is a training row.
        estimate: number of different values.
    """
    counts: dict[Any, int] = {}
    trained: dict[Any, int] = {}
    sql = rows.sql(name)
    for values, totals, training in rows.fetch_by_file(
        [sql, "count(*)", f"count(*) filter ({train})"],
        f"group by 1 order by 2 desc, 1 limit {LEVELS + 1}",
        where=f"{sql} is not null",
    ):
        for value, total, part in zip(
            np.ma.getdata(values).tolist(), totals.tolist(), training.tolist(), strict=True
        ):
            counts[value] = counts.get(value, 0) + total
            if part:
                trained[value] = trained.get(value, 0) + part
    return LevelCounts.of(counts, trained, estimate)


class LevelCounter:
    """Counts rows and training rows of each level of a column of few, over stretches of rows."""

    def __init__(self) -> None:
        self._levels: NDArray[Any] | None = None
        self._counts = np.zeros((2, 0), "int64")

    def add(self, values: Values, train: NDArray[np.bool_]) -> None:
        """Add a canonical column [n], of which some rows are training rows."""
        present = ~is_missing(values)
        values, train = values[present], train[present]
        if values.dtype == object:
            values = values.astype(bool)
        if not len(values):
            return
        if self._levels is None:
            self._levels = values[:0]
        place = np.searchsorted(self._levels, values)
        known = place < len(self._levels)
        if known.any():
            known[known] = self._levels[place[known]] == values[known]
        if not known.all():
            self._learn(np.unique(values[~known]))
            place = np.searchsorted(self._levels, values)
        self._counts[0] += np.bincount(place, minlength=len(self._levels))
        self._counts[1] += np.bincount(place[train], minlength=len(self._levels))

    def _learn(self, levels: NDArray[Any]) -> None:
        """Add levels that are not known yet."""
        assert self._levels is not None
        together = np.concatenate([self._levels, levels])
        counts = np.concatenate([self._counts, np.zeros((2, len(levels)), "int64")], axis=1)
        order = np.argsort(together)
        self._levels, self._counts = together[order], counts[:, order]

    def counts(self) -> LevelCounts:
        """Return what was counted so far."""
        values = [] if self._levels is None else self._levels.tolist()
        totals, trained = (
            {value: count for value, count in zip(values, counts, strict=True) if count}
            for counts in self._counts.tolist()
        )
        return LevelCounts.of(totals, trained)
