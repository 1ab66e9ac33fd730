"""Balance gradients in any functional model, separately for each set of tasks that share weights.

Two of three tasks may share a branch that the third does not use. The weights of a network
therefore fall into regions, one for each set of tasks that they serve. In each region a method gets
the Gramian of exactly those tasks' gradients, and the region's weights receive the combination that
the method returns. Weights that serve one task, and the heads, learn from their own losses as
always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, listing
from polycera.layers import keras_graph
from polycera.layers.backend import replicas, sum_over_replicas, with_pullback
from polycera.layers.balance import ActiveBalancing
from polycera.layers.call_graph import Call, Graph, Key
from polycera.layers.heads import TaskLayer
from polycera.layers.method_state import MethodState
from polycera.layers.multitask_options import MultitaskOptions
from polycera.tasks import Layout
from polycera.typing import Raw, Tensor

Pullback = Callable[..., list[Tensor]]
"""Computes gradients from cotangents of the raw outputs; see `backend.with_pullback`."""


@dataclass(frozen=True)
class Dense:
    """Describes a dense layer on features [n, d] whose Gramian needs no kernel gradients.

    With activations A [n, d] and a task's cotangents C [n, units], the kernel's gradient is A'C.
    The inner product of two tasks' gradients is that of (A A') C and C. So nothing is larger than
    the activations of all tasks.

    Attributes:
        call: the call of the layer.
        kernel, bias: the positions of the weights among all trainable ones.
    """

    call: Call
    kernel: int
    bias: int

    @property
    def key(self) -> Key:
        """Return the tensor that enters the layer."""
        return self.call.inputs[0]

    @property
    def units(self) -> int:
        """Return the number of the layer's output columns."""
        return int(self.call.operation.units)

    def tapped(self, kernel: Tensor, biases: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the layer as a function, with a bias for each row, [n, units]."""
        dtype = self.call.operation.compute_dtype

        def call(x: Tensor) -> Tensor:
            x, weights, offsets = (ops.cast(tensor, dtype) for tensor in (x, kernel, biases))
            return self.call.operation.activation(ops.matmul(x, weights) + offsets)

        return call


@dataclass(frozen=True)
class Region:
    """Describes a shared region: what one set of tasks shares.

    Attributes:
        balance: the balancing method applied to the tasks.
        tasks: their positions among all tasks.
        variables: the positions of the weights among all trainable ones.
        taps: the positions, among all taps, of those that measure this region's gradients: at the
            tensors in which the region ends, or at the outputs of its dense layers.
        others: the positions of the weights that no tap covers.
    """

    balance: ActiveBalancing
    tasks: tuple[int, ...]
    variables: tuple[int, ...]
    taps: tuple[int, ...]
    others: tuple[int, ...]


class Engine(keras.layers.Layer):
    """Run a functional model, and balance its tasks' gradients wherever tasks share weights.

    Gradients are measured by taps: zeros that are added to a tensor. Their gradient is that of the
    tensor.

    Args:
        graph: the model's calls, which end in one layer of raw outputs.
        layout: all tasks.
        settings: method, preference, and whether gradients are taken at the tensors in which a
            region ends ("features") or at its weights ("parameters").

    Raises:
        InputError: where no two tasks share a weight.
    """

    def __init__(
        self, graph: Graph, layout: Layout, settings: MultitaskOptions, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, dtype="float32", **kwargs)
        assert settings.balance is not None
        if settings.balance.method.elementwise:
            raise InputError(
                f"Balancing {settings.balance.method.name!r} works element by element at the "
                "features of Heads: give "
                'balancing=... to pc.layers.Heads, with gradients="features".'
            )
        self.layout, self.graph = layout, graph
        self.plan = BalancePlan.of(graph, layout, settings.balance, settings.gradients)
        # One variable holds the states of all regions side by side.
        start = np.concatenate([region.balance.start() for region in self.plan.regions], axis=1)
        self.carrying = MethodState(start, len(layout.tasks), name="carrying")
        self.built = True

    def check_unchanged(self) -> None:
        """Raise an error if layers were frozen or unfrozen after the plan was made.

        Raises:
            InputError: naming the weights.
        """
        planned, now = (
            {id(v): v.path for v in which} for which in (self.plan.trained, trained_by(self.graph))
        )
        if changed := [path for v, path in (planned | now).items() if (v in planned) != (v in now)]:
            raise InputError(
                f"{listing(changed)} were frozen or unfrozen after balancing was set up: set "
                "layer.trainable first, then make the model with pc.adopt or pc.Model."
            )

    def call(self, inputs: Sequence[Tensor], training: bool = True) -> Raw:
        """Return raw outputs [n, units], with the backward pass of the method.

        The layers of the model are called in training mode.
        """
        plan = self.plan
        states, losses, last = self.carrying.read()
        # Each tap has one row for each sample, so that it can be added to a tensor of the batch.
        taps = [ops.zeros((ops.shape(inputs[0])[0], *shape)) for shape in plan.shapes]

        def forward(
            differentiated: list[Tensor], rest: list[Tensor]
        ) -> tuple[Tensor, list[Tensor]]:
            values, tap_values = (
                differentiated[: len(plan.trained)],
                differentiated[len(plan.trained) : -1],
            )
            state, x = rest[: len(plan.frozen)], rest[len(plan.frozen) + 2 :]
            mapping = [
                *zip(plan.trained, values, strict=True),
                *zip(plan.frozen, state, strict=True),
            ]
            tapped = {} if plan.denses else dict(zip(plan.ends, tap_values, strict=True))
            tensors = dict(zip(self.graph.inputs, x, strict=True))

            def passing(key: Key, value: Tensor) -> Tensor:
                tensors[key] = value
                return _plus(value, tapped.get(key))

            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                instead = {
                    # A tap at the output before the activation acts as a bias for each row.
                    dense.call: dense.tapped(values[dense.kernel], values[dense.bias] + tap)
                    for dense, tap in zip(
                        plan.denses, tap_values if plan.denses else (), strict=True
                    )
                }
                raw = self.graph.run(x, passing, instead)[0]
            # Such a loss has no output column, so it has no cotangent that could be balanced.
            if scope.losses:
                raise InputError(
                    "A layer adds a loss of its own (activity_regularizer or add_loss), which "
                    "balancing with gradients at shared weights cannot see: take it out, or use "
                    "Heads(balancing=...) with "
                    'gradients="features".'
                )
            return raw, [
                *(scope.get_current_value(v) for v in plan.frozen),
                *(tensors[d.key] for d in plan.denses),
            ]

        def backward(
            pullback: Pullback,
            cotangent: Tensor,
            differentiated: list[Tensor],
            rest: list[Tensor],
            others: list[Tensor],
        ) -> list[Tensor | None]:
            losses, last = rest[len(plan.frozen) : len(plan.frozen) + 2]
            step = Step(pullback, cotangent, others[len(plan.frozen) :], self.layout, plan)
            return self._backward(step, differentiated[-1], losses, last)

        differentiated = [*(ops.convert_to_tensor(v) for v in plan.trained), *taps, states]
        # `+ 0` copies: the variables are assigned below, before the backward pass reads the values.
        rest = [*(ops.convert_to_tensor(v) + 0 for v in plan.frozen), losses, last, *inputs]
        raw, others = with_pullback(forward, backward)(differentiated, rest)
        # The forward pass ran in a StatelessScope, so its updates (of batch normalisation, of seed
        # generators) are written back here.
        for variable, value in zip(plan.frozen, others[: len(plan.frozen)], strict=True):
            variable.assign(value)
        return raw

    def _backward(
        self, step: Step, states: Tensor, losses: Tensor, last: Tensor
    ) -> list[Tensor | None]:
        """Return a gradient for each weight, None for each tap, and the state of the next step."""
        gradients: dict[int, Tensor] = {}
        next_states, start = [], 0
        for region in self.plan.regions:
            state = states[:, start : start + region.balance.packed.size]
            start += region.balance.packed.size
            region_losses = ops.take(losses, np.array(region.tasks, "int32"))
            weights, next_state = region.balance.step(
                state, partial(step.gramian, region), region_losses, last
            )
            next_states.append(next_state)
            # Weighted by region: the columns of tasks outside it are 0, so they teach it nothing.
            combined = step.cotangent * ops.cast(
                step.by_column(region, weights), step.cotangent.dtype
            )
            gradients |= zip(
                region.variables, step.pullback(list(region.variables), combined), strict=True
            )
        # These weights serve one task or none: their gradient is that of the sum of losses.
        single_task = [i for i in range(len(self.plan.trained)) if i not in gradients]
        gradients |= zip(single_task, step.pullback(single_task, step.cotangent), strict=True)
        weights_first = [gradients[i] for i in range(len(self.plan.trained))]
        return [
            *weights_first,
            *[None] * len(self.plan.shapes),
            ops.concatenate(next_states, axis=1),
        ]


@dataclass(frozen=True)
class Step:
    """Holds what the backward pass of one step needs.

    Attributes:
        pullback: the pullback: cotangents of the raw outputs -> gradients.
        cotangent: the cotangent of the raw outputs, [n, units].
        activations: the inputs of each dense layer that has a tap.
        layout, plan: those of the model.
    """

    pullback: Pullback
    cotangent: Tensor
    activations: list[Tensor]
    layout: Layout
    plan: BalancePlan

    def gramian(self, region: Region) -> Tensor:
        """Return the Gramian of a region's tasks, [k, k] for k tasks, of the global batch."""
        # One cotangent for each task: 0 in the output columns of all other tasks.
        task_columns = (self.layout.owner == np.array(region.tasks)[:, None]).astype("float32")
        cotangents = ops.expand_dims(self.cotangent, 0) * ops.cast(
            task_columns[:, None, :], self.cotangent.dtype
        )
        # The taps come after the weights among the differentiated tensors.
        positions = [len(self.plan.trained) + tap for tap in region.taps] + list(region.others)
        gradients = [
            ops.cast(gradient, "float32")
            for gradient in self.pullback(positions, cotangents, batched=True)
        ]
        at_taps, at_weights = gradients[: len(region.taps)], gradients[len(region.taps) :]
        # Gradients at tensors belong to rows, so the Gramians of several replicas add up.
        if not self.plan.denses:
            return sum_over_replicas(sum(map(_products, at_taps)))
        # Gradients at weights are sums over rows: add them up over replicas before the products.
        products = [_products(sum_over_replicas(gradient)) for gradient in at_weights]
        for tap, cotangent in zip(region.taps, at_taps, strict=True):
            products.append(_of_dense(ops.cast(self.activations[tap], "float32"), cotangent))
        return sum(products)

    def by_column(self, region: Region, weights: Tensor) -> Tensor:
        """Return the weight of each output column, [units]; 0 for tasks outside the region."""
        owners = (self.layout.owner[:, None] == np.array(region.tasks)).astype("float32")
        return ops.matmul(owners, weights[:, None])[:, 0]


def _products(gradients: Tensor) -> Tensor:
    """Return the inner products of the gradients [k, ...] with one another, [k, k]."""
    flat = ops.reshape(gradients, (gradients.shape[0], -1))
    return ops.matmul(flat, ops.transpose(flat))


def _of_dense(activations: Tensor, cotangents: Tensor) -> Tensor:
    """Return a dense layer's part of the Gramian, [k, k].

    Args:
        activations: [n, d].
        cotangents: [k, n, units].
    """
    rows, width = activations.shape
    biases = _products(sum_over_replicas(ops.sum(cotangents, axis=1)))
    # With more rows than inputs the kernel gradients [k, d, units] are cheaper than A A' [n, n].
    # With several replicas they are needed: A A' lacks the pairs of rows of different replicas.
    if rows is None or rows > width or replicas() > 1:
        kernels = ops.matmul(ops.transpose(activations)[None], cotangents)
        return biases + _products(sum_over_replicas(kernels))
    row_products = ops.matmul(ops.matmul(activations, ops.transpose(activations))[None], cotangents)
    count = cotangents.shape[0]
    return biases + ops.matmul(
        ops.reshape(row_products, (count, -1)), ops.transpose(ops.reshape(cotangents, (count, -1)))
    )


@dataclass(frozen=True)
class BalancePlan:
    """Describes which tasks share which weights of a model, computed once.

    Attributes:
        trained, frozen: the weights that train, and those that do not.
        regions: what each set of tasks shares, the largest set first.
        ends: the tensors that have a tap; empty where `denses` have them.
        denses: the dense layers whose outputs have a tap.
        shapes: the shapes of the taps, without the rows.
    """

    trained: list[Any]
    frozen: list[Any]
    regions: list[Region]
    ends: list[Key]
    denses: list[Dense]
    shapes: list[tuple[int, ...]]

    @classmethod
    def of(cls, graph: Graph, layout: Layout, balance: ActiveBalancing, gradients: str) -> Self:
        """Make the plan from the model's calls.

        Raises:
            InputError: where no two tasks share a weight; for features whose shape is not known.
        """
        served = graph.served()
        weighted_calls = [
            (call, tasks)
            for call, tasks in served.items()
            if hasattr(call.operation, "trainable_variables")
        ]
        trained = trained_by(graph)
        frozen = _unique(
            [v for call, _ in weighted_calls for v in call.operation.non_trainable_variables]
        )
        positions = {id(variable): i for i, variable in enumerate(trained)}
        serving: dict[int, frozenset[str]] = {}
        for call, tasks in weighted_calls:
            # Heads belong to one task each, even where one fused layer holds all of them.
            if not isinstance(call.operation, TaskLayer):
                for variable in call.operation.trainable_variables:
                    i = positions[id(variable)]
                    serving[i] = serving.get(i, frozenset()) | tasks
        shared = sorted(
            {tasks for tasks in serving.values() if len(tasks) > 1},
            key=lambda t: (-len(t), sorted(t)),
        )
        if not shared:
            raise InputError(
                f"Balancing {balance.method.name!r} has nothing to balance: no two of the tasks "
                f"{listing(layout.tasks)} share a weight. These are separate networks in one "
                "object."
            )
        denses = _denses(graph, positions) if gradients == "parameters" else []
        names = list(layout.tasks)
        ends: list[Key] = []
        regions = []
        for tasks in shared:
            variables = tuple(sorted(i for i, served_by in serving.items() if served_by == tasks))
            others: tuple[int, ...] = ()
            if gradients == "features":
                region_ends = _ends(graph, served, tasks, {id(trained[i]) for i in variables})
                ends += [key for key in region_ends if key not in ends]
                taps = tuple(map(ends.index, region_ends))
            else:
                taps = tuple(i for i, dense in enumerate(denses) if dense.kernel in variables)
                covered = {i for tap in taps for i in (denses[tap].kernel, denses[tap].bias)}
                others = tuple(i for i in variables if i not in covered)
            region_tasks = [name for name in names if name in tasks]
            region_balance = balance.among(region_tasks)
            regions.append(
                Region(
                    region_balance, tuple(map(names.index, region_tasks)), variables, taps, others
                )
            )
        shapes = [_shape(graph, key) for key in ends] or [(dense.units,) for dense in denses]
        return cls(trained, frozen, regions, ends, denses, shapes)


def trained_by(graph: Graph) -> list[Any]:
    """Return the weights that train, as `trainable` is set now."""
    layers = [
        call.operation for call in graph.calls if hasattr(call.operation, "trainable_variables")
    ]
    return [
        v
        for v in _unique([v for layer in layers for v in layer.trainable_variables])
        if not _is_state(v)
    ]


def _is_state(variable: Any) -> bool:
    """Return whether the backward pass writes the variable: it is state, not a weight."""
    return bool(variable.overwrite_with_gradient)


def _denses(graph: Graph, positions: dict[int, int]) -> list[Dense]:
    """Return the dense layers whose part of a Gramian can be computed by `_of_dense`.

    They are called once, on features [n, d], and have a trained kernel and bias and nothing
    special.
    """
    number_of_calls = Counter(id(call.operation) for call in graph.calls)
    denses = []
    for call in graph.calls:
        layer = call.operation
        if (
            # Exactly this class: a subclass may compute something else.
            type(layer) is not keras.layers.Dense
            or number_of_calls[id(layer)] > 1
            or len(layer.trainable_variables) != 2
        ):
            continue
        # The function that replaces a tapped layer adds no loss, so it would be lost unnoticed.
        if layer.activity_regularizer is not None:
            continue
        if (
            layer.bias is None
            or len(call.node.input_tensors[0].shape) != 2
            or layer.kernel.shape[-1] != layer.units
        ):
            continue
        if {id(layer.kernel), id(layer.bias)} == {id(v) for v in layer.trainable_variables}:
            denses.append(Dense(call, positions[id(layer.kernel)], positions[id(layer.bias)]))
    return denses


def _ends(
    graph: Graph, served: dict[Call, frozenset[str]], tasks: frozenset[str], variables: set[int]
) -> tuple[Key, ...]:
    """Return the tensors that leave a region: its calls compute them, other calls take them."""
    inside = {
        call
        for call, call_tasks in served.items()
        if not isinstance(call.operation, TaskLayer)
        and (
            call_tasks == tasks
            or any(id(v) in variables for v in getattr(call.operation, "trainable_variables", ()))
        )
    }
    computed = {key for call in inside for key in call.outputs}
    taken = [key for call in graph.calls if call not in inside for key in call.inputs]
    return tuple(dict.fromkeys(key for key in taken if key in computed))


def _shape(graph: Graph, key: Key) -> tuple[int, ...]:
    """Return the shape of a tensor without its rows; raise an error where it is not known."""
    shape = graph.shape_of(key)
    if None in shape[1:]:
        raise InputError(
            f"Balancing at features needs to know their shape, but they are {list(shape)}: "
            'give the input a fixed shape, or pass gradients="parameters".'
        )
    return shape[1:]  # type: ignore[return-value]


def _unique(variables: list[Any]) -> list[Any]:
    """Return the variables in their order, each once; variables cannot be compared by `==`."""
    return list({id(variable): variable for variable in variables}.values())


def _plus(value: Tensor, tap: Tensor | None) -> Tensor:
    """Return a tensor plus the zeros of a tap; its mask is kept."""
    if tap is None:
        return value
    tapped = value + ops.cast(tap, value.dtype)
    keras_graph.keep_mask(value, tapped)
    return tapped
