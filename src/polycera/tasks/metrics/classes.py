"""Metrics of one class out of several, from the confusion matrix: multiclass and ordinal."""

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
    """Share of right answers."""
    return divide(np.trace(t["confusion"], axis1=-2, axis2=-1), t["confusion"].sum((-2, -1)))


def macro_f1(t: Tallies) -> Array:
    """Mean F1 over the classes that occur or are answered, as scikit-learn has it."""
    matrix = t["confusion"]
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    return mean_of_defined(divide(2 * right, matrix.sum(-1) + matrix.sum(-2)))


def macro_precision(t: Tallies) -> Array:
    """Mean precision over the classes that occur or are answered, 0 for one that is never answered."""
    return _macro(t, t["confusion"].sum(-2))


def macro_recall(t: Tallies) -> Array:
    """Mean recall over the classes that occur or are answered, 0 for one that does not occur."""
    return _macro(t, t["confusion"].sum(-1))


def balanced_accuracy(t: Tallies) -> Array:
    """Mean over the classes that occur of the share answered right."""
    matrix = t["confusion"]
    return mean_of_defined(divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1)))


def _macro(t: Tallies, of: Array) -> Array:
    matrix = t["confusion"]
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    known = matrix.sum(-1) + matrix.sum(-2) > 0
    return mean_of_defined(np.where(known, np.nan_to_num(divide(right, of)), np.nan))


def mean_levels_off(t: Tallies) -> Array:
    """Mean absolute error in levels."""
    return divide((t["confusion"] * _distance(t)).sum((-2, -1)), t["confusion"].sum((-2, -1)))


def mean_squared_levels_off(t: Tallies) -> Array:
    """Mean squared error in levels."""
    return divide((t["confusion"] * _distance(t) ** 2).sum((-2, -1)), t["confusion"].sum((-2, -1)))


def root_mean_squared_levels_off(t: Tallies) -> Array:
    """Root of the mean squared error in levels."""
    return np.sqrt(mean_squared_levels_off(t))


def kappa(t: Tallies) -> Array:
    """Cohen's kappa with quadratic weights (Cohen 1968); undefined where chance could not be wrong."""
    matrix, weight = t["confusion"], _distance(t) ** 2
    expected = (
        matrix.sum(-1)[..., :, None]
        * matrix.sum(-2)[..., None, :]
        / np.maximum(matrix.sum((-2, -1)), 1)[..., None, None]
    )
    return 1.0 - divide((matrix * weight).sum((-2, -1)), (expected * weight).sum((-2, -1)))


def _distance(t: Tallies) -> Array:
    levels = np.arange(t["confusion"].shape[-1])
    return np.abs(levels[:, None] - levels).astype(float)


def trivially(metric: Any) -> Any:
    """The metric of the trivial predictor, which answers one class on every row."""

    def of(t: Tallies) -> Array:
        matrix = t["confusion"]
        said = np.arange(matrix.shape[-1]) == t["trivial_choice"][..., None]
        return metric({**t, "confusion": matrix.sum(-1)[..., :, None] * said[..., None, :]})

    return of


def surprise(t: Tallies) -> Array:
    """Mean minus log-probability of the class that was the case."""
    return divide(t["surprise"], t["confusion"].sum((-2, -1)))


def trivial_surprise(t: Tallies) -> Array:
    """Log-loss of answering the training shares on every row."""
    counts = t["confusion"].sum(-1)
    return divide(-(counts * t["trivial_log_probability"]).sum(-1), counts.sum(-1))


def _mean_distance(total: str) -> Any:
    """A sum over rows divided by their number."""
    return lambda t: divide(t[total], t["confusion"].sum((-2, -1)))


def _trivial_distance(power: int, mean: bool) -> Any:
    """The same of the trivial predictor, over all classes or their mean."""

    def of(t: Tallies) -> Array:
        classes = t["confusion"].shape[-1] if mean else 1
        return divide(trivial_distances(t, power), classes * t["confusion"].sum((-2, -1)))

    return of


def one_against_rest(t: Tallies) -> Array:
    """Mean over the classes of the area under the ROC curve of the class against all others."""
    return mean_of_defined(ranking.auc(t["positive_bins"], t["negative_bins"]))


def _coins(t: Tallies) -> Array:
    counts = t["confusion"].sum(-1)
    mixed = (counts > 0) & (counts < counts.sum(-1, keepdims=True))
    return mean_of_defined(np.where(mixed, 0.5, np.nan))


CONFUSION = ("confusion",)


def counts(y: Tensor, choice: Tensor, counted: Tensor, classes: int, xp: Any) -> Tensor:
    """True class [n, k], answered class [n, k] -> confusion matrices [k, classes, classes], the truth in rows."""
    k = int(choice.shape[1])
    offset = xp.cast(np.arange(k) * classes * classes, "int32")
    index = xp.cast(y, "int32") * classes + xp.cast(choice, "int32") + offset
    size = k * classes * classes
    flat = xp.segment_sum(xp.reshape(counted, (-1,)), xp.reshape(index, (-1,)), num_segments=size)
    return xp.reshape(flat, (k, classes, classes))


class MulticlassTally(Tally):
    """Confusion matrix and minus log-likelihood: all metrics are exact in training too, up to float32."""

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
        found = {"confusion": counts(y[..., 0], choice, counted[..., 0], task.units, xp)}
        if "surprise" in needs:
            hit = xp.sum(task.as_prediction(y, xp) * xp.log_softmax(raw, axis=-1), axis=-1)
            found["surprise"] = -xp.sum(counted[..., 0] * hit, axis=0)
        off = task.link(raw, xp) - task.as_prediction(y, xp)
        for name, distance, classes in (
            ("total", xp.square, 1),
            ("squared", xp.square, task.units),
            ("absolute", xp.abs, task.units),
        ):
            if name in needs:
                found[name] = (
                    xp.sum(counted[..., 0] * xp.sum(distance(off), axis=-1), axis=0) / classes
                )
        if "bins" in needs:
            found["bins"] = ranking.histogram(*_against_rest(task, y, raw, counted, xp), xp)
        return found

    def read(self, sums: Tallies) -> Tallies:
        if "bins" not in sums:
            return sums
        negative, positive = np.split(sums["bins"], 2, axis=-1)
        return sums | {"positive_bins": positive, "negative_bins": negative}

    def exact(
        self, task: Any, y: Array, raw: Array, prior: Array, counted: Array, needs: set[str]
    ) -> Tallies:
        found = super().exact(task, y, raw, prior, counted, needs - {"bins"})
        if "bins" not in needs:
            return found
        parts = _against_rest(task, y, raw, counted, numpy_ops)
        k, classes = raw.shape[1:]
        flat = [part.reshape(len(raw), k * classes) for part in parts]
        positive, negative = (part.reshape(k, classes, -1) for part in ranking.exact_counts(*flat))
        return found | {"positive_bins": positive, "negative_bins": negative}


def _against_rest(
    task: Any, y: Tensor, raw: Tensor, counted: Tensor, xp: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Labels of 0 and 1, logits and counts of each class against all others, all [n, k, classes]."""
    shares = xp.log_softmax(raw, axis=-1)
    logits = shares - xp.log(xp.maximum(-xp.expm1(shares), 1e-30))
    is_class = task.as_prediction(y, xp)
    return is_class, logits, counted + 0.0 * is_class


class OrdinalTally(Tally):
    """Confusion matrix of levels: all metrics are exact in training too."""

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
    """The median level: how many steps are passed with a probability above one half. [..., units] -> [...]."""
    beyond = xp.cumprod(xp.sigmoid(raw), axis=-1)
    return xp.sum(xp.cast(xp.greater(beyond, 0.5), "int32"), axis=-1)
