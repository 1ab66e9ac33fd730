"""Combine several metrics into one joint score: scale each, average with weights, and log it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from polycera import renamed
from polycera.callbacks.score_scale import (
    MEANS,
    NEEDS,
    SCALES,
    EpochMetrics,
    best,
    leader,
    own_scale,
)
from polycera.callbacks.watched_metrics import Given, LogWatch, watch
from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.tasks.terms import factor
from polycera.typing import Array, TaskName

Scale = str | Callable[[EpochMetrics], Any] | Mapping[str, Callable[[float], float]]
"""Name of a scale, a function of all epochs so far, or one function of the value per name."""


class JointScore(keras.callbacks.Callback):
    """Logs `val_joint`, the weighted mean of the tasks' skills, for stock callbacks to monitor.

    A skill brings any metric to one scale and one direction: 0 is what the trivial predictor of
    that task reaches on the same rows, 1 is perfect, below 0 is worse than trivial. It costs no
    second pass over the data: it uses what `fit` has just measured. Put it before the callbacks
    that monitor it, and monitor with `mode="max"`.

    A metric that is undefined in an epoch (a single class among the validation rows) is left out of
    that epoch's mean, with a warning the first time.

    Args:
        score_weights: task name -> weight, or `"task/metric"` -> weight for another metric than the
            task's headline. Default: every task's headline metric, equally. For a Keras model
            without tasks: name in the logs -> weight,
            `{"val_churn_auc": 0.7, "val_price_mae": 0.3}`. A list of weights where the model's
            outputs are a list.
        scale: the scale for all metrics. "skill": see above. "minmax": 0 the worst epoch so far, 1
            the best; a new epoch is compared with the best one before it on the range as it is
            then, and an epoch that was passed once does not come back. "first": 0 the first epoch,
            1 perfect. "single": the gain over separate networks
            given in `reference`, relative to their value (delta-m in the literature). A scale of
            your own: a dict from each name to a function of the metric's value,
            `{"churn": lambda auc: auc, "price": lambda mae: 1 - mae / 600}`, or one function of all
            epochs so far, which gets `seen.value` [epochs, metrics] and returns as many numbers;
            higher is better.
        how: "mean"; "geometric", in which a task near 0 cannot be offset by the others; or "worst",
            the lowest alone.
        reference: for `scale="single"`: task name -> the watched metric of a separate network.
        mode, trivial, ideal: for names in the logs of a Keras model for which these are not known:
            the better direction (`{"val_f": "max"}`), the value of a constant prediction, the value
            of a perfect one. They are known for Keras's own metrics; the trivial value is that of
            the best constant prediction on the validation rows.
        verbose: 1 prints each improvement.

    Logs:
        `val_joint`: the joint score. `val_<task>_skill`: each task's part in it. Without validation
            data, nothing.

    Attributes:
        scores: the joint score of every epoch so far, as it was logged, [epochs].
        best_epoch: the epoch that no later one has passed; None before there is one.

    Raises:
        UnknownName: for an unknown scale or mean; at the beginning of training, for a task or
            metric that the model does not have.
        InputError: for weights that are not finite, 0 or more, with a positive sum; for a reference
            that is missing.

    Examples:
        >>> import keras, polycera as pc
        >>> watch = [
        ...     pc.callbacks.JointScore({"churn": 0.7, "revenue_loss": 0.3}),
        ...     keras.callbacks.EarlyStopping(
        ...         "val_joint", mode="max", patience=10, restore_best_weights=True
        ...     ),
        ... ]
    """

    weights = renamed.Attribute("score_weights")

    @renamed.arguments(weights="score_weights")
    def __init__(
        self,
        score_weights: Mapping[str, float] | None = None,
        *,
        scale: Scale = "skill",
        how: str = "mean",
        reference: Mapping[TaskName, float] | None = None,
        mode: Mapping[str, str] | None = None,
        trivial: Mapping[str, float] | None = None,
        ideal: Mapping[str, float] | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        self.score_weights, self.reference = score_weights, dict(reference or {})
        _check_scale(scale)
        if how not in MEANS:
            raise UnknownName("mean of the joint score", how, MEANS)
        self.scale, self.how, self.verbose = scale, how, verbose
        if (scale == "single") != bool(reference):
            raise InputError(
                'scale="single" and reference={task: value} of separate networks go together.'
            )
        if score_weights is not None:
            check_weights(score_weights, "joint score")
        given = Given.of(mode, trivial, ideal)
        self.mode, self.trivial, self.ideal = given.mode, given.trivial, given.ideal
        self._watch: Any = None
        self._begin()

    def _begin(self) -> None:
        """Reset everything that belongs to one training."""
        self._values: list[list[float]] = []
        self._trivials: list[list[float]] = []
        self._ideals: list[float] = []
        self._left_out: set[TaskName] = set()
        # numbers of the epochs that had validation rows: with `validation_freq` not every one has
        self._numbers: list[int] = []
        self.scores: Array = np.zeros(0)
        self._best_epoch: int | None = None

    @property
    def best_epoch(self) -> int | None:
        """Return the best epoch, counted from 0 among the epochs that had validation rows."""
        # a checkpoint of an earlier version has the scores only
        return best(self.scores) if self._best_epoch is None else self._best_epoch

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """Return the watched tasks; for a Keras model without tasks, the names in its logs."""
        return () if self._watch is None else self._watch.names

    @property
    def scaled(self) -> Array:
        """Return all watched metrics on one scale, higher is better, [epochs, tasks]."""
        reference = [float(self.reference.get(task, math.nan)) for task in self.tasks]
        arrays = (self._values, self._trivials, self._ideals, reference)
        metrics = EpochMetrics(*(np.array(column, "float64") for column in arrays))
        return (
            SCALES[self.scale](metrics)
            if isinstance(self.scale, str)
            else own_scale(self.scale, self.tasks, metrics)
        )

    @property
    def rated(self) -> Array:
        """Return the joint score of every epoch, as the scale rates it now, [epochs]."""
        return self._mean(self.scaled)

    def _mean(self, scaled: Array) -> Array:
        """Return the weighted mean over the tasks, [epochs]."""
        return MEANS[self.how](scaled, np.array(list(self._watch.weights.values())))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Find the metrics that the weights name, check all names and reset the state."""
        needs = NEEDS[self.scale] if isinstance(self.scale, str) else ()
        given = Given(self.mode, self.trivial, self.ideal)
        self._watch = watch(self.model, self.score_weights, "joint score", given, needs)
        names = self._watch.names
        # `names` is empty while a list of weights has no names yet: there is nothing to compare
        for values, what in ((self.reference, "the reference"), (self._own_scales, "scale=")):
            for name in values if names else ():
                if name not in names:
                    raise UnknownName(f"task in {what}:", name, names)
            if values and names and (absent := [name for name in names if name not in values]):
                needed = (
                    "the score of a separate network for this task"
                    if values is self.reference
                    else "a function"
                )
                raise InputError(f"{what.capitalize()} lacks {listing(absent)}: give {needed}.")
        self._begin()

    @property
    def _own_scales(self) -> Mapping[str, Any]:
        """Return the functions of the user by name; empty for every other scale."""
        return self.scale if isinstance(self.scale, Mapping) else {}

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Resolve the names where Keras builds its metrics only in the first batch."""
        if batch == 0 and isinstance(self._watch, LogWatch):
            self._watch.first_batch()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the scaled metrics and their mean to this epoch's logs."""
        if not self._watch.measured(logs):
            return
        assert logs is not None
        readings = self._watch.read(logs)
        self._numbers.append(epoch)
        self._values.append([reading.value for reading in readings])
        self._trivials.append([reading.trivial for reading in readings])
        self._ideals = [reading.ideal for reading in readings]
        # read before the new score is there
        before = self.best_epoch
        scaled = self.scaled
        rated = self._mean(scaled)
        self.scores = np.append(self.scores, rated[-1])
        self._best_epoch = leader(rated, before)
        parts = zip(
            self._watch.names, self._watch.keys, self._watch.metrics, scaled[-1], strict=True
        )
        for name, key, metric, part in parts:
            logs[f"val_{key}_skill"] = float(part)
            if math.isnan(part):
                self._say_once(name, metric)
        logs["val_joint"] = float(self.scores[-1])
        self._report(epoch, None if before is None else float(rated[before]))

    def _report(self, epoch: int, before: float | None) -> None:
        """Print whether the score improved, in the words of Keras."""
        if not self.verbose:
            return
        now, previous = float(self.scores[-1]), "None" if before is None else f"{before:.5f}"
        if self.best_epoch == len(self.scores) - 1:
            print(f"\nEpoch {epoch + 1}: val_joint improved from {previous} to {now:.5f}")
        else:
            print(f"\nEpoch {epoch + 1}: val_joint did not improve from {previous}")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Warn where no epoch had validation rows."""
        if not len(self.scores):
            warnings.warn(
                f"{type(self).__name__} has no validation rows, so val_joint is not logged: pass "
                "validation_data or validation_split to fit.",
                stacklevel=2,
            )

    def _say_once(self, name: str, metric: str) -> None:
        """Warn about an undefined metric, the first time only."""
        if name not in self._left_out:
            self._left_out.add(name)
            warnings.warn(
                f"{metric} is undefined on the validation rows; it is left out of the joint score.",
                stacklevel=2,
            )


def _check_scale(scale: Any) -> None:
    """Raise an error unless this is the name of a scale, a function, or a dict of functions.

    Raises:
        UnknownName, InputError: for anything else.
    """
    if isinstance(scale, Mapping):
        for name, function in scale.items():
            if not callable(function):
                raise InputError(
                    f"scale= of {shorten(name)!r} is {shorten(repr(function))}; expected a "
                    "function of the metric's value, such as lambda mae: 1 - mae / 600."
                )
    elif not callable(scale) and (not isinstance(scale, str) or scale not in SCALES):
        hint = "A function, or a dict of functions by name, is a scale of your own."
        raise UnknownName("scale of the joint score", scale, SCALES, hint)


def check_weights(weights: Any, what: str) -> None:
    """Raise an error for weights that are not finite, 0 or more, with a positive sum.

    Args:
        weights: name -> weight; or a list of weights, which has its names only once there is a
            model.
        what: what the weights are for, as error messages call it.

    Raises:
        InputError: for the first that is no such weight, and for anything but a dict or a list.
    """
    if (
        isinstance(weights, list | tuple)
        and weights
        and not any(isinstance(item, str) for item in weights)
    ):
        # the names only serve the error messages below
        weights = {f"number {i + 1} of the list": value for i, value in enumerate(weights)}
    elif isinstance(weights, list | tuple | set) and weights:
        names = dict.fromkeys(map(str, weights), 1.0)
        raise InputError(
            f"The {what} needs a weight for each name, got only names: write {shorten(names, 200)}."
        )
    if not isinstance(weights, Mapping):
        raise InputError(
            f"The {what} is a dict from a name to its weight, such as {{'churn': 0.7, 'price': "
            f"0.3}}, got {shorten(repr(weights))}."
        )
    total = sum(
        factor(value, f"the weight of {shorten(name)!r}") for name, value in weights.items()
    )
    if not total > 0:
        raise InputError(f"The {what} needs at least one weight above 0, got {dict(weights)}.")
