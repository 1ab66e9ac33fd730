"""The one place where a backend is imported, for what Keras has no word for."""

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
    """Set the global seed by which `fit` shuffles: NumPy's on JAX, the backend's own on the others.

    `keras.utils.set_random_seed` would import TensorFlow on every backend where it is installed:
    seconds for nothing.
    """
    np.random.seed(value % 2**32)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.random.set_seed(value)
    elif keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(value)


def random_state() -> dict[str, Any]:
    """The global generators of random numbers, as plain state: who draws from them goes on with the same numbers.

    TensorFlow has none that could be read; layers of Keras draw from generators of their own on
    every backend.
    """
    found: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),
    }
    if keras.backend.backend() == "torch":
        import torch

        found["torch"] = torch.get_rng_state().numpy()
    return found


def set_random_state(state: dict[str, Any]) -> None:
    """Put them back to where `random_state` found them.

    Raises:
        InputError: for what `random_state` does not give.
    """
    try:
        place = state["numpy"]["state"]["pos"]
        if not 0 <= place <= 624:  # NumPy takes any, and reads there
            raise ValueError(f"pos is {place}")
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
            f"The state of the random numbers is none ({shorten(error)}): the checkpoint was changed; remove it."
        ) from None


def only_if(condition: Tensor, act: Callable[[], None], variables: list[Any]) -> None:
    """Do something in a training step that assigns to variables, where a tensor is true; else leave them as they are.

    Args:
        condition: bool [].
        act: what is done.
        variables: all to which it may assign.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def acted() -> Any:
            act()
            return tf.constant(True)

        tf.cond(condition, acted, lambda: tf.constant(False))
    elif backend == "torch" and condition.device.type == "cpu":
        if condition:
            act()
    elif backend == "jax":
        import jax

        def after(values: list[Tensor]) -> list[Tensor]:
            with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)) as scope:
                act()
            return [scope.get_current_value(variable) for variable in variables]

        values = [keras.ops.convert_to_tensor(variable) for variable in variables]
        for variable, value in zip(
            variables, jax.lax.cond(condition, after, lambda same: same, values), strict=True
        ):
            variable.assign(value)
    else:  # on a GPU, to look at the condition would be to wait for it
        before = [keras.ops.copy(keras.ops.convert_to_tensor(variable)) for variable in variables]
        act()
        for variable, value in zip(variables, before, strict=True):
            variable.assign(
                keras.ops.where(condition, keras.ops.convert_to_tensor(variable), value)
            )


def all_finite(tensors: list[Tensor]) -> Tensor:
    """Whether every number in these tensors is finite, bool []; a sum too large for float32 counts as infinite."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.isfinite(torch.stack(torch._foreach_norm(tensors, 1)).sum())
    sums = [
        keras.ops.sum(keras.ops.cast(getattr(tensor, "values", tensor), "float32"))
        for tensor in tensors
    ]
    return keras.ops.all(keras.ops.isfinite(keras.ops.stack(sums)))


def are_finite(tensors: list[Tensor]) -> bool:
    """Return whether `all_finite` holds, outside of a step; on JAX by one program, and not by one for each shape."""
    return bool(keras.ops.convert_to_numpy(compiled(all_finite, 1)(tensors)))


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The gradient of a scalar function of a tensor, computed at once: for a look at what went wrong, not for steps."""
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
        own = at.detach().requires_grad_(True)
        return torch.autograd.grad(function(own), own)[0]


def pulled(
    function: Callable[[list[Tensor]], Tensor], at: list[Tensor]
) -> tuple[Tensor, Callable[..., list[Tensor]]]:
    """A function's output at these tensors, and its pullback: cotangent of the output -> a gradient for each of them.

    The pullback may be called again and again, within the function in which it was made.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        output, pullback = jax.vjp(function, at)
        return output, lambda cotangent: pullback(cotangent)[0]
    if backend == "tensorflow":
        import tensorflow as tf

        own = [tf.convert_to_tensor(tensor) for tensor in at]  # a copy of what may be a variable
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(own)
            output = function(own)
        return output, lambda cotangent: tape.gradient(
            output, own, cotangent, unconnected_gradients="zero"
        )
    import torch

    own = [tensor.detach().requires_grad_() for tensor in at]
    with torch.enable_grad():
        output = function(own)

    def pull(cotangent: Tensor) -> list[Tensor]:
        found = torch.autograd.grad(output, own, cotangent, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(o) if f is None else f for f, o in zip(found, own, strict=True)]

    return output.detach(), pull


def one_by_one(function: Callable[[Tensor], list[Tensor]], rows: Tensor) -> list[Tensor]:
    """A function of each row of a tensor, its outputs stacked; one after another: the memory is that of one."""
    if _traced():
        return keras.ops.map(function, rows)
    return [keras.ops.stack(parts) for parts in zip(*map(function, rows), strict=True)]


FEW = 16
"""Times that TensorFlow does a thing sooner than it traces it."""


def compiles(times: int) -> bool:
    """Whether it pays to compile, for a look now and then, what `one_by_one` does so many times."""
    backend = keras.backend.backend()
    return backend == "jax" or (backend == "tensorflow" and times > FEW)


def compiled(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """The function of tensors, compiled where `compiles` says so."""
    if not compiles(times):
        return function
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function)


def _traced() -> bool:
    """Whether this is being compiled, on a backend that has a loop for it."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly()
    return backend == "jax"


def with_backward(
    forward: Callable[..., Tensor], backward: Callable[..., tuple[Any, ...]]
) -> Callable[..., Tensor]:
    """A function of tensors with a gradient of our own.

    Args:
        forward: inputs -> one output.
        backward: (inputs, cotangent of the output) -> a cotangent for each input, None where there
            is none.

    On PyTorch the function is an `autograd.Function` of ours: the one in Keras 3.15.1 hides an
    error in the backward pass behind a bare `except` and hands on NaN.
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

        # values: a variable among the inputs would have to be differentiated as one
        return lambda *inputs: function(*map(tf.convert_to_tensor, inputs))
    return function


@cache
def _torch_function() -> Any:
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, forward: Any, backward: Any, *inputs: Any) -> Any:
            context.ours = backward
            context.save_for_backward(*inputs)
            return forward(*inputs)

        @staticmethod
        def backward(context: Any, *cotangents: Any) -> Any:
            return None, None, *context.ours(context.saved_tensors, cotangents[0])

    return Function


def with_pullback(
    forward: Callable[..., Any], backward: Callable[..., list[Any]]
) -> Callable[..., Any]:
    """A function with a gradient of our own, made from as many pullbacks of its own gradient as it takes.

    Args:
        forward: (differentiated, rest) -> (output, others): two lists of tensors -> a tensor, a
            list of tensors without gradient.
        backward: (pull, cotangent of the output, differentiated, rest, others) -> a cotangent for
            each of the differentiated, None for 0. `pull(which, cotangent, batched=False)` gives
            the gradients of those in `which` (their places), for one cotangent or for a stack of
            them, [k, ...] each.

    Returns:
        (differentiated, rest) -> (output, others).
    """
    shims = {"jax": _jax_pullback, "tensorflow": _tensorflow_pullback, "torch": _torch_pullback}
    return shims[keras.backend.backend()](forward, backward)


def _jax_pullback(forward: Any, backward: Any) -> Any:
    import jax

    @jax.custom_vjp
    def function(differentiated: Any, rest: Any) -> Any:
        return forward(differentiated, rest)

    def going(differentiated: Any, rest: Any) -> Any:
        output, pullback, others = jax.vjp(lambda d: forward(d, rest), differentiated, has_aux=True)
        return (output, others), (pullback, differentiated, rest, others)

    def coming(kept: Any, cotangents: Any) -> Any:
        pullback, differentiated, rest, others = kept

        def pull(which: Any, cotangent: Any, batched: bool = False) -> list[Any]:
            found = (jax.vmap(pullback) if batched else pullback)(cotangent)[0]
            return [found[i] for i in which]

        found = backward(pull, cotangents[0], differentiated, rest, others)
        pairs = zip(found, differentiated, strict=True)
        return [jax.numpy.zeros_like(d) if f is None else f.astype(d.dtype) for f, d in pairs], None

    function.defvjp(going, coming)
    return function


def _tensorflow_pullback(forward: Any, backward: Any) -> Any:
    import tensorflow as tf

    def call(differentiated: Any, rest: Any) -> Any:
        number = len(differentiated)

        @tf.custom_gradient
        def function(*tensors: Any) -> Any:
            own = list(tensors[:number])
            with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
                tape.watch(own)
                output, others = forward(own, list(tensors[number:]))

            def pull(which: Any, cotangent: Any, batched: bool = False) -> list[Any]:
                wanted = [own[i] for i in which]

                def one(cotangent: Any) -> Any:
                    return tape.gradient(output, wanted, cotangent, unconnected_gradients="zero")

                return list(tf.vectorized_map(one, cotangent) if batched else one(cotangent))

            def gradient(*cotangents: Any) -> list[Any]:
                found = backward(pull, cotangents[0], own, list(tensors[number:]), others)
                return [*found, *[None] * len(rest)]

            return (output, *others), gradient

        output, *others = function(*differentiated, *rest)
        return output, others

    return call


def _torch_pullback(forward: Any, backward: Any) -> Any:
    def call(differentiated: Any, rest: Any) -> Any:
        output, *others = _torch_pulling().apply(
            forward, backward, len(differentiated), *differentiated, *rest
        )
        return output, others

    return call


@cache
def _torch_pulling() -> Any:
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, forward: Any, backward: Any, number: int, *tensors: Any) -> Any:
            own = [tensor.detach().requires_grad_() for tensor in tensors[:number]]
            context.rest, context.own, context.ours = list(tensors[number:]), own, backward
            with torch.enable_grad():
                context.output, others = forward(own, context.rest)
            context.others = [other.detach() for other in others]
            context.mark_non_differentiable(*context.others)
            return context.output.detach(), *context.others

        @staticmethod
        def backward(context: Any, *cotangents: Any) -> Any:
            def pull(which: Any, cotangent: Any, batched: bool = False) -> list[Any]:
                wanted = [context.own[i] for i in which]
                found = torch.autograd.grad(
                    context.output,
                    wanted,
                    cotangent,
                    retain_graph=True,
                    allow_unused=True,
                    is_grads_batched=batched,
                )
                stack = cotangent.shape[:1] if batched else ()
                pairs = zip(found, wanted, strict=True)
                return [own.new_zeros((*stack, *own.shape)) if f is None else f for f, own in pairs]

            found = context.ours(pull, cotangents[0], context.own, context.rest, context.others)
            return None, None, None, *found, *[None] * len(context.rest)

    return Function


def replicas() -> int:
    """How many replicas of a `tf.distribute` strategy compute this step together; 1 everywhere else."""
    context = _context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def sum_over_replicas(values: Tensor) -> Tensor:
    """The sum over all replicas of the step; elsewhere the values themselves.

    On JAX a step sees the whole batch, however many devices share it. Under `tf.distribute` each
    replica sees its own rows only, and Keras adds up the replicas' gradients: a mean needs the
    number of rows of all.
    """
    if replicas() == 1:
        return values
    import tensorflow as tf

    return _context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _context() -> Any:
    """The replica context of TensorFlow; None on other backends, and where no replica is at work."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()


# -- threads and processes ---------------------------------------------------------------------------------------------


def predicts_in_place() -> bool:
    """Whether Keras leaves the variables in a model while it predicts; on JAX it takes them out."""
    return keras.backend.backend() != "jax"


def pure_prediction(model: Any) -> Callable[[], Callable[[Any], Tensor]] | None:
    """Make the outputs of a model a compiled function that changes nothing, so that threads may share it.

    `keras.Model.predict` on JAX takes the variables out of the model, hands their memory to the
    compiled step, and puts them back at the end; this function gets their values as arguments and
    leaves them where they are. On all backends it does without what Keras sets up for each call: a
    data set, a loader, callbacks.

    Returns:
        what takes the values as they stand now, and gives a function of the features of a batch;
        None where Keras's own `predict` has to do it: where devices share a batch, and where the
        model runs uncompiled.
    """
    makers = {
        "jax": _jax_prediction,
        "tensorflow": _tensorflow_prediction,
        "torch": _torch_prediction,
    }
    distributed = keras.distribution.distribution() is not None
    return None if model.run_eagerly or distributed else makers[keras.backend.backend()](model)


def _jax_prediction(model: Any) -> Any:
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
    import tensorflow as tf

    if model.distribute_strategy.num_replicas_in_sync > 1:
        return None

    def call(x: Any) -> Any:
        return model(x, training=False)

    compiled = tf.function(call, reduce_retracing=True, jit_compile=bool(model.jit_compile))
    function = _traced_once(compiled)
    return lambda: lambda x: function(keras.tree.map_structure(tf.convert_to_tensor, x))


def _torch_prediction(model: Any) -> Any:
    import torch

    if model.jit_compile:
        return None

    def call(x: Any) -> Any:
        with torch.no_grad():
            return model(keras.tree.map_structure(keras.ops.convert_to_tensor, x), training=False)

    def values() -> Callable[[Any], Tensor]:
        model.eval()  # as Keras does: for modules of PyTorch among the layers
        return call

    return values


def _traced_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled function whose first call for each shape is made by one thread: else each would compile it."""
    tracing, seen = threading.Lock(), set()

    def call(x: Any, *rest: Any) -> Any:
        shapes = tuple((tuple(part.shape), part.dtype) for part in keras.tree.flatten(x))
        if shapes in seen:
            return function(x, *rest)
        with tracing:
            found = function(x, *rest)
        seen.add(shapes)
        return found

    return call


class Process:
    """What this process has done with the backend, and whether a fork has cut it off from it."""

    used = False
    cut_off = False


def _forked() -> None:
    """A child has the memory of its parent and none of its threads: whoever waits for one of them waits for ever."""
    Process.cut_off = Process.used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def check_process() -> None:
    """Raise where this process is the fork of one that has used the backend, instead of waiting for ever.

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
        f"This process was forked from one that had used {name} already, and {name} does not survive that: start "
        "workers with multiprocessing.get_context('spawn'), or fork before the first model is built or loaded."
    )
