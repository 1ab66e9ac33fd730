"""Make rows and labels to measure time with."""

from __future__ import annotations

from typing import Any

import numpy as np

from polycera.errors import InputError, shorten
from polycera.layers import keras_graph
from polycera.tasks import Task


def rows(model: Any, x: Any, count: int) -> list[np.ndarray]:
    """Return `count` rows for each input of a model: the given ones repeated, or random ones.

    Raises:
        InputError: where rows are given and do not fit; where no rows are given and an input's
            length is not fixed or it takes texts.
    """
    if x is None:
        rng = np.random.default_rng(0)
        return [_random(tensor, count, rng) for tensor in model.inputs]
    inputs = (
        [x[name] for name in model.input]
        if isinstance(x, dict) and isinstance(model.input, dict)
        else x
    )
    arrays = [
        np.asarray(values) for values in (inputs if isinstance(inputs, list | tuple) else [inputs])
    ]
    if len(arrays) != len(model.inputs) or not all(len(array) for array in arrays):
        raise InputError(
            f"The rows to measure with are {len(arrays)} arrays; the model takes "
            f"{len(model.inputs)}."
        )
    return [array[np.arange(count) % len(array)] for array in arrays]


def _random(tensor: Any, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return random rows for one input."""
    name, shape = keras_graph.operation_of(tensor).name, tensor.shape[1:]
    if None in shape or tensor.dtype == "string":
        problem = (
            "texts" if tensor.dtype == "string" else f"shape {list(shape)}, which is not fixed"
        )
        raise InputError(
            f"Input {shorten(name)!r} takes {problem}: give rows to measure with, "
            "pc.describe_network(model, x, measure=True)."
        )
    if "int" in tensor.dtype or tensor.dtype == "bool":
        # 0 is a code that every vocabulary has; another one might be out of range.
        return np.zeros((count, *shape), tensor.dtype)
    return rng.normal(size=(count, *shape)).astype("float32")


def labels(task: Task, count: int) -> np.ndarray:
    """Return synthetic labels that the task accepts."""
    rng = np.random.default_rng(0)
    classes = getattr(task, "classes", None)
    if task.measured_as == "soft multilabel":
        return rng.random((count, task.units))
    if task.measured_as == "soft multiclass":
        return rng.dirichlet(np.ones(task.units), count)
    if task.kind == "proportion":
        return rng.random(count)
    if classes is not None:
        return np.resize(np.array(classes, dtype=object), count)
    if task.kind == "multilabel":
        return rng.integers(0, 2, (count, task.units))
    return rng.integers(0, 5, count) if task.kind == "count" else rng.normal(size=count)
