"""Compute a batch's total loss, and all sums for logs and metrics, in one pass over the groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import prod
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from polycera.errors import InputError
from polycera.layers.backend import sum_over_replicas
from polycera.tasks import Group, Joint, Layout, class_weights, numpy_ops
from polycera.tasks.metrics import TALLIES
from polycera.tasks.terms import Term
from polycera.typing import Array, Raw, Target, Tensor, Weights


class MaskedBatch(NamedTuple):
    """Hold a group's part of a batch, with missing values made harmless.

    Attributes:
        y: labels [n, k, width], 0 where missing.
        raw: raw outputs [n, k, columns], 0 where missing, so that no gradient passes there,
            whatever the loss does.
        counted: 1.0 where a label counts, else 0.0: [n, k, width].
        rows: 1.0 where a row counts for a task, else 0.0: [n, k].
        weights: sample weights [n, k] or [n, 1], or None.
        class_factors: factor of the loss of each label by its class, [n, k, width], or None.
    """

    y: Tensor
    raw: Tensor
    counted: Tensor
    rows: Tensor
    weights: Tensor | None
    class_factors: Tensor | None


class BatchSums(NamedTuple):
    """Hold what a batch adds to the loss and to the epoch sums.

    Attributes:
        sums: each term summed over its rows, [terms].
        rows: number of rows of each term, [terms]; without gradient, like the tallies.
        tallies: the sums that the metrics need, [tallies].
    """

    sums: Tensor
    rows: Tensor
    tallies: Tensor


class HeadConstants(NamedTuple):
    """Hold what the heads store beside their weights, as tensors; see `TaskLayer`.

    Attributes:
        location, scale: target scaling, [tasks].
        prior: raw outputs of the trivial predictors, [columns].
    """

    location: Tensor
    scale: Tensor
    prior: Tensor


@dataclass(frozen=True)
class TermGroup:
    """Hold one loss term, computed at once for all tasks of a group that have it.

    Attributes:
        group: the tasks.
        terms: the term of each task. They compute the same, and may differ in name and weight.
        columns: positions of the tasks within the whole group; None: all of them.
    """

    group: Group
    terms: tuple[Term, ...]
    columns: tuple[int, ...] | None

    @property
    def term(self) -> Term:
        """Return one of the terms; what the formula needs is the same for all."""
        return self.terms[0]

    @property
    def positions(self) -> slice | np.ndarray:
        """Return the positions of the tasks among all tasks."""
        first = self.group.first
        if self.columns is None:
            return slice(first, first + len(self.group.tasks))
        return np.array(self.columns, "int32") + first


@dataclass(frozen=True)
class Objective:
    """Compute what a network minimises, the weighted sum of the tasks' losses.

    The loss is the sum over tasks of weight x sum over terms of term weight x term. A term is the
    mean over the rows of the batch that have a label of the task and a weight above 0. Sample
    weights multiply a row's loss and not the number of rows, as in Keras. Unlike in Keras, a row of
    weight 0 is not counted, so that padding changes nothing.

    Attributes:
        layout: the tasks.
        weighted_metrics: whether metrics count rows by their sample weights too.
    """

    layout: Layout
    weighted_metrics: bool = False

    @cached_property
    def grouped_terms(self) -> list[list[TermGroup]]:
        """Return the term groups of each group."""
        return [_term_groups(group) for group in self.layout.groups]

    @cached_property
    def term_groups(self) -> list[TermGroup]:
        """Return the term groups of all groups, one after another."""
        return list(chain.from_iterable(self.grouped_terms))

    @cached_property
    def names(self) -> list[str]:
        """Return the logged name of each term, in the order of all vectors of terms."""
        names: list[str] = []
        for term_group in self.term_groups:
            pairs = zip(term_group.group.tasks, term_group.terms, strict=True)
            names += [f"{task.name}/{_logged(task, term)}" for task, term in pairs]
        return names + [joint.name for joint in self.layout.joints]

    @cached_property
    def term_weights(self) -> np.ndarray:
        """Return each term's own weight, [terms]."""
        weights = [term.weight for group in self.term_groups for term in group.terms]
        return np.array(weights + [joint.weight for joint in self.layout.joints], "float32")

    @cached_property
    def owner(self) -> np.ndarray:
        """Return the position of the task of each term, [terms].

        A joint term belongs to no task: it gets the number of tasks, one past the last position.
        """
        names = list(self.layout.tasks)
        positions: list[int] = []
        for term_group in self.term_groups:
            positions += [names.index(task.name) for task in term_group.group.tasks]
        return np.array(positions + [len(names)] * len(self.layout.joints), "int32")

    @cached_property
    def weights(self) -> np.ndarray:
        """Return the loss weights that the tasks were declared with, [tasks]."""
        return np.array([task.weight for task in self.layout.tasks.values()], "float32")

    @cached_property
    def shares(self) -> np.ndarray:
        """Return each term's factor in the loss of each task, [tasks, terms].

        The task's own loss weight is left out.
        """
        belongs = self.owner == np.arange(len(self.layout.tasks))[:, None]
        return belongs.astype("float32") * self.term_weights

    def by_task(self, means: Tensor) -> Tensor:
        """Return the tasks' losses [tasks] from the terms [terms], without the loss weights."""
        return ops.matmul(self.shares, ops.where(ops.isfinite(means), means, np.inf)[:, None])[:, 0]

    def present(self, rows: Tensor) -> Tensor:
        """Return 1.0 for tasks with a row, else 0.0, [tasks], from each term's rows [terms]."""
        return ops.cast(
            ops.matmul((self.shares > 0).astype("float32"), rows[:, None])[:, 0] > 0, "float32"
        )

    @cached_property
    def needs(self) -> list[set[str]]:
        """Return the names of the tallies that each group's metrics need."""
        needs = []
        for group in self.layout.groups:
            tally = TALLIES[group.task.measured_as]
            # A kind that counts rows counts them whichever metrics are chosen.
            group_needs = {"rows"} & set(tally.sizes(group.task))
            for name in {name for task in group.tasks for name in task.metrics}:
                group_needs |= set(tally.metrics[name].needs)
            needs.append(group_needs)
        return needs

    @cached_property
    def tallied(self) -> list[dict[str, tuple[int, ...]]]:
        """Return the names and shapes [k, ...] of each group's tallies, in their order."""
        shapes = []
        for group, needs in zip(self.layout.groups, self.needs, strict=True):
            sizes = TALLIES[group.task.measured_as].sizes(group.task)
            shapes.append({name: (len(group.tasks), *sizes[name]) for name in sorted(needs)})
        return shapes

    @cached_property
    def size(self) -> int:
        """Return how many numbers the metrics add up."""
        return sum(prod(s) for sizes in self.tallied for s in sizes.values())

    def __call__(
        self, y: Target, raw: Raw, weights: Weights | None, constants: HeadConstants
    ) -> BatchSums:
        """Return the sums of a batch.

        Args:
            y: [n, width], NaN where missing.
            raw: [n, columns].
            weights: [n, tasks], [n, 1] or None.
            constants: target scaling and trivial predictors.
        """
        shares = [labelled(group, y, raw, weights, constants.prior) for group in self.layout.groups]
        sums, rows = self._sums(shares, constants)
        rows = ops.stop_gradient(rows)
        tallies = self._tallies(shares, constants.prior)
        flat = ops.stop_gradient(ops.concatenate(tallies)) if tallies else ops.zeros((0,))
        return BatchSums(sums, rows, flat)

    # The outputs of a network that has diverged are not finite, and so are its losses: `nonfinite`
    # says so in a sentence. NumPy's own warnings would come before it.
    @np.errstate(over="ignore", invalid="ignore")
    def sums(
        self, y: Array, raw: Array, constants: HeadConstants, weights: Array | None = None
    ) -> tuple[Array, Array]:
        """Add up each term over all rows on the host: [terms], and the number of its rows, [terms].

        On the host, because a backend would compile a program for each operation and each number of
        rows. Losses that are no formulas of our own, and joint terms, go through the backend all
        the same.

        Args:
            y: packed targets [n, width], NaN where missing.
            raw: raw outputs [n, columns].
            constants: as for a batch.
            weights: sample weights [n, tasks] or [n, 1], or None.
        """
        on_host = not self.layout.joints and all(
            isinstance(term_group.term.loss, str) for term_group in self.term_groups
        )
        if on_host:
            y, raw = np.asarray(y, "float64"), np.asarray(raw, "float64")
        else:
            y, raw = (ops.convert_to_tensor(np.asarray(part, "float32")) for part in (y, raw))
            if weights is not None:
                weights = ops.convert_to_tensor(np.asarray(weights, "float32"))
        xp = numpy_ops if on_host else ops
        prior = np.asarray(ops.convert_to_numpy(constants.prior)) if on_host else constants.prior
        shares = [labelled(group, y, raw, weights, prior, xp) for group in self.layout.groups]
        sums, rows = self._sums(shares, constants, xp)
        total, count = (
            np.asarray(ops.convert_to_numpy(vector), "float64") for vector in (sums, rows)
        )
        return total, count

    def _sums(
        self, shares: list[MaskedBatch], constants: HeadConstants, xp: Any = ops
    ) -> tuple[Tensor, Tensor]:
        """Return each term summed over its rows, and the number of its rows, both [terms]."""
        sums, rows = [], []
        for masked, term_groups in zip(shares, self.grouped_terms, strict=True):
            for term_group in term_groups:
                total, count = term_sums(term_group, masked, constants, xp)
                sums.append(total)
                rows.append(count)
        for joint in self.layout.joints:
            total, count = joint_sums(joint, self.layout, shares, constants)
            sums.append(total)
            rows.append(count)
        return xp.concatenate(sums), xp.concatenate(rows)

    def counted(self, rows: int, weights: Array | None) -> Any:
        """Return how metrics count the rows, [n, tasks] or [n, 1], as `scores.exact` takes it."""
        if weights is None:
            return np.ones((rows, 1), bool)
        return weights if self.weighted_metrics else np.asarray(weights > 0)

    def means(self, measured: BatchSums) -> Tensor:
        """Return each term's mean [terms]; with several replicas, this replica's share of it."""
        return measured.sums / ops.maximum(sum_over_replicas(measured.rows), 1.0)

    def loss(self, means: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the total loss [] from the terms.

        Args:
            means: of the terms, [terms].
            weights: of the tasks, [tasks]; default: as the tasks were declared.
        """
        weights = ops.convert_to_tensor(self.weights) if weights is None else weights
        return ops.sum(ops.multiply(means * self.by_term(weights), self.term_weights))

    def by_term(self, weights: Tensor) -> Tensor:
        """Return the weight of each term's task [terms] from [tasks]; 1 for joint terms."""
        return ops.take(ops.concatenate([weights, ops.ones((1,))]), self.owner)

    def _tallies(self, shares: list[MaskedBatch], prior: Tensor) -> list[Tensor]:
        """Return the tallies of each group as flat vectors, in the order of `tallied`."""
        flat = []
        for group, share, needs, sizes in zip(
            self.layout.groups, shares, self.needs, self.tallied, strict=True
        ):
            if not sizes:
                continue
            start = group.raw_start
            group_prior = ops.reshape(
                prior[start : start + len(group.tasks) * group.task.units], (len(group.tasks), -1)
            )
            raw = ops.stop_gradient(share.raw)
            counted = share.counted
            if self.weighted_metrics and share.weights is not None:
                counted = counted * ops.expand_dims(share.weights, -1)
            tallies = TALLIES[group.task.measured_as].batch(
                group.task, share.y, raw, group_prior, counted, needs, ops
            )
            flat += [ops.reshape(ops.cast(tallies[name], "float32"), (-1,)) for name in sizes]
        return flat


def labelled(
    group: Group, y: Target, raw: Raw, weights: Weights | None, prior: Tensor, xp: Any = ops
) -> MaskedBatch:
    """Return the group's labels and raw outputs, with what is missing masked out.

    Args:
        group: whose columns are taken.
        y: packed targets [n, width], NaN where missing.
        raw: raw outputs [n, columns].
        weights: [n, tasks], [n, 1] or None; a row of weight 0 counts as missing.
        prior: raw outputs of the trivial predictors, [columns].
        xp: `keras.ops`, or its like on the host.
    """
    group_y, group_raw = group.target(y, xp), group.raw(raw, xp)
    counted_labels = xp.logical_not(xp.isnan(group_y))
    group_weights = None if weights is None else group.per_task(weights)
    if group_weights is not None:
        counted_labels = xp.logical_and(counted_labels, xp.expand_dims(group_weights > 0, -1))
    # The raw outputs are replaced before the loss: where a loss is NaN or infinite, its gradient
    # would be NaN even if its value were masked out afterwards.
    group_y, group_raw = (
        xp.where(counted_labels, group_y, 0.0),
        xp.where(counted_labels, group_raw, 0.0),
    )
    counted = xp.cast(counted_labels, "float32")
    rows = counted[..., 0] if group.task.width == 1 else xp.max(counted, axis=-1)
    class_factors = class_weights.factors(group, group_y, prior, xp)
    return MaskedBatch(group_y, group_raw, counted, rows, group_weights, class_factors)


def term_sums(
    term_group: TermGroup, masked: MaskedBatch, constants: HeadConstants, xp: Any = ops
) -> tuple[Tensor, Tensor]:
    """Return a term summed over rows [k] and the number of rows [k], for each task that has it."""
    if term_group.columns is not None:
        masked = MaskedBatch(*(_columns(tensor, term_group.columns, xp) for tensor in masked))
    y, raw = masked.y, masked.raw
    if term_group.term.in_user_units(term_group.group.task):
        y, raw = (_in_user_units(values, term_group, constants) for values in (y, raw))
    values = term_group.term.per_row(term_group.group, y, raw, xp)
    if masked.class_factors is not None:
        values = values * masked.class_factors
    if values.shape[-1] == 1:
        values = values[..., 0]
    else:  # several labels a row: take the mean over the labels that are known
        values = xp.sum(values * masked.counted, axis=-1) / xp.maximum(
            xp.sum(masked.counted, axis=-1), 1.0
        )
    values = xp.where(masked.rows > 0, values, 0.0)
    if masked.weights is not None:
        values = values * masked.weights
    return xp.sum(values, axis=0), xp.sum(masked.rows, axis=0)


def _in_user_units(values: Tensor, term_group: TermGroup, constants: HeadConstants) -> Tensor:
    """Return standardised numbers [n, k, p] in the units of the labels.

    The link of such tasks changes no units, so it need not be applied first.
    """
    if isinstance(term_group.positions, slice):
        scale, location = (
            constants.scale[term_group.positions],
            constants.location[term_group.positions],
        )
    else:
        scale, location = (
            ops.take(moments, term_group.positions)
            for moments in (constants.scale, constants.location)
        )
    return values * scale[:, None] + location[:, None]


def joint_sums(
    joint: Joint, layout: Layout, batches: list[MaskedBatch], constants: HeadConstants
) -> tuple[Tensor, Tensor]:
    """Return a joint term summed over the rows in which all its tasks have labels: [1], [1]."""
    true, predicted, rows = {}, {}, None
    for group, masked in zip(layout.groups, batches, strict=True):
        for i, task in enumerate(group.tasks):
            if task.name in joint.tasks:
                middle, spread = (
                    constants.location[group.first + i],
                    constants.scale[group.first + i],
                )
                true[task.name] = task.as_prediction(masked.y, ops)[:, i] * spread + middle
                predicted[task.name] = task.link(masked.raw, ops)[:, i] * spread + middle
                rows = masked.rows[:, i] if rows is None else rows * masked.rows[:, i]
    values = joint.fn(true, predicted)
    if len(values.shape) == 2 and values.shape[-1] == 1:
        values = values[:, 0]
    if len(values.shape) != 1:
        raise InputError(
            f"Joint term {joint.name!r} returned shape {list(values.shape)}, expected one value "
            "a row [n]."
        )
    assert rows is not None  # a joint term has tasks, and the layout has checked that they exist
    values = ops.where(rows > 0, values, 0.0)
    return ops.sum(values, axis=0, keepdims=True), ops.sum(rows, axis=0, keepdims=True)


def _term_groups(group: Group) -> list[TermGroup]:
    """Return the term groups of a group: terms that compute the same are computed together."""
    by_key: dict[Any, list[tuple[int, Term]]] = {}
    for i, task in enumerate(group.tasks):
        copies: Counter[Any] = Counter()
        for term in task.terms:
            key = term.key
            by_key.setdefault((key, copies[key]), []).append((i, term))
            copies[key] += 1  # equal terms of one task are separate parts
    term_groups = []
    for task_terms in by_key.values():
        columns = tuple(i for i, _ in task_terms)
        whole = len(columns) == len(group.tasks)
        subgroup = Group(
            tuple(group.tasks[i] for i in columns), group.first, group.raw_start, group.target_start
        )
        term_groups.append(
            TermGroup(subgroup, tuple(term for _, term in task_terms), None if whole else columns)
        )
    return term_groups


def _columns(tensor: Tensor | None, columns: tuple[int, ...], xp: Any) -> Tensor | None:
    """Return the columns of some tasks; None and a column shared by all tasks stay unchanged."""
    # A single column where more are asked for: weights [n, 1], which serve all tasks.
    if tensor is None or tensor.shape[1] == 1 != max(columns) + 1:
        return tensor
    return xp.take(tensor, np.array(columns, "int32"), axis=1)


def _logged(task: Any, term: Term) -> str:
    """Return a term's name in the logs: with `_loss` behind it where a metric has the same name."""
    return f"{term.name}_loss" if term.name in task.metric_names else term.name
