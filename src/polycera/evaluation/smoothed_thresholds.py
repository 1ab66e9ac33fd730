"""A threshold that holds on other rows too: the best for what the probabilities, brought to these rows, expect."""

from __future__ import annotations

import numpy as np

from polycera.evaluation.logit_scaling import platt, sigmoid
from polycera.evaluation.threshold_search import CELLS, ThresholdSearch, scored, search_thresholds
from polycera.typing import Array

PRIOR = (60.0, 10.0)
"""How strongly a label's own scale and shift are held to those of all labels together."""

POOLED = (1.0, 1.0)
"""How strongly those of all labels are held to 1 and 0."""

TRUSTED = 200.0
"""Rows of the rarer answer at which the labels themselves count as much as what is expected."""

EDGE = 1e-6
"""Nearer to 0 or 1 a probability says nothing more."""


def smoothed_thresholds(truth: Array, probability: Array, metric: str = "f1") -> ThresholdSearch:
    """The threshold that is best for the expected metric, label by label.

    The exact maximiser over few rows (`cuts`) follows their chance. Here each label is first
    softened: towards the probability that it is 1, calibrated by these rows (Platt's a z + b on the
        logit, where a label's own a and b are
    held to those of all labels together, which many rows decide). Of few rows it is that
    probability alone, of many (200 of the rarer answer: half) the label itself. The threshold is
    the maximiser for these. For F1 and calibrated probabilities that is half of the optimal F1
    (Lipton, Elkan, Narayanaswamy, "Thresholding classifiers to maximize F1 score", 2014,
    arXiv:1402.1892), for balanced accuracy the share of ones, for accuracy one half; with more and
    more rows it goes to that of `cuts`. Where we differ from the paper: found by trying, so one way
    serves all metrics, and held to all labels. `benchmarks/thresholds.py` compares it with ten
    others.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n, labels], two labels of one network or more
            if there are.
        probability: of 1, [n, labels].
        metric: a name in `METRICS`.

    Returns:
        `reached` and `half` are the metric on these rows with their labels as they are, at the
        threshold and above one half. The threshold was chosen on these rows, so `reached` is still
        a little too good.

    Raises:
        UnknownName: for another metric.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> share = rng.random((100, 1)) ** 2
        >>> truth = (rng.random((100, 1)) < share).astype(float)
        >>> bool(steady(truth, share, "accuracy").value[0].round(1) == 0.5)
        True
    """
    probability = np.asarray(probability, "float64")
    share = probability.clip(EDGE, 1 - EDGE)
    logits = np.log(share) - np.log1p(-share)
    around = _pooled(truth, logits)
    step = max(1, CELLS // max(4 * len(truth), 1))
    parts = [
        search_thresholds(
            _softened(truth[:, i : i + step], logits[:, i : i + step], around),
            probability[:, i : i + step],
            metric,
        )
        for i in range(0, truth.shape[1], step)
    ]
    value = np.concatenate([part.value for part in parts]) if parts else np.zeros(0)
    return scored(truth, probability, value, metric)


def _pooled(truth: Array, logits: Array) -> tuple[float, float]:
    """a and b of all labels together; of so many rows, evenly spread, as fit in memory."""
    every = -(-truth.size // CELLS) or 1
    a, b = platt(truth[::every].reshape(-1, 1), logits[::every].reshape(-1, 1), strength=POOLED)
    return float(a[0]), float(b[0])


def _softened(truth: Array, logits: Array, around: tuple[float, float]) -> Array:
    """Labels moved towards the probability that they are 1, [n, labels]; NaN where one is missing."""
    a, b = platt(truth, logits, around=around, strength=PRIOR)
    ones = np.nansum(truth, axis=0)
    rarer = np.minimum(ones, np.isfinite(truth).sum(axis=0) - ones)
    expected = TRUSTED / (TRUSTED + rarer)
    return np.where(
        np.isfinite(truth), expected * sigmoid(a * logits + b) + (1 - expected) * truth, np.nan
    )
