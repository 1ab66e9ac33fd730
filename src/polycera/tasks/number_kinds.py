"""Define the kinds whose labels are numbers: regression, proportion, quantile, count."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Unpack

import numpy as np

from polycera.errors import InputError, shorten
from polycera.tasks import user_labels, weighted_labels
from polycera.tasks.class_kinds import logit_of_mean, shares, within_0_and_1
from polycera.tasks.task import Task, TaskOptions
from polycera.typing import Array, TaskName, Tensor

SMALLEST = 1e-43
"""Where all labels are smaller than this they lose digits in float32 (smallest number 1.4e-45)."""

LOG_LARGEST = 41.0
"""Logarithm of the largest rate of a count: sums of squares of 6e17 stay within float32."""

LARGEST_COUNT = 6e17
"""Largest label of a count, `exp(LOG_LARGEST)` in round numbers."""


class NumberTask(Task):
    """Describes a task with one number in each row."""

    def encode(self, values: Any) -> Array:
        """Return the labels [n] or [n, 1] as float64 [n, 1], NaN where missing.

        Raises:
            InputError: for text, an infinite label, or more than one column.
        """
        array = user_labels.column(self.name, user_labels.read(self.name, values), self.kind)
        return user_labels.numbers(self.name, array)[:, None]

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return y


class Regression(NumberTask):
    """Describes a task with a real number in each row.

    The network learns the number scaled to mean 0 and standard deviation 1. Predictions are in the
    user's units.

    Args:
        name: the task's name.
        standardize: whether to use target scaling: the losses see labels without the mean and the
            standard deviation of the training labels, and both are put back into every prediction
            and metric. With False, losses see the user's units. Default: True, except with
            `pc.adopt` where an output is in the user's units already.
        loss: terms; default `"mse"`. Our own stable losses: `mse`, `mae`, `huber`, `log_cosh`.
        weight: the task's factor in the total loss.
        metrics: of `rmse`, `mae`, `mse`, `r2`; the first is the headline.

    Examples:
        >>> import polycera as pc
        >>> pc.Regression("price", loss={"mse": 0.8, "mae": 0.2})
        Regression('price')
    """

    kind: ClassVar[str] = "regression"
    default_loss: ClassVar[str] = "mse"
    default_metrics: ClassVar[tuple[str, ...]] = ("rmse", "r2")
    units = 1

    def __init__(
        self, name: TaskName, *, standardize: bool | None = None, **rest: Unpack[TaskOptions]
    ) -> None:
        self.standardize_given = standardize
        self.standardize = standardize is None or bool(standardize)
        super().__init__(name, **rest)

    def own_config(self) -> dict[str, Any]:
        return {"standardize": self.standardize}

    def moments(self, encoded: Array, weights: Array | None = None) -> tuple[float, float]:
        return _moments(self.name, encoded, weights) if self.standardize else (0.0, 1.0)

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return raw

    def prior(self, encoded: Array, weights: Array | None = None) -> Array:
        return weighted_labels.mean(encoded, weights)


class Proportion(NumberTask):
    """Describes a task with a share from 0 to 1 in each row.

    Examples are a percentage, a click rate, or a probability that another model predicted. The
    network gives a logit, so every prediction lies between 0 and 1. The default loss is the
    cross-entropy with labels such as 0.37 in place of yes or no. Its minimum is the mean share of
    similar rows (Papke & Wooldridge 1996). Divide percentages from 0 to 100 by 100 first.

    Args:
        name: the task's name.
        loss: terms; default `"bce"`. Our own stable losses: `bce`, and of the predicted share
            `brier` (also called `mse`) and `mae`.
        weight: the task's factor in the total loss.
        metrics: of `rmse`, `mae`, `mse`, `brier`, `r2`, `log_loss`; the first is the headline.

    Examples:
        >>> import polycera as pc
        >>> pc.Proportion("share").encode([0.25, 1, None]).ravel()
        array([0.25, 1.  ,  nan])
    """

    kind: ClassVar[str] = "proportion"
    default_loss: ClassVar[str] = "bce"
    default_metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae")
    units = 1
    # The shared cross-entropy reads these options, which only yes-or-no tasks can change.
    pos_weight: ClassVar[float] = 1.0
    label_smoothing: ClassVar[float] = 0.0

    def encode(self, values: Any) -> Array:
        """Return shares [n, 1] in float64, NaN where missing.

        Raises:
            InputError: naming the first label outside of 0 to 1, and its row.
        """
        return shares(self, super().encode(values))

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        """Return where encoded labels are values that `encode` can give, as bool."""
        return within_0_and_1(y, xp)

    @property
    def wanted(self) -> str:
        """Return a phrase for warnings: what a label must be."""
        return "a share from 0 to 1"

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.sigmoid(raw)

    def prior(self, encoded: Array, weights: Array | None = None) -> Array:
        return logit_of_mean(encoded, weights)


class Quantile(NumberTask):
    """Describes a task that predicts several quantiles of a real number.

    The predicted quantiles never cross: they are sorted (Chernozhukov 2010, arXiv:0704.3649).

    Args:
        name: the task's name.
        quantiles: levels between 0 and 1, in ascending order.
        standardize: as for `Regression`.
        loss: terms; default `"pinball"`.
        weight: the task's factor in the total loss.
        metrics: of `pinball`, `coverage` (share of labels between the outermost quantiles), `mae`
            of the middle one.

    Raises:
        InputError: for levels that do not ascend between 0 and 1.

    Examples:
        >>> import polycera as pc
        >>> pc.Quantile("delay", quantiles=(0.1, 0.5, 0.9)).units
        3
    """

    kind: ClassVar[str] = "quantile"
    default_loss: ClassVar[str] = "pinball"
    default_metrics: ClassVar[tuple[str, ...]] = ("pinball", "coverage")

    def __init__(
        self,
        name: TaskName,
        *,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        standardize: bool | None = None,
        **rest: Unpack[TaskOptions],
    ) -> None:
        try:
            levels = tuple(float(q) for q in quantiles)
        except (TypeError, ValueError):
            levels = ()
        if not levels or any(not 0 < q < 1 for q in levels) or list(levels) != sorted(set(levels)):
            raise InputError(
                f"Task {shorten(str(name))!r}: quantiles must ascend between 0 and 1, got "
                f"{shorten(repr(quantiles))}."
            )
        self.quantiles, self.units = levels, len(levels)
        self.standardize_given = standardize
        self.standardize = standardize is None or bool(standardize)
        super().__init__(name, **rest)

    @property
    def signature(self) -> Hashable:
        return (*super().signature, self.quantiles)  # type: ignore[misc]

    def own_config(self) -> dict[str, Any]:
        return {"quantiles": list(self.quantiles), "standardize": self.standardize}

    def moments(self, encoded: Array, weights: Array | None = None) -> tuple[float, float]:
        return _moments(self.name, encoded, weights) if self.standardize else (0.0, 1.0)

    @property
    def middle(self) -> int:
        """Return the index of the level that is nearest to one half."""
        return int(np.argmin(np.abs(np.array(self.quantiles) - 0.5)))

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.sort(raw, axis=-1)

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return xp.concatenate([y] * self.units, axis=-1)

    def prior(self, encoded: Array, weights: Array | None = None) -> Array:
        return weighted_labels.quantiles(encoded[:, 0], self.quantiles, weights)

    def answer(self, prediction: Array) -> np.ndarray:
        """Return the predicted quantile that is nearest to the median, [n]."""
        return prediction[:, self.middle]


class Count(NumberTask):
    """Describes a task with a count in each row: 0, 1, 2, ...

    The network gives the logarithm of the rate.

    Args:
        name: the task's name.
        loss: terms; default `"poisson"`, the Poisson likelihood.
        weight: the task's factor in the total loss.
        metrics: of `deviance` (mean Poisson deviance), `mae`, `rmse`, `mse`, `r2`.

    Examples:
        >>> import polycera as pc
        >>> pc.Count("visits").encode([0, 3, None]).ravel()
        array([ 0.,  3., nan])
    """

    kind: ClassVar[str] = "count"
    default_loss: ClassVar[str] = "poisson"
    default_metrics: ClassVar[tuple[str, ...]] = ("deviance", "mae")
    units = 1

    def encode(self, values: Any) -> Array:
        encoded = super().encode(values)
        if (encoded < 0).any():
            row = int(np.argmax(encoded[:, 0] < 0))
            raise InputError(
                f"Task {shorten(self.name)!r} (count) got {encoded[row, 0]:g} in row {row}; "
                "a count is 0 or more: use pc.Regression for numbers of either sign."
            )
        if (encoded > LARGEST_COUNT).any():
            row = int(np.argmax(encoded[:, 0] > LARGEST_COUNT))
            raise InputError(
                f"Task {shorten(self.name)!r} (count) got {encoded[row, 0]:g} in row {row}; counts "
                f"go up to {LARGEST_COUNT:g}: use pc.Regression for larger numbers."
            )
        return encoded

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        return xp.logical_and(xp.isfinite(y), xp.greater_equal(y, 0.0))

    @property
    def wanted(self) -> str:
        return "a number of 0 or more"

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        # A larger rate has no meaning, and the sum of its squares overflows in float32.
        return xp.exp(xp.clip(raw, -30.0, LOG_LARGEST))

    def prior(self, encoded: Array, weights: Array | None = None) -> Array:
        # Labels that are all 0 would give a logarithm of minus infinity.
        return np.log(np.maximum(weighted_labels.mean(encoded, weights), 1e-6))


def _moments(name: TaskName, encoded: Array, weights: Array | None) -> tuple[float, float]:
    """Return the mean and the standard deviation of the known labels.

    The standard deviation is 1 where the labels vary by no more than rounding errors.

    Raises:
        InputError: for labels that are all smaller than float32 can represent.
    """
    # Rounded to float32, in which a model stores them: scaling and its inverse need equal digits.
    location = float(np.float32(weighted_labels.centre(encoded, weights)))
    scale = float(np.float32(weighted_labels.deviation(encoded, weights)))
    largest = float(np.nanmax(np.abs(encoded)))
    if 0 < largest < SMALLEST:
        raise InputError(
            f"Task {shorten(name)!r}: the largest label is {largest:g}, below what float32 holds, "
            "in which networks calculate (1e-43): multiply all labels by one number."
        )
    return location, scale if scale > 1e-12 * np.nanmax(np.abs(encoded)) else 1.0
