"""Compute the measures of benchmarks/tables.py: errors, ranks, and how sure a difference is."""

from __future__ import annotations

import numpy as np

RESAMPLES, SEED = 200, 0


def rrmse(
    truth: np.ndarray, predicted: np.ndarray, centre: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return each target's RMSE over that of the training mean [m]; missing labels are ignored.

    Args:
        truth, predicted: [n, m].
        centre: mean of the training rows' labels [m].
        weight: how often each row counts [n].
    """
    known = np.isfinite(truth)
    counts = known * (1.0 if weight is None else weight[:, None])
    errors = [
        (counts * np.where(known, truth - said, 0) ** 2).sum(0) for said in (predicted, centre)
    ]
    return np.sqrt(errors[0] / errors[1])


def ranking(
    truth: np.ndarray, said: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return ROC AUC and average precision of one label for each way to weigh the rows [b], [b].

    NaN where the rows hold one class only. Ties are as scikit-learn takes them.

    Args:
        truth: 0 or 1, NaN where missing [n].
        said: the higher, the more it is 1 [n].
        weights: [b, n]; default: one way, all rows alike.
    """
    known = np.isfinite(truth)
    weights = np.ones((1, len(truth))) if weights is None else weights
    if not known.any():
        return np.full((2, len(weights)), np.nan)  # type: ignore[return-value]
    order = np.flatnonzero(known)[np.argsort(-said[known], kind="stable")]
    starts = np.flatnonzero(np.diff(said[order], prepend=np.inf))  # of the rows that are said alike
    yes, no = (
        np.add.reduceat(weights[:, order] * (truth[order] == value), starts, axis=1)
        for value in (1, 0)
    )
    yes_so_far, no_so_far = yes.cumsum(1), no.cumsum(1)
    all_yes, all_no = yes_so_far[:, -1], no_so_far[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = (no * (yes_so_far - yes / 2)).sum(1) / (all_yes * all_no)
        precision = np.nan_to_num(yes_so_far / (yes_so_far + no_so_far))
        average = np.where(all_no > 0, (yes * precision).sum(1) / all_yes, np.nan)
    return auc, average


def macro(truth: np.ndarray, said: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the mean of both over the labels [n, m] for each way to weigh the rows [2, b].

    Labels for which a measure is undefined are left out.
    """
    found = np.array([ranking(truth[:, j], said[:, j], weights) for j in range(truth.shape[1])])
    return np.nanmean(found, axis=0)


def resamples(rows: int) -> np.ndarray:
    """Return how often each row is in each draw with replacement [b, n]; same for contenders."""
    return (
        np.random.default_rng(SEED)
        .multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES)
        .astype("float64")
    )


def over_folds(ours: np.ndarray, others: np.ndarray) -> float:
    """Standard error of the mean difference of paired folds [k]."""
    difference = np.asarray(ours) - np.asarray(others)
    return float(difference.std(ddof=1) / np.sqrt(len(difference)))


def ranks(values: np.ndarray) -> np.ndarray:
    """Return each value's rank among the columns [.., c]: 1 is the lowest, ties share their mean.

    NaN has no rank.
    """
    values = np.asarray(values, "float64")
    below = (values[..., None, :] < values[..., :, None]).sum(-1)
    alike = (values[..., None, :] == values[..., :, None]).sum(-1)
    return np.where(np.isnan(values), np.nan, below + (alike + 1) / 2)


def critical_difference(columns: int, sets: int, level: float = 0.05) -> float:
    """From which difference on two mean ranks are told apart by Nemenyi's test (Demsar 2006)."""
    from scipy.stats import studentized_range

    return float(
        studentized_range.ppf(1 - level, columns, np.inf)
        / np.sqrt(2)
        * np.sqrt(columns * (columns + 1) / (6 * sets))
    )
