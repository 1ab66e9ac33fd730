"""Divide rows into segments by the values of a column."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from polycera.data.column import Values, is_missing, is_whole, kind_of
from polycera.errors import shorten

VALUES = 50
"""Most values of a column that are segments of their own: the most frequent ones."""
FEW_NUMBERS = 10
"""Most different whole numbers that are segments of their own, as codes and counts are."""
YEARS = range(2, 31)
"""Numbers of different years for which dates are divided by year."""

MISSING = "(missing)"
"""Name of the segment of rows without a value."""


class ColumnSegments(NamedTuple):
    """Holds the segments of a column.

    Attributes:
        names: of the segments.
        codes: position of each row's segment in `names`, [n].
        said: a sentence on how the values were divided; empty where each value is a segment.
    """

    names: list[str]
    codes: Values
    said: str


def segments(values: Values, name: str) -> ColumnSegments:
    """Return the segments of a column.

    Each text, boolean and class is a segment, numbers are divided at their quartiles (ten or fewer
    whole numbers are a segment each), dates by year or at their quartiles. Rows without a value are
    a segment too.

    Args:
        values: a canonical column [n].
        name: of the column, for the sentence.

    Examples:
        >>> import numpy as np
        >>> found = segments(np.array(["north", None, "south"], dtype=object), "region")
        >>> found.names, found.codes.tolist()
        (['north', 'south', '(missing)'], [0, 2, 1])
    """
    missing = is_missing(values)
    present = values[~missing]
    kind = kind_of(values)
    said = ""
    if kind == "number":
        names, codes, said = _of_numbers(present, name)
    elif kind == "date":
        names, codes, said = _of_dates(present, name)
    else:
        names, codes, said = _of_texts(np.asarray(present).astype(str), name)
    all_codes = np.full(len(values), len(names))
    all_codes[~missing] = codes
    if missing.any():
        names = [*names, MISSING if MISSING not in names else f"{MISSING} "]
    return ColumnSegments(names, all_codes, said)


def _of_texts(values: Values, name: str) -> tuple[list[str], Values, str]:
    """Return the most frequent values as segments; all others form one."""
    levels, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(levels) <= VALUES:
        return levels.tolist(), codes, ""
    kept = np.sort(np.argsort(-counts, kind="stable")[:VALUES])
    position = np.full(len(levels), VALUES)
    position[kept] = np.arange(VALUES)
    said = (
        f"Column {shorten(name)!r} has {len(levels):,} values: the {VALUES} most frequent are "
        "segments, and all others form one."
    )
    return [*levels[kept].tolist(), "(other values)"], position[codes], said


def _of_numbers(values: Values, name: str) -> tuple[list[str], Values, str]:
    """Return quartiles, or each value where there are a few whole numbers."""
    levels, codes = np.unique(values, return_inverse=True)
    if len(levels) <= FEW_NUMBERS and is_whole(levels):
        return [f"{level:g}" for level in levels], codes, ""
    edges = _quartiles(values)
    names = [f"{a:.6g} to {b:.6g}" for a, b in itertools.pairwise(edges)]
    said = f"Column {shorten(name)!r} (numbers) is divided at its quartiles."
    return _distinct(names), _between(values, edges), said


def _of_dates(values: Values, name: str) -> tuple[list[str], Values, str]:
    """Return years, or quartiles where there is one year or a great many."""
    years = values.astype("datetime64[Y]")
    levels, codes = np.unique(years, return_inverse=True)
    if len(levels) in YEARS:
        return [str(year) for year in levels], codes, ""
    edges = _quartiles(values.astype("int64"))
    days = edges.astype("int64").astype("datetime64[us]").astype("datetime64[D]")
    names = [f"{a} to {b}" for a, b in itertools.pairwise(days)]
    said = f"Column {shorten(name)!r} (dates) is divided at its quartiles."
    return _distinct(names), _between(values.astype("int64"), edges), said


def _quartiles(values: Values) -> Values:
    """Return the edges of the quartiles, two or more; equal ones are one."""
    if not len(values):
        return np.zeros(2)
    # `lower`: an edge is a value that occurs, and dates beyond float64 stay exact.
    edges = np.unique(np.quantile(values, [0, 0.25, 0.5, 0.75, 1], method="lower"))
    return edges if len(edges) > 1 else np.repeat(edges, 2)


def _between(values: Values, edges: Values) -> Values:
    """Return the interval of each value: the upper edge belongs to the interval."""
    return np.searchsorted(edges[1:-1], values, side="left")


def _distinct(names: list[str]) -> list[str]:
    """Return names that differ: edges that round to the same text get a number."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result
