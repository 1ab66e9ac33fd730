"""Describe the metrics of Keras: direction, ideal, and value of a constant prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from polycera.typing import Array

UP = (
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "AUC",
    "Precision",
    "Recall",
    "PrecisionAtRecall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "F1Score",
    "FBetaScore",
    "R2Score",
    "CosineSimilarity",
    "PearsonCorrelation",
    "ConcordanceCorrelation",
    "IoU",
    "MeanIoU",
    "BinaryIoU",
    "OneHotIoU",
    "OneHotMeanIoU",
)
"""Metrics of Keras that are 1 for a perfect prediction. Higher is better."""

DOWN = (
    "MeanAbsoluteError",
    "MeanSquaredError",
    "RootMeanSquaredError",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "LogCoshError",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "SparseCategoricalCrossentropy",
    "KLDivergence",
    "Hinge",
    "SquaredHinge",
    "CategoricalHinge",
)
"""Metrics of Keras that are 0 for a perfect prediction. Lower is better."""

ONLY_DIRECTION = {"Poisson": "min"}
"""Metric of Keras whose perfect value depends on the labels -> its direction."""

INDICES = (
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
)
"""Metrics of Keras whose labels are class indices while predictions have a number per class."""


def direction_of(metric: Any) -> str | None:
    """Return `"max"` or `"min"` for a metric of Keras or a subclass; None if it is not known."""
    if is_one_of(metric, UP):
        return "max"
    if is_one_of(metric, DOWN):
        return "min"
    return next((way for name, way in ONLY_DIRECTION.items() if is_one_of(metric, (name,))), None)


def ideal_of(metric: Any) -> float | None:
    """Return the value of a perfect prediction; None if it is not known."""
    if is_one_of(metric, UP):
        return 1.0
    return 0.0 if is_one_of(metric, DOWN) else None


def metric_of_loss(loss: Any) -> Any | None:
    """Return the metric of Keras that equals a loss given to `compile`; None if there is none.

    Args:
        loss: a name, a function of Keras or a `keras.losses.Loss`.
    """
    try:
        keras_loss = keras.losses.get(loss)
    except (TypeError, ValueError):
        return None
    is_object = isinstance(keras_loss, keras.losses.Loss)
    name = type(keras_loss).__name__ if is_object else str(getattr(keras_loss, "__name__", ""))
    # A function of the user may have the name of one of Keras's.
    is_keras = is_object or getattr(keras.losses, name, None) is keras_loss
    kind = next((known for known in DOWN if known.lower() == name.lower().replace("_", "")), None)
    if kind is None or not is_keras:
        return None
    config = keras_loss.get_config() if is_object else {}
    settings = {
        key: config[key] for key in ("from_logits", "label_smoothing", "axis") if key in config
    }
    return getattr(keras.metrics, kind)(name="loss", **settings)


def trivial_of(metric: Any, labels: Array, units: int) -> float | None:
    """Return the value of a metric for the best constant prediction.

    That is the mean of the labels, or the shares of the classes. A copy of the metric computes the
    value, so that settings such as thresholds are respected.

    Args:
        metric: a `keras.metrics.Metric`.
        labels: labels of one output, [n] or [n, d], as the metric takes them.
        units: numbers for each row in the output.

    Returns:
        the value, or None if the metric cannot be copied or gives no single number.
    """
    try:
        fresh = type(metric).from_config(metric.get_config())
        fresh.update_state(labels, _constant(metric, labels, units))
        value = float(keras.ops.convert_to_numpy(fresh.result()))
    except Exception:
        # A metric written by the user may raise anything; its trivial value must then be given.
        return None
    return value if math.isfinite(value) else None


def _constant(metric: Any, labels: Array, units: int) -> Array:
    """Return the constant prediction for every row, [n, units], in the form the metric takes."""
    label_values = np.asarray(labels, "float64")
    if is_one_of(metric, INDICES) and units > 1:
        counts = np.bincount(label_values.astype(int).ravel(), minlength=units)
        shares = counts / max(counts.sum(), 1)
    else:
        shares = label_values.reshape(len(label_values), -1).mean(axis=0)
    config = metric.get_config()
    threshold = config.get("threshold")
    # A threshold outside of 0 to 1 can only be one for logits.
    logits = config.get("from_logits") or (threshold is not None and not 0 < float(threshold) < 1)
    if logits:
        # The logits of shares of 0 and 1 are infinite.
        clipped = np.clip(shares, 1e-7, 1.0 - 1e-7)
        softmax = is_one_of(metric, (*INDICES, "CategoricalCrossentropy"))
        shares = np.log(clipped) if softmax else np.log(clipped / (1.0 - clipped))
    predictions = np.tile(shares, (len(label_values), 1)).astype("float32")
    return (
        predictions[:, 0] if label_values.ndim == 1 and predictions.shape[1] == 1 else predictions
    )


def is_one_of(metric: Any, names: tuple[str, ...]) -> bool:
    """Return whether a metric is of one of these classes of Keras, or wraps its loss function."""
    classes = tuple(getattr(keras.metrics, name) for name in names if hasattr(keras.metrics, name))
    if isinstance(metric, classes):
        return True
    if type(metric) is not keras.metrics.MeanMetricWrapper:
        return False
    function = metric.get_config().get("fn")
    # Keras writes its own functions with the module "builtins"; all others are the user's.
    if not isinstance(function, Mapping) or function.get("module") != "builtins":
        return False
    return str(function.get("config")).lower().replace("_", "") in {name.lower() for name in names}
