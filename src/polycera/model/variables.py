"""Read the variables of a model as named arrays, and write them back: all of them, or none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import numpy as np

from polycera.errors import InputError, shorten
from polycera.layers import keras_graph
from polycera.storage.arrays import StoredArrays
from polycera.typing import Array


def settle(model: keras.Model) -> None:
    """Bring the variables back into a model before they are used.

    On JAX, Keras holds them outside the model during a training, also between epochs.
    """
    keras_graph.bring_variables_back(model)


def owned_by(model: keras.Model) -> AbstractContextManager[Any]:
    """Return a scope in which new variables belong to a model's `tf.distribute` strategy."""
    strategy = getattr(model, "distribute_strategy", None)
    return nullcontext() if strategy is None else strategy.scope()


@contextmanager
def unharmed(model: keras.Model) -> Iterator[None]:
    """Restore a model's variables if a step raises an error.

    On JAX, Keras takes them out of the model before the first step. A batch that is refused there
    would leave a model without weights.
    """
    if not keras_graph.holds_variables_outside(model):
        yield
        return
    settle(model)
    all_variables = [
        *model.variables,
        *model.metrics_variables,
        *getattr(model.optimizer, "variables", []),
    ]
    before = [(variable, variable.value) for variable in all_variables]
    try:
        yield
    except BaseException:
        settle(model)
        for variable, value in before:
            if not _has_value(variable):
                variable.assign(value)
        raise


def _has_value(variable: Any) -> bool:
    """Return whether a variable has a value; on JAX a failed step may have removed it."""
    try:
        return variable.value is not None
    except TypeError:  # neither a value nor an initializer that would make one
        return False


def weights(model: keras.Model) -> list[Any]:
    """Return a model's weights: enough to predict, on any backend."""
    return list(model.weights)


def everything(model: keras.Model) -> list[Any]:
    """Return all variables, those of random generators too.

    They are enough to train on, beside those of the optimizer and the metrics.
    """
    return list(model.variables)


def read(variables: Sequence[Any]) -> dict[str, Array]:
    """Return the values by name.

    The name `0003/trunk/kernel` is that of the fourth variable, with its path.

    Args:
        variables: in an order that is the same whenever the model is built.
    """
    return {name: np.array(keras.ops.convert_to_numpy(v)) for name, v in _named(variables).items()}


def write(variables: Sequence[Any], values: Mapping[str, Array], source: str) -> None:
    """Write values into the variables from which they were read.

    Args:
        variables: as for `read`.
        values: what `read` returned.
        source: where they come from, for error messages.

    Raises:
        InputError: if they are not the values of these variables; nothing is changed then.
    """
    check(variables, {name: (v.shape, v.dtype.name) for name, v in values.items()}, source)
    for name, variable in _named(variables).items():
        # A copy, because a backend may use the memory of an array as its own, and train in it.
        variable.assign(np.array(values[_same(name, values)]))


def load(variables: Sequence[Any], stored: StoredArrays, source: str) -> None:
    """Write the arrays of a file into the variables; the file is checked before any array is read.

    Args:
        variables: as for `read`.
        stored: the file.
        source: its name, for error messages.

    Raises:
        InputError: as `write`.
        PolyceraError: if the file is damaged.
    """
    check(variables, stored.shapes, source)
    write(variables, stored.arrays, source)


def check(
    variables: Sequence[Any], shapes: Mapping[str, tuple[tuple[int, ...], str]], source: str
) -> None:
    """Compare the names and shapes in a file with a model, before anything is read.

    Args:
        variables: as for `read`.
        shapes: name -> (shape, type).
        source: where they come from.

    Raises:
        InputError: for the first that does not fit.
    """
    if len(shapes) != len(variables):
        raise InputError(
            f"{source} holds {len(shapes)} variables and this model has {len(variables)}: build "
            "the model as it was."
        )
    # Names begin with the position, so sorting them restores the order of the variables.
    for (name, variable), (stored, (shape, _)) in zip(
        _named(variables).items(), sorted(shapes.items()), strict=True
    ):
        variable_shape = tuple(variable.shape)
        if _plain(name) != _plain(stored) or variable_shape != shape:
            raise InputError(
                f"{source} holds {shorten(stored)!r} {list(shape)} where this model has "
                f"{shorten(name)!r} {list(variable_shape)}: "
                "build the model as it was."
            )


def _named(variables: Sequence[Any]) -> dict[str, Any]:
    """Return the variables by position and path."""
    return {f"{i:04d}/{variable.path}": variable for i, variable in enumerate(variables)}


def _same(name: str, values: Mapping[str, Array]) -> str:
    """Return the name under which this variable was read.

    The position at its start decides: in a process that builds a second model, Keras gives layers
    new numbers, which change the path.
    """
    return name if name in values else next(other for other in values if other[:5] == name[:5])


def _plain(name: str) -> str:
    """Return a name without the numbers that Keras appends to layers."""
    return re.sub(r"_\d+(?=[/_]|$)", "", name)
