"""Apply a model's loss weighting and gradient balancing, and read what they measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, shorten
from polycera.layers import Heads
from polycera.layers.backend import replicas, sum_over_replicas, with_backward
from polycera.layers.balance import ActiveBalancing
from polycera.layers.balance_engine import Engine
from polycera.layers.call_graph import Graph
from polycera.layers.method_state import MethodState
from polycera.layers.multitask_options import MultitaskOptions
from polycera.layers.shared_layers import region_names
from polycera.model.active_weighting import ActiveWeighting
from polycera.model.gradient_stats import GradientStats
from polycera.model.objective import BatchSums, Objective
from polycera.typing import TaskName, Tensor

AGAINST = -1e-6
"""Cosine below which two gradients are in conflict.

Rounding gives gradients at a right angle a cosine slightly above or below 0.
"""


class SharedRegion(NamedTuple):
    """Hold a place where the gradients of some tasks are balanced: the trunk, or a branch.

    Attributes:
        balance: the method at work there.
        tasks: positions of the tasks that share it, among all tasks.
        carrying: the layer whose state it uses.
        start: where its part of this state begins.
    """

    balance: ActiveBalancing
    tasks: np.ndarray
    carrying: MethodState
    start: int

    def before(self) -> dict[str, Tensor]:
        """Return what the last step left in the state, by name."""
        state = ops.convert_to_tensor(self.carrying.state)
        return self.balance.read(state[:, self.start : self.start + self.balance.packed.size])


class TaskWeighting:
    """Hold the loss weighting and the gradient balancing of one model.

    Attributes:
        settings: the options of the model, apart from those of its heads.
        weighing: the loss weighting at work, or None.
        engine: balances gradients outside of `Heads`, or None.
        regions: the shared regions where gradients are balanced.
        region_names: the name of each shared region.
        scale: factor of the loss in the last step, as float16 needs it; None without shared
            regions.
    """

    def __init__(
        self, settings: MultitaskOptions, given: dict[str, Any], names: tuple[TaskName, ...]
    ) -> None:
        self.settings, self.given, self.names = settings, given, names
        self.weighing: ActiveWeighting | None = None
        self.state: Any = None
        self.engine: Engine | None = None
        self.regions: list[SharedRegion] = []
        self.region_names: list[str] = []
        self.scale: Any = None

    @classmethod
    def of(
        cls, model: keras.Model, layout: Any, heads: list[Any], given: dict[str, Any], seed: int
    ) -> Self:
        """Return the task weighting that was given to the model, or to its only heads.

        Raises:
            UnknownName, InputError: see `MultitaskOptions.of`; for an option that was given twice,
                or to one of several heads only.
        """
        names = tuple(layout.tasks)
        head_options = [
            head.settings if isinstance(head, Heads) else MultitaskOptions() for head in heads
        ]
        _check_set_once(given, head_options)
        settings = MultitaskOptions.of(names, **given, seed=seed)
        forked = any(getattr(head, "fork", None) is not None for head in heads)
        shared = cls(settings, {**given, "seed": seed}, names)
        only_head_options = head_options[0] if len(head_options) == 1 else MultitaskOptions()
        chosen = settings if settings.weighting is not None else only_head_options
        if chosen.weighting is not None:
            shared.weighing = ActiveWeighting(
                chosen.weighting, len(names), chosen.preference, chosen.seed
            )
            shared.state = model.add_weight(
                name="weighing",
                shape=(shared.weighing.packed.size,),
                initializer=lambda shape, dtype=None: ops.convert_to_tensor(
                    shared.weighing.start()
                ),
                trainable=False,
                autocast=False,
                dtype="float32",
                aggregation="only_first_replica",
            )
        # Heads with a fork measure gradients already, which is all that the weighting needs.
        measuring = given["balancing"] is None and forked
        if settings.balance is not None and not measuring:
            shared.engine = Engine(Graph.of(model), layout, settings, name="engine")
        elif only_head_options.balance is not None and only_head_options.gradients == "parameters":
            shared.engine = Engine(Graph.of(model), layout, only_head_options, name="engine")
        shared.regions = shared._regions(heads)
        if shared.regions:
            regions = [tuple(region.tasks.tolist()) for region in shared.regions]
            shared.region_names = region_names(model, layout, regions)
            # The optimizer multiplies the loss (float16) after `compute_loss`. Its factor comes
            # back as the "gradient" of this variable, see `scaled`.
            shared.scale = model.add_weight(
                name="scale",
                shape=(),
                initializer="ones",
                overwrite_with_gradient=True,
                autocast=False,
                dtype="float32",
            )
        return shared

    def _regions(self, heads: list[Any]) -> list[SharedRegion]:
        """Return the shared regions where gradients are balanced, in the engine or in the heads."""
        regions, first = [], 0
        if self.engine is not None:
            start = 0
            for region in self.engine.plan.regions:
                regions.append(
                    SharedRegion(
                        region.balance, np.array(region.tasks, "int32"), self.engine.carrying, start
                    )
                )
                start += region.balance.packed.size
            return regions
        for head in heads:
            tasks = np.arange(first, first + len(head.layout.tasks), dtype="int32")
            first += len(tasks)
            if getattr(head, "fork", None) is not None:
                regions.append(SharedRegion(head.fork.balance, tasks, head.carrying, 0))
        return regions

    # -- in a step ---------------------------------------------------------------------------------

    def weigh(
        self, objective: Objective, means: Tensor, measured: BatchSums, own: Tensor
    ) -> Tensor:
        """Return the weights of whole tasks in this step [tasks], their own loss weights included.

        Balancing methods that need the losses get them here.
        """
        regions_with_losses = [
            region for region in self.regions if "losses" in region.balance.method.sees
        ]
        if self.weighing is None and not regions_with_losses:
            return own
        losses = objective.by_task(sum_over_replicas(ops.stop_gradient(means)))
        weights = own
        if self.weighing is not None:
            present = ops.cast(sum_over_replicas(objective.present(measured.rows)) > 0, "float32")
            state = ops.convert_to_tensor(self.state)
            factors, after = self.weighing.step(state, losses, present, self._norms())
            self.state.assign(after)
            weights = own * factors
        for region in regions_with_losses:
            region.carrying.measured.assign(self._own(region, losses * weights))
        return weights

    def _own(self, region: SharedRegion, losses: Tensor) -> Tensor:
        """Return the losses that a region takes: of all tasks in an engine, else of its own."""
        return losses if self.engine is not None else ops.take(losses, region.tasks)

    def _norms(self) -> Tensor:
        """Return the norms of the tasks' gradients in the step before [tasks].

        They are taken over everything that a task shares.
        """
        squares = ops.zeros((len(self.names),))
        for region in self.regions:
            positions = (region.tasks[:, None] == np.arange(len(self.names))).astype("float32")
            own_squares = ops.diagonal(self._before(region)["gramian"])
            squares = squares + ops.matmul(own_squares[None, :], positions)[0]
        return ops.sqrt(squares)

    def _before(self, region: SharedRegion) -> dict[str, Tensor]:
        """Return what the last step left, by name, with the Gramian of the unscaled losses."""
        before = region.before()
        return before | {
            "gramian": before["gramian"] / ops.square(ops.convert_to_tensor(self.scale))
        }

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss unchanged; its backward pass records what an optimizer multiplied it by.

        The cotangent of the loss is that number. It is returned as the gradient of the variable
        `scale`, which the optimizer overwrites with its gradient.
        """
        if self.scale is None:
            return loss
        recording = with_backward(
            lambda loss, scale: loss + 0.0, lambda inputs, cotangent: (cotangent, cotangent)
        )
        return recording(loss, ops.convert_to_tensor(self.scale))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of what `seen` adds to the epoch sums."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, region in enumerate(self.regions):
            m = region.balance.tasks
            shapes |= {f"{i}/{what}": (m,) for what in ("weights", "norms")}
            shapes |= {f"{i}/{what}": (m, m) for what in ("cosines", "conflicts", "count")}
        return shapes

    def seen(self, first: Tensor | float = 0.0) -> dict[str, Tensor]:
        """Return gradient statistics of the step before, as entries of the epoch sums.

        Those of this step are known only after its backward pass.

        Args:
            first: 1.0 in the first step of an epoch, which has no step before it.
        """
        entries: dict[str, Tensor] = {}
        for i, region in enumerate(self.regions):
            before = self._before(region)
            norms = ops.sqrt(ops.diagonal(before["gramian"])) * (1.0 - first)
            has_gradient = ops.cast(norms > 0, "float32")
            # 1 in place of a norm of 0: the cosines there are masked by `count`.
            safe = norms + (1.0 - has_gradient)
            entries[f"{i}/weights"] = before["weights"] * has_gradient
            entries[f"{i}/norms"] = norms
            entries[f"{i}/count"] = has_gradient[:, None] * has_gradient[None, :]
            entries[f"{i}/cosines"] = (
                before["gramian"] / safe[:, None] / safe[None, :] * entries[f"{i}/count"]
            )
            entries[f"{i}/conflicts"] = ops.cast(entries[f"{i}/cosines"] < AGAINST, "float32")
        # The epoch sums add up all replicas.
        return {name: part / replicas() for name, part in entries.items()}

    # -- on the host -------------------------------------------------------------------------------

    def read(self, sums: Mapping[str, np.ndarray]) -> list[GradientStats]:
        """Return the gradient statistics of an epoch from its epoch sums and its last step."""
        # A step adds the statistics of the step before it, so those of the last step are still
        # missing.
        last = {name: ops.convert_to_numpy(value) for name, value in self.seen().items()}
        statistics = []
        for i, (region, region_name) in enumerate(
            zip(self.regions, self.region_names, strict=True)
        ):
            kinds = ("weights", "norms", "cosines", "conflicts", "count")
            *totals, pairs = (sums[f"{i}/{what}"] + last[f"{i}/{what}"] for what in kinds)
            counts = (np.diag(pairs), np.diag(pairs), pairs, pairs)
            weights, norms, cosines, conflicts = (
                _mean(*both) for both in zip(totals, counts, strict=True)
            )
            statistics.append(
                GradientStats(region.balance.names, weights, norms, cosines, conflicts, region_name)
            )
        return statistics

    def last(self) -> list[tuple[tuple[TaskName, ...], np.ndarray, np.ndarray]]:
        """Return tasks, Gramian [m, m] and weights [m] of the last step, for each shared region."""
        last_steps = []
        for region in self.regions:
            before = {name: ops.convert_to_numpy(value) for name, value in region.before().items()}
            last_steps.append((region.balance.names, before["gramian"], before["weights"]))
        return last_steps

    def weights_of(self, tasks: Sequence[int], loss_weights: np.ndarray) -> np.ndarray:
        """Return the factor of each task's gradient at a layer in the last step, [m].

        It is the task's own weight times those of loss weighting and gradient balancing. It is NaN
        for tasks that do not use the layer. A balancing method that works element by element counts
        as 1.

        Args:
            tasks: positions of the tasks that use the layer.
            loss_weights: of all tasks, [m].
        """
        weights = loss_weights.astype("float64")
        if self.weighing is not None:
            factors = self.weighing.packed.read(ops.convert_to_numpy(self.state))["weights"]
            weights = weights * factors
        for region in self.regions if len(tasks) > 1 else ():
            if self.engine is None or tuple(region.tasks) == tuple(tasks):
                weights[region.tasks] *= ops.convert_to_numpy(region.before()["weights"])
        return np.where(np.isin(np.arange(len(weights)), tasks), weights, np.nan)

    def follow(self, optimizer: Any) -> None:
        """Tell each region how many steps of gradients the optimizer accumulates, and where it is.

        Raises:
            InputError: for accumulated gradients with float16's loss scaling where gradients are
                balanced.
        """
        if self.engine is not None:
            self.engine.check_unchanged()
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        steps = getattr(inner, "gradient_accumulation_steps", None) or 1
        if steps > 1 and inner is not optimizer and self.regions:
            raise InputError(
                "Balancing, gradient_accumulation_steps and float16's loss scaling do not go "
                'together: take the policy "mixed_bfloat16", or a larger batch.'
            )
        for region in self.regions:
            region.carrying.accumulated = steps
            if steps > 1:
                region.carrying.turn.assign(
                    float(ops.convert_to_numpy(optimizer.variables[0]) % steps)
                )

    def to_config(self) -> dict[str, Any]:
        """Return the model's keyword arguments that build this again, as plain JSON values."""
        config = self.settings.to_config() | {"preference": self.given["preference"]}
        config["balancing"] = config["balancing"] if self.given["balancing"] is not None else None
        return config


def _mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return total / count, NaN where the count is 0."""
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _check_set_once(given: dict[str, Any], own: list[MultitaskOptions]) -> None:
    """Raise for options given to a model and to its heads, or to only one of several heads."""
    for what, attribute in (("weighting", "weighting"), ("balancing", "balance")):
        heads_with_option = [options for options in own if getattr(options, attribute) is not None]
        if heads_with_option and given[what] is not None:
            raise InputError(
                f"{what}= was given to pc.Model and to its Heads: leave one of them out."
            )
        for_whole_model = [
            options
            for options in heads_with_option
            if what == "weighting" or options.gradients == "parameters"
        ]
        if for_whole_model and len(own) > 1:
            raise InputError(
                f"This model has {len(own)} layers of Heads, and {shorten(what)} concerns all "
                f"tasks together: give {what}=... (and what belongs to it) to pc.Model or pc.adopt."
            )
