"""The numbers of a picture as a table of text that no page has to fear the length of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polycera.drawing.numerals import short
from polycera.drawing.xml import plain

ROWS, CELLS = 400, 6000
"""More rows, or more cells, are not shown."""
_DIGITS = 6


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[list[str]]:
    """Headings and rows as text; of too many rows some at equal distances, and how many are left out.

    Args:
        headings: of the columns.
        rows: text and numbers.
    """
    limit = min(ROWS, max(CELLS // max(len(headings), 1), 20)) - 1
    shown = (
        range(len(rows))
        if len(rows) <= limit
        else np.linspace(0, len(rows) - 1, limit - 1).astype(int)
    )
    left = len(rows) - len(shown)
    more = (
        [[f"… {left} rows between these are left out", *[""] * (len(headings) - 1)]] if left else []
    )
    return [
        [plain(name) for name in headings],
        *([_cell(value) for value in rows[i]] for i in shown),
        *more,
    ]


def _cell(value: object) -> str:
    if value is None or isinstance(value, int | float):
        return short(None if value is None else float(value), _DIGITS)
    return plain(value)
