"""Kinds whose labels are numbers: regression, proportion, quantile, count."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Unpack

import numpy as np

from polycera.errors import InputError, shorten
from polycera.tasks import user_labels
from polycera.tasks.class_kinds import logit_of_mean, shares, within_0_and_1
from polycera.tasks.task import Task, TaskOptions
from polycera.typing import Array, TaskName, Tensor

SMALLEST = 1e-43
"""Labels that are all smaller lose their digits in float32, whose smallest number is 1.4e-45."""
LOG_LARGEST = 41.0
"""The logarithm of the largest rate of a count: sums of squares of 6e17 stay within float32."""
LARGEST_COUNT = 6e17


class NumberTask(Task):
    """What they share: one number a row."""

    def encode(self, values: Any) -> Array:
        """Numbers [n] or [n, 1] -> float64 [n, 1], NaN where missing.

        Raises:
            InputError: for text, an infinite label, or more than one column.
        """
        array = user_labels.column(self.name, user_labels.read(self.name, values), self.kind)
        return user_labels.numbers(self.name, array)[:, None]

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return y


class Regression(NumberTask):
    """A real number. Learned in units of its standard deviation, answered in the user's units.

    Args:
        name: the task's name.
        standardize: take mean and standard deviation of the training labels out before any loss is
            computed, and put them back into every answer and metric. With False, losses see the
            user's units. Default: True, but for `pc.adopt` where an output answers in the user's
            units already.
        loss: terms; default `"mse"`. Own and stable: `mse`, `mae`, `huber`, `log_cosh`.
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

    def moments(self, encoded: Array) -> tuple[float, float]:
        return _moments(self.name, encoded) if self.standardize else (0.0, 1.0)

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return raw

    def prior(self, encoded: Array) -> Array:
        return np.nanmean(encoded, axis=0)


class Proportion(NumberTask):
    """A share from 0 to 1: a percentage, a rate of clicks, a probability that another model gave.

    The network gives a logit, so that every answer lies between 0 and 1. The default loss is the
    cross-entropy with labels such as 0.37 in the place of yes or no, lowest where the answer is the
    mean share of rows like this one (Papke & Wooldridge 1996). A percentage from 0 to 100 is
    divided by 100 first.

    Args:
        name: the task's name.
        loss: terms; default `"bce"`. Own and stable: `bce`, `brier` (also called `mse`), `mae`, of
            the answered share.
        weight: the task's factor in the total loss.
        metrics: of `rmse`, `mae`, `mse`, `r2`, `log_loss`; the first is the headline.

    Examples:
        >>> import polycera as pc
        >>> pc.Proportion("share").encode([0.25, 1, None]).ravel()
        array([0.25, 1.  ,  nan])
    """

    kind: ClassVar[str] = "proportion"
    default_loss: ClassVar[str] = "bce"
    default_metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae")
    units = 1
    pos_weight: ClassVar[float] = 1.0  # options of the cross-entropy that yes-or-no tasks have
    label_smoothing: ClassVar[float] = 0.0

    def encode(self, values: Any) -> Array:
        """Return shares [n, 1] in float64, NaN where missing.

        Raises:
            InputError: naming the first label outside of 0 to 1, and its row.
        """
        return shares(self, super().encode(values))

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        """Return where encoded labels are ones that `encode` gives, bool."""
        return within_0_and_1(y, xp)

    @property
    def wanted(self) -> str:
        """Return what a label must be, for the sentence of a warning."""
        return "a share from 0 to 1"

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.sigmoid(raw)

    def prior(self, encoded: Array) -> Array:
        return logit_of_mean(encoded)


class Quantile(NumberTask):
    """Several quantiles of a real number: an answer with its interval.

    The answered quantiles never cross: they are sorted (Chernozhukov 2010, arXiv:0704.3649).

    Args:
        name: the task's name.
        quantiles: levels between 0 and 1, ascending.
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
                f"Task {shorten(str(name))!r}: quantiles must ascend between 0 and 1, got {shorten(repr(quantiles))}."
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

    def moments(self, encoded: Array) -> tuple[float, float]:
        return _moments(self.name, encoded) if self.standardize else (0.0, 1.0)

    @property
    def middle(self) -> int:
        """Place of the level nearest to one half."""
        return int(np.argmin(np.abs(np.array(self.quantiles) - 0.5)))

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        return xp.sort(raw, axis=-1)

    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        return xp.concatenate([y] * self.units, axis=-1)

    def prior(self, encoded: Array) -> Array:
        return np.nanquantile(encoded[:, 0], self.quantiles)

    def answer(self, prediction: Array) -> np.ndarray:
        """The quantile nearest to the median, [n]."""
        return prediction[:, self.middle]


class Count(NumberTask):
    """How often something happens: 0, 1, 2, ... The network gives the logarithm of the rate.

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
                f"Task {shorten(self.name)!r} (count) got {encoded[row, 0]:g} in row {row}; counts go up to "
                f"{LARGEST_COUNT:g}: use pc.Regression for larger numbers."
            )
        return encoded

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        return xp.logical_and(xp.isfinite(y), xp.greater_equal(y, 0.0))

    @property
    def wanted(self) -> str:
        return "a number of 0 or more"

    def link(self, raw: Tensor, xp: Any) -> Tensor:
        # beyond, a rate means nothing and its square overflows
        return xp.exp(xp.clip(raw, -30.0, LOG_LARGEST))

    def prior(self, encoded: Array) -> Array:
        return np.log(np.maximum(np.nanmean(encoded, axis=0), 1e-6))


def _moments(name: TaskName, encoded: Array) -> tuple[float, float]:
    """Return mean and standard deviation of the labels there are; 1 where they do not vary by more than rounding.

    As float32, in which a model keeps them: encoding and answering must use the same digits.

    Raises:
        InputError: for labels that vary by less than float32 can hold.
    """
    location = float(np.float32(np.nanmean(encoded)))
    spread = float(np.float32(np.nanstd(encoded)))
    largest = float(np.nanmax(np.abs(encoded)))
    if 0 < largest < SMALLEST:
        raise InputError(
            f"Task {shorten(name)!r}: the largest label is {largest:g}, below what float32 holds, in which networks "
            "calculate (1e-43): multiply all labels by one number."
        )
    return location, spread if spread > 1e-12 * np.nanmax(np.abs(encoded)) else 1.0
