"""Choose the role of a column by rules, each with the sentence that is printed."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, TypeAlias

import numpy as np

from polycera.data.column import EXACT, Values, as_text, is_missing, is_whole, kind_of
from polycera.data.level_codes import LevelCodes
from polycera.data.reading import Remark
from polycera.errors import listing, shorten

Verdict: TypeAlias = tuple[str, str, bool]
"""Role, reason, and whether to tell the user about it."""

NEARLY_ALL = 0.9
"""Share of distinct texts from which a column is no category: hardly any text occurs twice."""

FEW_LEVELS = 20
"""Different numbers up to which a column may well be one of codes."""

LONG = 30
"""Mean number of characters from which text with blanks counts as written, not as a key."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
"""A word of a column's name: separated by signs, by capitals (camelCase) or by digits."""
_NUMBER = re.compile(r"[-+]?[0-9.,]+(?:[eE][-+]?[0-9]+)?")
_KEYS = frozenset(
    {"id", "ids", "uuid", "guid", "key", "index", "idx", "rowid", "rownum", "unnamed", "no", "nr"}
)
"""Words in a name that speak of identity."""


def of(
    name: str, values: Values, remark: Remark | None = None, codes: LevelCodes | None = None
) -> Verdict:
    """Return the role of a canonical column [n], with the reason.

    Args:
        name: of the column.
        values: its cells.
        remark: what was noticed when its cells were read.
        codes: its codes, where somebody has them already; of an object column only.
    """
    if name.startswith("__"):
        return "ignore", "its name begins with '__', as the names of internal columns do.", True
    # The order of the rules matters: the first that holds decides.
    missing = int(is_missing(values).sum()) if codes is None else codes.missing
    if missing == len(values):
        return "constant", "it holds no value at all.", True
    kind = kind_of(values)
    if remark is not None and remark.ambiguous_dates:
        return "ignore", remark.text, True
    if kind == "text":
        levels: set[Any] = set(values) - {None} if codes is None else set(codes.levels)
        noted = "" if remark is None else f" {remark.text}"
        return of_levels(levels, len(levels), len(values), missing, noted)
    if kind == "number" and not missing and _is_counter(name, values):
        return "id", "each row has a different integer, and the name suggests an identifier.", True
    if not missing and (values == values[0]).all():
        return "constant", f"every row holds {as_text(values[:1])[0]}.", True
    if kind == "number":
        return _of_number(values, missing)
    return of_present(kind, missing)


def of_present(kind: str, missing: int) -> Verdict:
    """Return the role of a column of booleans or dates that are not all the same."""
    role = "boolean" if kind == "boolean" else "date"
    return role, f"{'true or false' if kind == 'boolean' else 'dates'}{_gaps(missing)}.", False


def different_numbers(values: Values) -> int:
    """Return how many numbers a column [n] holds where hardly any occurs twice; otherwise 0.

    Such a column says nothing as categories.
    """
    present = as_text(values)[~is_missing(values)]
    different = set(present.tolist())
    if len(different) < max(NEARLY_ALL * len(present), FEW_LEVELS):
        return 0
    return len(different) if all(map(_NUMBER.fullmatch, different)) else 0


def is_key(name: str) -> bool:
    """Return whether a name speaks of identity, such as id, customerID, row_id, key or index.

    An unnamed first column does too.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    return any(word in _KEYS for word in words) or name == "column 1"


def _is_counter(name: str, values: Values) -> bool:
    """Return whether these are integers, all different, under a name that speaks of identity.

    Beyond 2**53 float64 cannot tell neighbours apart, so there they need not differ.
    """
    if not is_key(name) or not is_whole(values):
        return False
    return len(np.unique(values)) == len(values) or bool((np.abs(values) > EXACT).any())


def _of_number(values: Values, missing: int) -> Verdict:
    """Return the role of a column of numbers [n]."""
    present = values[~np.isnan(values)]
    rounded = is_whole(values) and bool((np.abs(present) > EXACT).any())
    return of_range(float(present.min()), float(present.max()), missing, rounded)


def of_range(low: float, high: float, missing: int, rounded: bool = False) -> Verdict:
    """Return the role of a column of numbers between two values.

    Args:
        low, high: the smallest and the largest number.
        missing: number of missing values.
        rounded: whether some are integers beyond `EXACT`.
    """
    remark = ", those beyond 2**53 rounded to 16 digits" if rounded else ""
    return (
        "number",
        f"numbers from {low:.6g} to {high:.6g}{remark}{_gaps(missing)}.",
        False,
    )


def of_levels(
    levels: Collection[str], distinct: int, rows: int, missing: int, remark: str = ""
) -> Verdict:
    """Return the role of a column of text by its different texts.

    Args:
        levels: different texts, all of them or the most frequent ones.
        distinct: number of different texts.
        rows: number of rows.
        missing: number of rows without a text.
        remark: a sentence on what was noticed when its cells were read.
    """
    present = rows - missing
    if distinct == 1 and not missing:
        return "constant", f"every row holds {shorten(str(min(levels)), 40)!r}.", True
    if distinct >= NEARLY_ALL * present and rows > 1:
        return _of_distinct(levels, distinct, rows, missing, remark)
    examples = (
        listing(sorted(levels), 3) if distinct <= 3 else listing(sorted(levels)[:3], 3) + ", …"
    )
    count = f"{distinct} level{'s' * (distinct != 1)}"
    return "category", f"text of {count} ({examples}){_gaps(missing)}.{remark}", bool(remark)


def _of_distinct(
    levels: Collection[str], distinct: int, rows: int, missing: int, remark: str
) -> Verdict:
    """Return the role of a text column in which hardly any text occurs twice."""
    written = sum(map(len, levels)) / len(levels) >= LONG and any(" " in level for level in levels)
    if distinct == rows and not written and not remark:
        return "id", "each row has a different text.", True
    share = f"{distinct} different texts in {rows - missing} rows"
    return "text", f"{share}; text that rarely repeats is not used.{remark}", True


def _gaps(missing: int) -> str:
    """Return the part of a sentence that counts the missing values."""
    return f", {missing} missing" if missing else ""
