"""Show the cost of one network and of several as a table."""

from __future__ import annotations

from collections.abc import Sequence

from polycera.reports import markup
from polycera.reports.markup import Html
from polycera.reports.numbers import NONE, count, percent, seconds
from polycera.runs.results import Cost

Times = Sequence[tuple[str, float | None, float | None]]
"""Names of what takes time, with the seconds of the one network and of the others."""


def costs(caption: str, one: Cost, many: Cost, times: Times) -> Html:
    """Return the table of weights and times, without what was not measured."""
    weights = one.parameters, many.parameters
    rows = [["weights", *map(count, weights), percent(*weights)]]
    rows += [[what, seconds(a), seconds(b), percent(a, b)] for what, a, b in times]
    head = ["", "this network", "one for each task", "this as a part of those"]
    return markup.table(caption, head, [row for row in rows if row[1:3] != [NONE, NONE]], (1, 2, 3))
