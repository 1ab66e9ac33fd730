"""Define `data.json`: what was counted in the table when a training began."""

from __future__ import annotations

import msgspec

DATA = "data.json"
"""Name of the file in a run; runs of 0.1.0 do not have it."""


class TableCounts(msgspec.Struct):
    """Holds `data.json`.

    Attributes:
        rows: rows of the table, those of no part included.
        missing: column -> rows without a value.
        levels: column of text -> number of its different texts.
        labels_missing: task -> part -> rows without a label; `all` for the whole table.
        classes: task with classes -> class -> rows of the whole table.
        leaks: a sentence for each input that may give a target away.
    """

    rows: int
    missing: dict[str, int]
    levels: dict[str, int]
    labels_missing: dict[str, dict[str, int]]
    classes: dict[str, dict[str, int]]
    leaks: list[str]
