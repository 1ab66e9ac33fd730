"""Kinds whose labels are classes: binary, multiclass, ordinal, multilabel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from polycera.errors import InputError, listing, shorten
from polycera.shapes import Array, TaskName, Tensor
from polycera.tasks import labels
from polycera.tasks.task import ClassTask, Task
from polycera.tasks.terms import factor


class Binary(ClassTask):
    """Yes or no. The network gives one logit, the answer is the probability of the second class.

    Args:
        name: the task's name.
        classes: (negative, positive) as they stand in the data; 0 and 1 (False and True) by default.
        pos_weight: factor of positive rows in the default loss, for rare positives.
        label_smoothing: 0 to 1; targets become `y * (1 - s) + s / 2`, as in Keras.
        loss: terms; default `"bce"`.
        weight: the task's factor in the total loss.
        metrics: of `auc`, `average_precision`, `accuracy`, `f1`, `log_loss`.

    Examples:
        >>> import polycera as pc
        >>> pc.Binary("churn", classes=("No", "Yes")).encode(["Yes", "No", None]).ravel()
        array([ 1.,  0., nan])
    """

    kind: ClassVar[str] = "binary"
    default_loss: ClassVar[str] = "bce"
    default_metrics: ClassVar[tuple[str, ...]] = ("auc", "accuracy")
    units = 1

    def __init__(
        self,
        name: TaskName,
        classes: Sequence[Any] = (0, 1),
        *,
        pos_weight: float = 1.0,
        label_smoothing: float = 0.0,
        **rest: Any,
    ) -> None:
        self.pos_weight = factor(pos_weight, f"pos_weight of task {shorten(str(name))!r}")
        self.label_smoothing = _smoothing(name, label_smoothing)
        super().__init__(name, classes, **rest)
        _check_used(self, pos_weight=self.pos_weight != 1, label_smoothing=self.label_smoothing > 0)
        if len(self.known_classes()) != 2:
            raise InputError(f"Task {shorten(name)!r} (binary) needs two classes, got {listing(classes)}.")

    def own_config(self) -> dict[str, Any]:
        extra = {"pos_weight": self.pos_weight, "label_smoothing": self.label_smoothing}
        return super().own_config() | extra

    def _from_one_hot(self, array: Array) -> Array:
        raise InputError(
            f"Task {shorten(self.name)!r}: the target has shape {list(array.shape)}, "
            "but its head (binary) takes one label a row: pass shape [n] or [n, 1]."
        )

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.sigmoid(raw)

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return y

    def prior(self, encoded: Array) -> Array:
        return _logit(np.nanmean(encoded, axis=0), _labelled(encoded))

    def choose(self, prediction: Array, threshold: float | None = None) -> np.ndarray:
        """Index of the class one would say, [n].

        Args:
            prediction: probability of the second class, [n, 1].
            threshold: the second class is said at it and above; None: above one half.
        """
        return _yes(prediction[:, 0], threshold)


class Multiclass(ClassTask):
    """One of several classes. The network gives a logit for each, the answer is a probability for each.

    Args:
        name: the task's name.
        classes: the classes as they stand in the data, or their number K for 0..K-1.
            Can be left out with `pc.adopt`, which counts the units of the head.
        label_smoothing: 0 to 1, as in Keras.
        loss: terms; default `"cross_entropy"`.
        weight: the task's factor in the total loss.
        metrics: of `accuracy`, `macro_f1`, `log_loss`.

    Examples:
        >>> import polycera as pc
        >>> pc.Multiclass("colour", classes=["red", "green", "blue"]).encode(["blue", None]).ravel()
        array([ 2., nan])
    """

    kind: ClassVar[str] = "multiclass"
    default_loss: ClassVar[str] = "cross_entropy"
    default_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "log_loss")

    def __init__(
        self,
        name: TaskName,
        classes: Sequence[Any] | int | None = None,
        *,
        label_smoothing: float = 0.0,
        **rest: Any,
    ) -> None:
        self.label_smoothing = _smoothing(name, label_smoothing)
        super().__init__(name, classes, **rest)
        _check_used(self, label_smoothing=self.label_smoothing > 0)

    @property
    def units(self) -> int:  # type: ignore[override]
        return len(self.known_classes())

    def own_config(self) -> dict[str, Any]:
        return super().own_config() | {"label_smoothing": self.label_smoothing}

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.softmax(raw, axis=-1)

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return xp.one_hot(xp.cast(y[..., 0], "int32"), self.units)

    def prior(self, encoded: Array) -> Array:
        return np.log(_shares(encoded, self.units))


class Ordinal(ClassTask):
    """One of several ordered levels. The network gives, for each level but the last, the logit of going beyond it.

    The probabilities are consistent by construction (CORN, Shi 2021, arXiv:2111.08851); the level answered is the
    median of the distribution.

    Args:
        name: the task's name.
        classes: the levels from lowest to highest, or their number K for 0..K-1.
        loss: terms; default `"corn"`.
        weight: the task's factor in the total loss.
        metrics: of `mae` (in levels), `kappa` (quadratic weights), `accuracy`.

    Examples:
        >>> import polycera as pc
        >>> pc.Ordinal("grade", classes=["poor", "fair", "good"]).units
        2
    """

    kind: ClassVar[str] = "ordinal"
    default_loss: ClassVar[str] = "corn"
    default_metrics: ClassVar[tuple[str, ...]] = ("mae", "kappa")

    def __init__(self, name: TaskName, classes: Sequence[Any] | int | None = None, **rest: Any) -> None:
        super().__init__(name, classes, **rest)

    @property
    def units(self) -> int:  # type: ignore[override]
        return len(self.known_classes()) - 1

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        beyond = xp.cumprod(xp.sigmoid(raw), axis=-1)
        ones = xp.ones_like(beyond[..., :1])
        return xp.concatenate([ones, beyond], axis=-1) - xp.concatenate([beyond, 0.0 * ones], axis=-1)

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return xp.one_hot(xp.cast(y[..., 0], "int32"), self.units + 1)

    def prior(self, encoded: Array) -> Array:
        shares = _shares(encoded, self.units + 1)
        reached = np.cumsum(shares[::-1])[::-1]
        return np.log(reached[1:] / shares[:-1])

    def choose(self, prediction: Array) -> np.ndarray:
        return (np.cumsum(prediction, axis=1)[:, :-1] < 0.5).sum(axis=1)


class Multilabel(Task):
    """Several yes-or-no labels that belong together, any of which may be missing.

    For labels that are tasks of their own, with weights and metrics of their own, use one `Binary` each: it costs
    the same.

    Args:
        name: the task's name.
        labels: names of the labels, or their number. The target is [n, labels] of 0, 1 and NaN.
        pos_weight: factor of positive labels in the default loss, one for all or one each.
        label_smoothing: 0 to 1, as in Keras.
        loss: terms; default `"bce"`, averaged over the labels that a row has.
        weight: the task's factor in the total loss.
        metrics: of `macro_f1`, `micro_f1`, `map`, `hamming`, `subset_accuracy`, `ranking_loss`.

    Examples:
        >>> import polycera as pc
        >>> pc.Multilabel("moods", labels=["calm", "sad"]).encode([[0, 1], [1, None]])
        array([[ 0.,  1.],
               [ 1., nan]])
    """

    kind: ClassVar[str] = "multilabel"
    default_loss: ClassVar[str] = "bce"
    default_metrics: ClassVar[tuple[str, ...]] = ("map", "macro_f1")

    def __init__(
        self,
        name: TaskName,
        labels: Sequence[str] | int | None = None,
        *,
        pos_weight: float | Sequence[float] = 1.0,
        label_smoothing: float = 0.0,
        **rest: Any,
    ) -> None:
        self.labels = tuple(map(str, range(labels))) if isinstance(labels, int) else tuple(labels or ())
        if labels is not None and (not self.labels or len(set(self.labels)) < len(self.labels)):
            raise InputError(
                f"Task {shorten(str(name))!r} needs labels with different names, got {listing(self.labels)}."
            )
        many = list(pos_weight) if isinstance(pos_weight, Sequence | np.ndarray) else [pos_weight]
        if len(many) not in (1, len(self.labels)):
            raise InputError(
                f"Task {shorten(str(name))!r} has {len(self.labels)} labels but {len(many)} values of pos_weight."
            )
        self.pos_weight = [factor(value, f"pos_weight of task {shorten(str(name))!r}") for value in many]
        self.label_smoothing = _smoothing(name, label_smoothing)
        super().__init__(name, **rest)
        _check_used(self, pos_weight=set(self.pos_weight) != {1.0}, label_smoothing=self.label_smoothing > 0)

    @property
    def units(self) -> int:  # type: ignore[override]
        if not self.labels:
            raise InputError(f"Task {shorten(self.name)!r} does not know its labels yet: pass labels=[...].")
        return len(self.labels)

    @property
    def width(self) -> int:  # type: ignore[override]
        return self.units

    def own_config(self) -> dict[str, Any]:
        return {
            "labels": list(self.labels) or None,
            "pos_weight": self.pos_weight,
            "label_smoothing": self.label_smoothing,
        }

    def encode(self, values: Any) -> Array:
        """0, 1 and missing ones, [n, labels].

        Raises:
            InputError: for another shape or another value.
        """
        array = labels.read(self.name, values)
        if array.ndim != 2 or array.shape[1] != self.units:
            raise InputError(
                f"Task {shorten(self.name)!r}: the target has shape {list(array.shape)}, "
                f"but its head (multilabel) has {self.units} labels: pass shape [n, {self.units}] of 0, 1 and NaN."
            )
        encoded = labels.numbers(self.name, array)
        if strange := sorted(set(np.unique(encoded[~np.isnan(encoded)])) - {0.0, 1.0}):
            raise InputError(
                f"Task {shorten(self.name)!r} (multilabel) got {listing([f'{s:g}' for s in strange], 5)}; "
                "expected 0, 1, or NaN where a label is missing."
            )
        return encoded

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.sigmoid(raw)

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return y

    def prior(self, encoded: Array) -> Array:
        known = ~np.isnan(encoded)
        positive = np.nansum(encoded, axis=0)
        count = known.sum(axis=0)
        return np.where(count > 0, _logit(positive / np.maximum(count, 1), np.maximum(count, 1)), 0.0)

    def decode(self, prediction: Array) -> np.ndarray:
        return prediction

    def answer(self, prediction: Array, thresholds: Array | None = None) -> np.ndarray:
        """0 and 1, [n, labels].

        Args:
            prediction: probability of each label, [n, labels].
            thresholds: a label is said at it and above, [labels]; None: above one half.
        """
        return _yes(prediction, thresholds)


def _yes(probability: Array, threshold: Array | float | None) -> np.ndarray:
    return (probability > 0.5 if threshold is None else probability >= threshold).astype(int)


def _check_used(task: Task, **given: bool) -> None:
    """Refuse options of the default loss where the task has other terms only: they would be ignored."""
    if any(term.loss == task.default_loss for term in task.terms):
        return
    for option, is_given in given.items():
        if is_given:
            raise InputError(
                f"Task {shorten(task.name)!r}: {option} is an option of the loss {task.default_loss!r}, which is not "
                "among its terms; drop it, or set it on the loss itself."
            )


def _smoothing(name: TaskName, value: float) -> float:
    if not 0 <= factor(value, f"label_smoothing of task {shorten(str(name))!r}") <= 1:
        raise InputError(f"Task {shorten(str(name))!r}: label_smoothing lies between 0 and 1, got {value:g}.")
    return float(value)


def _labelled(encoded: Array) -> int:
    return max(int((~np.isnan(encoded)).sum()), 1)


def _logit(share: Any, count: Any) -> Any:
    """Log odds of a share, no further out than half a case in `count` could say."""
    edge = 0.5 / (count + 1.0)
    share = np.clip(share, edge, 1.0 - edge)
    return np.log(share / (1.0 - share))


def _shares(encoded: Array, classes: int) -> Array:
    """Share of each class; one without a case counts as half a case, so that none is 0."""
    known = encoded[~np.isnan(encoded)].astype(int)
    counts = np.maximum(np.bincount(known, minlength=classes)[:classes], 0.5)
    return counts / counts.sum()
