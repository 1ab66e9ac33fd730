"""Make an optimizer change nothing in a step where a gradient is NaN or infinite."""

from __future__ import annotations

import types
from typing import Any

import keras
from keras import ops

from polycera.layers import backend

MARK = 2**30
"""Number added to the optimizer's count of steps after a step with a bad gradient.

The count is the only number that survives a step on each backend.
"""


def guard_steps(model: Any, policy: str | None) -> None:
    """Make each training step of a model check its gradients, or stop doing so.

    The `apply` of this one optimizer is wrapped, because Keras calls it in a step on each backend.

    Args:
        model: compiled.
        policy: "stop" or "skip" if a gradient is not finite; None for no check.
    """
    if policy == model.gradient_policy:
        return
    optimizer = model.optimizer
    vars(optimizer).pop("apply", None)
    model.gradient_policy, model.train_function = policy, None  # the step is traced again
    # A LossScaleOptimizer skips such steps by itself.
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    model.checks_gradients = policy is not None and not scaled
    if model.checks_gradients:
        # Past Keras's own `__setattr__`, which would track the attribute.
        object.__setattr__(
            optimizer, "apply", types.MethodType(_apply(model, policy == "stop"), optimizer)
        )


def _apply(model: Any, stops: bool) -> Any:
    """Return an `apply` that changes nothing if a gradient is not finite.

    Under "stop" it also changes nothing in all later steps.
    """

    def apply(optimizer: Any, grads: Any, trainable_variables: Any = None) -> None:
        if not optimizer.built:
            optimizer.build(trainable_variables)
        grads, variables = list(grads), trainable_variables or model.trainable_variables
        pairs = zip(grads, variables, strict=True)
        checked = [
            g
            for g, v in pairs
            if g is not None and not getattr(v, "overwrite_with_gradient", False)
        ]
        counter = step_counter(optimizer)
        all_finite, count_before = backend.all_finite(checked), ops.convert_to_tensor(counter) + 0
        applies = ops.logical_and(all_finite, count_before < MARK)
        changed = [*variables, *optimizer.variables]
        backend.only_if(
            applies, lambda: type(optimizer).apply(optimizer, grads, trainable_variables), changed
        )
        if stops:
            spoilt = ops.logical_and(ops.logical_not(all_finite), count_before < MARK)
            steps = ops.convert_to_tensor(counter)
            counter.assign(steps + ops.cast(spoilt, steps.dtype) * MARK)

    return apply


def step_counter(optimizer: Any) -> Any:
    """Return the variable that counts steps.

    `iterations` counts updates of the weights, which are fewer if gradients are accumulated.
    """
    return getattr(optimizer, "inner_optimizer", optimizer).variables[0]


def steps_taken(optimizer: Any) -> int:
    """Return how many steps an optimizer has taken."""
    return int(ops.convert_to_numpy(step_counter(optimizer)))
