"""An optimizer that leaves everything as it is where a gradient is NaN or infinite."""

from __future__ import annotations

import types
from typing import Any

import keras
from keras import ops

from polycera.layers import backend

MARK = 2**30
"""Added to the optimizer's count of steps where one was spoilt: no other number outlives a step on each backend."""


def guard_steps(model: Any, policy: str | None) -> None:
    """Have each training step of a model look at its gradients, or no longer.

    The optimizer's `apply` is wrapped, on this one object: Keras calls it in a step on each
    backend.

    Args:
        model: compiled.
        policy: "stop" or "skip" where a gradient is not finite; None to look no longer.
    """
    if policy == model._policy:
        return
    optimizer = model.optimizer
    vars(optimizer).pop("apply", None)
    model._policy, model.train_function = policy, None  # the step is traced anew
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    model._wrapped = policy is not None and not scaled
    if model._wrapped:
        object.__setattr__(
            optimizer, "apply", types.MethodType(_apply(model, policy == "stop"), optimizer)
        )


def _apply(model: Any, stops: bool) -> Any:
    """`apply` that leaves everything as it is where a gradient is not finite, and under "stop" ever after."""

    def apply(optimizer: Any, grads: Any, trainable_variables: Any = None) -> None:
        if not optimizer.built:
            optimizer.build(trainable_variables)
        grads, own = list(grads), trainable_variables or model.trainable_variables
        pairs = zip(grads, own, strict=True)
        looked = [
            g
            for g, v in pairs
            if g is not None and not getattr(v, "overwrite_with_gradient", False)
        ]
        counter = step_counter(optimizer)
        fine, before = backend.all_finite(looked), ops.convert_to_tensor(counter) + 0
        goes_on = ops.logical_and(fine, before < MARK)
        changed = [*own, *optimizer.variables]
        backend.only_if(
            goes_on, lambda: type(optimizer).apply(optimizer, grads, trainable_variables), changed
        )
        if stops:
            spoilt = ops.logical_and(ops.logical_not(fine), before < MARK)
            steps = ops.convert_to_tensor(counter)
            counter.assign(steps + ops.cast(spoilt, steps.dtype) * MARK)

    return apply


def step_counter(optimizer: Any) -> Any:
    """The variable that counts steps; `iterations` counts moves, where gradients are added up over several steps."""
    return getattr(optimizer, "inner_optimizer", optimizer).variables[0]


def steps_taken(optimizer: Any) -> int:
    """Return how many steps an optimizer has taken."""
    return int(ops.convert_to_numpy(step_counter(optimizer)))
