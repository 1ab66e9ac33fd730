"""How often something is done: `5 minutes`, `200 batches`, `1 epoch`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

from polycera.errors import InputError, shorten

UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "batch": 1.0, "epoch": 1.0}
SHORT = {
    "s": "second",
    "sec": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "batches": "batch",
}


@dataclass(frozen=True)
class SaveInterval:
    """A number of seconds, of batches or of epochs.

    Attributes:
        number: how many.
        unit: `second`, `batch` or `epoch`.
    """

    number: float
    unit: str

    @classmethod
    def of(cls, text: str) -> Self:
        """From `5 minutes`, `30 s`, `200 batches`, `1 epoch`.

        Raises:
            InputError: for anything else.
        """
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)?\s*([a-z]+)\s*", str(text).lower())
        unit = found and (SHORT.get(found[2]) or found[2].removesuffix("s"))
        number = float(found[1] or 1) if found else 0.0
        if (
            not found
            or unit not in UNITS
            or not 0 < number < math.inf
            or (unit in ("batch", "epoch") and number % 1)
        ):
            raise InputError(
                f"How often is said as '5 minutes', '200 batches' or '1 epoch', got {shorten(repr(text))}."
            )
        timed = unit not in ("batch", "epoch")
        return cls(number * UNITS[unit], "second" if timed else unit)
