"""Measure how strongly targets go together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from polycera import data
from polycera.data import Table, association
from polycera.inspection.result import TargetPair
from polycera.tasks import Multiclass, Multilabel, Task

SAMPLE = 10_000
"""Most rows on which targets are compared: a correlation is then known to 0.02."""
STRONGEST = 30
"""Most pairs that are kept."""
GROUPS = 10
"""Groups of equal size into which numbers are divided where they are compared with classes."""
MANY = 50
"""Most classes of a target that are compared; the rarest count as one."""

RANKS = "rank correlation"
CRAMER = "Cramér's V"


@dataclass(frozen=True)
class _Labels:
    """Holds the labels of one target, or of one label of a multilabel target.

    Attributes:
        name: of the target or label.
        values: numbers, or indices of classes; NaN where missing [n].
        ordered: whether the values have an order.
    """

    name: str
    values: NDArray[np.float64]
    ordered: bool


def correlations(table: Table, tasks: Sequence[Task]) -> list[TargetPair]:
    """Return the pairs of targets that go together most, the strongest first.

    Two targets of numbers, of levels in order or of two classes are compared by Spearman's rank
    correlation. Where one has several classes without order, it is Cramér's V with Bergsma's
    correction (2013), which is 0 where only chance is at work; numbers are put into ten groups of
    equal size for it. Only rows with both labels count.

    Args:
        table: the rows; of many, a sample at even distances is compared.
        tasks: the targets.
    """
    # Rows at even distances: a sample without a seed, the same each time.
    rows = np.linspace(0, table.rows - 1, min(table.rows, SAMPLE)).astype(np.int64)
    labels = list(_labels(table.take(np.unique(rows)), tasks))
    if len(labels) < 2:
        return []
    pairs = [*_by_ranks([each for each in labels if each.ordered]), *_by_classes(labels)]
    order = {each.name: place for place, each in enumerate(labels)}
    pairs.sort(key=lambda pair: (-abs(pair.value), order[pair.first], order[pair.second]))
    return pairs[:STRONGEST]


def _labels(table: Table, tasks: Sequence[Task]) -> Iterator[_Labels]:
    """Yield the labels of each target as numbers."""
    for task in tasks:
        encoded = np.asarray(task.encode(np.asarray(data.labels(table, task))), np.float64)
        if isinstance(task, Multilabel):
            yield from (
                _Labels(label, encoded[:, place], True) for place, label in enumerate(task.labels)
            )
        elif isinstance(task, Multiclass) and encoded.shape[1] > 1:  # shares of classes
            missing = np.isnan(encoded).any(axis=1)
            largest = np.where(missing, np.nan, np.nan_to_num(encoded).argmax(axis=1))
            yield _Labels(task.name, largest, False)
        else:
            yield _Labels(task.name, encoded[:, 0], not isinstance(task, Multiclass))


def _by_ranks(labels: Sequence[_Labels]) -> Iterator[TargetPair]:
    """Yield the rank correlation of each two targets whose values have an order."""
    if len(labels) < 2:
        return
    matrix = np.stack([each.values for each in labels], axis=1)
    values = association.correlations(*[association.ranks(matrix)] * 2)
    known = (~np.isnan(matrix)).astype(np.float64)
    rows = known.T @ known
    for first, second in combinations(range(len(labels)), 2):
        if rows[first, second] > association.FEWEST:
            yield TargetPair(
                labels[first].name,
                labels[second].name,
                RANKS,
                float(values[first, second]),
                int(rows[first, second]),
            )


def _by_classes(labels: Sequence[_Labels]) -> Iterator[TargetPair]:
    """Yield Cramér's V of each two targets of which one has several classes without order."""
    if all(each.ordered for each in labels):
        return
    marks = [_marks(each) for each in labels]
    ends = np.cumsum([mark.shape[1] for mark in marks])
    together = np.concatenate(marks, axis=1)
    # One matrix product counts the rows of all pairs of classes of all pairs of targets.
    counts = together.T @ together
    blocks = [slice(end - mark.shape[1], end) for end, mark in zip(ends, marks, strict=True)]
    for first, second in combinations(range(len(labels)), 2):
        if labels[first].ordered and labels[second].ordered:
            continue
        table = counts[blocks[first], blocks[second]].astype(np.float64)
        rows = int(table.sum())
        if rows > association.FEWEST:
            yield TargetPair(
                labels[first].name, labels[second].name, CRAMER, cramers_v(table), rows
            )


def _marks(labels: _Labels) -> NDArray[np.float32]:
    """Return which class or group each row has, 0 or 1 [n, classes]; 0 where missing."""
    known = ~np.isnan(labels.values)
    present = labels.values[known]
    codes, counts = np.unique(present, return_inverse=True, return_counts=True)[1:]
    if labels.ordered and len(counts) > GROUPS:
        ranks = association.ranks(present[:, None])[:, 0]
        codes = np.minimum(ranks / len(present) * GROUPS, GROUPS - 1).astype(np.int64)
    elif len(counts) > MANY:
        place = np.empty(len(counts), np.int64)
        place[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        codes = np.minimum(place[codes], MANY)
    marks = np.zeros((len(known), int(codes.max(initial=0)) + 1), np.float32)
    marks[np.flatnonzero(known), codes] = 1.0
    return marks


def cramers_v(counts: NDArray[np.float64]) -> float:
    """Return Cramér's V of a table of counts [k, r], corrected for chance (Bergsma 2013).

    Examples:
        >>> cramers_v(np.array([[50.0, 0.0], [0.0, 50.0]]))
        1.0
        >>> cramers_v(np.array([[25.0, 25.0], [25.0, 25.0]]))
        0.0
    """
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    rows, (k, r) = counts.sum(), counts.shape
    if min(k, r) < 2:
        return 0.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / rows
    phi2 = ((counts - expected) ** 2 / expected).sum() / rows
    phi2 = max(0.0, phi2 - (k - 1) * (r - 1) / (rows - 1))
    sizes = [size - (size - 1) ** 2 / (rows - 1) for size in (k, r)]
    return float(np.sqrt(min(1.0, phi2 / (min(sizes) - 1)))) if min(sizes) > 1 else 0.0
