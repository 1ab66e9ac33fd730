"""The variables of a model as named arrays, and back: each into its place, or none at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from polycera.errors import InputError, shorten
from polycera.storage.arrays import StoredArrays
from polycera.typing import Array


def settle(model: keras.Model) -> None:
    """On JAX a training holds the variables elsewhere between epochs; bring them back before they are touched."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


@contextmanager
def unharmed(model: keras.Model) -> Iterator[None]:
    """Leave the model with its variables where a step raises an error.

    On JAX, Keras takes them out of the model before the first step. A batch that is refused there
    would leave a model without weights.
    """
    if not hasattr(model, "jax_state_sync"):
        yield
        return
    settle(model)
    owned = [*model.variables, *model.metrics_variables, *getattr(model.optimizer, "variables", [])]
    before = [(variable, variable.value) for variable in owned]
    try:
        yield
    except BaseException:
        settle(model)
        for variable, value in before:
            if not _has_value(variable):
                variable.assign(value)
        raise


def _has_value(variable: Any) -> bool:
    try:
        return variable.value is not None
    except TypeError:  # neither a value nor an initializer that would make one
        return False


def weights(model: keras.Model) -> list[Any]:
    """What a model knows: enough to predict, on any backend."""
    return list(model.weights)


def everything(model: keras.Model) -> list[Any]:
    """Its generators of random numbers too: enough to train on, beside its optimizer and metrics."""
    return list(model.variables)


def read(variables: Sequence[Any]) -> dict[str, Array]:
    """The values by name: `0003/trunk/kernel` is the fourth, and what it is called.

    Args:
        variables: in an order that is the same whenever the model is built.
    """
    return {name: np.array(keras.ops.convert_to_numpy(v)) for name, v in _named(variables).items()}


def write(variables: Sequence[Any], values: Mapping[str, Array], source: str) -> None:
    """Put values where they were read.

    Args:
        variables: as for `read`.
        values: what `read` gave.
        source: whence they come, for the sentence of an error.

    Raises:
        InputError: where they are not the values of these variables; nothing is changed then.
    """
    check(variables, {name: (v.shape, v.dtype.name) for name, v in values.items()}, source)
    for name, variable in _named(variables).items():
        # a copy: backends take an array's memory for their own where they can, and train in it
        variable.assign(np.array(values[_same(name, values)]))


def load(variables: Sequence[Any], stored: StoredArrays, source: str) -> None:
    """Put the arrays of a file where they were read; they are held against the model before any of them is read.

    Args:
        variables: as for `read`.
        stored: the file.
        source: what it is, for the sentence of an error.

    Raises:
        InputError: as `write`.
        PolyceraError: where the file is damaged.
    """
    check(variables, stored.shapes, source)
    write(variables, stored.arrays, source)


def check(
    variables: Sequence[Any], shapes: Mapping[str, tuple[tuple[int, ...], str]], source: str
) -> None:
    """Hold what a file announces against a model, before anything is read.

    Args:
        variables: as for `read`.
        shapes: name -> (shape, type).
        source: whence they come.

    Raises:
        InputError: for the first that does not fit.
    """
    if len(shapes) != len(variables):
        raise InputError(
            f"{source} holds {len(shapes)} variables and this model has {len(variables)}: build the model as it was."
        )
    for (name, variable), (stored, (shape, _)) in zip(
        _named(variables).items(), sorted(shapes.items()), strict=True
    ):
        own = tuple(variable.shape)
        if _plain(name) != _plain(stored) or own != shape:
            raise InputError(
                f"{source} holds {shorten(stored)!r} {list(shape)} where this model has {shorten(name)!r} {list(own)}: "
                "build the model as it was."
            )


def _named(variables: Sequence[Any]) -> dict[str, Any]:
    return {f"{i:04d}/{variable.path}": variable for i, variable in enumerate(variables)}


def _same(name: str, values: Mapping[str, Array]) -> str:
    """The name under which this variable was read: Keras counts names on in a process that builds a second model."""
    return name if name in values else next(other for other in values if other[:5] == name[:5])


def _plain(name: str) -> str:
    return re.sub(r"_\d+(?=[/_]|$)", "", name)
