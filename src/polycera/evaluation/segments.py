"""Compare the metrics of each segment of the rows with those of all rows.

A difference is tested by Student's t. Its error is that of the segment itself, or that of as many
rows like all the others, whichever is larger: a few rows without a single error do not show that
there will never be one. All tests together hold the false discovery rate (`false_discovery`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polycera.evaluation import metric_error
from polycera.evaluation.false_discovery import adjusted
from polycera.evaluation.metric_error import Indices, Measured, RawRows
from polycera.runs.segment_scores import SegmentScore
from polycera.tasks.metrics import TALLIES
from polycera.typing import TaskName

RATE = 0.05
"""False discovery rate that is held."""

Found = dict[tuple[TaskName, str], tuple[Measured, int]]
"""Task and metric -> the metric of several tasks, and the position of this one among them."""


@dataclass(frozen=True)
class Segmentation:
    """Holds how a column divides the rows.

    Attributes:
        by: name of the column.
        names: of the segments.
        codes: position of each row's segment in `names`, [n].
    """

    by: str
    names: Sequence[str]
    codes: Indices


def segment_scores(
    views: Sequence[RawRows], segmentations: Sequence[Segmentation], seed: int = 0
) -> tuple[list[SegmentScore], int]:
    """Return every metric of every task for each segment of each column, the worst first.

    Args:
        views: the rows, once or several times: a later view replaces the metrics that it has, and
            adds to them (predicted classes at decision thresholds, say).
        segmentations: how each column divides the rows.
        seed: of the random blocks of rows.

    Returns:
        the scores, and the number of tests.
    """
    random = np.random.default_rng(seed)
    everything = np.arange(len(views[0].y))
    overall = _of_views(views, everything, random)
    directions = {
        (name, metric): TALLIES[task.measured_as].metrics[metric].direction
        for view in views
        for name, task in view.layout.tasks.items()
        for metric in task.metrics
    }
    scores: list[SegmentScore] = []
    distances: list[float] = []
    for segmentation in segmentations:
        # One sort, then slices: not one pass over all rows for each segment.
        order = np.argsort(segmentation.codes, kind="stable")
        counts = np.bincount(segmentation.codes, minlength=len(segmentation.names))
        for name, indices in zip(
            segmentation.names, np.split(order, np.cumsum(counts)[:-1]), strict=True
        ):
            found = _of_views(views, indices, random)
            for (task, metric), (of_segment, i) in found.items():
                of_all, j = overall[task, metric]
                score, distance = _compared(of_segment, i, of_all, j, directions[task, metric])
                score.by, score.segment, score.task, score.metric = (
                    *(segmentation.by, name),
                    *(task, metric),
                )
                scores.append(score)
                distances.append(distance)
    rates = adjusted(np.array([np.nan if s.p is None else s.p for s in scores]))
    for score, rate in zip(scores, rates.tolist(), strict=True):
        score.q = rate if rate == rate else None
        if score.verdict in ("worse", "better") and (score.q is None or score.q > RATE):
            score.verdict = ""
    columns = {segmentation.by: i for i, segmentation in enumerate(segmentations)}
    ranks = {"worse": 0, "too few": 2}
    order_of = sorted(
        range(len(scores)),
        key=lambda i: (
            columns[scores[i].by],
            ranks.get(scores[i].verdict, 1),
            -distances[i],
        ),
    )
    return [scores[i] for i in order_of], int((~np.isnan(rates)).sum())


def _of_views(views: Sequence[RawRows], indices: Indices, random: np.random.Generator) -> Found:
    """Return the metrics of some rows; those of the first view come first within each task."""
    found: Found = {}
    for view in views:
        found |= metric_error.measured(view, indices, random)
    by_task: dict[TaskName, Found] = {}
    for key, value in found.items():
        by_task.setdefault(key[0], {})[key] = value
    return {key: value for part in by_task.values() for key, value in part.items()}


def _compared(
    of_segment: Measured, i: int, of_all: Measured, j: int, direction: str
) -> tuple[SegmentScore, float]:
    """Return the score of a segment, and how many errors it is worse than all rows.

    The score has no names yet.
    """
    value, overall = float(of_segment.value[i]), float(of_all.value[j])
    rows = int(of_segment.rows[i])
    score = SegmentScore(
        by="",
        segment="",
        task="",
        metric="",
        rows=rows,
        value=_defined(value),
        low=None,
        high=None,
        overall=_defined(overall),
        direction=direction,
    )
    # Errors of as many rows like all the others.
    effective = float(of_segment.effective[i]) if rows else 1.0
    usual = float(of_all.error[j]) * math.sqrt(float(of_all.effective[j]) / effective)
    own = float(of_segment.error[i])
    usual, own = (error if math.isfinite(error) else 0.0 for error in (usual, own))
    if not of_segment.enough[i] or score.value is None or not max(usual, own):
        score.verdict = "too few" if not of_segment.enough[i] or score.value is None else ""
        return score, -np.inf
    # SciPy is slow to import.
    from scipy.special import stdtr, stdtrit

    freedom = float(of_segment.freedom[i])
    ideal = float(of_segment.ideal[i])
    if of_segment.low is not None and of_segment.high is not None:
        low, high = float(of_segment.low[i]), float(of_segment.high[i])
    else:
        half = float(stdtrit(freedom, metric_error.CONFIDENCE)) * (own or usual)
        low, high = value - half, value + half
        # Nothing is better than perfect.
        low, high = (
            ((low, min(high, ideal)) if direction == "max" else (max(low, ideal), high))
            if direction != "target"
            else (low, high)
        )
    score.low, score.high = _defined(low), _defined(high)
    share = float(of_segment.weight[i] / of_all.weight[j])
    if share >= 1 or score.overall is None:
        return score, 0.0
    # The rows overall contain those of the segment, so the two differ by less.
    statistic = (value - overall) / (max(own, usual) * math.sqrt(1 - share))
    score.p = float(2 * stdtr(freedom, -abs(statistic)))
    score.verdict = _side(low, high, overall, ideal, direction)
    sign = _worse_by(value, overall, ideal, direction)
    return score, float(np.sign(sign) * abs(statistic))


def _worse_by(value: float, overall: float, ideal: float, direction: str) -> float:
    """Return a number above 0 where the value is worse than the overall one, below 0 if better."""
    if direction == "target":
        return abs(value - ideal) - abs(overall - ideal)
    return overall - value if direction == "max" else value - overall


def _side(low: float, high: float, overall: float, ideal: float, direction: str) -> str:
    """Return `worse` or `better` where a whole interval is; else an empty text."""
    ends = [_worse_by(end, overall, ideal, direction) for end in (low, high)]
    # An interval around the ideal of a `target` metric is not worse, wherever its ends are.
    if min(ends) > 0 and not (direction == "target" and low < ideal < high):
        return "worse"
    return "better" if max(ends) < 0 else ""


def _defined(value: float) -> float | None:
    """Return the number, or None where it is not finite."""
    return value if math.isfinite(value) else None
