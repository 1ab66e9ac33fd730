"""Keep values of the table out of what is shown: every label that a report prints passes here.

A level that few rows have could name a person, and a value that looks like an address or an account
does name one. Sentences of warnings quote cells and row numbers, so these are taken out too.
"""

from __future__ import annotations

import re
from collections.abc import Collection

FEW_ROWS = 5
"""A label that fewer rows have is not shown."""

RARE = "(rare)"
"""What stands for a label that few rows have."""
PERSONAL = "(hidden)"
"""What stands for a label that looks like an address, a telephone number or an account."""
LEFT_OUT = "…"
"""What stands for a value inside a sentence."""

_EMAIL = re.compile(r"[^\s@'\"<>]+@[^\s@'\"<>]+\.[^\s@'\"<>]{2,}")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?\b")
_PHONE = re.compile(r"(?<![\w.,])(?:\+|00?)[ ]?\(?\d[\d ()/.-]{5,}\d(?![\w,])")
_GROUPED_PHONE = re.compile(r"(?<![\w.,-])\(?\d{2,5}\)?[ /-]\d{2,4}[ /-]\d{2,8}(?![\w,-])")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")
_FEWEST_DIGITS = 7
"""Fewest digits of a telephone number."""

_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_NUMBER = r"-?\d+(?:[.,_]\d+)*(?:e[+-]?\d+)?"
_EXAMPLES = re.compile(
    # "a value (1e9 in row 17)", "3 values (such as 1e9 in row 17)", "numbers from 1 to 9"
    rf"\s*\((?:such as )?[^()]*? in row \d+\)|(?<=numbers)\s+from {_NUMBER} to {_NUMBER}"
    # "text of 3 levels ('a', 'b', …)", "every row holds x"
    r"|(?<=level)\s*\([^()]*\)|(?<=levels)\s*\([^()]*\)|(?<=every row holds) [^.]*(?=\.)"
    # "the range of the training rows (1 to 9)", "row 17"
    rf"|\s*\({_NUMBER} to {_NUMBER}\)|(?<=\brow )\d+"
)


def is_personal(text: str) -> bool:
    """Return whether a text holds what looks like an e-mail address, an IBAN or a telephone number.

    Examples:
        >>> [
        ...     is_personal(text)
        ...     for text in ("ann@example.org", "+49 89 1234567", "Oslo", "2024-05-01")
        ... ]
        [True, True, False, False]
    """
    if _EMAIL.search(text) or _IBAN.search(text.upper()):
        return True
    without_dates = _DATE.sub(" ", text)
    for pattern in (_PHONE, _GROUPED_PHONE):
        for match in pattern.finditer(without_dates):
            if sum(sign.isdigit() for sign in match[0]) >= _FEWEST_DIGITS:
                return True
    return False


def shown_label(label: object, rows: int | None) -> str:
    """Return a label as it may be shown.

    Args:
        label: a class of a task, or a level of a column.
        rows: number of rows that have it; None where it is not known, which counts as few.

    Examples:
        >>> shown_label("Oslo", 12), shown_label("Oslo", 4), shown_label("ann@example.org", 12)
        ('Oslo', '(rare)', '(hidden)')
    """
    text = str(label)
    if is_personal(text):
        return PERSONAL
    return text if rows is not None and rows >= FEW_ROWS else RARE


def without_values(sentence: str, names: Collection[str]) -> str:
    """Return a sentence without the cells and row numbers that it quotes.

    Args:
        sentence: of a warning, or the reason for a role.
        names: of columns and tasks, which may stay.

    Examples:
        >>> without_values("Column 'age' has a value (412 in row 7) far from all others.", ["age"])
        "Column 'age' has a value far from all others."
        >>> without_values("Column 'town' holds 'Oslo' twice.", ["town"])
        "Column 'town' holds … twice."
    """

    def shown(match: re.Match[str]) -> str:
        text = match[1] if match[1] is not None else match[2]
        return match[0] if text in names else LEFT_OUT

    return _QUOTED.sub(shown, _EXAMPLES.sub("", sentence))
