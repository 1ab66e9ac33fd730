"""Choose decision thresholds that hold on other rows too, from smoothed labels."""

from __future__ import annotations

import numpy as np

from polycera.evaluation.logit_scaling import platt, sigmoid
from polycera.evaluation.threshold_search import CELLS, ThresholdSearch, scored, search_thresholds
from polycera.typing import Array

PRIOR = (60.0, 10.0)
"""Strength of the prior on a label's scale and shift around those of all labels together."""

POOLED = (1.0, 1.0)
"""Strength of the prior on scale and shift of all labels together, around 1 and 0."""

TRUSTED = 200.0
"""Rows of the rarer class at which a label and its calibrated probability count equally."""

EDGE = 1e-6
"""Probabilities are clipped to EDGE and 1 - EDGE, so that their logits are finite."""


def smoothed_thresholds(
    truth: Array, probability: Array, metric: str = "f1", weights: Array | None = None
) -> ThresholdSearch:
    """Return the threshold that maximises the expected metric, label by label.

    The exact maximiser over few rows (`search_thresholds`) fits their noise. Here each label is
    first smoothed towards the probability that it is 1, calibrated on these rows (Platt's a z + b
    on the logit, with a prior on a label's a and b around those of all labels together, which many
    rows determine). With few rows the smoothed label is almost that probability; with 200 rows of
    the rarer class, both count half; with many it is the label itself. The threshold is the exact
    maximiser for the smoothed labels. For F1 and calibrated probabilities that is half of the
    optimal F1 (Lipton, Elkan, Narayanaswamy, "Thresholding classifiers to maximize F1 score", 2014,
    arXiv:1402.1892), for balanced accuracy the share of ones, for accuracy one half. With more and
    more rows it approaches that of `search_thresholds`. Where we differ from the paper: a search
    finds the threshold, so one method serves all metrics, and labels share a prior.
    `benchmarks/thresholds.py` compares it with ten others.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n, labels], all labels of one network.
        probability: probability of 1, [n, labels].
        metric: a name in `METRICS`.
        weights: sample weights, [n, labels], of mean 1; None where every row counts once.

    Returns:
        `reached` and `half` are the metric on these rows with their unsmoothed labels, at the
        threshold and above one half. The threshold was chosen on these rows, so `reached` is
        slightly optimistic.

    Raises:
        UnknownName: for another metric.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> share = rng.random((5000, 1)) ** 2
        >>> truth = (rng.random((5000, 1)) < share).astype(float)
        >>> smoothed_thresholds(truth, share, "accuracy").value.round(1)
        array([0.5])
    """
    probability = np.asarray(probability, "float64")
    if weights is not None:
        # A row of weight 0 is as good as absent: no threshold lies next to its probability.
        truth = np.where(weights > 0, truth, np.nan)
    share = probability.clip(EDGE, 1 - EDGE)
    logits = np.log(share) - np.log1p(-share)
    around = _pooled(truth, logits, weights)
    # blocks of labels, to bound memory
    step = max(1, CELLS // max(4 * len(truth), 1))
    parts = []
    for start in range(0, truth.shape[1], step):
        columns = slice(start, start + step)
        part_weights = None if weights is None else weights[:, columns]
        softened = _softened(truth[:, columns], logits[:, columns], around, part_weights)
        parts.append(search_thresholds(softened, probability[:, columns], metric, part_weights))
    value = np.concatenate([part.value for part in parts]) if parts else np.zeros(0)
    return scored(truth, probability, value, metric, weights)


def _pooled(truth: Array, logits: Array, weights: Array | None) -> tuple[float, float]:
    """Return a and b of all labels together, from as many evenly spread rows as fit in memory."""
    stride = -(-truth.size // CELLS) or 1
    pooled_weights = None if weights is None else weights[::stride].reshape(-1, 1)
    a, b = platt(
        truth[::stride].reshape(-1, 1),
        logits[::stride].reshape(-1, 1),
        pooled_weights,
        strength=POOLED,
    )
    return float(a[0]), float(b[0])


def _softened(
    truth: Array, logits: Array, around: tuple[float, float], weights: Array | None
) -> Array:
    """Return labels moved towards their probability of 1, [n, labels]; NaN where one is missing."""
    a, b = platt(truth, logits, weights, around=around, strength=PRIOR)
    known, counted = np.isfinite(truth), truth
    if weights is not None:
        known, counted = known * weights, truth * weights
    ones = np.nansum(counted, axis=0)
    rarer = np.minimum(ones, known.sum(axis=0) - ones)
    trust = TRUSTED / (TRUSTED + rarer)
    return np.where(
        np.isfinite(truth), trust * sigmoid(a * logits + b) + (1 - trust) * truth, np.nan
    )
