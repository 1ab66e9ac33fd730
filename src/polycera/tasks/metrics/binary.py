"""Metrics of yes-or-no labels: binary tasks, and multilabel tasks that hold several."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from polycera.tasks import numpy_ops
from polycera.tasks.metrics import ranking
from polycera.tasks.metrics.metric import Metric, Tallies, divide, mean_of_defined
from polycera.tasks.metrics.tally import Tally
from polycera.typing import Array, Tensor

CONFUSION = ("true_positive", "false_positive", "positive", "negative")


def f1(t: Tallies) -> Array:
    """Harmonic mean of precision and recall; undefined where there is neither a positive nor a call."""
    return divide(2 * t["true_positive"], t["positive"] + t["true_positive"] + t["false_positive"])


def accuracy(t: Tallies) -> Array:
    """Share of right answers at a probability of one half."""
    right = t["true_positive"] + t["negative"] - t["false_positive"]
    return divide(right, t["positive"] + t["negative"])


def precision(t: Tallies) -> Array:
    """Share of the calls that are right; undefined without a call."""
    return divide(t["true_positive"], t["true_positive"] + t["false_positive"])


def recall(t: Tallies) -> Array:
    """Share of the positives that are called; undefined without a positive."""
    return divide(t["true_positive"], t["positive"])


def balanced_accuracy(t: Tallies) -> Array:
    """Mean of the shares of positives and of negatives that are answered right; undefined for a single class."""
    return 0.5 * (recall(t) + divide(t["negative"] - t["false_positive"], t["negative"]))


def trivially(metric: Any) -> Any:
    """The metric of the trivial predictor, which says yes to all rows or to none."""

    def of(t: Tallies) -> Array:
        yes = t["prior"] > 0
        says = {"true_positive": yes * t["positive"], "false_positive": yes * t["negative"]}
        return metric({**t, **says})

    return of


def trivial_log_loss(t: Tallies) -> Array:
    """Log-loss of answering the training share of positives on every row."""
    return divide(_trivial_surprise(t), t["positive"] + t["negative"])


def _trivial_surprise(t: Tallies) -> Array:
    return np.asarray(
        t["positive"] * np.logaddexp(0, -t["prior"]) + t["negative"] * np.logaddexp(0, t["prior"])
    )


def prevalence(t: Tallies) -> Array:
    """Share of positives; undefined without one."""
    return divide(np.where(t["positive"] > 0, t["positive"], np.nan), t["positive"] + t["negative"])


def coin(t: Tallies) -> Array:
    """0.5, what any constant reaches; undefined for a single class."""
    return np.where(t["positive"] * t["negative"] > 0, 0.5, np.nan)


def share_of(t: Tallies) -> Array:
    """The trivial predictor's probability."""
    return numpy_ops.sigmoid(t["prior"])


def trivial_squared(t: Tallies) -> Array:
    """Sum of squared distances of the trivial predictor's probability from the labels."""
    q, ones = share_of(t), t["ones"]
    return ones * (1.0 - q) ** 2 + (t["labels"] - ones) * q**2


def trivial_absolute(t: Tallies) -> Array:
    """Sum of distances of the trivial predictor's probability from the labels."""
    q, ones = share_of(t), t["ones"]
    return ones * (1.0 - q) + (t["labels"] - ones) * q


def pooled(total: Any) -> Any:
    """The mean of a sum [k, labels] over all labels of a task, [k]."""
    return lambda t: divide(
        (t[total] if isinstance(total, str) else total(t)).sum(-1), t["labels"].sum(-1)
    )


def rooted(metric: Any) -> Any:
    """The square root of a metric."""
    return lambda t: np.sqrt(metric(t))


_SUMS = ("labels", "ones")
_SQUARED, _ABSOLUTE = (*_SUMS, "squared"), (*_SUMS, "absolute")
DISTANCES = (
    Metric("brier", "min", pooled("squared"), pooled(trivial_squared), 0.0, _SQUARED),
    Metric("mse", "min", pooled("squared"), pooled(trivial_squared), 0.0, _SQUARED),
    Metric(
        "rmse", "min", rooted(pooled("squared")), rooted(pooled(trivial_squared)), 0.0, _SQUARED
    ),
    Metric("mae", "min", pooled("absolute"), pooled(trivial_absolute), 0.0, _ABSOLUTE),
)
"""Distances of probabilities from labels of 0 and 1, over all labels of a task."""


def _squeezed(metric: Any) -> Any:
    """[k, 1], the single label of a binary task -> [k]."""
    return lambda t: metric(t)[..., 0]


def _bins(metric: Any) -> Any:
    return lambda t: metric(t["positive_bins"], t["negative_bins"])


class BinaryTally(Tally):
    """Counts by score. Accuracy, F1 and log-loss are exact in training too; AUC and average precision are not.

    Two sums for each task: a histogram of logits, of which every count follows, and minus
        log-likelihood.
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
        found: dict[str, Tensor] = {}
        if "bins" in needs:
            found["bins"] = ranking.histogram(y, raw, counted, xp)
        if "surprise" in needs:
            found["surprise"] = xp.sum(counted * (xp.softplus(raw) - y * raw), axis=0)
        if "labels" in needs:
            found["labels"], found["ones"] = xp.sum(counted, axis=0), xp.sum(counted * y, axis=0)
        for name, distance in (("squared", xp.square), ("absolute", xp.abs)):
            if name in needs:
                found[name] = xp.sum(counted * distance(xp.sigmoid(raw) - y), axis=0)
        return found

    def read(self, sums: Tallies) -> Tallies:
        if "bins" not in sums:
            return sums
        negative, positive = np.split(sums["bins"], 2, axis=-1)
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
        found = super().exact(task, y, raw, prior, counted, needs - {"bins"})
        if "bins" not in needs:
            return found
        k, e = y.shape[1:]
        flat = [a.reshape(len(a), k * e) for a in (y, raw, counted)]
        positive, negative = ranking.exact_counts(*flat)
        called = counted * (raw > 0)
        return found | {
            "positive_bins": positive.reshape(k, e, -1),
            "negative_bins": negative.reshape(k, e, -1),
            "positive": (counted * y).sum(0),
            "negative": (counted * (1 - y)).sum(0),
            "true_positive": (called * y).sum(0),
            "false_positive": (called * (1 - y)).sum(0),
        }


def macro_f1(t: Tallies) -> Array:
    """Mean F1 over the labels for which it is defined."""
    return mean_of_defined(f1(t))


def macro(metric: Any) -> Any:
    """The mean over the labels that hold or are said in any row; 0 where a metric of such a label is undefined."""

    def of(t: Tallies) -> Array:
        known = t["positive"] + t["true_positive"] + t["false_positive"] > 0
        return mean_of_defined(np.where(known, np.nan_to_num(metric(t)), np.nan))

    return of


def micro(metric: Any) -> Any:
    """The metric of all labels thrown together."""
    return lambda t: metric({name: t[name].sum(-1) for name in CONFUSION})


def hamming(t: Tallies) -> Array:
    """Share of wrong labels."""
    return 1.0 - np.asarray(micro(accuracy)(t))


def _said(name: str, metric: Any) -> Metric:
    """A metric of what is said of the labels, higher is better."""
    return Metric(name, "max", metric, trivially(metric), 1.0, ("bins",))


def _rows(name: str) -> Any:
    return lambda t: divide(t[name], t["rows"])


class MultilabelTally(BinaryTally):
    """What binary tasks count, label by label, and what only whole rows show.

    Exact in training: F1, Hamming loss, subset accuracy, ranking loss. Mean average precision
        (`map`) is not.
    A row's missing labels are left out: `subset_accuracy` asks that all labels it has be right.
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
            _said("micro_f1", micro(f1)),
            _said("macro_precision", macro(precision)),
            Metric("micro_precision", "max", micro(precision), micro(prevalence), 1.0, ("bins",)),
            _said("macro_recall", macro(recall)),
            _said("micro_recall", micro(recall)),
            _said("accuracy", micro(accuracy)),
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
        found = super().batch(task, y, raw, prior, counted, needs, xp)
        if "rows" not in needs:
            return found
        row = xp.cast(xp.greater(xp.sum(counted, axis=-1), 0.0), "float32")
        found["rows"] = xp.sum(row, axis=0)
        for lead, scores in (("", raw), ("trivial_", prior + 0.0 * raw)):
            if f"{lead}all_right" in needs:
                wrong = counted * xp.abs(y - xp.cast(xp.greater(scores, 0.0), "float32"))
                right = xp.cast(xp.equal(xp.sum(wrong, axis=-1), 0.0), "float32")
                found[f"{lead}all_right"] = xp.sum(row * right, axis=0)
            if f"{lead}misordered" in needs:
                found[f"{lead}misordered"] = xp.sum(
                    row * _misordered(y, scores, counted, xp), axis=0
                )
        return found


def _misordered(y: Tensor, scores: Tensor, counted: Tensor, xp: Any) -> Tensor:
    """Share of pairs (label that holds, label that does not) in wrong order or tied, [n, k]; 0 where no pair."""
    true, false = counted * y, counted * (1.0 - y)
    wrong = xp.cast(xp.greater_equal(scores[..., None, :], scores[..., :, None]), "float32")
    pairs = xp.sum(true, axis=-1) * xp.sum(false, axis=-1)
    total = xp.sum(true[..., :, None] * false[..., None, :] * wrong, axis=(-2, -1))
    return total / xp.maximum(pairs, 1.0)
