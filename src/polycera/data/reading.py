"""Hold what was found out about the cells of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polycera.data.cells import CellFormat


@dataclass(frozen=True)
class Remark:
    """Holds a sentence on one column, for its role.

    Attributes:
        text: the sentence.
        ambiguous_dates: whether the column holds dates that have two readings.
        nearly: whether few cells keep the column from being one of numbers or dates.
    """

    text: str
    ambiguous_dates: bool = False
    nearly: bool = False


@dataclass(frozen=True)
class CellWishes:
    """Holds what the user says of cells where they can be read in two ways.

    Attributes:
        number_format: column -> a number as it is written there, such as "1.234,5".
        missing: column -> the words for missing values there, in place of the usual ones.
    """

    number_format: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass
class Reading:
    """Holds how the cells of a table were read.

    Attributes:
        formats: column of text -> how its cells are written.
        said: a sentence on each guess, with its reason and a count.
        remarks: column -> a sentence for its role.
        missing: further words for missing values, as the user gave them.
        old: whether the table was read as runs of 0.1.0 read it.
        orders: column -> its levels in the order that a frame declares.
        encoding: encoding of a text file; None for another source.
    """

    formats: dict[str, CellFormat] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    remarks: dict[str, Remark] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    old: bool = False
    orders: dict[str, list[Any]] = field(default_factory=dict)
    encoding: str | None = None

    @property
    def pinned(self) -> dict[str, CellFormat]:
        """Return the formats that a later reader would not choose by itself."""
        return {name: f for name, f in self.formats.items() if not f.trivial}
