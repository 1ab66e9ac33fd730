"""Give columns of text the types that all of their cells plainly have, for SQL."""

from __future__ import annotations

from typing import Any

from polycera.data.sources import connections
from polycera.data.sources.rows import TEXT, SourceRows

PATTERNS = {
    "BIGINT": r"\s*-?(0|[1-9]\d{0,17})\s*",  # 007 is a code
    "DOUBLE": r"\s*-?(0|[1-9]\d*)?(\.\d*)?([eE][-+]?\d+)?\s*",
    "DATE": r"\s*\d{4}-\d\d-\d\d\s*",
    "TIMESTAMP": r"\s*\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?\s*",
}
"""Type -> how every cell of it is written. An empty cell is of every type."""


def view(rows: SourceRows, name: str) -> None:
    """Make a view of the rows in which plain columns have their types.

    Args:
        rows: the rows.
        name: of the view, in the same connection.
    """
    kinds = types(rows)
    columns = ", ".join(
        f"try_cast({rows.quoted(column)} as {kinds[column]}) as {rows.quoted(column)}"
        if column in kinds
        else rows.quoted(column)
        for column in rows.types
    )
    rows.execute(
        f"create or replace view {connections.quoted(name)} as "
        f"select {columns} from {rows.relation}"
    )


def types(rows: SourceRows) -> dict[str, str]:
    """Return the types of those columns of written text that are plainly not text."""
    texts = [name for name, kind in rows.types.items() if kind == TEXT and rows.written]
    if not texts:
        return {}
    tests = []
    for name in texts:
        cell = f"nullif(trim({rows.quoted(name)}), '')"
        for kind, pattern in PATTERNS.items():
            fits = f"regexp_full_match({cell}, {connections.text(pattern)})"
            tests.append(
                f"bool_and({cell} is null or ({fits} and try_cast({cell} as {kind}) is not null))"
            )
    answer: Any = rows.execute(f"select {', '.join(tests)} from {rows.relation}").fetchone()
    found = {}
    for place, name in enumerate(texts):
        start = place * len(PATTERNS)
        fits = answer[start : start + len(PATTERNS)]
        chosen = [kind for kind, fit in zip(PATTERNS, fits, strict=True) if fit]
        if chosen:
            found[name] = chosen[0]
    return found
