"""Compute metrics of numbers, for regression, count and quantile tasks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from polycera.tasks.metrics.metric import Metric, Tallies, divide
from polycera.tasks.metrics.tally import Tally
from polycera.typing import Array, Tensor


def _root_mean(total: str) -> Any:
    """Return the metric that is the root of a sum divided by the number of rows."""
    return lambda t: np.sqrt(divide(t[total], t["rows"]))


def _mean(total: str) -> Any:
    """Return the metric that is a sum divided by the number of rows."""
    return lambda t: divide(t[total], t["rows"])


def r2(t: Tallies) -> Array:
    """Return the coefficient of determination; undefined (NaN) for constant labels."""
    # Squares around the rows' own mean, from squares around the training mean.
    spread = t["trivial_squared"] - divide(t["deviation"] ** 2, t["rows"])
    # The difference of nearly equal sums is rounding noise: such labels count as constant.
    spread = np.where(spread > t.get("noise", 1e-12) * t["trivial_squared"], spread, 0.0)
    return 1.0 - divide(t["squared"], spread)


def trivial_r2(t: Tallies) -> Array:
    """Return R2 of the training mean: 0 at best, less where the mean of these rows differs."""
    return r2({**t, "squared": t["trivial_squared"]})


# `scaled` is the power of the target's scale that undoes target scaling.
RMSE = Metric(
    "rmse",
    "min",
    _root_mean("squared"),
    _root_mean("trivial_squared"),
    0.0,
    ("squared", "trivial_squared"),
    scaled=1,
)
"""Root mean squared error."""

MSE = Metric(
    "mse",
    "min",
    _mean("squared"),
    _mean("trivial_squared"),
    0.0,
    ("squared", "trivial_squared"),
    scaled=2,
)
"""Mean squared error."""

MAE = Metric(
    "mae",
    "min",
    _mean("absolute"),
    _mean("trivial_absolute"),
    0.0,
    ("absolute", "trivial_absolute"),
    scaled=1,
)
"""Mean absolute error."""

R2 = Metric("r2", "max", r2, trivial_r2, 1.0, ("squared", "trivial_squared", "deviation"))
"""Coefficient of determination."""


def _errors(predicted: Tensor, trivial: Tensor, y: Tensor, xp: Any) -> dict[str, Tensor]:
    """Return errors of the network and of the trivial predictor for each row, all [n, k]."""
    error, deviation = (predicted - y)[..., 0], (y - trivial)[..., 0]
    return {
        "squared": xp.square(error),
        "absolute": xp.abs(error),
        "deviation": deviation,
        "trivial_squared": xp.square(deviation),
        "trivial_absolute": xp.abs(deviation),
    }


def _totals(
    values: dict[str, Tensor], counted: Tensor, needs: set[str], xp: Any
) -> dict[str, Tensor]:
    """Return the number of rows and the sums in `needs`, [k] each."""
    rows = counted[..., 0]
    totals = {"rows": xp.sum(rows, axis=0)}
    for name, value in values.items():
        if name in needs:
            weight = rows if len(value.shape) == 2 else counted
            totals[name] = xp.sum(value * weight, axis=0)
    return totals


class RegressionTally(Tally):
    """Computes the sums of errors of regression tasks; exact in training too, up to float32."""

    metrics: ClassVar[dict[str, Metric]] = {m.name: m for m in (RMSE, MAE, MSE, R2)}

    def sizes(self, task: Any) -> dict[str, tuple[int, ...]]:
        names = ("rows", "squared", "absolute", "deviation", "trivial_squared", "trivial_absolute")
        return dict.fromkeys(names, ())

    def batch(self, task, y, raw, prior, counted, needs, xp):  # type: ignore[no-untyped-def]
        return _totals(_errors(raw, prior, y, xp), counted, needs, xp)

    def read(self, sums: Tallies) -> Tallies:
        # These sums are float32: labels that vary by less than this count as constant.
        return sums | {"noise": np.array(1e-5)}


def _deviance(y: Tensor, rate: Tensor, xp: Any) -> Tensor:
    """Return the Poisson deviance of each row: 2 (y log(y / rate) - y + rate), with 0 log 0 = 0."""
    return 2.0 * (y * (xp.log(xp.maximum(y, 1e-30)) - xp.log(rate)) - y + rate)[..., 0]


class CountTally(Tally):
    """Computes the sums of errors and deviances of counts; exact in training up to float32."""

    metrics: ClassVar[dict[str, Metric]] = {
        "deviance": Metric(
            "deviance",
            "min",
            _mean("deviance"),
            _mean("trivial_deviance"),
            0.0,
            ("deviance", "trivial_deviance"),
        ),
        "mae": MAE,
        "rmse": RMSE,
        "mse": MSE,
        "r2": R2,
    }

    def sizes(self, task: Any) -> dict[str, tuple[int, ...]]:
        return RegressionTally().sizes(task) | {"deviance": (), "trivial_deviance": ()}

    def batch(self, task, y, raw, prior, counted, needs, xp):  # type: ignore[no-untyped-def]
        rate, trivial = task.link(raw, xp), task.link(prior, xp)
        values = _errors(rate, trivial, y, xp)
        values |= {
            "deviance": _deviance(y, rate, xp),
            "trivial_deviance": _deviance(y, trivial, xp),
        }
        return _totals(values, counted, needs, xp)

    def read(self, sums: Tallies) -> Tallies:
        return RegressionTally().read(sums)


class QuantileTally(Tally):
    """Computes the sums of quantile tasks: pinball losses, errors, and covered labels.

    A label is covered if it lies between the outermost quantiles. The sums are exact in training
    too, up to float32.
    """

    metrics: ClassVar[dict[str, Metric]] = {
        "pinball": Metric(
            "pinball",
            "min",
            _mean("pinball"),
            _mean("trivial_pinball"),
            0.0,
            ("pinball", "trivial_pinball"),
            scaled=1,
        ),
        "mae": MAE,
        "coverage": Metric(
            "coverage",
            "target",
            _mean("inside"),
            _mean("trivial_inside"),
            lambda task: nominal_coverage(task),
            ("inside", "trivial_inside"),
        ),
    }

    def sizes(self, task: Any) -> dict[str, tuple[int, ...]]:
        sums = ("pinball", "inside", "absolute")
        return dict.fromkeys(("rows", *sums, *(f"trivial_{name}" for name in sums)), ())

    def batch(self, task, y, raw, prior, counted, needs, xp):  # type: ignore[no-untyped-def]
        values: dict[str, Tensor] = {}
        for lead, quantiles in (("", task.link(raw, xp)), ("trivial_", task.link(prior, xp))):
            values[f"{lead}pinball"] = _pinball(task, y, quantiles, xp)
            values[f"{lead}inside"] = _inside(y[..., 0], quantiles, xp)
            values[f"{lead}absolute"] = xp.abs(quantiles[..., task.middle] - y[..., 0])
        return _totals(values, counted, needs, xp)


def nominal_coverage(task: Any) -> float:
    """Return the share of labels that should lie between the outermost quantiles.

    With a single quantile it is the share of labels that should lie below it.
    """
    levels = task.quantiles
    return levels[-1] - levels[0] if len(levels) > 1 else levels[0]


def _pinball(task: Any, y: Tensor, quantiles: Tensor, xp: Any) -> Tensor:
    """Return the pinball loss of each row, averaged over the quantiles, [n, k]."""
    # float64 is for the exact evaluation in NumPy; a training step computes in float32.
    levels = np.asarray(
        task.quantiles, "float32" if xp.__name__ != "polycera.tasks.numpy_ops" else "float64"
    )
    error = y - quantiles
    return xp.mean(
        xp.maximum(xp.multiply(error, levels), xp.multiply(error, levels - 1.0)), axis=-1
    )


def _inside(y: Tensor, quantiles: Tensor, xp: Any) -> Tensor:
    """Return 1.0 where a label lies between the outermost quantiles, else 0.0, [n, k]."""
    below = xp.cast(xp.greater_equal(quantiles[..., -1], y), "float32")
    if quantiles.shape[-1] == 1:
        return below
    return below * xp.cast(xp.greater_equal(y, quantiles[..., 0]), "float32")
