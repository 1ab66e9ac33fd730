"""Check, write and read metric objects: metrics of Keras and subclasses written by the user."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks import loss_from_config


def split(task: str, metrics: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the metrics of a task that are names, and those that are objects.

    Args:
        task: name of the task.
        metrics: a name, an object, or a list of both; None for the default metrics of the kind.

    Returns:
        names, or None for the default metrics of the kind; and objects.

    Raises:
        InputError: for an object that cannot leave out rows, or two metrics of one name.
    """
    if metrics is None or isinstance(metrics, str):
        return metrics, ()
    items = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
    items = [
        read(task, item) if isinstance(item, Mapping) and "class_name" in item else item
        for item in items
    ]
    if not any(_is_metric(item) for item in items):
        return metrics, ()
    objects = tuple(item for item in items if _is_metric(item))
    names = [item for item in items if not _is_metric(item)]
    for metric in objects:
        _check(task, metric)
    all_names = [item for item in names if isinstance(item, str)] + [item.name for item in objects]
    if twice := [name for name in all_names if all_names.count(name) > 1]:
        raise InputError(
            f"Task {shorten(task)!r} has two metrics that are called {shorten(twice[0])!r}: give "
            "one of them another name=."
        )
    return names or None, objects


def _is_metric(value: Any) -> bool:
    """Return whether a value is a metric object of Keras."""
    # Keras is not imported for this: whoever has a metric of Keras has imported it already.
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, keras.metrics.Metric)


def _check(task: str, metric: Any) -> None:
    """Refuse a metric object that takes no sample weights, or has "/" in its name."""
    parameters = inspect.signature(metric.update_state).parameters.values()
    # Rows without a label are left out by a sample weight of 0.
    takes_weights = any(
        p.name == "sample_weight" or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
    )
    if not takes_weights:
        raise InputError(
            f"Metric {shorten(metric.name)!r} of task {shorten(task)!r} could not leave out rows "
            "without a label: give its update_state a third argument, sample_weight=None."
        )
    if "/" in metric.name:
        raise InputError(
            f"Metric {shorten(metric.name)!r} of task {shorten(task)!r}: a name without '/' is "
            "needed."
        )


def written(task: str, metric: Any) -> dict[str, Any]:
    """Return a metric as plain JSON values.

    Raises:
        InputError: for a class that could not be found again when the file is loaded.
    """
    import keras

    kind = type(metric)
    of_keras = kind.__module__.split(".")[0] == "keras"
    if (
        not of_keras
        and keras.saving.get_registered_object(keras.saving.get_registered_name(kind)) is None
    ):
        raise InputError(
            f"Metric {shorten(metric.name)!r} of task {shorten(task)!r} cannot be saved by name: "
            f"put @keras.saving.register_keras_serializable() above the class {kind.__name__}."
        )
    return keras.saving.serialize_keras_object(metric)


def read(task: str, config: Mapping[str, Any]) -> Any:
    """Return the metric that `written` wrote: of Keras, or of a class that is registered.

    Args:
        task: name of the task.
        config: the written metric, from a file that anybody may have written. Nothing is imported
            for it.

    Raises:
        UnknownName: for any other class.
        InputError: for settings that are not plain values, or that the class does not take.
    """
    import keras

    what = f"A metric of task {shorten(task)!r}"
    name, module, registered = (
        config.get(key) for key in ("class_name", "module", "registered_name")
    )
    registered_class = (
        keras.saving.get_registered_object(registered)
        if isinstance(registered, str) and registered
        else None
    )
    of_keras = {n: kind for n, kind in vars(keras.metrics).items() if _is_kind(kind)}
    kind = (
        registered_class
        if _is_kind(registered_class)
        else of_keras.get(str(name))
        if module == "keras.metrics"
        else None
    )
    if kind is None:
        raise UnknownName(
            f"{what.lower()}:",
            registered or name,
            of_keras,
            "One of your own is registered with keras.saving.register_keras_serializable() before "
            "the file is read.",
        )
    settings = dict(config.get("config") or {})
    # The function of a `MeanMetricWrapper` is looked up in our tables, not deserialised by Keras.
    function = settings.pop("fn", None)
    _plain(settings, what)
    try:
        if function is not None and kind is keras.metrics.MeanMetricWrapper:
            return kind(loss_from_config.loss(function, what), **settings)
        return kind.from_config(settings)
    except InputError:
        raise
    except Exception as error:
        # A registered class is code of the user, which may raise any exception.
        raise InputError(
            f"{what} cannot be made from the settings {shorten(settings)}: {shorten(error, 120)}."
        ) from None


def _is_kind(value: Any) -> bool:
    """Return whether a value is a metric class of Keras or a subclass written by the user."""
    import keras

    return (
        isinstance(value, type)
        and issubclass(value, keras.metrics.Metric)
        and value is not keras.metrics.Metric
    )


def _plain(value: Any, what: str) -> None:
    """Refuse settings that are not plain values, or from which Keras would build an object."""
    if isinstance(value, Mapping):
        if {"class_name", "registered_name"} & set(value):
            raise InputError(
                f"{what} has {shorten(dict(value))} among its settings: plain values are expected."
            )
        for part in value.values():
            _plain(part, what)
    elif isinstance(value, list | tuple):
        for part in value:
            _plain(part, what)
    elif not isinstance(value, str | int | float | bool | None):
        raise InputError(
            f"{what} has a {type(value).__name__} among its settings: plain values are expected."
        )


def copied(metric: Any) -> Any | None:
    """Return a fresh metric with the same settings, or None if it cannot be built again."""
    try:
        return type(metric).from_config(metric.get_config())
    except Exception:  # a class written by the user may raise any exception
        return None
