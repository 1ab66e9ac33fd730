"""The threshold at which a metric of yes and no is highest, found exactly, for many labels at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from polycera.errors import UnknownName
from polycera.evaluation.at_threshold import HALF
from polycera.typing import Array

CELLS = 2**21
"""Cells at a time: bounds the memory of a thousand labels over many rows."""

Counts = tuple[Array, Array, Array, Array]
"""Yes said rightly, yes said wrongly, rows that are 1, rows that are 0; of one shape, or one that fits."""


def f1(counts: Counts) -> Array:
    """Harmonic mean of precision and recall."""
    true, false, positives, _ = counts
    return _divide(2 * true, positives + true + false)


def balanced_accuracy(counts: Counts) -> Array:
    """Mean of the shares of ones and of zeros that are answered rightly; as one fraction, so that ties are equal."""
    true, false, positives, negatives = counts
    return _divide(true * negatives + (negatives - false) * positives, 2 * positives * negatives)


def accuracy(counts: Counts) -> Array:
    """Share of right answers."""
    true, false, positives, negatives = counts
    return _divide(true + negatives - false, positives + negatives)


METRICS: dict[str, Callable[[Counts], Array]] = {
    "f1": f1,
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
}
"""What a threshold can make as high as possible."""


class ThresholdSearch(NamedTuple):
    """For each label, [labels].

    Attributes:
        value: the threshold: yes is said at it and above.
        reached: the metric there; NaN where it is not defined.
        half: the metric where yes is said above one half.
        positives, negatives: rows that are 1 and 0.
    """

    value: Array
    reached: Array
    half: Array
    positives: Array
    negatives: Array


def search_thresholds(truth: Array, probability: Array, metric: str = "f1") -> ThresholdSearch:
    """The exact maximiser over all thresholds, label by label.

    What is said changes only where a threshold passes a probability, so each way to part the rows
    is tried. The threshold lies in the middle between the two neighbouring probabilities that it
    parts (0 and 1 beyond the last ones); where several ways are equally good, the one whose middle
    is nearest 0.5 is taken.

    Args:
        truth: 1, 0, or NaN where a label is missing; between them, the probability of 1; [n,
            labels].
        probability: of 1, [n, labels].
        metric: a name in `METRICS`.

    Raises:
        UnknownName: for another metric.

    Examples:
        >>> import numpy as np
        >>> found = cuts(np.array([[0.0], [0], [1], [1]]), np.array([[0.1], [0.2], [0.3], [0.4]]))
        >>> found.value, found.reached, found.half
        (array([0.25]), array([1.]), array([0.]))
    """
    formula, step = _formula(metric), max(1, CELLS // max(len(truth), 1))
    parts = [
        _cuts(truth[:, start : start + step], probability[:, start : start + step], formula)
        for start in range(0, truth.shape[1], step)
    ]
    return (
        ThresholdSearch(*(np.concatenate(found) for found in zip(*parts, strict=True)))
        if parts
        else ThresholdSearch(*np.zeros((5, 0)))
    )


def scored(truth: Array, probability: Array, value: Array, metric: str = "f1") -> ThresholdSearch:
    """The metric where yes is said at given thresholds, label by label.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n, labels].
        probability: of 1, [n, labels].
        value: the thresholds, [labels].
        metric: a name in `METRICS`.

    Raises:
        UnknownName: for another metric.
    """
    formula = _formula(metric)
    known = np.isfinite(truth) & np.isfinite(probability)
    ones = np.where(known, truth, 0.0)
    positives = ones.sum(0)
    negatives = known.sum(0) - positives
    counts = [known & (probability >= at) for at in (value, HALF)]
    reached, half = (
        formula(((ones * yes).sum(0), ((1 - ones) * yes).sum(0), positives, negatives))
        for yes in counts
    )
    return ThresholdSearch(np.asarray(value, "float64"), reached, half, positives, negatives)


def _formula(metric: str) -> Callable[[Counts], Array]:
    if metric not in METRICS:
        raise UnknownName("metric of thresholds", metric, METRICS)
    return METRICS[metric]


def _cuts(truth: Array, probability: Array, metric: Callable[[Counts], Array]) -> ThresholdSearch:
    known = np.isfinite(truth) & np.isfinite(probability)
    ones = np.where(known, truth, 0.0)
    positives = ones.sum(0)
    negatives = known.sum(0) - positives
    above = known & (probability >= HALF)
    half = metric(((ones * above).sum(0), ((1 - ones) * above).sum(0), positives, negatives))
    ranked, true, called = _ranked(np.where(known, probability, -np.inf), ones, known)
    scores = metric((true, called - true, positives, negatives))
    value, possible = _between(ranked)
    scores = np.where(possible & ~np.isnan(scores), scores, -np.inf)
    best = scores.max(0)
    chosen = np.where(possible & (scores == best), np.abs(value - 0.5), np.inf).argmin(0)[None]
    found = np.take_along_axis(value, chosen, 0)[0]
    return ThresholdSearch(
        found, np.where(np.isfinite(best), best, np.nan), half, positives, negatives
    )


def _ranked(probability: Array, ones: Array, known: np.ndarray) -> tuple[Array, Array, Array]:
    """Probabilities from high to low [n, labels]; yes said rightly and at all where it is said of the first i rows."""
    order = np.argsort(-probability, axis=0)
    none = np.zeros((1, probability.shape[1]))
    true, called = (
        np.concatenate([none, np.cumsum(np.take_along_axis(rows, order, 0), 0, dtype="float64")])
        for rows in (ones, known)
    )
    return np.take_along_axis(probability, order, 0), true, called


def _between(ranked: Array) -> tuple[Array, np.ndarray]:
    """A threshold that says yes of the first i rows, [n + 1, labels]; and whether there is one: not within a tie."""
    edge = np.ones((1, ranked.shape[1]))
    upper, lower = np.concatenate([edge, ranked]), np.concatenate([ranked, -np.inf * edge])
    with np.errstate(invalid="ignore"):
        middle = (upper + np.maximum(lower, 0.0)) / 2
    # between neighbouring floats there is no middle
    return np.where(middle > lower, middle, upper), upper > lower


def _divide(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=np.asarray(b) != 0)
