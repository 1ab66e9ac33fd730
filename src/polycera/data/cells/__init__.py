"""Decide what the cells of a table mean, in one place, by counts over whole columns."""

from __future__ import annotations

from polycera.data.cells.fetch import as_written, fetch, stand_for_missing, what_nests
from polycera.data.cells.formats import CellFormat
from polycera.data.cells.understand import understand

__all__ = ["CellFormat", "as_written", "fetch", "stand_for_missing", "understand", "what_nests"]
