"""Compute metrics of yes-or-no labels, for binary and multilabel tasks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from polycera.tasks import numpy_ops
from polycera.tasks.metrics import ranking
from polycera.tasks.metrics.metric import Metric, Tallies, divide, mean_of_defined
from polycera.tasks.metrics.tally import Tally
from polycera.typing import Array, Tensor

CONFUSION = ("true_positive", "false_positive", "positive", "negative")
"""Names of the counts from which F1, accuracy, precision and recall are computed."""


def f1(t: Tallies) -> Array:
    """Return F1, the harmonic mean of precision and recall.

    Undefined (NaN) where there is neither a positive label nor a positive prediction.
    """
    return divide(2 * t["true_positive"], t["positive"] + t["true_positive"] + t["false_positive"])


def accuracy(t: Tallies) -> Array:
    """Return the share of right predictions at a decision threshold of one half."""
    correct = t["true_positive"] + t["negative"] - t["false_positive"]
    return divide(correct, t["positive"] + t["negative"])


def precision(t: Tallies) -> Array:
    """Return the share of positive predictions that are right; undefined (NaN) without one."""
    return divide(t["true_positive"], t["true_positive"] + t["false_positive"])


def recall(t: Tallies) -> Array:
    """Return the share of positives that are predicted; undefined (NaN) without a positive."""
    return divide(t["true_positive"], t["positive"])


def balanced_accuracy(t: Tallies) -> Array:
    """Return the mean of the shares of positives and of negatives that are predicted right.

    Undefined (NaN) where only one class occurs.
    """
    return 0.5 * (recall(t) + divide(t["negative"] - t["false_positive"], t["negative"]))


def trivially(metric: Any) -> Any:
    """Return the metric of the trivial predictor, which predicts the same class for all rows."""

    def of(t: Tallies) -> Array:
        # The prior is a logit: above 0 the positive class is the more frequent one.
        is_positive = t["prior"] > 0
        trivial_counts = {
            "true_positive": is_positive * t["positive"],
            "false_positive": is_positive * t["negative"],
        }
        return metric({**t, **trivial_counts})

    return of


def trivial_log_loss(t: Tallies) -> Array:
    """Return the log loss of predicting the training share of positives for every row."""
    return divide(_trivial_surprise(t), t["positive"] + t["negative"])


def _trivial_surprise(t: Tallies) -> Array:
    """Return the negative log-likelihood of the trivial predictor, summed over rows."""
    return np.asarray(
        t["positive"] * np.logaddexp(0, -t["prior"]) + t["negative"] * np.logaddexp(0, t["prior"])
    )


def prevalence(t: Tallies) -> Array:
    """Return the share of positives; undefined (NaN) without a positive."""
    return divide(np.where(t["positive"] > 0, t["positive"], np.nan), t["positive"] + t["negative"])


def coin(t: Tallies) -> Array:
    """Return 0.5, the value of any constant predictor; undefined (NaN) for a single class."""
    return np.where(t["positive"] * t["negative"] > 0, 0.5, np.nan)


def share_of(t: Tallies) -> Array:
    """Return the trivial predictor's probability of the positive class."""
    return numpy_ops.sigmoid(t["prior"])


def trivial_squared(t: Tallies) -> Array:
    """Return the sum of squared distances of the trivial probability from the labels."""
    q, ones = share_of(t), t["ones"]
    return ones * (1.0 - q) ** 2 + (t["labels"] - ones) * q**2


def trivial_absolute(t: Tallies) -> Array:
    """Return the sum of distances of the trivial probability from the labels."""
    q, ones = share_of(t), t["ones"]
    return ones * (1.0 - q) + (t["labels"] - ones) * q


def pooled(total: Any) -> Any:
    """Return a metric [k]: a sum [k, labels] divided by the number of all known labels."""
    return lambda t: divide(
        (t[total] if isinstance(total, str) else total(t)).sum(-1), t["labels"].sum(-1)
    )


def rooted(metric: Any) -> Any:
    """Return the metric that is the square root of another."""
    return lambda t: np.sqrt(metric(t))


_SUMS = ("labels", "ones")
"""Sums for the trivial predictor: the known labels, and those that are 1."""

_SQUARED = (*_SUMS, "squared")
"""Sums for metrics of squared distances."""
_ABSOLUTE = (*_SUMS, "absolute")
"""Sums for metrics of distances."""

DISTANCES = (
    Metric("brier", "min", pooled("squared"), pooled(trivial_squared), 0.0, _SQUARED),
    Metric("mse", "min", pooled("squared"), pooled(trivial_squared), 0.0, _SQUARED),
    Metric(
        "rmse", "min", rooted(pooled("squared")), rooted(pooled(trivial_squared)), 0.0, _SQUARED
    ),
    Metric("mae", "min", pooled("absolute"), pooled(trivial_absolute), 0.0, _ABSOLUTE),
)
"""Metrics of the distance of probabilities from labels of 0 and 1, over all labels of a task."""


def _squeezed(metric: Any) -> Any:
    """Return a metric [k] from one that gives [k, 1], with the single label of a binary task."""
    return lambda t: metric(t)[..., 0]


def _bins(metric: Any) -> Any:
    """Return a metric of tallies from a function of positive and negative counts by score."""
    return lambda t: metric(t["positive_bins"], t["negative_bins"])


class BinaryTally(Tally):
    """Computes the sums of binary tasks.

    The main sums of a task are a histogram of logits, which gives every count, and the negative
    log-likelihood. Accuracy, F1 and log loss are exact in training too. AUC and average precision
    are approximations in training.
    """

    metrics: ClassVar[dict[str, Metric]] = {
        m.name: m
        for m in (
            Metric("auc", "max", _squeezed(_bins(ranking.auc)), _squeezed(coin), 1.0, ("bins",)),
            Metric(
                "average_precision",
                "max",
                _squeezed(_bins(ranking.average_precision)),
                _squeezed(prevalence),
                1.0,
                ("bins",),
            ),
            Metric(
                "accuracy",
                "max",
                _squeezed(accuracy),
                _squeezed(trivially(accuracy)),
                1.0,
                ("bins",),
            ),
            Metric("f1", "max", _squeezed(f1), _squeezed(trivially(f1)), 1.0, ("bins",)),
            Metric("precision", "max", _squeezed(precision), _squeezed(prevalence), 1.0, ("bins",)),
            Metric(
                "recall", "max", _squeezed(recall), _squeezed(trivially(recall)), 1.0, ("bins",)
            ),
            Metric(
                "balanced_accuracy",
                "max",
                _squeezed(balanced_accuracy),
                _squeezed(coin),
                1.0,
                ("bins",),
            ),
            Metric(
                "log_loss",
                "min",
                _squeezed(lambda t: divide(t["surprise"], t["positive"] + t["negative"])),
                _squeezed(trivial_log_loss),
                0.0,
                ("bins", "surprise"),
            ),
            *DISTANCES,
        )
    }

    def sizes(self, task: Any) -> dict[str, tuple[int, ...]]:
        sums = ("surprise", "labels", "ones", "squared", "absolute")
        return {"bins": (task.units, 2 * ranking.BINS)} | dict.fromkeys(sums, (task.units,))

    def constants(self, task: Any, prior: Array) -> Tallies:
        return {"prior": prior}

    def batch(self, task, y, raw, prior, counted, needs, xp):  # type: ignore[no-untyped-def]
        sums: dict[str, Tensor] = {}
        # Only what a metric needs is computed, because this runs in every training step.
        if "bins" in needs:
            sums["bins"] = ranking.histogram(y, raw, counted, xp)
        if "surprise" in needs:
            sums["surprise"] = xp.sum(counted * (xp.softplus(raw) - y * raw), axis=0)
        if "labels" in needs:
            sums["labels"], sums["ones"] = xp.sum(counted, axis=0), xp.sum(counted * y, axis=0)
        for name, distance in (("squared", xp.square), ("absolute", xp.abs)):
            if name in needs:
                sums[name] = xp.sum(counted * distance(xp.sigmoid(raw) - y), axis=0)
        return sums

    def read(self, sums: Tallies) -> Tallies:
        if "bins" not in sums:
            return sums
        negative, positive = np.split(sums["bins"], 2, axis=-1)
        # A logit of 0, a probability of one half, is the edge between the two halves of the bins.
        half = ranking.BINS // 2
        return sums | {
            "positive_bins": positive,
            "negative_bins": negative,
            "positive": positive.sum(-1),
            "negative": negative.sum(-1),
            "true_positive": positive[..., half:].sum(-1),
            "false_positive": negative[..., half:].sum(-1),
        }

    def exact(
        self, task: Any, y: Array, raw: Array, prior: Array, counted: Array, needs: set[str]
    ) -> Tallies:
        tallies = super().exact(task, y, raw, prior, counted, needs - {"bins"})
        if "bins" not in needs:
            return tallies
        k, e = y.shape[1:]
        flat = [a.reshape(len(a), k * e) for a in (y, raw, counted)]
        positive, negative = ranking.exact_counts(*flat)
        predicted = counted * (raw > 0)
        return tallies | {
            "positive_bins": positive.reshape(k, e, -1),
            "negative_bins": negative.reshape(k, e, -1),
            "positive": (counted * y).sum(0),
            "negative": (counted * (1 - y)).sum(0),
            "true_positive": (predicted * y).sum(0),
            "false_positive": (predicted * (1 - y)).sum(0),
        }


def macro_f1(t: Tallies) -> Array:
    """Return the mean F1 over the labels for which it is defined."""
    return mean_of_defined(f1(t))


def macro(metric: Any) -> Any:
    """Return the mean of a metric over the labels that occur or are predicted in any row.

    Where the metric is undefined for such a label it counts as 0.
    """

    def of(t: Tallies) -> Array:
        occurs = t["positive"] + t["true_positive"] + t["false_positive"] > 0
        return mean_of_defined(np.where(occurs, np.nan_to_num(metric(t)), np.nan))

    return of


def micro(metric: Any) -> Any:
    """Return the metric of the counts of all labels together."""
    return lambda t: metric({name: t[name].sum(-1) for name in CONFUSION})


def hamming(t: Tallies) -> Array:
    """Return the share of wrong labels."""
    return 1.0 - np.asarray(micro(accuracy)(t))


def _at_threshold(name: str, metric: Any) -> Metric:
    """Return a metric of the predicted labels for which higher is better."""
    return Metric(name, "max", metric, trivially(metric), 1.0, ("bins",))


def _rows(name: str) -> Any:
    """Return a metric that is a sum over rows divided by the number of rows."""
    return lambda t: divide(t[name], t["rows"])


class MultilabelTally(BinaryTally):
    """Computes the sums of multilabel tasks.

    They are those of a binary task for each label, and sums over whole rows.

    F1, Hamming loss, subset accuracy and ranking loss are exact in training. Mean average precision
    (`map`) is an approximation there. Missing labels of a row are left out: for `subset_accuracy`
    all known labels of the row must be right.
    """

    metrics: ClassVar[dict[str, Metric]] = {
        m.name: m
        for m in (
            Metric(
                "map",
                "max",
                lambda t: mean_of_defined(_bins(ranking.average_precision)(t)),
                lambda t: mean_of_defined(prevalence(t)),
                1.0,
                ("bins",),
            ),
            Metric("macro_f1", "max", macro_f1, trivially(macro_f1), 1.0, ("bins",)),
            _at_threshold("micro_f1", micro(f1)),
            _at_threshold("macro_precision", macro(precision)),
            Metric("micro_precision", "max", micro(precision), micro(prevalence), 1.0, ("bins",)),
            _at_threshold("macro_recall", macro(recall)),
            _at_threshold("micro_recall", micro(recall)),
            _at_threshold("accuracy", micro(accuracy)),
            Metric(
                "auc",
                "max",
                lambda t: mean_of_defined(_bins(ranking.auc)(t)),
                lambda t: mean_of_defined(coin(t)),
                1.0,
                ("bins",),
            ),
            Metric(
                "log_loss",
                "min",
                lambda t: divide(t["surprise"].sum(-1), (t["positive"] + t["negative"]).sum(-1)),
                lambda t: divide(
                    _trivial_surprise(t).sum(-1), (t["positive"] + t["negative"]).sum(-1)
                ),
                0.0,
                ("bins", "surprise"),
            ),
            *DISTANCES,
            Metric("hamming", "min", hamming, trivially(hamming), 0.0, ("bins",)),
            Metric(
                "subset_accuracy",
                "max",
                _rows("all_right"),
                _rows("trivial_all_right"),
                1.0,
                ("bins", "rows", "all_right", "trivial_all_right"),
            ),
            Metric(
                "ranking_loss",
                "min",
                _rows("misordered"),
                _rows("trivial_misordered"),
                0.0,
                ("bins", "rows", "misordered", "trivial_misordered"),
            ),
        )
    }

    def sizes(self, task: Any) -> dict[str, tuple[int, ...]]:
        rows = ("rows", "all_right", "trivial_all_right", "misordered", "trivial_misordered")
        return super().sizes(task) | dict.fromkeys(rows, ())

    def batch(self, task, y, raw, prior, counted, needs, xp):  # type: ignore[no-untyped-def]
        sums = super().batch(task, y, raw, prior, counted, needs, xp)
        if "rows" not in needs:
            return sums
        # A row counts where at least one of its labels is known, by the row's weight.
        row = xp.max(counted, axis=-1)
        sums["rows"] = xp.sum(row, axis=0)
        # `0.0 * raw` broadcasts the trivial predictor's scores to every row.
        for lead, scores in (("", raw), ("trivial_", prior + 0.0 * raw)):
            if f"{lead}all_right" in needs:
                wrong = counted * xp.abs(y - xp.cast(xp.greater(scores, 0.0), "float32"))
                right = xp.cast(xp.equal(xp.sum(wrong, axis=-1), 0.0), "float32")
                sums[f"{lead}all_right"] = xp.sum(row * right, axis=0)
            if f"{lead}misordered" in needs:
                sums[f"{lead}misordered"] = xp.sum(
                    row * _misordered(y, scores, counted, xp), axis=0
                )
        return sums


def _misordered(y: Tensor, scores: Tensor, counted: Tensor, xp: Any) -> Tensor:
    """Return the share of label pairs in wrong order or tied, [n, k]; 0 where there is no pair.

    A pair is a label that is 1 and a label that is 0 in the same row.
    """
    # Whether a label is known: the weight of the row multiplies the share, not the pairs.
    known = xp.cast(xp.greater(counted, 0.0), "float32")
    true, false = known * y, known * (1.0 - y)
    # Ties count as wrong: a constant score must not look like a perfect order.
    wrong = xp.cast(xp.greater_equal(scores[..., None, :], scores[..., :, None]), "float32")
    pairs = xp.sum(true, axis=-1) * xp.sum(false, axis=-1)
    total = xp.sum(true[..., :, None] * false[..., None, :] * wrong, axis=(-2, -1))
    return total / xp.maximum(pairs, 1.0)
