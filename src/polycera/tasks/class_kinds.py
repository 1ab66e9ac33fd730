"""Define the kinds whose labels are classes: binary, multiclass, ordinal, multilabel."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Unpack

import numpy as np

from polycera.errors import InputError, listing, shorten
from polycera.tasks import class_weights, user_labels, weighted_labels
from polycera.tasks.task import ClassTask, ClassTaskOptions, Task, TaskOptions
from polycera.tasks.terms import factor
from polycera.typing import Array, TaskName, Tensor

EDGE = 1e-6
"""Least distance of the trivial predictor's share from 0 and 1, so that its logit is finite."""

ROUNDING = 1e-6
"""How far a share may lie outside of 0 to 1: sums in float32 have such rounding errors."""

SUM = 1e-3
"""How far the sum of a row's shares may be from 1: shares are often written with three digits."""


class Binary(ClassTask):
    """Describes a task with two classes.

    The network gives one logit. The prediction is the probability of the second class.

    Args:
        name: the task's name.
        classes: (negative, positive) as they are written in the data; 0 and 1 (False and True) by
            default.
        pos_weight: factor of positive rows in the default loss, for rare positives.
        label_smoothing: 0 to 1; targets become `y * (1 - s) + s / 2`, as in Keras.
        loss: terms; default `"bce"`.
        weight: the task's factor in the total loss.
        class_weight: {label: weight}, a factor of the loss of the rows of a class; "balanced": all
            classes count the same. Metrics do not use it.
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
        **rest: Unpack[ClassTaskOptions],
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
        options = {"pos_weight": self.pos_weight, "label_smoothing": self.label_smoothing}
        return super().own_config() | options

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

    def prior(self, encoded: Array, weights: Array | None = None) -> Array:
        return _logit(weighted_labels.mean(encoded, weights), _labelled(encoded))

    def choose(self, prediction: Array, threshold: float | None = None) -> np.ndarray:
        """Return the index of the predicted class, [n].

        Args:
            prediction: probability of the second class, [n, 1].
            threshold: decision threshold: the second class is predicted from this probability on.
                None: above one half.
        """
        return _is_positive(prediction[:, 0], threshold)


class Multiclass(ClassTask):
    """Describes a task with one of several classes in each row.

    The network gives a logit for each class. The prediction is a probability for each class.

    Args:
        name: the task's name.
        classes: the classes as they are written in the data, or their number K for 0..K-1.
            Can be left out with `pc.adopt`, which counts the output columns of the head.
        label_smoothing: 0 to 1, as in Keras.
        soft: the label of a row is a share of each class, [n, classes], and the shares add up to 1:
            votes, a mixture, the prediction of another model. Labels of one class for each row are
            accepted too.
        loss: terms; default `"cross_entropy"`.
        weight: the task's factor in the total loss.
        class_weight: {label: weight}, a factor of the loss of the rows of a class; "balanced": all
            classes count the same. Metrics do not use it.
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
        **rest: Unpack[ClassTaskOptions],
    ) -> None:
        self.label_smoothing = _smoothing(name, label_smoothing)
        self.soft = bool(soft)
        _check_hard(name, self.soft, rest.get("class_weight"))
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
        """Return the index of the class [n, 1], or with `soft=True` the shares [n, classes].

        Raises:
            InputError: for labels that are none of the classes, or shares that do not add up to 1.
        """
        if not self.soft:
            return super().encode(values)
        classes = self.known_classes()
        array = user_labels.read(
            self.name, user_labels.in_order(self.name, values, [str(label) for label in classes])
        )
        if array.ndim == 2 and array.shape[1] == len(classes):
            return self._from_shares(user_labels.numbers(self.name, array))
        index = super().encode(values)
        one_hot = (index == np.arange(len(classes))).astype("float64")
        return np.where(np.isnan(index), np.nan, one_hot)

    def _from_shares(self, array: Array) -> Array:
        """Return checked shares [n, classes]; a row is missing as a whole or not at all."""
        is_missing = np.asarray(np.isnan(array).all(axis=1))
        # Missing rows pass the checks below with equal shares, and become NaN again at the end.
        filled = np.where(is_missing[:, None], 1.0 / self.units, array)
        sums = filled.sum(axis=1)
        is_valid = (filled >= -ROUNDING).all(axis=1) & (np.abs(sums - 1.0) <= SUM)
        if not is_valid.all():
            row = int(np.argmin(is_valid))
            parts = listing([f"{part:g}" for part in array[row]], 5)
            raise InputError(
                f"Task {shorten(self.name)!r} (multiclass, soft=True): row {row} holds {parts}; "
                "expected shares of 0 or more that add up to 1, or NaN in all of a row where the "
                "label is missing."
            )
        return np.where(is_missing[:, None], np.nan, np.maximum(filled, 0.0))

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        """Return where encoded labels are values that `encode` can give, as bool."""
        if self.soft:
            sums = xp.abs(xp.sum(y, axis=-1, keepdims=True) - 1.0)
            return xp.logical_and(within_0_and_1(y, xp), xp.less_equal(sums, SUM))
        return super().valid(y, xp)

    @property
    def wanted(self) -> str:
        """Return a phrase for warnings: what a label must be."""
        return "shares of the classes that add up to 1" if self.soft else super().wanted

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.softmax(raw, axis=-1)

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return y if self.soft else xp.one_hot(xp.cast(y[..., 0], "int32"), self.units)

    def prior(self, encoded: Array, weights: Array | None = None) -> Array:
        if not self.soft:
            return np.log(_shares(encoded, self.units, weights))
        # No class has a share of 0, whose logarithm is infinite.
        mean_shares: Array = np.maximum(weighted_labels.mean(encoded, weights), EDGE)
        return np.asarray(np.log(mean_shares / mean_shares.sum()))


class Ordinal(ClassTask):
    """Describes a task with one of several ordered levels in each row.

    For each level but the last, the network gives the logit of going beyond it, given that the
    level is reached. The probabilities are consistent by construction (CORN, Shi 2021,
    arXiv:2111.08851). The predicted level is the median of the distribution.

    Args:
        name: the task's name.
        classes: the levels from lowest to highest, or their number K for 0..K-1.
        loss: terms; default `"corn"`.
        weight: the task's factor in the total loss.
        class_weight: {label: weight}, a factor of the loss of the rows of a class; "balanced": all
            classes count the same. Metrics do not use it.
        metrics: of `mae` (in levels), `kappa` (quadratic weights), `accuracy`, `mse`, `rmse`,
            `macro_f1`, `balanced_accuracy`.

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
        **rest: Unpack[ClassTaskOptions],
    ) -> None:
        super().__init__(name, classes, **rest)

    @property
    def units(self) -> int:  # type: ignore[override]
        return len(self.known_classes()) - 1

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        # Products of the conditional probabilities are P(level > k); differences are P(level = k).
        beyond = xp.cumprod(xp.sigmoid(raw), axis=-1)
        ones = xp.ones_like(beyond[..., :1])
        return xp.concatenate([ones, beyond], axis=-1) - xp.concatenate(
            [beyond, 0.0 * ones], axis=-1
        )

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return xp.one_hot(xp.cast(y[..., 0], "int32"), self.units + 1)

    def prior(self, encoded: Array, weights: Array | None = None) -> Array:
        shares = _shares(encoded, self.units + 1, weights)
        # Logit of P(level > k | level >= k) = log(P(level >= k + 1) / P(level = k)).
        reached = np.cumsum(shares[::-1])[::-1]
        return np.log(reached[1:] / shares[:-1])

    def choose(self, prediction: Array) -> np.ndarray:
        # The median: the number of levels whose cumulative probability is below one half.
        return (np.cumsum(prediction, axis=1)[:, :-1] < 0.5).sum(axis=1)


class Multilabel(Task):
    """Describes a task with several yes-or-no labels in each row, any of which may be missing.

    For labels that need their own weights and metrics use one `Binary` for each. It costs the same.

    Args:
        name: the task's name.
        labels: names of the labels, or their number. The target is [n, labels] of 0, 1 and NaN.
        pos_weight: factor of positive labels in the default loss: one number or one per label.
        label_smoothing: 0 to 1, as in Keras.
        soft: each label is a share from 0 to 1, such as 0.37, in place of yes or no. One task then
            holds many proportions.
        loss: terms; default `"bce"`, averaged over the known labels of a row.
        weight: the task's factor in the total loss.
        class_weight: {label: weight}, a factor of the loss of the rows that have the label, or
            {label: (weight of 0, weight of 1)}; "balanced": both count the same, for each label.
            Unlike `pos_weight` it holds for every loss term. Metrics do not use it.
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
        class_weight: Any = None,
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
                f"Task {shorten(str(name))!r} needs labels with different names, got "
                f"{listing(self.labels)}."
            )
        pos_weights = (
            list(pos_weight) if isinstance(pos_weight, Sequence | np.ndarray) else [pos_weight]
        )
        if len(pos_weights) not in (1, len(self.labels)):
            raise InputError(
                f"Task {shorten(str(name))!r} has {len(self.labels)} labels but {len(pos_weights)} "
                "values of pos_weight."
            )
        self.pos_weight = [
            factor(value, f"pos_weight of task {shorten(str(name))!r}") for value in pos_weights
        ]
        self.label_smoothing = _smoothing(name, label_smoothing)
        _check_hard(name, self.soft, class_weight)
        self.class_weight = class_weights.of_labels(str(name), class_weight, self.labels)
        super().__init__(name, **rest)
        _check_used(
            self, pos_weight=set(self.pos_weight) != {1.0}, label_smoothing=self.label_smoothing > 0
        )

    @property
    def units(self) -> int:  # type: ignore[override]
        if not self.labels:
            raise InputError(f"Task {shorten(self.name)!r} has no labels yet: pass labels=[...].")
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
        } | class_weights.config(self.class_weight)
        return config | {"soft": True} if self.soft else config

    def encode(self, values: Any) -> Array:
        """Return labels [n, labels] of 0, 1 and NaN; with `soft=True` numbers from 0 to 1.

        Raises:
            InputError: for any other shape or value.
        """
        array = user_labels.read(self.name, user_labels.in_order(self.name, values, self.labels))
        if array.ndim != 2 or array.shape[1] != self.units:
            raise InputError(
                f"Task {shorten(self.name)!r}: the target has shape {list(array.shape)}, but its "
                f"head (multilabel) has {self.units} labels: pass shape [n, {self.units}] of 0, 1 "
                "and NaN."
            )
        encoded = user_labels.numbers(self.name, array)
        if self.soft:
            return shares(self, encoded)
        if other_values := sorted(set(np.unique(encoded[~np.isnan(encoded)])) - {0.0, 1.0}):
            are_shares = other_values[0] >= 0 and other_values[-1] <= 1
            way_out = (
                f"; for shares from 0 to 1 use pc.Multilabel({shorten(self.name)!r}, soft=True)"
            )
            raise InputError(
                f"Task {shorten(self.name)!r} (multilabel) got "
                f"{listing([f'{s:g}' for s in other_values], 5)}; expected 0, 1, or NaN where a "
                f"label is missing{way_out if are_shares else ''}."
            )
        return encoded

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        """Return where encoded labels are values that `encode` can give, as bool."""
        if self.soft:
            return within_0_and_1(y, xp)
        return xp.logical_or(xp.equal(y, 0.0), xp.equal(y, 1.0))

    @property
    def wanted(self) -> str:
        """Return a phrase for warnings: what a label must be."""
        return "a share from 0 to 1" if self.soft else "0 or 1"

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.sigmoid(raw)

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return y

    def prior(self, encoded: Array, weights: Array | None = None) -> Array:
        known = ~np.isnan(encoded)
        if self.soft:
            # A label without any value gets a share of 0.5, that is a logit of 0, as below.
            return logit_of_mean(np.where(known.any(axis=0), encoded, 0.5), weights)
        positive, count = np.nansum(encoded, axis=0), known.sum(axis=0)
        if weights is not None:
            share = weighted_labels.mean(np.where(count > 0, encoded, 0.5), weights)
            return _logit(share, np.maximum(count, 1))
        return np.where(
            count > 0, _logit(positive / np.maximum(count, 1), np.maximum(count, 1)), 0.0
        )

    def decode(self, prediction: Array) -> np.ndarray:
        return prediction

    def answer(self, prediction: Array, thresholds: Array | None = None) -> np.ndarray:
        """Return predicted labels of 0 and 1, [n, labels]; with `soft=True` the predicted shares.

        Args:
            prediction: probability of each label, [n, labels].
            thresholds: decision thresholds [labels]: a label is predicted from this probability on.
                None: above one half.
        """
        return prediction if self.soft else _is_positive(prediction, thresholds)


def _is_positive(probability: Array, threshold: Array | float | None) -> np.ndarray:
    """Return 1 where the positive class is predicted, else 0."""
    return (probability > 0.5 if threshold is None else probability >= threshold).astype(int)


def _check_used(task: Task, **options: bool) -> None:
    """Refuse options of the default loss where no term of the task is that loss.

    They would be ignored in silence.
    """
    if any(term.loss == task.default_loss for term in task.terms):
        return
    for option, is_set in options.items():
        if is_set:
            raise InputError(
                f"Task {shorten(task.name)!r}: {option} is an option of the loss "
                f"{task.default_loss!r}, which is not among its terms; drop it, or set it on the "
                "loss itself."
            )


def _check_hard(name: TaskName, soft: bool, class_weight: Any) -> None:
    """Raise InputError for class weights of a task whose labels are shares."""
    if soft and class_weight is not None:
        raise InputError(
            f"Task {shorten(str(name))!r} has shares for labels (soft=True); class_weight is for "
            "tasks with classes: give sample_weight, one weight a row."
        )


def _smoothing(name: TaskName, value: float) -> float:
    """Return a label smoothing as a float; raise an `InputError` unless it is from 0 to 1."""
    if not 0 <= factor(value, f"label_smoothing of task {shorten(str(name))!r}") <= 1:
        raise InputError(
            f"Task {shorten(str(name))!r}: label_smoothing lies between 0 and 1, got {value:g}."
        )
    return float(value)


def shares(task: Task, encoded: Array) -> Array:
    """Return labels [n, width] that are shares, clipped to 0 to 1.

    Raises:
        InputError: naming the first label that is outside of 0 to 1 by more than `ROUNDING`, and
            its row.
    """
    # Comparisons with NaN, a missing label, are False and must not warn.
    with np.errstate(invalid="ignore"):
        outside = (encoded < -ROUNDING) | (encoded > 1.0 + ROUNDING)
    if outside.any():
        row, column = (int(i) for i in np.argwhere(outside)[0])
        # Percentages are the most frequent mistake and get a hint of their own.
        percent = (encoded[~np.isnan(encoded)] >= 0).all() and np.nanmax(encoded) <= 100
        hint = (
            ": divide percentages by 100"
            if percent
            else ": use pc.Regression for numbers of any size"
        )
        raise InputError(
            f"Task {shorten(task.name)!r} ({task.measured_as}) got {encoded[row, column]:g} in row "
            f"{row}; expected a share from 0 to 1, or NaN where it is missing{hint}."
        )
    return np.clip(encoded, 0.0, 1.0)


def within_0_and_1(y: Tensor, xp: Any) -> Tensor:
    """Return where labels are shares from 0 to 1, up to `ROUNDING`, as bool."""
    return xp.logical_and(xp.greater_equal(y, -ROUNDING), xp.less_equal(y, 1.0 + ROUNDING))


def logit_of_mean(encoded: Array, weights: Array | None = None) -> Array:
    """Return the logit of the mean share of each column, [width]."""
    mean = np.clip(weighted_labels.mean(encoded, weights), EDGE, 1.0 - EDGE)
    return np.log(mean / (1.0 - mean))


def _labelled(encoded: Array) -> int:
    """Return the number of known labels, 1 at least."""
    return max(int((~np.isnan(encoded)).sum()), 1)


def _logit(share: Any, count: Any) -> Any:
    """Return the logit of a share of `count` cases.

    The share is clipped half a case away from 0 and 1, so that the logit is finite.
    """
    edge = 0.5 / (count + 1.0)
    share = np.clip(share, edge, 1.0 - edge)
    return np.log(share / (1.0 - share))


def _shares(encoded: Array, classes: int, weights: Array | None) -> Array:
    """Return the share of each class; one without a case counts as half a case, so none is 0."""
    is_known = ~np.isnan(encoded[:, 0])
    counted = None if weights is None else weights[is_known]
    if counted is not None:
        counted = counted / max(counted.mean(), np.finfo("float64").tiny)
    known = encoded[is_known, 0].astype(int)
    counts = np.maximum(np.bincount(known, counted, minlength=classes)[:classes], 0.5)
    return counts / counts.sum()
