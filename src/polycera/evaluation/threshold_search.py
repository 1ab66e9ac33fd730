"""Find the decision threshold that maximises a binary metric, exactly, for many labels at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from polycera.errors import UnknownName
from polycera.evaluation.at_threshold import HALF
from polycera.typing import Array

CELLS = 2**21
"""Numbers in a matrix [rows, labels] at a time; this bounds memory with a thousand labels."""

Counts = tuple[Array, Array, Array, Array]
"""True positives, false positives, rows of class 1, rows of class 0; shapes that broadcast."""


def f1(counts: Counts) -> Array:
    """Return the harmonic mean of precision and recall."""
    true, false, positives, _ = counts
    return _divide(2 * true, positives + true + false)


def balanced_accuracy(counts: Counts) -> Array:
    """Return the mean of the recall of class 1 and that of class 0."""
    true, false, positives, negatives = counts
    # one fraction of whole numbers, so that equal thresholds get equal bits and count as ties
    return _divide(true * negatives + (negatives - false) * positives, 2 * positives * negatives)


def accuracy(counts: Counts) -> Array:
    """Return the share of correct predictions."""
    true, false, positives, negatives = counts
    return _divide(true + negatives - false, positives + negatives)


METRICS: dict[str, Callable[[Counts], Array]] = {
    "f1": f1,
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
}
"""Metrics by name that a threshold can maximise."""


class ThresholdSearch(NamedTuple):
    """Holds the decision threshold of each label, and the metric there, [labels] each.

    Attributes:
        value: the threshold: class 1 is predicted at it and above.
        reached: the metric there; NaN where it is not defined.
        half: the metric where class 1 is predicted above one half.
        positives, negatives: number of rows of class 1 and of class 0.
    """

    value: Array
    reached: Array
    half: Array
    positives: Array
    negatives: Array


def search_thresholds(
    truth: Array, probability: Array, metric: str = "f1", weights: Array | None = None
) -> ThresholdSearch:
    """Return the exact maximiser over all thresholds, label by label.

    Predictions change only where a threshold passes a probability, so each split of the ranked rows
    is tried. The threshold is in the middle between the two neighbouring probabilities that it
    separates (0 and 1 beyond the last ones). Where several splits are equally good, the one whose
    middle is nearest to 0.5 is used.

    Args:
        truth: 1, 0, or NaN where a label is missing; a value between 0 and 1 is the probability of
            1; [n, labels].
        probability: probability of 1, [n, labels].
        metric: a name in `METRICS`.
        weights: sample weights, [n, labels]; None where every row counts once.

    Raises:
        UnknownName: for another metric.

    Examples:
        >>> import numpy as np
        >>> found = search_thresholds(
        ...     np.array([[0.0], [0], [1], [1]]), np.array([[0.1], [0.2], [0.3], [0.4]])
        ... )
        >>> found.value, found.reached, found.half
        (array([0.25]), array([1.]), array([0.]))
    """
    formula, step = _formula(metric), max(1, CELLS // max(len(truth), 1))
    parts = [
        _cuts(
            truth[:, start : start + step],
            probability[:, start : start + step],
            formula,
            None if weights is None else weights[:, start : start + step],
        )
        for start in range(0, truth.shape[1], step)
    ]
    return (
        ThresholdSearch(*(np.concatenate(values) for values in zip(*parts, strict=True)))
        if parts
        else ThresholdSearch(*np.zeros((5, 0)))
    )


def scored(
    truth: Array,
    probability: Array,
    value: Array,
    metric: str = "f1",
    weights: Array | None = None,
) -> ThresholdSearch:
    """Return the metric at given thresholds, label by label.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n, labels].
        probability: probability of 1, [n, labels].
        value: the thresholds, [labels].
        metric: a name in `METRICS`.
        weights: sample weights, [n, labels]; None where every row counts once.

    Raises:
        UnknownName: for another metric.
    """
    formula = _formula(metric)
    known = np.isfinite(truth) & np.isfinite(probability)
    labels = np.where(known, truth, 0.0)
    counted = known if weights is None else known * weights
    positives = _weighted(labels, weights).sum(0)
    negatives = counted.sum(0) - positives
    counts = [_weighted(known & (probability >= threshold), weights) for threshold in (value, HALF)]
    reached, half = (
        formula(((labels * called).sum(0), ((1 - labels) * called).sum(0), positives, negatives))
        for called in counts
    )
    return ThresholdSearch(np.asarray(value, "float64"), reached, half, positives, negatives)


def _formula(metric: str) -> Callable[[Counts], Array]:
    """Return the function of a metric, or raise `UnknownName`."""
    if metric not in METRICS:
        raise UnknownName("metric of thresholds", metric, METRICS)
    return METRICS[metric]


def _weighted(values: Any, weights: Array | None) -> Any:
    """Return values multiplied by weights that there may be none of."""
    return values if weights is None else values * weights


def _cuts(
    truth: Array,
    probability: Array,
    metric: Callable[[Counts], Array],
    weights: Array | None = None,
) -> ThresholdSearch:
    """Return the exact maximiser for a block of labels, [labels]."""
    known = np.isfinite(truth) & np.isfinite(probability)
    labels = np.where(known, truth, 0.0)
    ones, counted = _weighted(labels, weights), _weighted(known, weights)
    positives = ones.sum(0)
    negatives = counted.sum(0) - positives
    above = _weighted(known & (probability >= HALF), weights)
    half = metric(((labels * above).sum(0), ((1 - labels) * above).sum(0), positives, negatives))
    # missing rows get the lowest rank and are counted as neither class
    ranked, true, called = _ranked(np.where(known, probability, -np.inf), ones, counted)
    scores = metric((true, called - true, positives, negatives))
    value, possible = _between(ranked)
    scores = np.where(possible & ~np.isnan(scores), scores, -np.inf)
    best = scores.max(0)
    chosen = np.where(possible & (scores == best), np.abs(value - 0.5), np.inf).argmin(0)[None]
    threshold = np.take_along_axis(value, chosen, 0)[0]
    return ThresholdSearch(
        threshold, np.where(np.isfinite(best), best, np.nan), half, positives, negatives
    )


def _ranked(probability: Array, ones: Array, known: Array) -> tuple[Array, Array, Array]:
    """Return ranked probabilities and the counts for each split of the ranked rows.

    Args:
        probability: [n, labels].
        ones: 1, or the weight, where the label is 1, [n, labels].
        known: whether the label is known, or its weight, [n, labels].

    Returns:
        probabilities from high to low, [n, labels]; true positives and all positive predictions
        where class 1 is predicted for the first i rows, [n + 1, labels] each.
    """
    order = np.argsort(-probability, axis=0)
    zeros = np.zeros((1, probability.shape[1]))
    true, called = (
        np.concatenate([zeros, np.cumsum(np.take_along_axis(rows, order, 0), 0, dtype="float64")])
        for rows in (ones, known)
    )
    return np.take_along_axis(probability, order, 0), true, called


def _between(ranked: Array) -> tuple[Array, np.ndarray]:
    """Return thresholds that predict class 1 for the first i rows, and whether there is one.

    Both are [n + 1, labels]. There is none within a tie of probabilities.
    """
    edge = np.ones((1, ranked.shape[1]))
    upper, lower = np.concatenate([edge, ranked]), np.concatenate([ranked, -np.inf * edge])
    with np.errstate(invalid="ignore"):
        middle = (upper + np.maximum(lower, 0.0)) / 2
    # neighbouring floats have no number between them: use the upper one
    return np.where(middle > lower, middle, upper), upper > lower


def _divide(a: Array, b: Array) -> Array:
    """Return a / b; NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=np.asarray(b) != 0)
