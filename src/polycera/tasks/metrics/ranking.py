"""Compute the area under the ROC curve and average precision from counts by score.

In training the scores fall into `BINS` bins and rows in one bin count as tied, so both values are
approximations. The bins widen away from 0. The errors in our tests:

| logits | AUC | average precision |
|---|---|---|
| around 0 | within 0.001 | within 0.01 |
| around -8, spread over several units | within 0.005 | within 0.025 |
| around -8, all within one unit | no nearer than 0.05 | no nearer than 0.15 |

At evaluation every distinct score is a bin of its own, which makes the same formulas exact.
scikit-learn has one label at a time and no missing ones; here 200 columns are one array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from polycera.tasks.metrics.metric import divide
from polycera.typing import Array, Tensor

BINS = 256
"""Number of bins of the histogram in training.

It is even, so that a logit of 0 is the edge between two bins. It belongs to the lower one, the
negative prediction.
"""


def auc(positive: Array, negative: Array) -> Array:
    """Return the area under the ROC curve; undefined (NaN) for a single class.

    Args:
        positive: counts of positives, [..., bins], by ascending score.
        negative: counts of negatives, [..., bins].
    """
    # Negatives in the bin of a positive are tied with it and count one half.
    below = np.cumsum(negative, -1) - 0.5 * negative
    return divide((positive * below).sum(-1), positive.sum(-1) * negative.sum(-1))


def average_precision(positive: Array, negative: Array) -> Array:
    """Return the average precision; undefined (NaN) without a positive.

    Args:
        positive: counts of positives, [..., bins], by ascending score.
        negative: counts of negatives, [..., bins].
    """
    true = np.cumsum(positive[..., ::-1], -1)
    predicted = true + np.cumsum(negative[..., ::-1], -1)
    # Empty bins at the top have no predictions; their precision is multiplied by 0 below.
    precision = true / np.maximum(predicted, 1e-300)
    return divide((positive[..., ::-1] * precision).sum(-1), positive.sum(-1))


def histogram(y: Tensor, logits: Tensor, counted: Tensor, xp: Any) -> Tensor:
    """Return counts by label and bin of the logit, [k, e, 2 * BINS], negatives first.

    The arguments are [n, k, e] each. The bins are equally wide in z / (2 + |z|): narrow near 0,
    where most logits are, and no logit is out of range.
    """
    lead = tuple(logits.shape)[1:]
    columns = int(np.prod(lead))
    squashed = logits / (2.0 + xp.abs(logits))
    # `-1 - floor(-x)` is `ceil(x) - 1`: a logit on an edge belongs to the bin below it.
    bins = xp.clip(-1.0 - xp.floor((0.5 * BINS) * (-1.0 - squashed)), 0, BINS - 1)
    # One segment sum for all columns: each has its own range of 2 * BINS segments.
    offset = xp.cast((np.arange(columns) * 2 * BINS).reshape(lead), "int32")
    index = xp.cast(bins + BINS * y, "int32") + offset
    sums = xp.segment_sum(
        xp.reshape(counted, (-1,)), xp.reshape(index, (-1,)), num_segments=columns * 2 * BINS
    )
    return xp.reshape(sums, (*lead, 2 * BINS))


def exact_counts(y: Array, logits: Array, counted: Array) -> tuple[Array, Array]:
    """Return the counts of positives and of negatives by distinct logit, [columns, n] each.

    The arguments are [n, columns] each. Logits ascend along the last axis of the counts; a column
    with fewer distinct logits than rows has zeros at its end.
    """
    n, columns = logits.shape
    # Column by column in memory: sorting across rows would wait for the memory.
    scores, labels, weights = (np.ascontiguousarray(a.T) for a in (logits, y, counted))
    # The order of equal logits does not matter, because they share a bin.
    order = np.argsort(scores, axis=1)
    ranked = np.take_along_axis(scores, order, 1)
    # Equal logits share a bin, so that ties count as ties.
    is_new = np.ones_like(ranked, dtype=bool)
    is_new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    bins = (np.cumsum(is_new, axis=1) - 1 + n * np.arange(columns)[:, None]).ravel()
    weight = np.take_along_axis(weights, order, 1)
    positive = weight * np.take_along_axis(labels, order, 1)
    counts = [
        np.bincount(bins, w.ravel(), n * columns).reshape(columns, n)
        for w in (positive, weight - positive)
    ]
    return counts[0].astype(float), counts[1].astype(float)
