"""Write an inspection as HTML tables, for notebooks; every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from polycera.inspection import as_text
from polycera.runs.html_table import html_table

if TYPE_CHECKING:
    from polycera.inspection.result import Inspection


def as_html(found: Inspection) -> str:
    """Return an inspection as HTML: one table for targets, columns, and pairs of targets each."""
    parts = []
    if found.targets:
        rows: list[Sequence[object]] = [
            (name, target.kind, target.missing, as_text.target_text(target))
            for name, target in found.targets.items()
        ]
        parts.append(html_table("Targets", ("target", "kind", "missing", "why"), rows))
    columns = sorted(found.columns.items(), key=lambda item: not item[1].used)
    rows = [
        (name, column.role, column.missing, as_text.column_text(column)) for name, column in columns
    ]
    parts.append(html_table("Columns", ("column", "role", "missing", "why"), rows))
    if found.correlations:
        pairs = [
            (pair.first, pair.second, pair.measure, pair.value, pair.rows)
            for pair in found.correlations[: as_text.FEW]
        ]
        caption = f"Correlations between targets{as_text.strongest(found.correlations)}"
        parts.append(html_table(caption, ("target", "target", "measure", "value", "rows"), pairs))
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in as_text.remarks(found))
    said = f"<ul>{items}</ul>" if items else ""
    refused = (
        f"<p>A training would refuse this table: {html.escape(found.refused)}</p>"
        if found.refused is not None
        else ""
    )
    return f"<p>{html.escape(as_text.heading(found))}</p>{''.join(parts)}{said}{refused}"
