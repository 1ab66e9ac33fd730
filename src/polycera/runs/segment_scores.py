"""Define the scores of a run by segment, as they are shown and written."""

from __future__ import annotations

import msgspec

from polycera.runs.html_table import html_table
from polycera.runs.results import Number


class SegmentScore(msgspec.Struct, kw_only=True):
    """Holds one metric of one task on the rows of one segment.

    Attributes:
        by: the column.
        segment: the rows with this value of the column.
        task, metric: what was measured.
        rows: rows of the segment with a label of the task.
        value: the metric on these rows.
        low, high: its 95 % interval; None where there are too few rows.
        overall: the metric on all rows.
        direction: `max`, `min`, or `target` where nearer to the ideal is better.
        p: probability of a difference from the overall value at least as large, where the segment
            is like the others; None where there are too few rows.
        q: `p` by Benjamini and Hochberg: the false discovery rate among all tests whose `q` is at
            most this.
        verdict: `worse` or `better` where the whole interval is worse or better than the overall
            value and `q` is at most 0.05; `too few` where nothing can be said; else empty.
    """

    by: str
    segment: str
    task: str
    metric: str
    rows: int
    value: Number
    low: Number
    high: Number
    overall: Number
    direction: str
    p: Number = None
    q: Number = None
    verdict: str = ""


class Segments(msgspec.Struct, kw_only=True):
    """Holds every metric of every task for the segments of one or several columns.

    Attributes:
        on: the name of the rows.
        rows: how many rows were measured.
        tests: comparisons with the overall value, over all columns, segments, tasks and metrics.
        rate: false discovery rate that is held over these tests.
        seed: of the random blocks of rows.
        said: how intervals and tests were computed, and what was done to the columns, a sentence
            each.
        scores: column by column, the worst first.
    """

    on: str
    rows: int
    tests: int
    rate: float
    seed: int
    said: list[str]
    scores: list[SegmentScore]

    @property
    def worse(self) -> list[SegmentScore]:
        """Return the scores of segments that are worse than the rows overall."""
        return [score for score in self.scores if score.verdict == "worse"]

    def by_column(self) -> dict[str, list[SegmentScore]]:
        """Return the scores of each column, by its name."""
        blocks: dict[str, list[SegmentScore]] = {}
        for score in self.scores:
            blocks.setdefault(score.by, []).append(score)
        return blocks

    def columns(self) -> dict[str, list[object]]:
        """Return the scores as columns of a table: `pandas.DataFrame(found.columns())`."""
        names = SegmentScore.__struct_fields__
        return {name: [getattr(score, name) for score in self.scores] for name in names}

    def _repr_html_(self) -> str:
        """Return the scores as HTML tables, for a notebook."""
        names = ("segment", "task", "metric", "rows", "value", "low", "high", "overall", "verdict")
        return "".join(
            html_table(
                f"{self.on}, by {column}", names, [[getattr(s, n) for n in names] for s in scores]
            )
            for column, scores in self.by_column().items()
        )
