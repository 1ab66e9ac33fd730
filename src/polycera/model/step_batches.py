"""Batches that only the backend sees: packed, checked and counted within the training step.

What cannot be learned from is taken out before the loss sees it, and added up on the device; at the
end of the epoch one sentence names it. The host waits for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.layers.backend import replicas
from polycera.model import named_inputs
from polycera.model.epoch_sums import EpochSums
from polycera.model.objective import HeadConstants
from polycera.tasks import Layout, Task, keras_losses, numpy_ops
from polycera.tasks.task import ClassTask
from polycera.typing import Target, TaskName, Tensor


class StepBatch(NamedTuple):
    """A batch as the loss takes it, and what is to be counted of it.

    Attributes:
        y: packed targets [n, width], NaN where missing or left out.
        weights: [n, tasks], [n, 1] or None; none of them negative or NaN.
        counts: what `shapes` names, but `example`.
        strange: for each task the largest label that was left out, [tasks].
    """

    y: Target
    weights: Tensor | None
    counts: dict[str, Tensor]
    strange: Tensor


def shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return what is added up in an epoch of batches.

    `labels`: labels that counted, by task. `wrong`: labels that no kind takes, by task, and
        `example` one of them.
    `shown`: the labels in the form of predictions, added up, and `squares` of those of each task.
        `features`: NaN and
    infinite features by column of the inputs, `lost` rows with one. `weights`: weights that are
    negative or NaN.
    """
    layout = model.layout
    tasks = (len(layout.tasks),)
    return {
        "rows": (),
        "labels": tasks,
        "wrong": tasks,
        "example": tasks,
        "shown": (len(columns_shown(layout)),),
        "squares": tasks,
        "features": (named_inputs.size(model),),
        "lost": (),
        "weights": (),
    }


def ledger(model: Any) -> EpochSums:
    """Return where a model adds up what batches bring; made where a `tf.distribute` strategy wants its variables."""
    strategy = getattr(model, "distribute_strategy", None)
    with nullcontext() if strategy is None else strategy.scope():
        return EpochSums(shapes(model), name="stream")


def columns_shown(layout: Layout) -> list[TaskName]:
    """Return the task of each column of `shown`."""
    found: list[TaskName] = []
    for group in layout.groups:
        blank = np.zeros((1, group.task.width))
        wide = group.task.as_prediction(blank, numpy_ops).shape[-1]
        for task in group.tasks:
            found += [task.name] * wide
    return found


def seen(layout: Layout, packed: Target) -> dict[str, Tensor]:
    """Return what goes by in a batch of packed targets: `rows`, `labels`, `shown` and `squares`."""
    labels, shown, squares = [], [], []
    for group in layout.groups:
        y = group.target(packed, ops)
        known = ops.logical_not(ops.isnan(y))
        y = ops.where(known, y, 0.0)
        counted = ops.cast(known, "float32")
        labels.append(ops.sum(counted, axis=(0, 2)))
        squares.append(ops.sum(ops.square(y), axis=(0, 2)))
        wide = group.task.as_prediction(y, ops)
        rows = counted if wide.shape[-1] == group.task.width else counted[..., :1]
        shown.append(ops.reshape(ops.sum(wide * rows, axis=0), (-1,)))
    rows = ops.sum(ops.cast(ops.ones_like(packed[:, 0]), "float32"))
    return {
        "rows": rows,
        "labels": ops.concatenate(labels),
        "shown": ops.concatenate(shown),
        "squares": ops.concatenate(squares),
    }


def count(ledger: EpochSums, counts: dict[str, Tensor], strange: Tensor | None = None) -> None:
    """Add up what a batch comes to; keep the strange labels of the first batch that has some."""
    if strange is not None and replicas() == 1:
        first = ops.logical_and(ledger.so_far("wrong") <= 0, counts["wrong"] > 0)
        counts = {**counts, "example": ops.where(first, strange, 0.0)}
    ledger.update_state(counts)


def batch(model: Any, x: Any, y: Any, weights: Any, kept: HeadConstants) -> StepBatch:
    """Pack a batch of a source that the host has not looked at.

    A label that its task does not take, each label of a row with a NaN or infinite feature, and
    each label of a row with a negative or NaN weight are left out, as missing ones are.

    Args:
        model: whose tasks and inputs are meant.
        x: features.
        y: targets by name; those of the only task may come alone.
        weights: [n], a dict of task name to [n], or None.
        kept: what is taken out of the labels.

    Raises:
        UnknownName, InputError: for targets or weights that are not by name, or of another shape.
    """
    layout = model.layout
    given = _stacked(layout, named(layout, y))
    encoded, valid = _coded(layout, given)
    missing = ops.isnan(given)
    wrong = ops.cast(ops.logical_not(ops.logical_or(valid, missing)), "float32")
    fine = named_inputs.finite_rows(x)
    if fine is not None:
        valid = ops.logical_and(valid, fine[:, None])
    owner = _owner(layout)
    packed = (encoded - ops.take(kept.location, owner)) / ops.take(kept.scale, owner)
    packed = ops.where(valid, packed, np.nan)
    weights, odd = _weights(layout, packed, weights)
    counts = seen(layout, packed) | {
        "wrong": _by_task(layout, ops.sum(wrong, axis=0)),
        "features": named_inputs.count_not_finite(model, x),
        "lost": ops.zeros(())
        if fine is None
        else ops.sum(ops.cast(ops.logical_not(fine), "float32")),
        "weights": odd,
    }
    largest = ops.max(ops.where(wrong > 0, given, -np.inf), axis=0)
    strange = largest if len(owner) == len(layout.tasks) else _largest(layout, largest)
    return StepBatch(packed, weights, counts, strange)


def _owner(layout: Layout) -> np.ndarray:
    """Return the task of each column of the targets, [width]."""
    widths = [task.width for task in layout.tasks.values()]
    return np.repeat(np.arange(len(widths)), widths).astype("int32")


def _by_task(layout: Layout, columns: Tensor) -> Tensor:
    """Add up the columns of each task: [width] -> [tasks]."""
    own = _owner(layout)
    if len(own) == len(layout.tasks):
        return columns
    place = (np.arange(len(layout.tasks))[:, None] == own).astype("float32")
    return ops.matmul(place, columns[:, None])[:, 0]


def _largest(layout: Layout, columns: Tensor) -> Tensor:
    own = _owner(layout)
    place = np.arange(len(layout.tasks))[:, None] == own
    return ops.max(ops.where(place, columns[None, :], -np.inf), axis=1)


# -- labels --------------------------------------------------------------------------------------------------------


def named(layout: Layout, y: Any) -> dict[TaskName, Any]:
    """Return the targets of a batch by name.

    Raises:
        UnknownName, InputError: for names that are not those of the tasks, or targets without
            names.
    """
    if not isinstance(y, Mapping):
        if len(layout.tasks) > 1 or y is None or isinstance(y, list | tuple):
            listed = "a list" if isinstance(y, list | tuple) else "one array"
            came = "no targets" if y is None else f"{listed} of targets without names"
            raise InputError(
                f"A batch has {came}: it is a pair (x, y), y a dict of task name to labels; "
                f"tasks: {listing(layout.tasks)}."
            )
        return {next(iter(layout.tasks)): y}
    for name in y:
        if name not in layout.tasks:
            raise UnknownName("task in a batch:", name, layout.tasks)
    if absent := [name for name in layout.tasks if name not in y]:
        raise InputError(f"A batch lacks the tasks {listing(absent)}.")
    return dict(y)


def _stacked(layout: Layout, y: Mapping[TaskName, Any]) -> Tensor:
    """Return the labels side by side as they came, one-hot ones as places, float32 [n, width]."""
    tasks = list(layout.tasks.values())
    there = [y[task.name] for task in tasks]
    if all(_is_plain(task, values, there[0]) for task, values in zip(tasks, there, strict=True)):
        return ops.cast(ops.stack(there, axis=-1), "float32")
    like = next((values for values in there if values is not None), None)
    if like is None:
        raise InputError(f"A batch has no labels for any task; tasks: {listing(layout.tasks)}.")
    columns = []
    for task, values in zip(tasks, there, strict=True):
        if values is None:
            first = ops.cast(ops.reshape(like, (ops.shape(like)[0], -1))[:, :1], "float32")
            columns.append(ops.repeat(ops.full_like(first, np.nan), task.width, axis=1))
        else:
            columns.append(_column(task, values))
    return ops.concatenate(columns, axis=-1)


def _is_plain(task: Task, values: Any, first: Any) -> bool:
    """Return whether labels are [n] of the same type as those of the first task: they are stacked in one go."""
    if (
        task.width != 1
        or values is None
        or first is None
        or len(named_inputs.known_shape(values) or ()) != 1
    ):
        return False
    return values.dtype == first.dtype and _is_number(values)


def _is_number(values: Any) -> bool:
    return keras.backend.standardize_dtype(values.dtype) != "string"


def _column(task: Task, values: Any) -> Tensor:
    """Return the labels of a task as float32 [n, width]."""
    _check_labels(task, values)
    if _is_one_hot(task, named_inputs.known_shape(values)):
        return _from_one_hot(task, values)
    return ops.reshape(ops.cast(values, "float32"), (-1, task.width))


def _check_labels(task: Task, values: Any) -> None:
    """Refuse labels that are text, or of a shape that would be broadcast; the number of rows may be unknown here."""
    if not hasattr(values, "dtype") or not _is_number(values):
        raise InputError(
            f"Task {shorten(task.name)!r}: the labels of a batch are text or objects, which cannot reach the network "
            f"from this source: give {task.wanted}, or yield them from a generator or a PyDataset."
        )
    shape = named_inputs.known_shape(values)
    if shape is None and task.width == 1 and isinstance(task, ClassTask) and task.kind != "binary":
        raise InputError(
            f"Task {shorten(task.name)!r}: the number of axes of its labels in a batch is not known, as where they "
            "were [n] in one source and one-hot in the next: give one form, or compile() the model in between."
        )
    fits = shape is None or shape[1:] in (
        (task.width,),
        (None,),
        () if task.width == 1 else (task.width,),
    )
    if not fits and not _is_one_hot(task, shape):
        raise InputError(
            f"Task {shorten(task.name)!r}: the target in a batch has shape {list(shape or ())}, "
            f"but its head ({task.kind}) takes [n, {task.width}]."
        )


def check_announced(model: Any, batch: Any) -> None:
    """Look at what a source announces of its batches, as `tf.data` does, before a step is traced.

    Args:
        model: that is to train or to be measured.
        batch: (x, y) or (x, y, sample_weight), with a shape and a type in place of each array.

    Raises:
        UnknownName, InputError: as `batch`.
    """
    x, y, weights = (*batch, None)[:3] if isinstance(batch, tuple) else (batch, None, None)
    y = named(model.layout, y)
    named_inputs.check_names(model, x, "x of a batch")
    for name, values in y.items():
        _check_labels(model.layout.tasks[name], values)
    if isinstance(weights, Mapping):
        for name, values in weights.items():
            model.layout.known(name, "task in the weights of a batch:")
            _check_weights(values, f"of task {shorten(name)!r}")
    elif weights is not None:
        _check_weights(weights, "of a batch")


def ranks(source: Any) -> Any:
    """Return how many axes each part of a batch has, where a source announces it as `tf.data` does; else None."""
    announced = getattr(source, "element_spec", None)
    if announced is None:
        return None
    return keras.tree.map_structure(lambda each: each.shape.rank, announced)


def _is_one_hot(task: Task, shape: tuple[int | None, ...] | None) -> bool:
    """Return whether labels of this shape are [n, classes] where one number a row is usual."""
    if not isinstance(task, ClassTask) or task.kind == "binary" or task.width != 1:
        return False
    return shape is not None and len(shape) == 2 and shape[1] == len(task.known_classes())


def _from_one_hot(task: Any, values: Any) -> Tensor:
    """Return one-hot labels [n, classes] as what stands for each row [n, 1]."""
    classes = len(task.known_classes())
    rows = ops.cast(values, "float32")
    ones = ops.logical_or(ops.equal(rows, 0.0), ops.equal(rows, 1.0))
    fine = ops.logical_and(ops.all(ones, axis=1), ops.equal(ops.sum(rows, axis=1), 1.0))
    own = task.class_numbers
    each = np.arange(classes) if own is None else own
    label = ops.sum(
        ops.where(ops.equal(rows, 1.0), ops.convert_to_tensor(each.astype("float32")), 0.0), axis=1
    )
    gone = ops.all(ops.isnan(rows), axis=1)
    # infinite: no class, and counted as such
    label = ops.where(fine, label, ops.where(gone, np.nan, np.inf))
    return label[:, None]


def _coded(layout: Layout, given: Tensor) -> tuple[Tensor, Tensor]:
    """Return the labels as the network learns them [n, width], and where they are valid, bool."""
    columns, valid = [], []
    for group in layout.groups:
        y = group.target(given, ops)
        y = _places(group, y)
        good = group.task.valid(y, ops)
        if (fits := keras_losses.defined(group.task, y, ops)) is not None:
            good = ops.logical_and(good, fits)
        flat = (-1, len(group.tasks) * group.task.width)
        columns.append(ops.reshape(y, flat))
        valid.append(ops.reshape(ops.broadcast_to(good, ops.shape(y)), flat))
    if len(columns) == 1:
        return columns[0], valid[0]
    return ops.concatenate(columns, axis=-1), ops.concatenate(valid, axis=-1)


def _places(group: Any, y: Tensor) -> Tensor:
    """Return the places of classes that are numbers of their own, such as 1 to 5; -1 for what is none of them."""
    own = [
        task.class_numbers if isinstance(task, ClassTask) and task.width == 1 else None
        for task in group.tasks
    ]
    usual = [numbers is None or np.array_equal(numbers, np.arange(len(numbers))) for numbers in own]
    if all(usual):
        return y
    many = max(len(numbers) for numbers in own if numbers is not None)
    table = np.stack([np.arange(many) if numbers is None else numbers for numbers in own]).astype(
        "float32"
    )
    same = ops.equal(y, ops.convert_to_tensor(table))  # [n, k, 1] against [k, classes]
    place = ops.sum(ops.where(same, ops.arange(many, dtype="float32"), 0.0), axis=-1, keepdims=True)
    found = ops.any(same, axis=-1, keepdims=True)
    return ops.where(found, place, ops.where(ops.isnan(y), y, -1.0))


# -- weights -------------------------------------------------------------------------------------------------------


def _weights(layout: Layout, packed: Tensor, weights: Any) -> tuple[Tensor | None, Tensor]:
    """Return sample weights as [n, tasks] or [n, 1], and how many were negative or no number."""
    if weights is None:
        return None, ops.zeros(())
    if isinstance(weights, Mapping):
        for name in weights:
            layout.known(name, "task in the weights of a batch:")
        ones = ops.ones_like(packed[:, :1])
        parts = [
            _one_each(weights[n], f"of task {shorten(n)!r}") if n in weights else ones
            for n in layout.tasks
        ]
        weights = ops.concatenate(parts, axis=-1)
    else:
        weights = _one_each(weights, "of a batch")
    fine = ops.logical_and(ops.isfinite(weights), weights >= 0)
    return ops.where(fine, weights, 0.0), ops.sum(ops.cast(ops.logical_not(fine), "float32"))


def _one_each(values: Any, what: str) -> Tensor:
    _check_weights(values, what)
    return ops.reshape(ops.cast(values, "float32"), (-1, 1))


def _check_weights(values: Any, what: str) -> None:
    shape = named_inputs.known_shape(values)
    if shape is not None and shape[1:] not in ((), (1,), (None,)):
        raise InputError(
            f"The weights {what} have shape {list(shape)}, expected one weight a row: [n]."
        )
