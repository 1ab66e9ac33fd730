"""How the tasks of a model share it: the weighting and the balancing at work, and what they saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, shorten
from polycera.layers import Heads
from polycera.layers.backend import replicas, sum_over_replicas, with_backward
from polycera.layers.balance import ActiveBalancing
from polycera.layers.balance_engine import Engine
from polycera.layers.graph import Graph
from polycera.layers.method_state import MethodState
from polycera.layers.multitask_options import MultitaskOptions
from polycera.layers.shared_layers import region_names
from polycera.model.active_weighting import ActiveWeighting
from polycera.model.gradient_stats import GradientStats
from polycera.model.objective import BatchSums, Objective
from polycera.typing import TaskName, Tensor

AGAINST = -1e-6
"""The cosine below which two gradients are in conflict: those at a right angle give a little more or less than 0."""


class SharedRegion(NamedTuple):
    """Where the gradients of some tasks meet: all tasks in the trunk, or some of them in a branch.

    Attributes:
        balance: the method at work there.
        tasks: which tasks meet, by their place among all.
        carrying: whose state it is.
        start: where in that state it begins.
    """

    balance: ActiveBalancing
    tasks: np.ndarray
    carrying: MethodState
    start: int

    def before(self) -> dict[str, Tensor]:
        """What the last step left, by name."""
        state = ops.convert_to_tensor(self.carrying.state)
        return self.balance.read(state[:, self.start : self.start + self.balance.packed.size])


class TaskWeighting:
    """The weighting and the balancing of one model.

    Attributes:
        settings: what was asked of the model, beside its heads.
        weighing: the weighting at work, or None.
        engine: what balances gradients outside of `Heads`, or None.
        meetings: where gradients are balanced.
        places: what to call each.
        scale: what the loss of the last step was multiplied by, as float16 needs it; None without
            meetings.
    """

    def __init__(
        self, settings: MultitaskOptions, given: dict[str, Any], names: tuple[TaskName, ...]
    ) -> None:
        self.settings, self.given, self.names = settings, given, names
        self.weighing: ActiveWeighting | None = None
        self.state: Any = None
        self.engine: Engine | None = None
        self.meetings: list[SharedRegion] = []
        self.places: list[str] = []
        self.scale: Any = None

    @classmethod
    def of(
        cls, model: keras.Model, layout: Any, heads: list[Any], given: dict[str, Any], seed: int
    ) -> Self:
        """From what was given to the model, or to its only heads.

        Raises:
            UnknownName, InputError: see `Settings.of`; for what was said twice, or of one of
                several heads only.
        """
        names = tuple(layout.tasks)
        own = [head.settings if isinstance(head, Heads) else MultitaskOptions() for head in heads]
        _check_said_once(given, own)
        settings = MultitaskOptions.of(names, **given, seed=seed)
        forked = any(getattr(head, "fork", None) is not None for head in heads)
        shared = cls(settings, {**given, "seed": seed}, names)
        asked = own[0] if len(own) == 1 else MultitaskOptions()
        weighting = settings if settings.weighting is not None else asked
        if weighting.weighting is not None:
            shared.weighing = ActiveWeighting(
                weighting.weighting, len(names), weighting.preference, weighting.seed
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
        # the heads measure what the weighting wants to know
        measuring = given["balancing"] is None and forked
        if settings.balance is not None and not measuring:
            shared.engine = Engine(Graph.of(model), layout, settings, name="engine")
        elif asked.balance is not None and asked.gradients == "parameters":
            shared.engine = Engine(Graph.of(model), layout, asked, name="engine")
        shared.meetings = shared._meetings(heads)
        if shared.meetings:
            regions = [tuple(meeting.tasks.tolist()) for meeting in shared.meetings]
            shared.places = region_names(model, layout, regions)
            shared.scale = model.add_weight(
                name="scale",
                shape=(),
                initializer="ones",
                overwrite_with_gradient=True,
                autocast=False,
                dtype="float32",
            )
        return shared

    def _meetings(self, heads: list[Any]) -> list[SharedRegion]:
        found, first = [], 0
        if self.engine is not None:
            start = 0
            for region in self.engine.plan.regions:
                found.append(
                    SharedRegion(
                        region.balance, np.array(region.tasks, "int32"), self.engine.carrying, start
                    )
                )
                start += region.balance.packed.size
            return found
        for head in heads:
            tasks = np.arange(first, first + len(head.layout.tasks), dtype="int32")
            first += len(tasks)
            if getattr(head, "fork", None) is not None:
                found.append(SharedRegion(head.fork.balance, tasks, head.carrying, 0))
        return found

    # -- in a step -----------------------------------------------------------------------------------------------

    def weigh(
        self, objective: Objective, means: Tensor, measured: BatchSums, own: Tensor
    ) -> Tensor:
        """The weights of whole tasks in this step [tasks], their own included; balancing is told the losses."""
        looking = [meeting for meeting in self.meetings if "losses" in meeting.balance.method.sees]
        if self.weighing is None and not looking:
            return own
        losses = objective.by_task(sum_over_replicas(ops.stop_gradient(means)))
        weights = own
        if self.weighing is not None:
            present = ops.cast(sum_over_replicas(objective.present(measured.rows)) > 0, "float32")
            carried = ops.convert_to_tensor(self.state)
            further, after = self.weighing.step(carried, losses, present, self._norms())
            self.state.assign(after)
            weights = own * further
        for meeting in looking:
            meeting.carrying.measured.assign(self._own(meeting, losses * weights))
        return weights

    def _own(self, meeting: SharedRegion, losses: Tensor) -> Tensor:
        """An engine takes the losses of all tasks, heads those of theirs."""
        return losses if self.engine is not None else ops.take(losses, meeting.tasks)

    def _norms(self) -> Tensor:
        """Norms of the tasks' gradients in the step before [tasks], over all that a task shares."""
        squares = ops.zeros((len(self.names),))
        for meeting in self.meetings:
            place = (meeting.tasks[:, None] == np.arange(len(self.names))).astype("float32")
            own = ops.diagonal(self._before(meeting)["gramian"])
            squares = squares + ops.matmul(own[None, :], place)[0]
        return ops.sqrt(squares)

    def _before(self, meeting: SharedRegion) -> dict[str, Tensor]:
        """What the last step left, by name, with the Gramian of the losses themselves."""
        before = meeting.before()
        return before | {
            "gramian": before["gramian"] / ops.square(ops.convert_to_tensor(self.scale))
        }

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss, on the way back from which it is noted what an optimizer multiplied it by.

        The cotangent of the loss is that number; the variable is one that the optimizer overwrites
        with its gradient.
        """
        if self.scale is None:
            return loss
        noting = with_backward(
            lambda loss, scale: loss + 0.0, lambda inputs, cotangent: (cotangent, cotangent)
        )
        return noting(loss, ops.convert_to_tensor(self.scale))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What the ledger adds up for `seen`."""
        found: dict[str, tuple[int, ...]] = {}
        for i, meeting in enumerate(self.meetings):
            m = meeting.balance.tasks
            found |= {f"{i}/{what}": (m,) for what in ("weights", "norms")}
            found |= {f"{i}/{what}": (m, m) for what in ("cosines", "conflicts", "count")}
        return found

    def seen(self, first: Tensor | float = 0.0) -> dict[str, Tensor]:
        """What the step before saw of the gradients: what this one sees is only known after the backward pass.

        Args:
            first: 1.0 in the first step of an epoch, before which there was none.
        """
        found: dict[str, Tensor] = {}
        for i, meeting in enumerate(self.meetings):
            before = self._before(meeting)
            norms = ops.sqrt(ops.diagonal(before["gramian"])) * (1.0 - first)
            had = ops.cast(norms > 0, "float32")
            safe = norms + (1.0 - had)
            found[f"{i}/weights"] = before["weights"] * had
            found[f"{i}/norms"] = norms
            found[f"{i}/count"] = had[:, None] * had[None, :]
            found[f"{i}/cosines"] = (
                before["gramian"] / safe[:, None] / safe[None, :] * found[f"{i}/count"]
            )
            found[f"{i}/conflicts"] = ops.cast(found[f"{i}/cosines"] < AGAINST, "float32")
        # the ledger adds up those of all replicas
        return {name: part / replicas() for name, part in found.items()}

    # -- on the host ---------------------------------------------------------------------------------------------

    def read(self, sums: Mapping[str, np.ndarray]) -> list[GradientStats]:
        """What an epoch saw: from the ledger, and what its last step left."""
        last = {name: ops.convert_to_numpy(value) for name, value in self.seen().items()}
        found = []
        for i, (meeting, place) in enumerate(zip(self.meetings, self.places, strict=True)):
            kinds = ("weights", "norms", "cosines", "conflicts", "count")
            *totals, pairs = (sums[f"{i}/{what}"] + last[f"{i}/{what}"] for what in kinds)
            counts = (np.diag(pairs), np.diag(pairs), pairs, pairs)
            weights, norms, cosines, conflicts = (
                _mean(*both) for both in zip(totals, counts, strict=True)
            )
            found.append(
                GradientStats(meeting.balance.names, weights, norms, cosines, conflicts, place)
            )
        return found

    def last(self) -> list[tuple[tuple[TaskName, ...], np.ndarray, np.ndarray]]:
        """Of the last step, wherever gradients meet: the tasks, their Gramian [m, m], their weights [m]."""
        found = []
        for meeting in self.meetings:
            before = {name: ops.convert_to_numpy(value) for name, value in meeting.before().items()}
            found.append((meeting.balance.names, before["gramian"], before["weights"]))
        return found

    def follow(self, optimizer: Any) -> None:
        """Know how many gradients the optimizer adds up before it moves, and where it stands."""
        if self.engine is not None:
            self.engine.check_unchanged()
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        steps = getattr(inner, "gradient_accumulation_steps", None) or 1
        if steps > 1 and inner is not optimizer and self.meetings:
            raise InputError(
                "Balancing, gradient_accumulation_steps and float16's loss scaling do not go together: "
                'take the policy "mixed_bfloat16", or a larger batch.'
            )
        for meeting in self.meetings:
            meeting.carrying.accumulated = steps
            if steps > 1:
                meeting.carrying.turn.assign(
                    float(ops.convert_to_numpy(optimizer.variables[0]) % steps)
                )

    def to_config(self) -> dict[str, Any]:
        """As plain JSON values: the keyword arguments of the model that give it back."""
        own = self.settings.to_config() | {"preference": self.given["preference"]}
        own["balancing"] = own["balancing"] if self.given["balancing"] is not None else None
        return own


def _mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _check_said_once(given: dict[str, Any], own: list[MultitaskOptions]) -> None:
    """Refuse what a model and its heads both say, and what one of several heads cannot say for all."""
    for what, place in (("weighting", "weighting"), ("balancing", "balance")):
        said = [s for s in own if getattr(s, place) is not None]
        if said and given[what] is not None:
            raise InputError(
                f"{what}= was given to pc.Model and to its Heads: leave one of them out."
            )
        whole = [s for s in said if what == "weighting" or s.gradients == "parameters"]
        if whole and len(own) > 1:
            raise InputError(
                f"This model has {len(own)} layers of Heads, and {shorten(what)} concerns all tasks together: "
                f"give {what}=... (and what belongs to it) to pc.Model or pc.adopt."
            )
