"""Decide what the cells of a table mean, in one place, by counts over whole columns."""

from __future__ import annotations

from polycera.data.cells.fetch import fetch, stand_for_missing
from polycera.data.cells.formats import CellFormat
from polycera.data.cells.understand import understand

__all__ = ["CellFormat", "fetch", "stand_for_missing", "understand"]
