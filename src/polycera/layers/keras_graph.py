"""Read what Keras keeps to itself: the only file that uses its private names.

Keras has no public way to the calls that made a symbolic tensor, to the options of `compile`, or to
the validation data of a running `fit`. Where a later release renames one of these, this file alone
changes. The names are those of Keras 3.15.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


def is_symbolic(tensor: Any) -> bool:
    """Return whether a tensor belongs to a graph of layers."""
    return hasattr(tensor, "_keras_history")


def operation_of(tensor: Any) -> Any:
    """Return the layer or operation that made a symbolic tensor; None for any other tensor."""
    return getattr(getattr(tensor, "_keras_history", None), "operation", None)


def node_of(tensor: Any) -> Any:
    """Return the call that made a symbolic tensor, with `operation` and `input_tensors`."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def place_of(tensor: Any) -> int:
    """Return which output of its call a symbolic tensor is."""
    return int(tensor._keras_history.tensor_index)


def first_call(layer: Any) -> Any:
    """Return the first call of a layer."""
    return layer._inbound_nodes[0]


def forget_calls(layer: Any) -> None:
    """Let a copied layer start without the calls of its original."""
    layer.__dict__.update(_inbound_nodes=[], _outbound_nodes=[])


def keep_mask(source: Any, result: Any) -> None:
    """Give a tensor the mask of the tensor that it was computed from, if that has one."""
    mask = getattr(source, "_keras_mask", None)
    if mask is not None:
        result._keras_mask = mask


def inner_layers(layer: Any) -> list[Any]:
    """Return the layers that a layer holds, directly."""
    return list(getattr(layer, "_layers", ()))


def takes_training(operation: Any) -> bool:
    """Return whether a layer is told by its caller that it is trained."""
    return "training" in getattr(operation, "_call_context_args", ())


def standardized_inputs(model: keras.Model, inputs: Any) -> Any:
    """Return inputs as a functional model brings them to its layers: in their types and shapes."""
    return model._standardize_inputs(inputs)


def compile_settings(model: keras.Model) -> Any:
    """Return the object that holds what `compile` was given; None before `compile`.

    Each `compile` makes a new object.
    """
    return getattr(model, "_compile_config", None)


def compile_options(model: keras.Model) -> dict[str, Any]:
    """Return what `compile` was given, by the name of the argument; empty before `compile`."""
    settings = compile_settings(model)
    return {} if settings is None else dict(settings.config)


def trained_by(optimizer: Any) -> list[Any]:
    """Return the variables that an optimizer was built to train."""
    return list(optimizer._trainable_variables)


def validates_within_fit(options: Mapping[str, Any]) -> bool:
    """Return whether `evaluate` was called by `fit`, whose validation data are ready already."""
    return bool(options.get("_use_cached_eval_dataset", False))


def validation_adapter(model: keras.Model) -> Any:
    """Return the adapter of the validation data of a running `fit`; None where there is none."""
    return getattr(getattr(model, "_eval_epoch_iterator", None), "data_adapter", None)


def holds_variables_outside(model: keras.Model) -> bool:
    """Return whether Keras may keep a model's variables elsewhere while it trains, as on JAX."""
    return hasattr(model, "jax_state_sync")


def bring_variables_back(model: keras.Model) -> None:
    """Put the variables of a model that trains on JAX back into it; nothing on other backends."""
    if holds_variables_outside(model):
        model.jax_state_sync()
