"""Parse how often to save: `5 minutes`, `200 batches`, `1 epoch`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

from polycera.errors import InputError, shorten

UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "batch": 1.0, "epoch": 1.0}
"""Unit -> its seconds, or 1 for batches and epochs."""
SHORT = {
    "s": "second",
    "sec": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "batches": "batch",
}
"""Short and irregular spellings -> unit."""


@dataclass(frozen=True)
class SaveInterval:
    """Holds a number of seconds, batches or epochs.

    Attributes:
        number: how many.
        unit: `second`, `batch` or `epoch`.
    """

    number: float
    unit: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the interval that a text describes: `5 minutes`, `30 s`, `200 batches`, `1 epoch`.

        Raises:
            InputError: for anything else.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)?\s*([a-z]+)\s*", str(text).lower())
        unit = match and (SHORT.get(match[2]) or match[2].removesuffix("s"))
        number = float(match[1] or 1) if match else 0.0
        if (
            not match
            or unit not in UNITS
            or not 0 < number < math.inf
            or (unit in ("batch", "epoch") and number % 1)
        ):
            raise InputError(
                "An interval is written as '5 minutes', '200 batches' or '1 epoch', got "
                f"{shorten(repr(text))}."
            )
        timed = unit not in ("batch", "epoch")
        return cls(number * UNITS[unit], "second" if timed else unit)
