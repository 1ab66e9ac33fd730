"""What is known of Keras's own metrics: which way is better, what is perfect, what a constant answer reaches."""

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
"""Metrics of Keras that are 1 for a perfect answer, and of which more is better."""

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
"""Metrics of Keras that are 0 for a perfect answer, and of which less is better."""

ONLY_DIRECTION = {"Poisson": "min"}
"""Metrics of Keras of which the perfect value depends on the labels."""

INDICES = (
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
)
"""Metrics of Keras whose labels are indices of classes where the answers are one number a class."""


def direction_of(metric: Any) -> str | None:
    """Return `"max"` or `"min"` for a metric of Keras or a subclass of one; None where it is not known."""
    if is_one_of(metric, UP):
        return "max"
    if is_one_of(metric, DOWN):
        return "min"
    return next((way for name, way in ONLY_DIRECTION.items() if is_one_of(metric, (name,))), None)


def ideal_of(metric: Any) -> float | None:
    """Return the value of a perfect answer; None where it is not known."""
    if is_one_of(metric, UP):
        return 1.0
    return 0.0 if is_one_of(metric, DOWN) else None


def metric_of_loss(loss: Any) -> Any | None:
    """Return the metric of Keras that measures what a loss given to `compile` does; None where there is none.

    Args:
        loss: a name, a function of Keras or a `keras.losses.Loss`.
    """
    try:
        found = keras.losses.get(loss)
    except (TypeError, ValueError):
        return None
    is_object = isinstance(found, keras.losses.Loss)
    name = type(found).__name__ if is_object else str(getattr(found, "__name__", ""))
    own = is_object or getattr(keras.losses, name, None) is found
    kind = next((known for known in DOWN if known.lower() == name.lower().replace("_", "")), None)
    if kind is None or not own:
        return None
    config = found.get_config() if is_object else {}
    settings = {
        key: config[key] for key in ("from_logits", "label_smoothing", "axis") if key in config
    }
    return getattr(keras.metrics, kind)(name="loss", **settings)


def trivial_of(metric: Any, labels: Array, units: int) -> float | None:
    """Return what the best constant answer reaches: the mean of the labels, or the shares of the classes.

    The metric itself is asked, in a copy, so that settings such as thresholds count.

    Args:
        metric: a `keras.metrics.Metric`.
        labels: of one output, [n] or [n, d], as the metric gets them.
        units: numbers a row in the output.

    Returns:
        The value, or None where the metric cannot be copied, or gives no single number.
    """
    try:
        copy = type(metric).from_config(metric.get_config())
        copy.update_state(labels, _constant(metric, labels, units))
        value = float(keras.ops.convert_to_numpy(copy.result()))
    except Exception:
        # a metric of the user's own may do anything here: then its trivial value is asked for
        return None
    return value if math.isfinite(value) else None


def _constant(metric: Any, labels: Array, units: int) -> Array:
    """The constant answer on every row, [n, units], in the form in which the metric takes answers."""
    numbers = np.asarray(labels, "float64")
    if is_one_of(metric, INDICES) and units > 1:
        counts = np.bincount(numbers.astype(int).ravel(), minlength=units)
        shares = counts / max(counts.sum(), 1)
    else:
        shares = numbers.reshape(len(numbers), -1).mean(axis=0)
    config = metric.get_config()
    threshold = config.get("threshold")
    logits = config.get("from_logits") or (threshold is not None and not 0 < float(threshold) < 1)
    if logits:
        inside = np.clip(shares, 1e-7, 1.0 - 1e-7)
        softmax = is_one_of(metric, (*INDICES, "CategoricalCrossentropy"))
        shares = np.log(inside) if softmax else np.log(inside / (1.0 - inside))
    answers = np.tile(shares, (len(numbers), 1)).astype("float32")
    return answers[:, 0] if numbers.ndim == 1 and answers.shape[1] == 1 else answers


def is_one_of(metric: Any, names: tuple[str, ...]) -> bool:
    """Whether a metric is of one of these classes of Keras, or wraps the loss function behind one."""
    classes = tuple(getattr(keras.metrics, name) for name in names if hasattr(keras.metrics, name))
    if isinstance(metric, classes):
        return True
    if type(metric) is not keras.metrics.MeanMetricWrapper:
        return False
    function = metric.get_config().get("fn")
    # a function of the user's own
    if not isinstance(function, Mapping) or function.get("module") != "builtins":
        return False
    return str(function.get("config")).lower().replace("_", "") in {name.lower() for name in names}
