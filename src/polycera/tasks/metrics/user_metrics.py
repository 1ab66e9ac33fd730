"""Metric objects of Keras, and of the user's own in its form, as metrics of a task."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks import loss_from_config


def split(task: str, metrics: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the metrics of a task that go by name, and those that are objects.

    Args:
        task: its name.
        metrics: a name, an object, or a list of both; None for the kind's own.

    Returns:
        Names, or None for the kind's own; and objects.

    Raises:
        InputError: for an object that cannot leave out rows, or two of one name.
    """
    if metrics is None or isinstance(metrics, str):
        return metrics, ()
    listed = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
    listed = [
        read(task, one) if isinstance(one, Mapping) and "class_name" in one else one
        for one in listed
    ]
    if not any(_is_metric(one) for one in listed):
        return metrics, ()
    objects = tuple(one for one in listed if _is_metric(one))
    names = [one for one in listed if not _is_metric(one)]
    for metric in objects:
        _check(task, metric)
    every = [one for one in names if isinstance(one, str)] + [one.name for one in objects]
    if twice := [name for name in every if every.count(name) > 1]:
        raise InputError(
            f"Task {shorten(task)!r} has two metrics that are called {shorten(twice[0])!r}: give one of them another "
            "name=."
        )
    return names or None, objects


def _is_metric(value: Any) -> bool:
    # not imported to find out: who has a metric of Keras has imported it
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, keras.metrics.Metric)


def _check(task: str, metric: Any) -> None:
    parameters = inspect.signature(metric.update_state).parameters.values()
    takes = any(
        p.name == "sample_weight" or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
    )
    if not takes:
        raise InputError(
            f"Metric {shorten(metric.name)!r} of task {shorten(task)!r} could not leave out rows without a label: give "
            "its update_state a third argument, sample_weight=None."
        )
    if "/" in metric.name:
        raise InputError(
            f"Metric {shorten(metric.name)!r} of task {shorten(task)!r}: a name without '/' is needed."
        )


def written(task: str, metric: Any) -> dict[str, Any]:
    """Return a metric as plain JSON values.

    Raises:
        InputError: for a class that nobody could find again when the file is loaded.
    """
    import keras

    kind = type(metric)
    known = kind.__module__.split(".")[0] == "keras"
    if (
        not known
        and keras.saving.get_registered_object(keras.saving.get_registered_name(kind)) is None
    ):
        raise InputError(
            f"Metric {shorten(metric.name)!r} of task {shorten(task)!r} cannot be saved by name: put "
            f"@keras.saving.register_keras_serializable() above the class {kind.__name__}."
        )
    return keras.saving.serialize_keras_object(metric)


def read(task: str, config: Mapping[str, Any]) -> Any:
    """Return the metric that `written` wrote down: one of Keras's, or one whose class this process has registered.

    Args:
        task: its name.
        config: from a file that anybody may have written; nothing is imported for it.

    Raises:
        UnknownName: for any other class.
        InputError: for settings that are no plain values, or that the class does not take.
    """
    import keras

    what = f"A metric of task {shorten(task)!r}"
    name, module, registered = (
        config.get(key) for key in ("class_name", "module", "registered_name")
    )
    own = (
        keras.saving.get_registered_object(registered)
        if isinstance(registered, str) and registered
        else None
    )
    of_keras = {n: kind for n, kind in vars(keras.metrics).items() if _is_kind(kind)}
    kind = own if _is_kind(own) else of_keras.get(str(name)) if module == "keras.metrics" else None
    if kind is None:
        raise UnknownName(
            f"{what.lower()}:",
            registered or name,
            of_keras,
            "One of your own is registered with keras.saving.register_keras_serializable() before the file is read.",
        )
    settings = dict(config.get("config") or {})
    function = settings.pop("fn", None)
    _plain(settings, what)
    try:
        if function is not None and kind is keras.metrics.MeanMetricWrapper:
            return kind(loss_from_config.loss(function, what), **settings)
        return kind.from_config(settings)
    except InputError:
        raise
    except Exception as error:
        # a registered class is somebody's own code: it may refuse in any way
        raise InputError(
            f"{what} cannot be made from the settings {shorten(settings)}: {shorten(error, 120)}."
        ) from None


def _is_kind(value: Any) -> bool:
    import keras

    return (
        isinstance(value, type)
        and issubclass(value, keras.metrics.Metric)
        and value is not keras.metrics.Metric
    )


def _plain(value: Any, what: str) -> None:
    """Refuse settings that are more than numbers and text, and what Keras would build from them."""
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
    """Return a metric of the same settings that has seen nothing; None where it cannot be made again."""
    try:
        return type(metric).from_config(metric.get_config())
    except Exception:  # a class of the user's own may refuse in any way
        return None
