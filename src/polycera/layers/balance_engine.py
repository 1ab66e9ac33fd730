"""Balancing in any functional model: for each set of tasks that share something, exactly what they share.

Two tasks of three may share a branch that the third has no part in. The weights of a network
therefore fall into regions, one for each set of tasks that they serve. In each region a method sees
the Gramian of those tasks' gradients and no others, and the region's weights receive the
combination that it asks for. Weights that serve one task, and the heads, learn from their own
losses as always.
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
from polycera.layers.backend import replicas, sum_over_replicas, with_pullback
from polycera.layers.balance import ActiveBalancing
from polycera.layers.graph import Call, Graph, Key
from polycera.layers.heads import TaskLayer
from polycera.layers.method_state import MethodState
from polycera.layers.multitask_options import MultitaskOptions
from polycera.tasks import Layout
from polycera.typing import Raw, Tensor

Pull = Callable[..., list[Tensor]]
"""Cotangents of the raw outputs -> gradients: see `backend.with_pullback`."""


@dataclass(frozen=True)
class Dense:
    """A dense layer on features [n, d], whose part of a Gramian does not take its kernel's gradients.

    With activations A [n, d] and a task's cotangents C [n, units], that gradient is A'C. Inner
    products of two tasks' are those of (A A') C and C, so that nothing is larger than the
    activations of all tasks.

    Attributes:
        call: of the layer.
        kernel, bias: the weights, by their place among all trainable ones.
    """

    call: Call
    kernel: int
    bias: int

    @property
    def key(self) -> Key:
        """The tensor that comes in."""
        return self.call.inputs[0]

    @property
    def units(self) -> int:
        """How many go out."""
        return int(self.call.operation.units)

    def tapped(self, kernel: Tensor, biases: Tensor) -> Callable[[Tensor], Tensor]:
        """The layer with a bias for each row, [n, units]."""
        dtype = self.call.operation.compute_dtype

        def call(x: Tensor) -> Tensor:
            x, own, added = (ops.cast(each, dtype) for each in (x, kernel, biases))
            return self.call.operation.activation(ops.matmul(x, own) + added)

        return call


@dataclass(frozen=True)
class Region:
    """What one set of tasks shares.

    Attributes:
        balance: the method at work on them.
        tasks: which they are, among all tasks.
        variables: the weights, by their place among all trainable ones.
        taps: where gradients are looked at, by their place among all taps: the tensors in which the
            region ends, or the outputs of its dense layers.
        others: the weights that no tap stands for.
    """

    balance: ActiveBalancing
    tasks: tuple[int, ...]
    variables: tuple[int, ...]
    taps: tuple[int, ...]
    others: tuple[int, ...]


class Engine(keras.layers.Layer):
    """A functional model whose tasks' gradients are balanced wherever tasks share weights.

    Gradients are looked at through taps: zeros that are added to a tensor, and whose gradient is
        that of the tensor.

    Args:
        graph: the model's calls, ending in one layer of raw outputs.
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
                f"Balancing {settings.balance.method.name!r} works element by element at the features of Heads: give "
                'balancing=... to pc.layers.Heads, with gradients="features".'
            )
        self.layout, self.graph = layout, graph
        self.plan = BalancePlan.of(graph, layout, settings.balance, settings.gradients)
        start = np.concatenate([region.balance.start() for region in self.plan.regions], axis=1)
        self.carrying = MethodState(start, len(layout.tasks), name="carrying")
        self.built = True

    def check_unchanged(self) -> None:
        """Refuse a training after layers were frozen or thawed, of which the plan does not know.

        Raises:
            InputError: naming the weights.
        """
        planned, now = (
            {id(v): v.path for v in which} for which in (self.plan.trained, trained_by(self.graph))
        )
        if changed := [path for v, path in (planned | now).items() if (v in planned) != (v in now)]:
            raise InputError(
                f"{listing(changed)} changed whether they train after balancing was set up: "
                "set layer.trainable first, then make the model with pc.adopt or pc.Model."
            )

    def call(self, inputs: Sequence[Tensor], training: bool = True) -> Raw:
        """Raw outputs [n, units], with the backward pass of the method; the layers within learn that they train."""
        plan = self.plan
        carried, losses, last = self.carrying.read()
        taps = [ops.zeros((ops.shape(inputs[0])[0], *shape)) for shape in plan.shapes]

        def forward(
            differentiated: list[Tensor], rest: list[Tensor]
        ) -> tuple[Tensor, list[Tensor]]:
            values, added = (
                differentiated[: len(plan.trained)],
                differentiated[len(plan.trained) : -1],
            )
            state, x = rest[: len(plan.kept)], rest[len(plan.kept) + 2 :]
            mapping = [*zip(plan.trained, values, strict=True), *zip(plan.kept, state, strict=True)]
            tapped = {} if plan.denses else dict(zip(plan.ends, added, strict=True))
            seen = dict(zip(self.graph.inputs, x, strict=True))

            def passing(key: Key, value: Tensor) -> Tensor:
                seen[key] = value
                return _plus(value, tapped.get(key))

            with keras.StatelessScope(mapping, collect_losses=True) as scope:
                instead = {
                    # a bias for each row
                    dense.call: dense.tapped(values[dense.kernel], values[dense.bias] + tap)
                    for dense, tap in zip(plan.denses, added if plan.denses else (), strict=True)
                }
                raw = self.graph.run(x, passing, instead)[0]
            if scope.losses:
                raise InputError(
                    "A layer adds a loss of its own (activity_regularizer or add_loss), which balancing with "
                    "gradients at shared weights cannot see: take it out, or use Heads(balancing=...) with "
                    'gradients="features".'
                )
            return raw, [
                *(scope.get_current_value(v) for v in plan.kept),
                *(seen[d.key] for d in plan.denses),
            ]

        def backward(
            pull: Pull,
            cotangent: Tensor,
            differentiated: list[Tensor],
            rest: list[Tensor],
            others: list[Tensor],
        ) -> list[Tensor | None]:
            losses, last = rest[len(plan.kept) : len(plan.kept) + 2]
            step = Step(pull, cotangent, others[len(plan.kept) :], self.layout, plan)
            return self._backward(step, differentiated[-1], losses, last)

        differentiated = [*(ops.convert_to_tensor(v) for v in plan.trained), *taps, carried]
        rest = [*(ops.convert_to_tensor(v) + 0 for v in plan.kept), losses, last, *inputs]
        raw, others = with_pullback(forward, backward)(differentiated, rest)
        for variable, value in zip(plan.kept, others[: len(plan.kept)], strict=True):
            variable.assign(value)
        return raw

    def _backward(
        self, step: Step, carried: Tensor, losses: Tensor, last: Tensor
    ) -> list[Tensor | None]:
        """A gradient for each weight, none for the taps, and what is carried on."""
        gradients: dict[int, Tensor] = {}
        following, start = [], 0
        for region in self.plan.regions:
            part = carried[:, start : start + region.balance.packed.size]
            start += region.balance.packed.size
            own = ops.take(losses, np.array(region.tasks, "int32"))
            weights, after = region.balance.step(part, partial(step.gramian, region), own, last)
            following.append(after)
            combined = step.cotangent * ops.cast(
                step.by_column(region, weights), step.cotangent.dtype
            )
            gradients |= zip(
                region.variables, step.pull(list(region.variables), combined), strict=True
            )
        alone = [i for i in range(len(self.plan.trained)) if i not in gradients]
        gradients |= zip(alone, step.pull(alone, step.cotangent), strict=True)
        weights_first = [gradients[i] for i in range(len(self.plan.trained))]
        return [*weights_first, *[None] * len(self.plan.shapes), ops.concatenate(following, axis=1)]


@dataclass(frozen=True)
class Step:
    """The backward pass of one step.

    Attributes:
        pull: cotangents of the raw outputs -> gradients.
        cotangent: of the raw outputs, [n, units].
        activations: what came into each dense layer with a tap.
        layout, plan: of the model.
    """

    pull: Pull
    cotangent: Tensor
    activations: list[Tensor]
    layout: Layout
    plan: BalancePlan

    def gramian(self, region: Region) -> Tensor:
        """[tasks of the region, tasks of the region], of the global batch."""
        only = (self.layout.owner == np.array(region.tasks)[:, None]).astype("float32")
        each = ops.expand_dims(self.cotangent, 0) * ops.cast(only[:, None, :], self.cotangent.dtype)
        wanted = [len(self.plan.trained) + tap for tap in region.taps] + list(region.others)
        found = [
            ops.cast(gradient, "float32") for gradient in self.pull(wanted, each, batched=True)
        ]
        tapped, others = found[: len(region.taps)], found[len(region.taps) :]
        # gradients at tensors belong to rows: the Gramians of several replicas add up
        if not self.plan.denses:
            return sum_over_replicas(sum(map(_products, tapped)))
        parts = [_products(sum_over_replicas(gradient)) for gradient in others]
        for tap, cotangent in zip(region.taps, tapped, strict=True):
            parts.append(_of_dense(ops.cast(self.activations[tap], "float32"), cotangent))
        return sum(parts)

    def by_column(self, region: Region, weights: Tensor) -> Tensor:
        """The weight of each column of the raw outputs, 0 where its task is not of the region, [units]."""
        chosen = (self.layout.owner[:, None] == np.array(region.tasks)).astype("float32")
        return ops.matmul(chosen, weights[:, None])[:, 0]


def _products(gradients: Tensor) -> Tensor:
    """Inner products of the gradients [k, ...] with one another, [k, k]."""
    flat = ops.reshape(gradients, (gradients.shape[0], -1))
    return ops.matmul(flat, ops.transpose(flat))


def _of_dense(activations: Tensor, cotangents: Tensor) -> Tensor:
    """A dense layer's part of the Gramian [k, k], from activations [n, d] and cotangents [k, n, units]."""
    rows, width = activations.shape
    biases = _products(sum_over_replicas(ops.sum(cotangents, axis=1)))
    if rows is None or rows > width or replicas() > 1:
        kernels = ops.matmul(ops.transpose(activations)[None], cotangents)
        return biases + _products(sum_over_replicas(kernels))
    across = ops.matmul(ops.matmul(activations, ops.transpose(activations))[None], cotangents)
    count = cotangents.shape[0]
    return biases + ops.matmul(
        ops.reshape(across, (count, -1)), ops.transpose(ops.reshape(cotangents, (count, -1)))
    )


@dataclass(frozen=True)
class BalancePlan:
    """What of a model is shared by whom, worked out once.

    Attributes:
        trained, kept: the weights that train, and those that do not.
        regions: what each set of tasks shares, the largest set first.
        ends: the tensors that are tapped, or none of them and
        denses: the dense layers whose outputs are.
        shapes: of the taps, without the rows.
    """

    trained: list[Any]
    kept: list[Any]
    regions: list[Region]
    ends: list[Key]
    denses: list[Dense]
    shapes: list[tuple[int, ...]]

    @classmethod
    def of(cls, graph: Graph, layout: Layout, balance: ActiveBalancing, gradients: str) -> Self:
        """From the model's calls.

        Raises:
            InputError: where no two tasks share a weight; for features whose shape is not known.
        """
        served = graph.served()
        owned = [
            (call, tasks)
            for call, tasks in served.items()
            if hasattr(call.operation, "trainable_variables")
        ]
        trained = trained_by(graph)
        kept = _unique([v for call, _ in owned for v in call.operation.non_trainable_variables])
        place = {id(variable): i for i, variable in enumerate(trained)}
        serving: dict[int, frozenset[str]] = {}
        for call, tasks in owned:
            if not isinstance(call.operation, TaskLayer):
                for variable in call.operation.trainable_variables:
                    i = place[id(variable)]
                    serving[i] = serving.get(i, frozenset()) | tasks
        shared = sorted(
            {tasks for tasks in serving.values() if len(tasks) > 1},
            key=lambda t: (-len(t), sorted(t)),
        )
        if not shared:
            raise InputError(
                f"Balancing {balance.method.name!r} has nothing to balance: no two of the tasks "
                f"{listing(layout.tasks)} share a weight. These are separate networks in one object."
            )
        denses = _denses(graph, place) if gradients == "parameters" else []
        names = list(layout.tasks)
        ends: list[Key] = []
        regions = []
        for tasks in shared:
            variables = tuple(sorted(i for i, served_by in serving.items() if served_by == tasks))
            others: tuple[int, ...] = ()
            if gradients == "features":
                own = _ends(graph, served, tasks, {id(trained[i]) for i in variables})
                ends += [key for key in own if key not in ends]
                taps = tuple(map(ends.index, own))
            else:
                taps = tuple(i for i, dense in enumerate(denses) if dense.kernel in variables)
                covered = {i for tap in taps for i in (denses[tap].kernel, denses[tap].bias)}
                others = tuple(i for i in variables if i not in covered)
            chosen = [name for name in names if name in tasks]
            among = balance.among(chosen)
            regions.append(Region(among, tuple(map(names.index, chosen)), variables, taps, others))
        shapes = [_shape(graph, key) for key in ends] or [(dense.units,) for dense in denses]
        return cls(trained, kept, regions, ends, denses, shapes)


def trained_by(graph: Graph) -> list[Any]:
    """The weights that train, as things stand."""
    layers = [
        call.operation for call in graph.calls if hasattr(call.operation, "trainable_variables")
    ]
    return [
        v
        for v in _unique([v for layer in layers for v in layer.trainable_variables])
        if not _carried(v)
    ]


def _carried(variable: Any) -> bool:
    """Whether the backward pass writes it: state, and no weight."""
    return bool(variable.overwrite_with_gradient)


def _denses(graph: Graph, place: dict[int, int]) -> list[Dense]:
    """The dense layers on features that are called once, with a trained kernel and bias and nothing special."""
    times = Counter(id(call.operation) for call in graph.calls)
    found = []
    for call in graph.calls:
        layer = call.operation
        if (
            type(layer) is not keras.layers.Dense
            or times[id(layer)] > 1
            or len(layer.trainable_variables) != 2
        ):
            continue
        if layer.activity_regularizer is not None:
            continue
        if (
            layer.bias is None
            or len(call.node.input_tensors[0].shape) != 2
            or layer.kernel.shape[-1] != layer.units
        ):
            continue
        if {id(layer.kernel), id(layer.bias)} == {id(v) for v in layer.trainable_variables}:
            found.append(Dense(call, place[id(layer.kernel)], place[id(layer.bias)]))
    return found


def _ends(
    graph: Graph, served: dict[Call, frozenset[str]], tasks: frozenset[str], variables: set[int]
) -> tuple[Key, ...]:
    """The tensors that leave a region: made by its calls, taken by others."""
    inside = {
        call
        for call, own in served.items()
        if not isinstance(call.operation, TaskLayer)
        and (
            own == tasks
            or any(id(v) in variables for v in getattr(call.operation, "trainable_variables", ()))
        )
    }
    made = {key for call in inside for key in call.outputs}
    taken = [key for call in graph.calls if call not in inside for key in call.inputs]
    return tuple(dict.fromkeys(key for key in taken if key in made))


def _shape(graph: Graph, key: Key) -> tuple[int, ...]:
    shape = graph.shape_of(key)
    if None in shape[1:]:
        raise InputError(
            f"Balancing at features needs to know their shape, but they are {list(shape)}: "
            'give the input a fixed shape, or pass gradients="parameters".'
        )
    return shape[1:]  # type: ignore[return-value]


def _unique(variables: list[Any]) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())


def _plus(value: Tensor, tap: Tensor | None) -> Tensor:
    """A tensor with zeros added whose gradient is wanted; a mask stays with it."""
    if tap is None:
        return value
    tapped = value + ops.cast(tap, value.dtype)
    mask = getattr(value, "_keras_mask", None)
    if mask is not None:
        tapped._keras_mask = mask
    return tapped
