"""Name numbers that are read as they stand, and are likely no values: stand-ins and totals."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from polycera.data.column import kind_of
from polycera.data.table import Table
from polycera.errors import listing, shorten

Floats = NDArray[np.float64]

STAND_INS = (-9.0, 9.0, -99.0, 99.0, -999.0, 999.0, -9999.0, 9999.0, -99999.0, 99999.0)
"""Numbers that often stand for a missing value."""
TWICE = 2
"""Fewest cells of a stand-in."""
FEWEST = 10
"""Fewest other cells, and fewest rows above a total."""
CLOSE = 1e-3
"""Relative difference up to which a cell is the sum of those above: they may be rounded."""
TOTALS = (
    *("total", "totals", "grand total", "sum", "all", "overall", "subtotal"),
    *("summe", "gesamt", "gesamtsumme", "somme", "total général", "suma", "totale", "totaal"),
    *("totalt", "razem", "итого", "всего", "合计", "合計"),
)
"""Words for a total, in lower case."""


def sentences(table: Table, names: Iterable[str]) -> list[str]:
    """Return a sentence for each column with a stand-in, and one for a last row of totals.

    Args:
        table: the rows.
        names: columns in which stand-ins are looked for; those that are no numbers are passed over.

    Examples:
        >>> heat = [20.5, 21.0, 19.5, 22.0, -999.0] * 4
        >>> sentences(Table({"heat": heat}), ["heat"])[0][:47]
        "Column 'heat' holds -999 in 4 cells, far from i"
    """
    found = []
    for name in dict.fromkeys(names):
        if name in table and table[name].dtype.kind == "f":
            found += _stand_ins(name, table[name])
    return [*found, *_totals(table)]


def _stand_ins(name: str, values: Floats) -> list[str]:
    """Return a sentence on each number that stands far from all others, and often."""
    present = values[np.isfinite(values)]
    if not len(present):
        return []
    said = []
    for number in (float(present.min()), float(present.max())):
        others = present[present != number]
        count = len(present) - len(others)
        if number not in STAND_INS or count < TWICE or len(others) < FEWEST:
            continue
        low, high = float(others.min()), float(others.max())
        # Farther from the others than these are from each other.
        if min(abs(number - low), abs(number - high)) > high - low > 0:
            said.append(
                f"Column {shorten(name)!r} holds {number:g} in {count:,} cells, far from its other "
                f"values ({low:g} to {high:g}): if it stands for a missing value, say so with "
                f"missing=['{number:g}'] (--missing={number:g})."
            )
    return said


def _totals(table: Table) -> list[str]:
    """Return a sentence where the last row holds the sums of the rows above it."""
    if table.rows <= FEWEST:
        return []
    sums, other, word = [], 0, None
    for name in table.names:
        values = table[name]
        last = values[-1]
        if values.dtype.kind == "f":
            above = values[:-1]
            known = above[np.isfinite(above)]
            if not np.isfinite(last) or not len(known):
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                total, size = float(known.sum()), float(np.abs(known).max())
            # A sum of a few numbers among zeros may be one of them by chance.
            if abs(last) > 2 * size and abs(last - total) <= CLOSE * abs(total):
                sums.append(name)
            else:
                other += 1
        elif kind_of(values) == "text" and last is not None:
            word = (name, last) if str(last).strip(" :").lower() in TOTALS else word
    if not sums or (word is None and (len(sums) < 2 or other)):
        return []
    named = "" if word is None else f", and {word[0]!r} says {shorten(word[1])!r}"
    how = "" if word is None else f""" (--where "{word[0]} <> '{word[1]}'")"""
    return [
        f"The last row, {table.rows - 1}, looks like a total: {listing(sums, 5)} "
        f"{'holds the sum' if len(sums) == 1 else 'hold the sums'} of the rows above{named}. Leave "
        f"it out of the table, or with where={how}."
    ]
