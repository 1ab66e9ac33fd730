"""Written cells -> a column: number, boolean, date or text."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data.column import Values

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "None", "?"})
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?"
)
_NAIVE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?")
_TRUTH = {"true": True, "false": False}


def parse(cells: Sequence[str]) -> Values:
    """The cells [n] as the first kind that holds every one of them: number, boolean, date, else text.

    Missing are whitespace and `MISSING`. The work is done once for each distinct cell.

    Returns:
        a canonical column [n].
    """
    present = _present(cells)
    if not present:
        return np.full(len(cells), np.nan)
    for read, missing, dtype in _READERS:
        try:
            known = dict(zip(present, read(present), strict=True))
        except (ValueError, KeyError):
            continue
        return spread(cells, known, missing, dtype)
    return spread(cells, dict(zip(present, present, strict=True)), None, object)


def all_numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    """The cells [n] as float64, NaN where missing; ValueError where one is no number.

    Not by distinct cells: numbers mostly differ.
    """
    try:
        values = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:  # one that is missing, perhaps
        values = np.array(
            [np.nan if is_blank(cell) else float(cell) for cell in cells], dtype=np.float64
        )
    if "_" in "".join(cells):
        raise ValueError("Python reads '1_000' as a number, and nobody means one by it")
    return values


def as_written(cells: Sequence[str]) -> Values:
    """The cells [n] as text, None where missing."""
    present = _present(cells)
    if not present:
        return np.full(len(cells), np.nan)
    return spread(cells, dict(zip(present, present, strict=True)), None, object)


def spread(
    cells: Sequence[Any] | Values, known: Mapping[Any, Any], missing: Any, dtype: Any
) -> Values:
    """Each cell's value [n], from the values of the distinct cells; `missing` where a cell has none."""
    places = dict.fromkeys(cells, len(known))
    places.update(zip(known, range(len(known)), strict=True))
    values = np.empty(len(known) + 1, dtype=dtype)
    values[:-1] = list(known.values())
    values[-1] = missing
    return values[np.fromiter(map(places.__getitem__, cells), np.intp, len(cells))]


def _present(cells: Sequence[str]) -> list[str]:
    distinct = list(set(cells))
    return [
        cell
        for cell, bare in zip(distinct, map(str.strip, distinct), strict=True)
        if bare not in MISSING
    ]


def is_blank(cell: str) -> bool:
    """Whether a written cell stands for a missing value."""
    return cell.strip() in MISSING


def numbers(cells: Iterable[str]) -> list[float]:
    """Written numbers as floats; ValueError where one is none."""
    return all_numbers(list(cells)).tolist()


def booleans(cells: Iterable[str]) -> list[bool]:
    """true and false in any case; KeyError for any other cell."""
    return [_TRUTH[cell.strip().lower()] for cell in cells]


def dates(cells: Iterable[str]) -> Values:
    """ISO dates, with a time or without, as datetime64[us]; a time with a zone is brought to UTC."""
    stripped = [cell.strip() for cell in cells]
    if not all(map(_DATE.fullmatch, stripped)):
        raise ValueError("not a date")
    if all(map(_NAIVE.fullmatch, stripped)):
        return np.array(stripped, dtype="datetime64[us]")
    return np.array(
        [_utc(datetime.datetime.fromisoformat(cell)) for cell in stripped], dtype="datetime64[us]"
    )


def _utc(moment: datetime.datetime) -> datetime.datetime:
    return moment if moment.tzinfo is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)


_READERS: tuple[tuple[Callable[[Iterable[str]], Iterable[Any]], Any, Any], ...] = (
    (numbers, np.nan, np.float64),
    (booleans, None, object),
    (dates, np.datetime64("NaT"), "datetime64[us]"),
)
