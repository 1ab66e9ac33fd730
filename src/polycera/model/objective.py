"""The total loss of a batch, and all that is added up for logs and metrics, in one pass over the groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from polycera.errors import InputError
from polycera.layers.backend import sum_over_replicas
from polycera.tasks import Group, Joint, Layout, numpy_ops
from polycera.tasks.metrics import TALLIES
from polycera.tasks.terms import Term
from polycera.typing import Array, Raw, Target, Tensor, Weights


class MaskedBatch(NamedTuple):
    """A group's share of a batch, with whatever is missing made harmless.

    Attributes:
        y: labels [n, k, width], 0 where missing.
        raw: raw outputs [n, k, units], 0 where missing: no gradient passes there, whatever the loss
            does.
        counted: 1.0 where a label counts, else 0.0: [n, k, width].
        rows: 1.0 where a row counts for a task, else 0.0: [n, k].
        weights: sample weights [n, k] or [n, 1], or None.
    """

    y: Tensor
    raw: Tensor
    counted: Tensor
    rows: Tensor
    weights: Tensor | None


class BatchSums(NamedTuple):
    """What a batch comes to, for the loss and the ledger.

    Attributes:
        sums: each term added up over its rows, [terms].
        rows: how many rows each term has, [terms]; without gradient, as the tallies are.
        tallies: what the metrics add up, [tallies].
    """

    sums: Tensor
    rows: Tensor
    tallies: Tensor


class HeadConstants(NamedTuple):
    """What the heads keep beside their weights, as tensors: see `TaskLayer`.

    Attributes:
        location, scale: [tasks].
        prior: [units].
    """

    location: Tensor
    scale: Tensor
    prior: Tensor


@dataclass(frozen=True)
class TermGroup:
    """One term, computed for all tasks of a group that have it.

    Attributes:
        group: the tasks.
        terms: the term as each of them has it: they compute the same, and may differ in name and
            weight.
        columns: places of the tasks within the whole group; None: all of them.
    """

    group: Group
    terms: tuple[Term, ...]
    columns: tuple[int, ...] | None

    @property
    def term(self) -> Term:
        """Any of the terms: what the formula needs is the same for all."""
        return self.terms[0]

    @property
    def places(self) -> slice | np.ndarray:
        """Places of the tasks among all tasks."""
        first = self.group.first
        if self.columns is None:
            return slice(first, first + len(self.group.tasks))
        return np.array(self.columns, "int32") + first


@dataclass(frozen=True)
class Objective:
    """What a network minimises: sum over tasks of weight x sum over terms of term weight x term.

    A term is the mean over the rows of the batch that have a label of the task and a weight above
    0. Sample weights multiply a row's loss and not the number of rows, as in Keras; other than
        there, a row of weight 0 is not counted,
    so that padding changes nothing.
    """

    layout: Layout

    @cached_property
    def parts(self) -> list[list[TermGroup]]:
        """The parts of each group."""
        return [_parts(group) for group in self.layout.groups]

    @cached_property
    def names(self) -> list[str]:
        """How each term is logged, in the order of all vectors of terms."""
        own = [
            f"{task.name}/{_logged(task, term)}"
            for parts in self.parts
            for part in parts
            for task, term in zip(part.group.tasks, part.terms, strict=True)
        ]
        return own + [joint.name for joint in self.layout.joints]

    @cached_property
    def term_weights(self) -> np.ndarray:
        """Each term's own weight, [terms]."""
        own = [term.weight for parts in self.parts for part in parts for term in part.terms]
        return np.array(own + [joint.weight for joint in self.layout.joints], "float32")

    @cached_property
    def owner(self) -> np.ndarray:
        """Which task each term belongs to, [terms]; for joint terms one more than there are tasks."""
        names = list(self.layout.tasks)
        own = [
            names.index(task.name)
            for parts in self.parts
            for part in parts
            for task in part.group.tasks
        ]
        return np.array(own + [len(names)] * len(self.layout.joints), "int32")

    @cached_property
    def weights(self) -> np.ndarray:
        """The weights that the tasks were declared with, [tasks]."""
        return np.array([task.weight for task in self.layout.tasks.values()], "float32")

    @cached_property
    def shares(self) -> np.ndarray:
        """Each term's factor in the loss of each task, [tasks, terms], the task's own weight left out."""
        belongs = self.owner == np.arange(len(self.layout.tasks))[:, None]
        return belongs.astype("float32") * self.term_weights

    def by_task(self, means: Tensor) -> Tensor:
        """The tasks' losses [tasks], without their own weights, from the terms [terms]."""
        return ops.matmul(self.shares, ops.where(ops.isfinite(means), means, np.inf)[:, None])[:, 0]

    def present(self, rows: Tensor) -> Tensor:
        """1.0 for tasks that have a row, [tasks], from the rows of each term."""
        return ops.cast(
            ops.matmul((self.shares > 0).astype("float32"), rows[:, None])[:, 0] > 0, "float32"
        )

    @cached_property
    def needs(self) -> list[set[str]]:
        """The tallies that each group's metrics ask for."""
        return [
            {
                need
                for task in group.tasks
                for name in task.metrics
                for need in TALLIES[task.measured_as].metrics[name].needs
            }
            | {"rows"} & set(TALLIES[group.task.measured_as].sizes(group.task))
            for group in self.layout.groups
        ]

    @cached_property
    def tallied(self) -> list[dict[str, tuple[int, ...]]]:
        """Each group's tallies in the order in which they are laid out, with their shapes [k, ...]."""
        found = []
        for group, needs in zip(self.layout.groups, self.needs, strict=True):
            sizes = TALLIES[group.task.measured_as].sizes(group.task)
            found.append({name: (len(group.tasks), *sizes[name]) for name in sorted(needs)})
        return found

    @cached_property
    def size(self) -> int:
        """How many numbers the metrics add up."""
        return sum(prod(s) for sizes in self.tallied for s in sizes.values())

    def __call__(
        self, y: Target, raw: Raw, weights: Weights | None, kept: HeadConstants
    ) -> BatchSums:
        """Measure a batch.

        Args:
            y: [n, width], NaN where missing.
            raw: [n, units].
            weights: [n, tasks], [n, 1] or None.
            kept: what was taken out of the labels, and the trivial predictors.
        """
        shares = [labelled(group, y, raw, weights) for group in self.layout.groups]
        sums, rows = self._sums(shares, kept)
        rows = ops.stop_gradient(rows)
        tallies = self._tallies(shares, kept.prior)
        flat = ops.stop_gradient(ops.concatenate(tallies)) if tallies else ops.zeros((0,))
        return BatchSums(sums, rows, flat)

    def sums(self, y: Array, raw: Array, kept: HeadConstants) -> tuple[Array, Array]:
        """Add up each term over all rows, on the host: [terms], and how many rows each has, [terms].

        A backend would compile a program for each operation and each number of rows. Losses that
        are no formulas of our own are asked through the backend all the same.

        Args:
            y: packed targets [n, width], NaN where missing.
            raw: raw outputs [n, units].
            kept: as for a batch.
        """
        own = not self.layout.joints and all(
            isinstance(part.term.loss, str) for parts in self.parts for part in parts
        )
        if own:
            y, raw = np.asarray(y, "float64"), np.asarray(raw, "float64")
        else:
            y, raw = (ops.convert_to_tensor(np.asarray(part, "float32")) for part in (y, raw))
        xp = numpy_ops if own else ops
        shares = [labelled(group, y, raw, None, xp) for group in self.layout.groups]
        sums, rows = self._sums(shares, kept, xp)
        total, count = (np.asarray(ops.convert_to_numpy(each), "float64") for each in (sums, rows))
        return total, count

    def _sums(
        self, shares: list[MaskedBatch], kept: HeadConstants, xp: Any = ops
    ) -> tuple[Tensor, Tensor]:
        sums, rows = [], []
        for share, parts in zip(shares, self.parts, strict=True):
            for part in parts:
                total, count = term_sums(part, share, kept, xp)
                sums.append(total)
                rows.append(count)
        for joint in self.layout.joints:
            total, count = joint_sums(joint, self.layout, shares, kept)
            sums.append(total)
            rows.append(count)
        return xp.concatenate(sums), xp.concatenate(rows)

    def means(self, measured: BatchSums) -> Tensor:
        """Each term [terms]; of several replicas this one's share."""
        return measured.sums / ops.maximum(sum_over_replicas(measured.rows), 1.0)

    def loss(self, means: Tensor, weights: Tensor | None = None) -> Tensor:
        """The total loss [] from the terms, given the weights of the tasks [tasks]; default: as they were declared."""
        weights = ops.convert_to_tensor(self.weights) if weights is None else weights
        return ops.sum(ops.multiply(means * self.by_term(weights), self.term_weights))

    def by_term(self, weights: Tensor) -> Tensor:
        """The weight of each term's task [terms], from those of the tasks; 1 for joint terms."""
        return ops.take(ops.concatenate([weights, ops.ones((1,))]), self.owner)

    def _tallies(self, shares: list[MaskedBatch], prior: Tensor) -> list[Tensor]:
        flat = []
        for group, share, needs, sizes in zip(
            self.layout.groups, shares, self.needs, self.tallied, strict=True
        ):
            if not sizes:
                continue
            start = group.raw_start
            own = ops.reshape(
                prior[start : start + len(group.tasks) * group.task.units], (len(group.tasks), -1)
            )
            raw = ops.stop_gradient(share.raw)
            found = TALLIES[group.task.measured_as].batch(
                group.task, share.y, raw, own, share.counted, needs, ops
            )
            flat += [ops.reshape(ops.cast(found[name], "float32"), (-1,)) for name in sizes]
        return flat


def labelled(
    group: Group, y: Target, raw: Raw, weights: Weights | None, xp: Any = ops
) -> MaskedBatch:
    """The group's labels and raw outputs, what is missing masked out; `xp` is keras.ops or its like on the host."""
    own_y, own_raw = group.target(y, xp), group.raw(raw, xp)
    known = xp.logical_not(xp.isnan(own_y))
    own_weights = None if weights is None else group.per_task(weights)
    if own_weights is not None:
        known = xp.logical_and(known, xp.expand_dims(own_weights > 0, -1))
    own_y, own_raw = xp.where(known, own_y, 0.0), xp.where(known, own_raw, 0.0)
    counted = xp.cast(known, "float32")
    rows = counted[..., 0] if group.task.width == 1 else xp.max(counted, axis=-1)
    return MaskedBatch(own_y, own_raw, counted, rows, own_weights)


def term_sums(
    part: TermGroup, share: MaskedBatch, kept: HeadConstants, xp: Any = ops
) -> tuple[Tensor, Tensor]:
    """A term added up over rows, and the number of rows, for each task that has it: [k], [k]."""
    if part.columns is not None:
        share = MaskedBatch(*(_columns(tensor, part.columns, xp) for tensor in share))
    y, raw = share.y, share.raw
    if part.term.in_user_units(part.group.task):
        y, raw = (_in_user_units(values, part, kept) for values in (y, raw))
    values = part.term.per_row(part.group, y, raw, xp)
    if values.shape[-1] == 1:
        values = values[..., 0]
    else:  # several labels a row: the mean over those it has
        values = xp.sum(values * share.counted, axis=-1) / xp.maximum(
            xp.sum(share.counted, axis=-1), 1.0
        )
    values = xp.where(share.rows > 0, values, 0.0)
    if share.weights is not None:
        values = values * share.weights
    return xp.sum(values, axis=0), xp.sum(share.rows, axis=0)


def _in_user_units(values: Tensor, part: TermGroup, kept: HeadConstants) -> Tensor:
    """Standardised numbers [n, k, p] in the units of the labels; the link of such tasks leaves units as they are."""
    if isinstance(part.places, slice):
        scale, location = kept.scale[part.places], kept.location[part.places]
    else:
        scale, location = (ops.take(each, part.places) for each in (kept.scale, kept.location))
    return values * scale[:, None] + location[:, None]


def joint_sums(
    joint: Joint, layout: Layout, shares: list[MaskedBatch], kept: HeadConstants
) -> tuple[Tensor, Tensor]:
    """A joint term added up over the rows in which all its tasks have labels: [1], [1]."""
    true, predicted, rows = {}, {}, None
    for group, share in zip(layout.groups, shares, strict=True):
        for i, task in enumerate(group.tasks):
            if task.name in joint.tasks:
                middle, spread = kept.location[group.first + i], kept.scale[group.first + i]
                true[task.name] = task.as_prediction(share.y, ops)[:, i] * spread + middle
                predicted[task.name] = task.link(share.raw, ops)[:, i] * spread + middle
                rows = share.rows[:, i] if rows is None else rows * share.rows[:, i]
    values = joint.fn(true, predicted)
    if len(values.shape) == 2 and values.shape[-1] == 1:
        values = values[:, 0]
    if len(values.shape) != 1:
        raise InputError(
            f"Joint term {joint.name!r} returned shape {list(values.shape)}, expected one value a row [n]."
        )
    assert rows is not None  # a joint term has tasks, and the layout has checked that they exist
    values = ops.where(rows > 0, values, 0.0)
    return ops.sum(values, axis=0, keepdims=True), ops.sum(rows, axis=0, keepdims=True)


def _parts(group: Group) -> list[TermGroup]:
    by_key: dict[Any, list[tuple[int, Term]]] = {}
    for i, task in enumerate(group.tasks):
        seen: Counter[Any] = Counter()
        for term in task.terms:
            key = term.key
            by_key.setdefault((key, seen[key]), []).append((i, term))
            seen[key] += 1  # two terms of one task that compute the same are two parts
    parts = []
    for found in by_key.values():
        columns = tuple(i for i, _ in found)
        whole = len(columns) == len(group.tasks)
        own = Group(
            tuple(group.tasks[i] for i in columns), group.first, group.raw_start, group.target_start
        )
        parts.append(TermGroup(own, tuple(term for _, term in found), None if whole else columns))
    return parts


def _columns(tensor: Tensor | None, columns: tuple[int, ...], xp: Any) -> Tensor | None:
    if tensor is None or tensor.shape[1] == 1 != max(columns) + 1:
        return tensor
    return xp.take(tensor, np.array(columns, "int32"), axis=1)


def _logged(task: Any, term: Term) -> str:
    """A term's name in the logs; where a metric of the task has the same, the metric keeps it."""
    return f"{term.name}_loss" if term.name in task.metric_names else term.name
