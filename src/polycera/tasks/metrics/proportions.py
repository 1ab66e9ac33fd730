"""Compute metrics of shares from 0 to 1: proportions, soft labels and soft classes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from polycera.tasks.metrics.metric import Metric, Tallies, divide, mean_of_defined
from polycera.tasks.metrics.tally import Tally
from polycera.typing import Array, Tensor

SMALL = 1e-30
"""Least value of a share inside a logarithm, so that 0 log 0 is 0."""


def _pooled(total: str) -> Any:
    """Return a metric [k]: a sum [k, labels] divided by the number of all known labels."""
    return lambda t: divide(t[total].sum(-1), t["labels"].sum(-1))


def _root(total: str) -> Any:
    """Return the metric that is the root of `_pooled`."""
    return lambda t: np.sqrt(_pooled(total)(t))


def r2(t: Tallies) -> Array:
    """Return the mean coefficient of determination over the labels for which it is defined.

    It is undefined for constant labels.
    """
    # Squares around the rows' own mean, from squares around the training mean.
    spread = t["trivial_squared"] - divide(t["deviation"] ** 2, t["labels"])
    # The difference of nearly equal sums is rounding noise: such labels count as constant.
    spread = np.where(spread > t.get("noise", 1e-12) * t["trivial_squared"], spread, 0.0)
    return mean_of_defined(1.0 - divide(t["squared"], spread))


def trivial_r2(t: Tallies) -> Array:
    """Return R2 of the training mean: 0 at best, less where the mean of these rows differs."""
    return r2({**t, "squared": t["trivial_squared"]})


def _pair(name: str) -> tuple[str, ...]:
    """Return the names of the tallies of a distance and of its trivial value."""
    return ("labels", name, f"trivial_{name}")


def _distances() -> tuple[Metric, ...]:
    """Return metrics of the distance between shares, over all labels of a task."""
    return (
        Metric("rmse", "min", _root("squared"), _root("trivial_squared"), 0.0, _pair("squared")),
        Metric(
            "mae", "min", _pooled("absolute"), _pooled("trivial_absolute"), 0.0, _pair("absolute")
        ),
        Metric("mse", "min", _pooled("squared"), _pooled("trivial_squared"), 0.0, _pair("squared")),
    )


def _log_loss() -> Metric:
    """Return the cross-entropy; its best value is the entropy of the labels and not 0."""
    needs = (*_pair("surprise"), "entropy")
    value, trivial, best = (_pooled(name) for name in ("surprise", "trivial_surprise", "entropy"))
    return Metric("log_loss", "min", value, trivial, 0.0, needs, best=best)


def _differences(
    y: Tensor, answer: Tensor, trivial: Tensor, needs: set[str], xp: Any
) -> dict[str, Tensor]:
    """Return distances of predictions and trivial predictions from labels, all [n, k, units]."""
    differences: dict[str, Tensor] = {}
    for name, distance in (("squared", xp.square), ("absolute", xp.abs)):
        if name in needs:
            differences[name] = distance(answer - y)
            differences[f"trivial_{name}"] = distance(trivial - y)
    return differences


class ShareTally(Tally):
    """Computes sums over shares for each label.

    A proportion has one label, a soft multilabel task several. The sums are exact in training too.
    """

    metrics: ClassVar[dict[str, Metric]] = {
        m.name: m
        for m in (
            *_distances(),
            Metric(
                "brier",
                "min",
                _pooled("squared"),
                _pooled("trivial_squared"),
                0.0,
                _pair("squared"),
            ),
            Metric("r2", "max", r2, trivial_r2, 1.0, (*_pair("squared"), "deviation")),
            _log_loss(),
        )
    }

    def sizes(self, task: Any) -> dict[str, tuple[int, ...]]:
        sums = ("squared", "absolute", "surprise")
        names = ("labels", "deviation", "entropy", *sums, *(f"trivial_{name}" for name in sums))
        return dict.fromkeys(names, (task.units,))

    def batch(self, task, y, raw, prior, counted, needs, xp):  # type: ignore[no-untyped-def]
        prediction, trivial = task.link(raw, xp), task.link(prior, xp)
        values = _differences(y, prediction, trivial, needs, xp)
        values["deviation"] = y - trivial
        if "surprise" in needs:
            values["surprise"] = xp.softplus(raw) - y * raw
            values["trivial_surprise"] = xp.softplus(prior) - y * prior
            values["entropy"] = _surprise(y, xp) + _surprise(1.0 - y, xp)
        sums = {
            name: xp.sum(counted * value, axis=0) for name, value in values.items() if name in needs
        }
        return sums | {"labels": xp.sum(counted, axis=0)}

    def read(self, sums: Tallies) -> Tallies:
        # These sums are float32: labels that vary by less than this count as constant.
        return sums | {"noise": np.array(1e-5)}


def _surprise(share: Tensor, xp: Any) -> Tensor:
    """Return -share log share, which is 0 where the share is 0."""
    return -share * xp.log(xp.maximum(share, SMALL))


def _rows(total: str) -> Any:
    """Return the metric that is a sum divided by the number of labelled rows."""
    return lambda t: divide(t[total], t["labels"])


class SoftClassesTally(Tally):
    """Computes sums over rows whose label is a share of each class; exact in training too.

    `accuracy` compares the most probable class with the class of the largest share. `brier` is the
    sum of the squared distances of all classes. `mse` is their mean, and `mae` the mean distance.
    """

    metrics: ClassVar[dict[str, Metric]] = {
        m.name: m
        for m in (
            Metric(
                "log_loss",
                "min",
                _rows("surprise"),
                _rows("trivial_surprise"),
                0.0,
                (*_pair("surprise"), "entropy"),
                best=_rows("entropy"),
            ),
            Metric("accuracy", "max", _rows("right"), _rows("trivial_right"), 1.0, _pair("right")),
            Metric("brier", "min", _rows("total"), _rows("trivial_total"), 0.0, _pair("total")),
            Metric(
                "mae", "min", _rows("absolute"), _rows("trivial_absolute"), 0.0, _pair("absolute")
            ),
            Metric("mse", "min", _rows("squared"), _rows("trivial_squared"), 0.0, _pair("squared")),
            Metric(
                "rmse",
                "min",
                lambda t: np.sqrt(_rows("squared")(t)),
                lambda t: np.sqrt(_rows("trivial_squared")(t)),
                0.0,
                _pair("squared"),
            ),
        )
    }

    def sizes(self, task: Any) -> dict[str, tuple[int, ...]]:
        sums = ("surprise", "right", "total", "squared", "absolute")
        return dict.fromkeys(
            ("labels", "entropy", *sums, *(f"trivial_{name}" for name in sums)), ()
        )

    def batch(self, task, y, raw, prior, counted, needs, xp):  # type: ignore[no-untyped-def]
        rows, classes = counted[..., 0], task.units
        sums = {"labels": xp.sum(rows, axis=0)}
        values: dict[str, Tensor] = {}
        # `0.0 * raw` broadcasts the trivial predictor's scores to every row.
        for lead, scores in (("", raw), ("trivial_", prior + 0.0 * raw)):
            error = task.link(scores, xp) - y
            values[f"{lead}total"] = xp.sum(xp.square(error), axis=-1)
            values[f"{lead}squared"] = values[f"{lead}total"] / classes
            values[f"{lead}absolute"] = xp.sum(xp.abs(error), axis=-1) / classes
            values[f"{lead}surprise"] = -xp.sum(y * xp.log_softmax(scores, axis=-1), axis=-1)
            is_right = xp.equal(xp.argmax(scores, axis=-1), xp.argmax(y, axis=-1))
            values[f"{lead}right"] = xp.cast(is_right, "float32")
        values["entropy"] = xp.sum(_surprise(y, xp), axis=-1)
        return sums | {
            name: xp.sum(rows * value, axis=0) for name, value in values.items() if name in needs
        }


def trivial_distances(t: Tallies, power: int) -> Array:
    """Return the trivial predictor's distances from one-hot labels, summed over rows, [k].

    Args:
        t: tallies with the confusion matrix [k, classes, classes], the true class in rows, and the
            trivial log-probabilities.
        power: power of the distances, 1 or 2.
    """
    counts = t["confusion"].sum(-1)
    error = np.exp(t["trivial_log_probability"])[..., None, :] - np.eye(counts.shape[-1])
    return np.asarray((counts * (np.abs(error) ** power).sum(-1)).sum(-1))
