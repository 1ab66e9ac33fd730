"""Compute metrics of multiclass and ordinal tasks from the confusion matrix."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from polycera.tasks import numpy_ops
from polycera.tasks.metrics import ranking
from polycera.tasks.metrics.metric import Metric, Tallies, divide, mean_of_defined
from polycera.tasks.metrics.proportions import trivial_distances
from polycera.tasks.metrics.tally import Tally
from polycera.typing import Array, Tensor


def accuracy(t: Tallies) -> Array:
    """Return the share of right predictions."""
    return divide(np.trace(t["confusion"], axis1=-2, axis2=-1), t["confusion"].sum((-2, -1)))


def macro_f1(t: Tallies) -> Array:
    """Return the mean F1 over the classes that occur or are predicted, as in scikit-learn."""
    matrix = t["confusion"]
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    return mean_of_defined(divide(2 * right, matrix.sum(-1) + matrix.sum(-2)))


def macro_precision(t: Tallies) -> Array:
    """Return the mean precision over the classes that occur or are predicted.

    The precision of a class that is never predicted is 0.
    """
    return _macro(t, t["confusion"].sum(-2))


def macro_recall(t: Tallies) -> Array:
    """Return the mean recall over the classes that occur or are predicted.

    The recall of a class that does not occur is 0.
    """
    return _macro(t, t["confusion"].sum(-1))


def balanced_accuracy(t: Tallies) -> Array:
    """Return the mean recall over the classes that occur."""
    matrix = t["confusion"]
    return mean_of_defined(divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1)))


def _macro(t: Tallies, of: Array) -> Array:
    """Return the mean of right / `of` over the classes that occur or are predicted."""
    matrix = t["confusion"]
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    occurs = matrix.sum(-1) + matrix.sum(-2) > 0
    return mean_of_defined(np.where(occurs, np.nan_to_num(divide(right, of)), np.nan))


def mean_levels_off(t: Tallies) -> Array:
    """Return the mean absolute error in levels."""
    return divide((t["confusion"] * _distance(t)).sum((-2, -1)), t["confusion"].sum((-2, -1)))


def mean_squared_levels_off(t: Tallies) -> Array:
    """Return the mean squared error in levels."""
    return divide((t["confusion"] * _distance(t) ** 2).sum((-2, -1)), t["confusion"].sum((-2, -1)))


def root_mean_squared_levels_off(t: Tallies) -> Array:
    """Return the root of the mean squared error in levels."""
    return np.sqrt(mean_squared_levels_off(t))


def kappa(t: Tallies) -> Array:
    """Return Cohen's kappa with quadratic weights (Cohen 1968).

    Undefined (NaN) where predictions by chance could not be wrong.
    """
    matrix, weight = t["confusion"], _distance(t) ** 2
    # Without a row all sums are 0. Rows that have weights may add up to less than 1.
    rows = matrix.sum((-2, -1))
    expected = (
        matrix.sum(-1)[..., :, None]
        * matrix.sum(-2)[..., None, :]
        / np.where(rows > 0, rows, 1)[..., None, None]
    )
    return 1.0 - divide((matrix * weight).sum((-2, -1)), (expected * weight).sum((-2, -1)))


def _distance(t: Tallies) -> Array:
    """Return the distance between each two levels, [levels, levels]."""
    levels = np.arange(t["confusion"].shape[-1])
    return np.abs(levels[:, None] - levels).astype(float)


def trivially(metric: Any) -> Any:
    """Return the metric of the trivial predictor, which predicts one class for every row."""

    def of(t: Tallies) -> Array:
        matrix = t["confusion"]
        is_choice = np.arange(matrix.shape[-1]) == t["trivial_choice"][..., None]
        return metric({**t, "confusion": matrix.sum(-1)[..., :, None] * is_choice[..., None, :]})

    return of


def surprise(t: Tallies) -> Array:
    """Return the mean negative log-probability of the true class."""
    return divide(t["surprise"], t["confusion"].sum((-2, -1)))


def trivial_surprise(t: Tallies) -> Array:
    """Return the log loss of predicting the training shares for every row."""
    counts = t["confusion"].sum(-1)
    return divide(-(counts * t["trivial_log_probability"]).sum(-1), counts.sum(-1))


def _mean_distance(total: str) -> Any:
    """Return a metric that is a sum over rows divided by the number of rows."""
    return lambda t: divide(t[total], t["confusion"].sum((-2, -1)))


def _trivial_distance(power: int, mean: bool) -> Any:
    """Return the trivial predictor's `_mean_distance`: the sum over classes, or their mean."""

    def of(t: Tallies) -> Array:
        classes = t["confusion"].shape[-1] if mean else 1
        return divide(trivial_distances(t, power), classes * t["confusion"].sum((-2, -1)))

    return of


def one_against_rest(t: Tallies) -> Array:
    """Return the mean over classes of the area under the ROC curve of a class against the rest."""
    return mean_of_defined(ranking.auc(t["positive_bins"], t["negative_bins"]))


def _coins(t: Tallies) -> Array:
    """Return 0.5, the trivial value of `one_against_rest`; undefined (NaN) for a single class."""
    counts = t["confusion"].sum(-1)
    mixed = (counts > 0) & (counts < counts.sum(-1, keepdims=True))
    return mean_of_defined(np.where(mixed, 0.5, np.nan))


CONFUSION = ("confusion",)
"""Names of the sums for metrics that need the confusion matrix only."""


def counts(y: Tensor, choice: Tensor, counted: Tensor, classes: int, xp: Any) -> Tensor:
    """Return the confusion matrices [k, classes, classes], with the true class in rows.

    Args:
        y: index of the true class, [n, k].
        choice: index of the predicted class, [n, k].
        counted: 1.0 where a label counts, else 0.0, [n, k].
        classes: number of classes.
        xp: `keras.ops` or `polycera.tasks.numpy_ops`.
    """
    k = int(choice.shape[1])
    # One segment sum for all tasks: each has its own range of segments.
    offset = xp.cast(np.arange(k) * classes * classes, "int32")
    index = xp.cast(y, "int32") * classes + xp.cast(choice, "int32") + offset
    size = k * classes * classes
    flat = xp.segment_sum(xp.reshape(counted, (-1,)), xp.reshape(index, (-1,)), num_segments=size)
    return xp.reshape(flat, (k, classes, classes))


class MulticlassTally(Tally):
    """Computes the sums of multiclass tasks: the confusion matrix and the negative log-likelihood.

    All metrics but AUC are exact in training too, up to float32.
    """

    metrics: ClassVar[dict[str, Metric]] = {
        m.name: m
        for m in (
            Metric("accuracy", "max", accuracy, trivially(accuracy), 1.0, CONFUSION),
            Metric("macro_f1", "max", macro_f1, trivially(macro_f1), 1.0, CONFUSION),
            Metric(
                "macro_precision",
                "max",
                macro_precision,
                trivially(macro_precision),
                1.0,
                CONFUSION,
            ),
            Metric("macro_recall", "max", macro_recall, trivially(macro_recall), 1.0, CONFUSION),
            Metric(
                "balanced_accuracy",
                "max",
                balanced_accuracy,
                trivially(balanced_accuracy),
                1.0,
                CONFUSION,
            ),
            Metric("auc", "max", one_against_rest, _coins, 1.0, ("confusion", "bins")),
            Metric("log_loss", "min", surprise, trivial_surprise, 0.0, ("confusion", "surprise")),
            Metric(
                "brier",
                "min",
                _mean_distance("total"),
                _trivial_distance(2, False),
                0.0,
                ("confusion", "total"),
            ),
            Metric(
                "mse",
                "min",
                _mean_distance("squared"),
                _trivial_distance(2, True),
                0.0,
                ("confusion", "squared"),
            ),
            Metric(
                "mae",
                "min",
                _mean_distance("absolute"),
                _trivial_distance(1, True),
                0.0,
                ("confusion", "absolute"),
            ),
        )
    }

    def sizes(self, task: Any) -> dict[str, tuple[int, ...]]:
        classes = task.units
        sums: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("surprise", "total", "squared", "absolute"), ()
        )
        return sums | {"confusion": (classes, classes), "bins": (classes, 2 * ranking.BINS)}

    def constants(self, task: Any, prior: Array) -> Tallies:
        return {
            "trivial_choice": prior.argmax(-1),
            "trivial_log_probability": numpy_ops.log_softmax(prior),
        }

    def batch(self, task, y, raw, prior, counted, needs, xp):  # type: ignore[no-untyped-def]
        choice = xp.argmax(raw, axis=-1)
        sums = {"confusion": counts(y[..., 0], choice, counted[..., 0], task.units, xp)}
        if "surprise" in needs:
            log_likelihood = xp.sum(
                task.as_prediction(y, xp) * xp.log_softmax(raw, axis=-1), axis=-1
            )
            sums["surprise"] = -xp.sum(counted[..., 0] * log_likelihood, axis=0)
        # `squared` and `absolute` are means over the classes, as in Keras; `total` is Brier's sum.
        error = task.link(raw, xp) - task.as_prediction(y, xp)
        for name, distance, classes in (
            ("total", xp.square, 1),
            ("squared", xp.square, task.units),
            ("absolute", xp.abs, task.units),
        ):
            if name in needs:
                sums[name] = (
                    xp.sum(counted[..., 0] * xp.sum(distance(error), axis=-1), axis=0) / classes
                )
        if "bins" in needs:
            sums["bins"] = ranking.histogram(*self.ranked(task, y, raw, counted, xp), xp)
        return sums

    def read(self, sums: Tallies) -> Tallies:
        if "bins" not in sums:
            return sums
        # The histogram has the bins of negatives first; see `ranking.histogram`.
        negative, positive = np.split(sums["bins"], 2, axis=-1)
        return sums | {"positive_bins": positive, "negative_bins": negative}

    def ranked(
        self, task: Any, y: Tensor, raw: Tensor, counted: Tensor, xp: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return labels of 0 and 1, logits and counts of each class against the rest."""
        log_probability = xp.log_softmax(raw, axis=-1)
        # logit(p) = log(p) - log(1 - p). `expm1` keeps 1 - p accurate near p = 1.
        logits = log_probability - xp.log(xp.maximum(-xp.expm1(log_probability), 1e-30))
        is_class = task.as_prediction(y, xp)
        # `0.0 * is_class` broadcasts the counts to every class.
        return is_class, logits, counted + 0.0 * is_class

    def exact(
        self, task: Any, y: Array, raw: Array, prior: Array, counted: Array, needs: set[str]
    ) -> Tallies:
        tallies = super().exact(task, y, raw, prior, counted, needs - {"bins"})
        if "bins" not in needs:
            return tallies
        parts = self.ranked(task, y, raw, counted, numpy_ops)
        k, classes = raw.shape[1:]
        flat = [part.reshape(len(raw), k * classes) for part in parts]
        positive, negative = (part.reshape(k, classes, -1) for part in ranking.exact_counts(*flat))
        return tallies | {"positive_bins": positive, "negative_bins": negative}


class OrdinalTally(Tally):
    """Computes the confusion matrix of ordinal tasks; all metrics are exact in training too."""

    metrics: ClassVar[dict[str, Metric]] = {
        m.name: m
        for m in (
            Metric("mae", "min", mean_levels_off, trivially(mean_levels_off), 0.0, CONFUSION),
            Metric("kappa", "max", kappa, trivially(kappa), 1.0, CONFUSION),
            Metric("accuracy", "max", accuracy, trivially(accuracy), 1.0, CONFUSION),
            Metric(
                "mse",
                "min",
                mean_squared_levels_off,
                trivially(mean_squared_levels_off),
                0.0,
                CONFUSION,
            ),
            Metric(
                "rmse",
                "min",
                root_mean_squared_levels_off,
                trivially(root_mean_squared_levels_off),
                0.0,
                CONFUSION,
            ),
            Metric("macro_f1", "max", macro_f1, trivially(macro_f1), 1.0, CONFUSION),
            Metric(
                "balanced_accuracy",
                "max",
                balanced_accuracy,
                trivially(balanced_accuracy),
                1.0,
                CONFUSION,
            ),
        )
    }

    def sizes(self, task: Any) -> dict[str, tuple[int, ...]]:
        return {"confusion": (task.units + 1, task.units + 1)}

    def constants(self, task: Any, prior: Array) -> Tallies:
        return {"trivial_choice": level(prior, numpy_ops)}

    def batch(self, task, y, raw, prior, counted, needs, xp):  # type: ignore[no-untyped-def]
        return {"confusion": counts(y[..., 0], level(raw, xp), counted[..., 0], task.units + 1, xp)}


def level(raw: Tensor, xp: Any) -> Tensor:
    """Return the median level [...] for raw outputs [..., units].

    It is the number of levels that are exceeded with a probability above one half.
    """
    beyond = xp.cumprod(xp.sigmoid(raw), axis=-1)
    return xp.sum(xp.cast(xp.greater(beyond, 0.5), "int32"), axis=-1)
