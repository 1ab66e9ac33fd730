"""Call a backend directly where Keras has no function for it.

This is the only module that imports JAX, TensorFlow or PyTorch.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np

from polycera.errors import InputError, PolyceraError, shorten
from polycera.typing import Tensor


def seed(value: int) -> None:
    """Set the global seed that decides how `fit` shuffles rows.

    On JAX this is NumPy's seed, on the other backends the backend's own.

    `keras.utils.set_random_seed` would import TensorFlow on every backend where it is installed.
    That takes seconds and has no use here.
    """
    # NumPy takes seeds of 32 bits only.
    np.random.seed(value % 2**32)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.random.set_seed(value)
    elif keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(value)


def random_state() -> dict[str, Any]:
    """Return the states of the global random number generators, as plain values.

    Code that draws from these generators continues with the same numbers after `set_random_state`.
    TensorFlow's global generator cannot be read. Keras layers draw from their own generators on
    every backend.
    """
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),
    }
    if keras.backend.backend() == "torch":
        import torch

        states["torch"] = torch.get_rng_state().numpy()
    return states


def set_random_state(state: dict[str, Any]) -> None:
    """Restore the global random number generators to a state from `random_state`.

    Raises:
        InputError: for a state that `random_state` cannot have returned.
    """
    try:
        position = state["numpy"]["state"]["pos"]
        if not 0 <= position <= 624:  # NumPy does not check it and would read out of bounds
            raise ValueError(f"pos is {position}")
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])
        if "torch" in state and keras.backend.backend() == "torch":
            import torch

            torch.set_rng_state(torch.from_numpy(state["torch"].copy()))
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise InputError(
            f"The state of the random numbers is not valid ({shorten(error)}): the checkpoint was "
            "changed; remove it."
        ) from None


def only_if(condition: Tensor, act: Callable[[], None], variables: list[Any]) -> None:
    """Run a part of a training step that assigns to variables, if a tensor is true.

    If the tensor is false, the variables keep their values.

    Args:
        condition: bool [].
        act: the part to run.
        variables: all variables to which it may assign.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        # `tf.cond` needs two branches that return the same structure.
        def acted() -> Any:
            act()
            return tf.constant(True)

        tf.cond(condition, acted, lambda: tf.constant(False))
    elif backend == "torch" and condition.device.type == "cpu":
        if condition:
            act()
    elif backend == "jax":
        import jax

        # `jax.lax.cond` takes pure functions: variables go in and come out as values.
        def after(values: list[Tensor]) -> list[Tensor]:
            with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)) as scope:
                act()
            return [scope.get_current_value(variable) for variable in variables]

        values = [keras.ops.convert_to_tensor(variable) for variable in variables]
        for variable, value in zip(
            variables, jax.lax.cond(condition, after, lambda same: same, values), strict=True
        ):
            variable.assign(value)
    else:
        # PyTorch on a GPU: reading the condition would wait for the device. So run the part in any
        # case, and put the old values back where the condition is false.
        before = [keras.ops.copy(keras.ops.convert_to_tensor(variable)) for variable in variables]
        act()
        for variable, value in zip(variables, before, strict=True):
            variable.assign(
                keras.ops.where(condition, keras.ops.convert_to_tensor(variable), value)
            )


def all_finite(tensors: list[Tensor]) -> Tensor:
    """Return whether every number in these tensors is finite, bool [].

    A sum that is too large for float32 counts as infinite.
    """
    if keras.backend.backend() == "torch":
        import torch

        # `_foreach_norm` takes all tensors in one call. A norm is NaN or infinite where a number
        # is.
        return torch.isfinite(torch.stack(torch._foreach_norm(tensors, 1)).sum())
    # The sum of a tensor is NaN or infinite where one of its numbers is. `values`: TensorFlow gives
    # the gradient of an embedding as IndexedSlices.
    sums = [
        keras.ops.sum(keras.ops.cast(getattr(tensor, "values", tensor), "float32"))
        for tensor in tensors
    ]
    return keras.ops.all(keras.ops.isfinite(keras.ops.stack(sums)))


def are_finite(tensors: list[Tensor]) -> bool:
    """Return whether `all_finite` holds, outside of a training step.

    On JAX this is one compiled program for all tensors, instead of one for each shape.
    """
    return bool(keras.ops.convert_to_numpy(compiled(all_finite, 1)(tensors)))


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """Return the gradient of a scalar function of a tensor.

    It is computed eagerly: use it to diagnose a failure, not in training steps.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.grad(function)(at)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(at)
            value = function(at)
        return tape.gradient(value, at)
    import torch

    with torch.enable_grad():
        leaf = at.detach().requires_grad_(True)
        return torch.autograd.grad(function(leaf), leaf)[0]


def pulled(
    function: Callable[[list[Tensor]], Tensor], at: list[Tensor]
) -> tuple[Tensor, Callable[..., list[Tensor]]]:
    """Return a function's output at these tensors, and its pullback.

    The pullback takes a cotangent of the output and returns a gradient for each tensor. It may be
    called repeatedly, but only within the function that called `pulled`.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        output, pullback = jax.vjp(function, at)
        return output, lambda cotangent: pullback(cotangent)[0]
    if backend == "tensorflow":
        import tensorflow as tf

        # A variable in `at` becomes a tensor, so that the tape can watch it like the others.
        leaves = [tf.convert_to_tensor(tensor) for tensor in at]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(leaves)
            output = function(leaves)
        return output, lambda cotangent: tape.gradient(
            output, leaves, cotangent, unconnected_gradients="zero"
        )
    import torch

    leaves = [tensor.detach().requires_grad_() for tensor in at]
    with torch.enable_grad():
        output = function(leaves)

    def pull(cotangent: Tensor) -> list[Tensor]:
        gradients = torch.autograd.grad(
            output, leaves, cotangent, retain_graph=True, allow_unused=True
        )
        # PyTorch gives None for a tensor that the output does not depend on; the other backends
        # give 0.
        return [
            torch.zeros_like(leaf) if gradient is None else gradient
            for gradient, leaf in zip(gradients, leaves, strict=True)
        ]

    return output.detach(), pull


def one_by_one(function: Callable[[Tensor], list[Tensor]], rows: Tensor) -> list[Tensor]:
    """Compute a function of each row of a tensor, and stack its outputs.

    The rows are computed one after another, so the memory is that of one row.
    """
    if _traced():
        return keras.ops.map(function, rows)
    return [keras.ops.stack(parts) for parts in zip(*map(function, rows), strict=True)]


FEW = 16
"""TensorFlow needs less time to run a function this often than to trace it once."""


def compiles(times: int) -> bool:
    """Return whether it pays to compile what `one_by_one` does so many times."""
    backend = keras.backend.backend()
    return backend == "jax" or (backend == "tensorflow" and times > FEW)


def compiled(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """Return the function of tensors, compiled where `compiles` says that it pays."""
    if not compiles(times):
        return function
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function)


def _traced() -> bool:
    """Return whether this code is being compiled, on a backend that has a loop for it."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly()
    return backend == "jax"


def with_backward(
    forward: Callable[..., Tensor], backward: Callable[..., tuple[Any, ...]]
) -> Callable[..., Tensor]:
    """Return a function of tensors whose backward pass is given.

    Args:
        forward: inputs -> one output.
        backward: (inputs, cotangent of the output) -> a cotangent for each input, None where there
            is none.

    On PyTorch this makes an `autograd.Function`. The one in Keras 3.15.1 hides an error in the
    backward pass behind a bare `except` and returns NaN.
    """
    if keras.backend.backend() == "torch":
        return lambda *inputs: _torch_function().apply(forward, backward, *inputs)

    @keras.ops.custom_gradient
    def function(*inputs: Tensor) -> Any:
        def gradient(*cotangent: Tensor, upstream: Any = None) -> tuple[Any, ...]:
            return backward(inputs, cotangent[0] if upstream is None else upstream)

        return forward(*inputs), gradient

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Pass values: TensorFlow asks for a separate gradient of each variable among the inputs.
        return lambda *inputs: function(*map(tf.convert_to_tensor, inputs))
    return function


@cache
def _torch_function() -> Any:
    """Define the `autograd.Function` of `with_backward`, when PyTorch is first used."""
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, forward: Any, backward: Any, *inputs: Any) -> Any:
            context.backward_function = backward
            context.save_for_backward(*inputs)
            return forward(*inputs)

        @staticmethod
        def backward(context: Any, *cotangents: Any) -> Any:
            # None for `forward` and `backward`, which are no tensors.
            return None, None, *context.backward_function(context.saved_tensors, cotangents[0])

    return Function


def with_pullback(
    forward: Callable[..., Any], backward: Callable[..., list[Any]]
) -> Callable[..., Any]:
    """Return a function whose backward pass is given and may use its own gradient many times.

    Args:
        forward: (differentiated, rest) -> (output, others): two lists of tensors -> a tensor, a
            list of tensors without gradient.
        backward: (pull, cotangent of the output, differentiated, rest, others) -> a cotangent for
            each of the differentiated tensors, None for 0. `pull(which, cotangent, batched=False)`
            returns the gradients of the tensors at the positions `which`, for one cotangent or for
            a stack of them, [k, ...] each.

    Returns:
        (differentiated, rest) -> (output, others).
    """
    makers = {"jax": _jax_pullback, "tensorflow": _tensorflow_pullback, "torch": _torch_pullback}
    return makers[keras.backend.backend()](forward, backward)


def _jax_pullback(forward: Any, backward: Any) -> Any:
    """Make the function of `with_pullback` with `jax.custom_vjp`."""
    import jax

    @jax.custom_vjp
    def function(differentiated: Any, rest: Any) -> Any:
        return forward(differentiated, rest)

    def forward_rule(differentiated: Any, rest: Any) -> Any:
        output, pullback, others = jax.vjp(lambda d: forward(d, rest), differentiated, has_aux=True)
        # The second part is handed to the backward pass. JAX keeps the pullback itself there.
        return (output, others), (pullback, differentiated, rest, others)

    def backward_rule(saved: Any, cotangents: Any) -> Any:
        pullback, differentiated, rest, others = saved

        def pull_back(which: Any, cotangent: Any, batched: bool = False) -> list[Any]:
            gradients = (jax.vmap(pullback) if batched else pullback)(cotangent)[0]
            return [gradients[i] for i in which]

        results = backward(pull_back, cotangents[0], differentiated, rest, others)
        pairs = zip(results, differentiated, strict=True)
        # JAX takes no None here, and wants each cotangent in the dtype of its input.
        return [
            jax.numpy.zeros_like(tensor) if result is None else result.astype(tensor.dtype)
            for result, tensor in pairs
        ], None

    function.defvjp(forward_rule, backward_rule)
    return function


def _tensorflow_pullback(forward: Any, backward: Any) -> Any:
    """Make the function of `with_pullback` with `tf.custom_gradient` and a persistent tape."""
    import tensorflow as tf

    def call(differentiated: Any, rest: Any) -> Any:
        number = len(differentiated)

        @tf.custom_gradient
        def function(*tensors: Any) -> Any:
            watched = list(tensors[:number])
            with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
                tape.watch(watched)
                output, others = forward(watched, list(tensors[number:]))

            def pull_back(which: Any, cotangent: Any, batched: bool = False) -> list[Any]:
                tensors_of_which = [watched[i] for i in which]

                def gradients_of(cotangent: Any) -> Any:
                    return tape.gradient(
                        output, tensors_of_which, cotangent, unconnected_gradients="zero"
                    )

                return list(
                    tf.vectorized_map(gradients_of, cotangent)
                    if batched
                    else gradients_of(cotangent)
                )

            def gradient(*cotangents: Any) -> list[Any]:
                results = backward(
                    pull_back, cotangents[0], watched, list(tensors[number:]), others
                )
                return [*results, *[None] * len(rest)]

            return (output, *others), gradient

        output, *others = function(*differentiated, *rest)
        return output, others

    return call


def _torch_pullback(forward: Any, backward: Any) -> Any:
    """Make the function of `with_pullback` with an `autograd.Function`."""

    def call(differentiated: Any, rest: Any) -> Any:
        output, *others = _torch_pullback_function().apply(
            forward, backward, len(differentiated), *differentiated, *rest
        )
        return output, others

    return call


@cache
def _torch_pullback_function() -> Any:
    """Define the `autograd.Function` of `with_pullback`, when PyTorch is first used."""
    import torch

    class Pullback(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, forward: Any, backward: Any, number: int, *tensors: Any) -> Any:
            leaves = [tensor.detach().requires_grad_() for tensor in tensors[:number]]
            context.rest, context.differentiated, context.backward_function = (
                list(tensors[number:]),
                leaves,
                backward,
            )
            # PyTorch switches gradients off within `forward`; the backward pass needs this graph.
            with torch.enable_grad():
                context.output, others = forward(leaves, context.rest)
            context.others = [other.detach() for other in others]
            context.mark_non_differentiable(*context.others)
            return context.output.detach(), *context.others

        @staticmethod
        def backward(context: Any, *cotangents: Any) -> Any:
            def pull_back(which: Any, cotangent: Any, batched: bool = False) -> list[Any]:
                inputs = [context.differentiated[i] for i in which]
                gradients = torch.autograd.grad(
                    context.output,
                    inputs,
                    cotangent,
                    retain_graph=True,
                    allow_unused=True,
                    is_grads_batched=batched,
                )
                stack = cotangent.shape[:1] if batched else ()
                pairs = zip(gradients, inputs, strict=True)
                return [
                    leaf.new_zeros((*stack, *leaf.shape)) if gradient is None else gradient
                    for gradient, leaf in pairs
                ]

            results = context.backward_function(
                pull_back, cotangents[0], context.differentiated, context.rest, context.others
            )
            # None for `forward`, `backward` and `number`, which are no tensors.
            return None, None, None, *results, *[None] * len(context.rest)

    return Pullback


def replicas() -> int:
    """Return how many replicas of a `tf.distribute` strategy compute this step; 1 elsewhere."""
    context = _context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def sum_over_replicas(values: Tensor) -> Tensor:
    """Return the sum over all replicas of the step; elsewhere the values themselves.

    On JAX a step sees the whole batch, however many devices share it. Under `tf.distribute` each
    replica sees its own rows only, and Keras adds up the replicas' gradients. A mean therefore
    needs the number of rows of all replicas.
    """
    if replicas() == 1:
        return values
    import tensorflow as tf

    return _context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _context() -> Any:
    """Return TensorFlow's replica context.

    None on other backends, and outside of a replica.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()


# -- threads and processes -------------------------------------------------------------------------


def predicts_in_place() -> bool:
    """Return whether Keras leaves the variables in a model while it predicts.

    On JAX it takes them out.
    """
    return keras.backend.backend() != "jax"


def pure_prediction(model: Any) -> Callable[[], Callable[[Any], Tensor]] | None:
    """Compile the outputs of a model as a function without side effects, which threads may share.

    On JAX, `keras.Model.predict` takes the variables out of the model, hands their memory to the
    compiled step, and puts them back at the end. This function gets their values as arguments and
    leaves the variables where they are. On all backends it saves what Keras sets up for each call:
    a data set, a loader, callbacks.

    Returns:
        a function that reads the current values of the variables and returns a function of the
        features of a batch. None where Keras's own `predict` must be used: where devices share a
        batch, and where the model runs uncompiled.
    """
    makers = {
        "jax": _jax_prediction,
        "tensorflow": _tensorflow_prediction,
        "torch": _torch_prediction,
    }
    distributed = keras.distribution.distribution() is not None
    return None if model.run_eagerly or distributed else makers[keras.backend.backend()](model)


def _jax_prediction(model: Any) -> Any:
    """Make the function of `pure_prediction` with `stateless_call`, compiled by `jax.jit`."""
    import jax

    def call(x: Any, trainable: Any, others: Any) -> Any:
        return model.stateless_call(trainable, others, x, training=False)[0]

    function = _traced_once(jax.jit(call))

    def values() -> Callable[[Any], Tensor]:
        trainable = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        return lambda x: function(x, trainable, others)

    return values


def _tensorflow_prediction(model: Any) -> Any:
    """Make the function of `pure_prediction` with `tf.function`; None under replicas."""
    import tensorflow as tf

    if model.distribute_strategy.num_replicas_in_sync > 1:
        return None

    def call(x: Any) -> Any:
        return model(x, training=False)

    compiled = tf.function(call, reduce_retracing=True, jit_compile=bool(model.jit_compile))
    function = _traced_once(compiled)
    return lambda: lambda x: function(keras.tree.map_structure(tf.convert_to_tensor, x))


def _torch_prediction(model: Any) -> Any:
    """Make the function of `pure_prediction` without gradients; None for a compiled model."""
    import torch

    if model.jit_compile:
        return None

    def call(x: Any) -> Any:
        with torch.no_grad():
            return model(keras.tree.map_structure(keras.ops.convert_to_tensor, x), training=False)

    def values() -> Callable[[Any], Tensor]:
        model.eval()  # as Keras does: PyTorch modules among the layers need it
        return call

    return values


def _traced_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a compiled function whose first call for each shape is made by one thread only.

    Without this each thread would compile it.
    """
    tracing, traced_shapes = threading.Lock(), set()

    def call(x: Any, *others: Any) -> Any:
        shapes = tuple((tuple(part.shape), part.dtype) for part in keras.tree.flatten(x))
        if shapes in traced_shapes:
            return function(x, *others)
        with tracing:
            outputs = function(x, *others)
        traced_shapes.add(shapes)
        return outputs

    return call


class Process:
    """Hold whether this process has used the backend, and whether a fork has cut it off from it.

    Attributes:
        used: whether the backend has been used here.
        cut_off: whether this is a forked child of a process that had used the backend.
    """

    used = False
    cut_off = False


def _forked() -> None:
    """Record in a forked child whether its parent had used the backend.

    A child has the memory of its parent, but none of its threads. Code that waits for one of these
    threads waits for ever.
    """
    Process.cut_off = Process.used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def check_process() -> None:
    """Raise an error if this process was forked from one that has used the backend.

    Without the error the process would wait for ever.

    Raises:
        PolyceraError: in such a child; not on PyTorch with one thread, which survives a fork.
    """
    Process.used = True
    if not Process.cut_off:
        return
    name = keras.backend.backend()
    if name == "torch":
        import torch

        if torch.get_num_threads() == 1:
            return
    raise PolyceraError(
        f"This process was forked from one that had used {name} already, and {name} does not "
        "survive that: start workers with multiprocessing.get_context('spawn'), or fork before the "
        "first model is built or loaded."
    )
