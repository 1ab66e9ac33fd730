"""Several lines over one axis: checked, and with places along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polycera.drawing.numerals import array
from polycera.drawing.xml import isolated
from polycera.errors import InputError, shorten

Values = Sequence[float | None]


def checked(
    series: Mapping[str, Values], x: Values | None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The series as arrays, and their places: 1, 2, ... where none are given.

    Args:
        series: name -> [n], None where undefined; they may differ in n where no places are given.
        x: [n].

    Raises:
        InputError: where places and numbers are not as many, or a place is no number.
    """
    found = {
        name: array(values, f"The series {shorten(name)!r}") for name, values in series.items()
    }
    longest = max(map(len, found.values()), default=0)
    places = np.arange(1.0, longest + 1) if x is None else array(x, "The horizontal axis")
    if np.isnan(places).any():
        raise InputError(
            "The horizontal axis holds what is no finite number: give a place for each point."
        )
    for name, values in found.items():
        if x is not None and len(values) != len(places):
            count = f"{len(values)} numbers for {len(places)} places"
            raise InputError(
                f"The series {shorten(name)!r} has {count} on the horizontal axis: give as many."
            )
    return {name: _filled(values, longest) for name, values in found.items()}, places


def _filled(values: np.ndarray, length: int) -> np.ndarray:
    return np.pad(values, (0, length - len(values)), constant_values=np.nan)


def whole(places: np.ndarray) -> bool:
    """Whether these are counts, of epochs for instance."""
    return bool(len(places) and (places == np.floor(places)).all())


def several(names: Sequence[str], what: str, limit: int = 3) -> str:
    """Names in a sentence: the first few, and how many more."""
    shown = ", ".join(isolated(shorten(name)) for name in names[:limit])
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{len(names)} {what}{'s' if len(names) != 1 else ''}: {shown}{more}"
