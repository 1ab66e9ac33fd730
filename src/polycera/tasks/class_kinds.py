"""Kinds whose labels are classes: binary, multiclass, ordinal, multilabel."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Unpack

import numpy as np

from polycera.errors import InputError, listing, shorten
from polycera.tasks import user_labels
from polycera.tasks.task import ClassTask, Task, TaskOptions
from polycera.tasks.terms import factor
from polycera.typing import Array, TaskName, Tensor

EDGE = 1e-6
"""The trivial predictor's share lies this far from 0 and 1, so that its logit is finite."""

ROUNDING = 1e-6
"""What a share may lie beyond 0 and 1: a sum of float32 does."""

SUM = 1e-3
"""How far the shares of a row may be from adding up to 1: they are often written with three digits."""


class Binary(ClassTask):
    """Yes or no. The network gives one logit, the answer is the probability of the second class.

    Args:
        name: the task's name.
        classes: (negative, positive) as they stand in the data; 0 and 1 (False and True) by
            default.
        pos_weight: factor of positive rows in the default loss, for rare positives.
        label_smoothing: 0 to 1; targets become `y * (1 - s) + s / 2`, as in Keras.
        loss: terms; default `"bce"`.
        weight: the task's factor in the total loss.
        metrics: of `auc`, `average_precision`, `accuracy`, `f1`, `precision`, `recall`,
            `balanced_accuracy`, `log_loss`, `brier`, `mae`, `mse`, `rmse`.

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
        **rest: Unpack[TaskOptions],
    ) -> None:
        self.pos_weight = factor(pos_weight, f"pos_weight of task {shorten(str(name))!r}")
        self.label_smoothing = _smoothing(name, label_smoothing)
        super().__init__(name, classes, **rest)
        _check_used(self, pos_weight=self.pos_weight != 1, label_smoothing=self.label_smoothing > 0)
        if len(self.known_classes()) != 2:
            raise InputError(
                f"Task {shorten(name)!r} (binary) needs two classes, got {listing(classes)}."
            )

    def own_config(self) -> dict[str, Any]:
        extra = {"pos_weight": self.pos_weight, "label_smoothing": self.label_smoothing}
        return super().own_config() | extra

    def _from_one_hot(self, array: Array) -> Array:
        raise InputError(
            f"Task {shorten(self.name)!r}: the target has shape {list(array.shape)}, "
            "but its head (binary) takes one label a row: pass shape [n] or [n, 1]."
        )

    def _way_out(self, strange: Sequence[Any]) -> str:
        numbers = [label for label in strange if isinstance(label, int | float)]
        if len(numbers) < len(strange) or not all(0 <= number <= 1 for number in numbers):
            return ""
        return f"; for shares from 0 to 1 use pc.Proportion({shorten(self.name)!r})"

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
        soft: the label of a row is a share of each class, [n, classes], which add up to 1: votes, a
            mixture, what another model answered. Rows of one class each are taken too.
        loss: terms; default `"cross_entropy"`.
        weight: the task's factor in the total loss.
        metrics: of `accuracy`, `log_loss`, `macro_f1`, `macro_precision`, `macro_recall`,
            `balanced_accuracy`, `auc`, `brier`, `mae`, `mse`; with `soft=True` of `log_loss`,
            `accuracy`, `brier`, `mae`, `mse`, `rmse`.

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
        soft: bool = False,
        **rest: Unpack[TaskOptions],
    ) -> None:
        self.label_smoothing = _smoothing(name, label_smoothing)
        self.soft = bool(soft)
        if self.soft and rest.get("metrics") is None:
            rest["metrics"] = ("log_loss", "accuracy")
        super().__init__(name, classes, **rest)
        _check_used(self, label_smoothing=self.label_smoothing > 0)

    @property
    def units(self) -> int:  # type: ignore[override]
        return len(self.known_classes())

    @property
    def width(self) -> int:  # type: ignore[override]
        return self.units if self.soft else 1

    @property
    def measured_as(self) -> str:
        return "soft multiclass" if self.soft else self.kind

    def own_config(self) -> dict[str, Any]:
        config = super().own_config() | {"label_smoothing": self.label_smoothing}
        return config | {"soft": True} if self.soft else config

    def encode(self, values: Any) -> Array:
        """Return the index of the class [n, 1]; with `soft=True` the share of each class, [n, classes].

        Raises:
            InputError: for labels that are none of the classes, or shares that do not add up to 1.
        """
        if not self.soft:
            return super().encode(values)
        classes = self.known_classes()
        array = user_labels.read(
            self.name, user_labels.in_order(self.name, values, [str(each) for each in classes])
        )
        if array.ndim == 2 and array.shape[1] == len(classes):
            return self._from_shares(user_labels.numbers(self.name, array))
        index = super().encode(values)
        one_hot = (index == np.arange(len(classes))).astype("float64")
        return np.where(np.isnan(index), np.nan, one_hot)

    def _from_shares(self, array: Array) -> Array:
        """Check shares [n, classes]; a row is missing as a whole or not at all."""
        gone = np.asarray(np.isnan(array).all(axis=1))
        known = np.where(gone[:, None], 1.0 / self.units, array)
        total = known.sum(axis=1)
        ok = (known >= -ROUNDING).all(axis=1) & (np.abs(total - 1.0) <= SUM)
        if not ok.all():
            row = int(np.argmin(ok))
            parts = listing([f"{part:g}" for part in array[row]], 5)
            raise InputError(
                f"Task {shorten(self.name)!r} (multiclass, soft=True): row {row} holds {parts}; expected shares of "
                f"0 or more that add up to 1, or NaN in all of a row where the label is missing."
            )
        return np.where(gone[:, None], np.nan, np.maximum(known, 0.0))

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        """Return where encoded labels are ones that `encode` gives, bool."""
        if self.soft:
            sums = xp.abs(xp.sum(y, axis=-1, keepdims=True) - 1.0)
            return xp.logical_and(within_0_and_1(y, xp), xp.less_equal(sums, SUM))
        return super().valid(y, xp)

    @property
    def wanted(self) -> str:
        """Return what a label must be, for the sentence of a warning."""
        return "shares of the classes that add up to 1" if self.soft else super().wanted

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.softmax(raw, axis=-1)

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return y if self.soft else xp.one_hot(xp.cast(y[..., 0], "int32"), self.units)

    def prior(self, encoded: Array) -> Array:
        if not self.soft:
            return np.log(_shares(encoded, self.units))
        mean: Array = np.maximum(np.nanmean(encoded, axis=0), EDGE)
        return np.asarray(np.log(mean / mean.sum()))


class Ordinal(ClassTask):
    """One of several ordered levels. The network gives, for each level but the last, the logit of going beyond it.

    The probabilities are consistent by construction (CORN, Shi 2021, arXiv:2111.08851); the level
    answered is the median of the distribution.

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

    def __init__(
        self,
        name: TaskName,
        classes: Sequence[Any] | int | None = None,
        **rest: Unpack[TaskOptions],
    ) -> None:
        super().__init__(name, classes, **rest)

    @property
    def units(self) -> int:  # type: ignore[override]
        return len(self.known_classes()) - 1

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        beyond = xp.cumprod(xp.sigmoid(raw), axis=-1)
        ones = xp.ones_like(beyond[..., :1])
        return xp.concatenate([ones, beyond], axis=-1) - xp.concatenate(
            [beyond, 0.0 * ones], axis=-1
        )

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

    For labels that are tasks of their own, with weights and metrics of their own, use one `Binary`
    each: it costs the same.

    Args:
        name: the task's name.
        labels: names of the labels, or their number. The target is [n, labels] of 0, 1 and NaN.
        pos_weight: factor of positive labels in the default loss, one for all or one each.
        label_smoothing: 0 to 1, as in Keras.
        soft: each label is a share from 0 to 1, such as 0.37, in place of yes or no; one output of
            many proportions.
        loss: terms; default `"bce"`, averaged over the labels that a row has.
        weight: the task's factor in the total loss.
        metrics: of `map`, `auc`, `accuracy`, `macro_f1`, `micro_f1`, `macro_precision`,
            `macro_recall`, `micro_precision`, `micro_recall`, `hamming`, `subset_accuracy`,
            `ranking_loss`, `log_loss`, `brier`, `mae`, `mse`, `rmse`; with `soft=True` of `rmse`,
            `mae`, `mse`, `brier`, `r2`, `log_loss`.

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
        soft: bool = False,
        **rest: Unpack[TaskOptions],
    ) -> None:
        self.soft = bool(soft)
        if self.soft and rest.get("metrics") is None:
            rest["metrics"] = ("rmse", "mae")
        self.labels = (
            tuple(map(str, range(labels))) if isinstance(labels, int) else tuple(labels or ())
        )
        if labels is not None and (not self.labels or len(set(self.labels)) < len(self.labels)):
            raise InputError(
                f"Task {shorten(str(name))!r} needs labels with different names, got {listing(self.labels)}."
            )
        many = list(pos_weight) if isinstance(pos_weight, Sequence | np.ndarray) else [pos_weight]
        if len(many) not in (1, len(self.labels)):
            raise InputError(
                f"Task {shorten(str(name))!r} has {len(self.labels)} labels but {len(many)} values of pos_weight."
            )
        self.pos_weight = [
            factor(value, f"pos_weight of task {shorten(str(name))!r}") for value in many
        ]
        self.label_smoothing = _smoothing(name, label_smoothing)
        super().__init__(name, **rest)
        _check_used(
            self, pos_weight=set(self.pos_weight) != {1.0}, label_smoothing=self.label_smoothing > 0
        )

    @property
    def units(self) -> int:  # type: ignore[override]
        if not self.labels:
            raise InputError(
                f"Task {shorten(self.name)!r} does not know its labels yet: pass labels=[...]."
            )
        return len(self.labels)

    @property
    def width(self) -> int:  # type: ignore[override]
        return self.units

    @property
    def measured_as(self) -> str:
        return "soft multilabel" if self.soft else self.kind

    @property
    def signature(self) -> Hashable:
        return (*super().signature, self.soft)  # type: ignore[misc]

    def own_config(self) -> dict[str, Any]:
        config = {
            "labels": list(self.labels) or None,
            "pos_weight": self.pos_weight,
            "label_smoothing": self.label_smoothing,
        }
        return config | {"soft": True} if self.soft else config

    def encode(self, values: Any) -> Array:
        """0, 1 and missing ones, [n, labels]; with `soft=True` numbers from 0 to 1.

        Raises:
            InputError: for another shape or another value.
        """
        array = user_labels.read(self.name, user_labels.in_order(self.name, values, self.labels))
        if array.ndim != 2 or array.shape[1] != self.units:
            raise InputError(
                f"Task {shorten(self.name)!r}: the target has shape {list(array.shape)}, "
                f"but its head (multilabel) has {self.units} labels: pass shape [n, {self.units}] of 0, 1 and NaN."
            )
        encoded = user_labels.numbers(self.name, array)
        if self.soft:
            return shares(self, encoded)
        if strange := sorted(set(np.unique(encoded[~np.isnan(encoded)])) - {0.0, 1.0}):
            within = strange[0] >= 0 and strange[-1] <= 1
            way_out = (
                f"; for shares from 0 to 1 use pc.Multilabel({shorten(self.name)!r}, soft=True)"
            )
            raise InputError(
                f"Task {shorten(self.name)!r} (multilabel) got {listing([f'{s:g}' for s in strange], 5)}; "
                f"expected 0, 1, or NaN where a label is missing{way_out if within else ''}."
            )
        return encoded

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        """Return where encoded labels are ones that `encode` gives, bool."""
        if self.soft:
            return within_0_and_1(y, xp)
        return xp.logical_or(xp.equal(y, 0.0), xp.equal(y, 1.0))

    @property
    def wanted(self) -> str:
        """Return what a label must be, for the sentence of a warning."""
        return "a share from 0 to 1" if self.soft else "0 or 1"

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.sigmoid(raw)

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return y

    def prior(self, encoded: Array) -> Array:
        known = ~np.isnan(encoded)
        if self.soft:
            return logit_of_mean(np.where(known.any(axis=0), encoded, 0.5))
        positive = np.nansum(encoded, axis=0)
        count = known.sum(axis=0)
        return np.where(
            count > 0, _logit(positive / np.maximum(count, 1), np.maximum(count, 1)), 0.0
        )

    def decode(self, prediction: Array) -> np.ndarray:
        return prediction

    def answer(self, prediction: Array, thresholds: Array | None = None) -> np.ndarray:
        """0 and 1, [n, labels]; with `soft=True` the shares as they are predicted.

        Args:
            prediction: probability of each label, [n, labels].
            thresholds: a label is said at it and above, [labels]; None: above one half.
        """
        return prediction if self.soft else _yes(prediction, thresholds)


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
        raise InputError(
            f"Task {shorten(str(name))!r}: label_smoothing lies between 0 and 1, got {value:g}."
        )
    return float(value)


def shares(task: Task, encoded: Array) -> Array:
    """Return labels [n, width] that are shares, rounding errors beyond 0 and 1 taken off.

    Raises:
        InputError: naming the first label outside of 0 to 1, and its row.
    """
    with np.errstate(invalid="ignore"):
        outside = (encoded < -ROUNDING) | (encoded > 1.0 + ROUNDING)
    if outside.any():
        row, column = (int(i) for i in np.argwhere(outside)[0])
        percent = (encoded[~np.isnan(encoded)] >= 0).all() and np.nanmax(encoded) <= 100
        hint = (
            ": divide percentages by 100"
            if percent
            else ": use pc.Regression for numbers of any size"
        )
        raise InputError(
            f"Task {shorten(task.name)!r} ({task.measured_as}) got {encoded[row, column]:g} in row {row}; "
            f"expected a share from 0 to 1, or NaN where it is missing{hint}."
        )
    return np.clip(encoded, 0.0, 1.0)


def within_0_and_1(y: Tensor, xp: Any) -> Tensor:
    """Return where labels are shares, bool."""
    return xp.logical_and(xp.greater_equal(y, -ROUNDING), xp.less_equal(y, 1.0 + ROUNDING))


def logit_of_mean(encoded: Array) -> Array:
    """Return the log odds of the mean share of each column, [width]."""
    mean = np.clip(np.nanmean(encoded, axis=0), EDGE, 1.0 - EDGE)
    return np.log(mean / (1.0 - mean))


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
