"""Name the words that stand for a missing value, and give the SQL that cleans a cell."""

from __future__ import annotations

import re
from collections.abc import Iterable

MISSING = (
    *("NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "-nan", "-NaN"),
    *("NULL", "null", "Null", "None", "\\N", "?", ".", "-", "--", "–", "—"),
)
"""Words for missing in every column. Cells of nothing or blanks are missing as well."""
IN_NUMBERS = (
    *("none", "NONE", "nil", "NIL", "Nil", "na", "Na", "NAN", "N.A.", "n.a.", "n.d.", "#NULL!"),
    *("#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "missing", "unknown"),
    # As spreadsheets write them in German, Spanish and French; money that is not there.
    *("#NV", "#WERT!", "#BEZUG!", "#ZAHL!", "#N/D", "#¡DIV/0!", "#¡VALOR!", "#VALEUR!"),
    *("N.D.", "N/D", "n/d", "k.A.", "k. A.", "$-", "$ -", "€-", "€ -", "-€", "- €", "£-", "£ -"),
)
"""Words for missing in columns of numbers and dates alone: in a column of text they are labels."""
OLD = ("NA", "N/A", "NaN", "nan", "null", "None", "?")
"""Words for missing of runs of 0.1.0, which were read without formats."""

BLANKS = "\t\r\n\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""Blanks other than the space, the no-break and thin ones among them."""


def literal(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Iterable[str]) -> str:
    """Return texts as a list of literals, for `in (...)`."""
    return "(" + ", ".join(map(literal, texts)) + ")"


def identifier(name: str) -> str:
    """Return the name of a column as SQL."""
    return '"' + name.replace('"', '""') + '"'


def is_one_of_sql(cell: str, texts: Iterable[str]) -> str:
    """Return the SQL of whether a cell is one of some texts, blanks around it aside.

    It is no `in (...)`: of a longer list DuckDB makes a join, and with several threads a join gives
    the rows in another order.
    """
    choices = "|".join(re.sub(r"[!-/:-@\[-^`{-~]", r"\\\g<0>", text) for text in texts)
    blanks = f"[ {BLANKS}]*"
    return f"regexp_full_match({cell}, {literal(f'{blanks}(?:{choices}){blanks}')})"


def bare(cell: str) -> str:
    """Return the SQL of a cell without blanks around it."""
    # `trim` by a list of signs takes ten times as long as to see that there is nothing to trim.
    edge = f"^[ {BLANKS}]|[ {BLANKS}]$"
    trimmed = f"trim({cell}, {literal(' ' + BLANKS)})"
    return f"case when regexp_matches({cell}, {literal(edge)}) then {trimmed} else {cell} end"
