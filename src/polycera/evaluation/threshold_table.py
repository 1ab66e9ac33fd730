"""Count what follows from each decision threshold of a binary label, for a slider."""

from __future__ import annotations

import numpy as np

from polycera.evaluation.masking import binary_pairs
from polycera.runs.findings import Operating, ThresholdTable
from polycera.runs.results import Threshold
from polycera.typing import Array

STEPS = 101
"""Thresholds from 0 to 1, both included."""


def threshold_table(
    truth: Array, probability: Array, chosen: float | None = None
) -> ThresholdTable:
    """Return the confusion counts at `STEPS` thresholds, and at the chosen one.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n].
        probability: probability of 1, [n].
        chosen: one more threshold; None for none.

    Examples:
        >>> import numpy as np
        >>> table = threshold_table(np.array([0, 1, 1, 1]), np.array([0.6, 0.3, 0.7, 0.9]))
        >>> table.threshold[65], table.true_positive[65], table.false_positive[65]
        (0.65, 2, 0)
    """
    thresholds = np.round(np.linspace(0.0, 1.0, STEPS), 4)
    if chosen is not None:
        thresholds = np.unique(np.append(thresholds, chosen))
    true, false, missed, rest = _counts(*binary_pairs(truth, probability), thresholds)
    return ThresholdTable(
        thresholds.tolist(), true.tolist(), false.tolist(), missed.tolist(), rest.tolist()
    )


def operating(
    truth: Array, probability: Array, chosen: Threshold | None, name: str, at: float
) -> Operating:
    """Return the counts at the threshold that predictions use.

    Args:
        truth, probability: as for `threshold_table`.
        chosen: the run's threshold; None where it has none.
        name: of the positive class, for the sentence.
        at: the smallest probability that is predicted as positive.
    """
    truth, probability = binary_pairs(truth, probability)
    counts = _counts(truth, probability, np.array([at]))
    true, false, missed, rest = (int(part[0]) for part in counts)
    value = 0.5 if chosen is None else chosen.value
    alarms = "false alarm" if false == 1 else "false alarms"
    sentence = (
        f"From a probability of {value:.2f} on, {true:,} of {true + missed:,} rows with {name} are "
        f"found, with {false:,} {alarms} among {false + rest:,} other rows."
    )
    return Operating(
        threshold=value,
        metric=None if chosen is None else chosen.metric,
        part=None if chosen is None else chosen.part,
        fitted=chosen is not None and chosen.fitted,
        true_positive=true,
        false_positive=false,
        false_negative=missed,
        true_negative=rest,
        sentence=sentence,
    )


def _counts(truth: Array, probability: Array, thresholds: Array) -> tuple[Array, ...]:
    """Return true and false positives, false and true negatives at thresholds [t], [t] each."""
    order = np.argsort(probability)
    ones = np.r_[0, np.cumsum(truth[order])].astype(int)
    below = np.searchsorted(probability[order], thresholds, side="left")
    missed, positives = ones[below], ones[-1]
    true = positives - missed
    false = len(truth) - below - true
    return true, false, missed, below - missed
