"""Show where the run is worse: the metrics of segments of the rows, the worst first."""

from __future__ import annotations

from polycera.reports import markup
from polycera.reports.markup import Html
from polycera.reports.numbers import count, plural, say
from polycera.reports.section_builder import Sheet, View, sentence
from polycera.runs.segment_scores import SegmentScore

SHOWN = 200
"""Most lines of a column's table."""


def view(sheet: Sheet) -> View | None:
    """Return a table for each column; None where no segments were asked for."""
    found = sheet.segments
    if found is None:
        return None
    tables = [_table(column, scores) for column, scores in found.by_column().items()]
    return sheet.view(
        "segments",
        "Where is it worse?",
        sentence(f"Measured on {found.on} ({plural(found.rows, 'row')})."),
        tables,
        [sentence(said) for said in found.said],
    )


def _table(column: str, scores: list[SegmentScore]) -> Html:
    rows = [
        [
            markup.name(score.segment),
            markup.name(score.task),
            score.metric,
            count(score.rows),
            say(score.value),
            "" if score.low is None else f"{say(score.low)} to {say(score.high)}",
            say(score.overall),
            score.verdict,
        ]
        for score in scores[:SHOWN]
    ]
    head = ["segment", "task", "metric", "rows", "value", "95 % interval", "overall", ""]
    more = f" (the first {SHOWN} of {len(scores)} lines)" if len(scores) > SHOWN else ""
    caption = markup.join("By ", markup.name(column), ", the worst first", more)
    return markup.table(caption, head, rows, (3, 4, 5, 6), label=f"By {column}"[:120])
