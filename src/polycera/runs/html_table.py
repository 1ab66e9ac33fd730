"""Render a plain HTML table for notebooks: no style, no script, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from polycera.errors import shorten

MANY = 60
"""Most rows to show; the rest are counted in a last row."""


def html_table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table; numbers have four significant digits, None is a dash.

    Names come from data and may contain markup, so every text is escaped.

    Examples:
        >>> html_table("<b>", ["task"], [["churn"]])
        '<table><caption>&lt;b&gt;</caption><thead><tr><th>task</th></tr></thead><tbody><tr><td>churn</td></tr></tbody></table>'
    """
    table_rows = list(rows)
    head = "".join(f"<th>{_text(name)}</th>" for name in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(value)}</td>' for value in row)}</tr>"
        for row in table_rows[:MANY]
    )
    if len(table_rows) > MANY:
        body += f'<tr><td colspan="{len(headings)}">… {len(table_rows) - MANY} more rows</td></tr>'
    title = f"<caption>{_text(caption)}</caption>"
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return html.escape(shorten(value, 200))
