"""Pack, check and count batches within the training step, where only the backend sees them.

What cannot be learned from is taken out before the loss sees it, and added up on the device. At the
end of the epoch one sentence names it, so the host waits for nothing in a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.layers.backend import replicas
from polycera.model import named_inputs
from polycera.model.epoch_sums import EpochSums
from polycera.model.objective import HeadConstants
from polycera.model.variables import owned_by
from polycera.tasks import Layout, Task, keras_losses, numpy_ops
from polycera.tasks.task import ClassTask
from polycera.typing import Target, TaskName, Tensor


class StepBatch(NamedTuple):
    """Hold a batch as the loss takes it, and what is to be counted of it.

    Attributes:
        y: packed targets [n, width], NaN where missing or left out.
        weights: [n, tasks], [n, 1] or None; none of them negative or NaN.
        counts: the entries of `shapes`, without `example`.
        strange: for each task the largest label that was left out, [tasks].
    """

    y: Target
    weights: Tensor | None
    counts: dict[str, Tensor]
    strange: Tensor


def shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of what is added up in an epoch of batches.

    `labels`: labels that counted, by task. `wrong`: labels that their kind does not take, by task,
    and `example` one of them. `shown`: the labels in the form of predictions, summed, and `squares`
    the sum of squares by task. `features`: NaN and infinite features by column of the inputs, and
    `lost` the rows with one. `weights`: weights that are negative, NaN or infinite.
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


def epoch_sums(model: Any) -> EpochSums:
    """Return the epoch sums in which a model adds up what batches contain."""
    with owned_by(model):
        return EpochSums(shapes(model), name="stream")


def columns_shown(layout: Layout) -> list[TaskName]:
    """Return the task of each column of `shown`."""
    tasks: list[TaskName] = []
    for group in layout.groups:
        no_labels = np.zeros((1, group.task.width))
        width = group.task.as_prediction(no_labels, numpy_ops).shape[-1]
        for task in group.tasks:
            tasks += [task.name] * width
    return tasks


def label_counts(layout: Layout, packed: Target) -> dict[str, Tensor]:
    """Return `rows`, `labels`, `shown` and `squares` of a batch of packed targets."""
    labels, shown, squares = [], [], []
    for group in layout.groups:
        y = group.target(packed, ops)
        has_label = ops.logical_not(ops.isnan(y))
        y = ops.where(has_label, y, 0.0)
        counted = ops.cast(has_label, "float32")
        labels.append(ops.sum(counted, axis=(0, 2)))
        squares.append(ops.sum(ops.square(y), axis=(0, 2)))
        predictions = group.task.as_prediction(y, ops)
        rows = counted if predictions.shape[-1] == group.task.width else counted[..., :1]
        shown.append(ops.reshape(ops.sum(predictions * rows, axis=0), (-1,)))
    rows = ops.sum(ops.cast(ops.ones_like(packed[:, 0]), "float32"))
    return {
        "rows": rows,
        "labels": ops.concatenate(labels),
        "shown": ops.concatenate(shown),
        "squares": ops.concatenate(squares),
    }


def count(sums: EpochSums, counts: dict[str, Tensor], strange: Tensor | None = None) -> None:
    """Add up what a batch contains, and keep an example of the wrong labels.

    The example comes from the first batch with a wrong label. With several replicas there is none,
    because their examples would be added up.
    """
    if strange is not None and replicas() == 1:
        first = ops.logical_and(sums.so_far("wrong") <= 0, counts["wrong"] > 0)
        counts = {**counts, "example": ops.where(first, strange, 0.0)}
    sums.update_state(counts)


def batch(model: Any, x: Any, y: Any, weights: Any, constants: HeadConstants) -> StepBatch:
    """Return a packed batch of a source that the host has not checked.

    Left out, like missing labels, are: a label that its task does not take, each label of a row
    with a NaN or infinite feature, and each label of a row with a negative or NaN weight.

    Args:
        model: whose tasks and inputs are used.
        x: features.
        y: targets by name; those of the only task may come alone.
        weights: [n], a dict of task name to [n], or None.
        constants: the target scaling.

    Raises:
        UnknownName, InputError: for targets or weights that are not by name, or of another shape.
    """
    layout = model.layout
    labels = _stacked(layout, named(layout, y))
    encoded, valid = _coded(layout, labels)
    missing = ops.isnan(labels)
    wrong = ops.cast(ops.logical_not(ops.logical_or(valid, missing)), "float32")
    finite_rows = named_inputs.finite_rows(x)
    if finite_rows is not None:
        valid = ops.logical_and(valid, finite_rows[:, None])
    owner = _owner(layout)
    # Scaled here, because the labels of such a source never pass the host.
    packed = (encoded - ops.take(constants.location, owner)) / ops.take(constants.scale, owner)
    packed = ops.where(valid, packed, np.nan)
    weights, bad_weights = _weights(layout, packed, weights)
    counts = label_counts(layout, packed) | {
        "wrong": _by_task(layout, ops.sum(wrong, axis=0)),
        "features": named_inputs.count_not_finite(model, x),
        "lost": ops.zeros(())
        if finite_rows is None
        else ops.sum(ops.cast(ops.logical_not(finite_rows), "float32")),
        "weights": bad_weights,
    }
    # An example for the warning: the largest wrong label of each task.
    largest = ops.max(ops.where(wrong > 0, labels, -np.inf), axis=0)
    strange = largest if len(owner) == len(layout.tasks) else _largest(layout, largest)
    return StepBatch(packed, weights, counts, strange)


def _owner(layout: Layout) -> np.ndarray:
    """Return the position of the task of each column of the targets, [width]."""
    widths = [task.width for task in layout.tasks.values()]
    return np.repeat(np.arange(len(widths)), widths).astype("int32")


def _by_task(layout: Layout, columns: Tensor) -> Tensor:
    """Add up the columns of each task: [width] -> [tasks]."""
    owner = _owner(layout)
    if len(owner) == len(layout.tasks):
        return columns
    belongs = (np.arange(len(layout.tasks))[:, None] == owner).astype("float32")
    return ops.matmul(belongs, columns[:, None])[:, 0]


def _largest(layout: Layout, columns: Tensor) -> Tensor:
    """Return the largest value among the columns of each task: [width] -> [tasks]."""
    owner = _owner(layout)
    belongs = np.arange(len(layout.tasks))[:, None] == owner
    return ops.max(ops.where(belongs, columns[None, :], -np.inf), axis=1)


# -- labels ----------------------------------------------------------------------------------------


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
                f"A batch has {came}: expected a pair (x, y), y a dict of task name to labels; "
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
    """Return all labels as they came, one-hot ones as class numbers, float32 [n, width]."""
    tasks = list(layout.tasks.values())
    labels_of_tasks = [y[task.name] for task in tasks]
    if all(
        _is_plain(task, values, labels_of_tasks[0])
        for task, values in zip(tasks, labels_of_tasks, strict=True)
    ):
        return ops.cast(ops.stack(labels_of_tasks, axis=-1), "float32")
    known_labels = next((values for values in labels_of_tasks if values is not None), None)
    if known_labels is None:
        raise InputError(f"A batch has no labels for any task; tasks: {listing(layout.tasks)}.")
    columns = []
    for task, values in zip(tasks, labels_of_tasks, strict=True):
        if values is None:
            first_column = ops.cast(
                ops.reshape(known_labels, (ops.shape(known_labels)[0], -1))[:, :1], "float32"
            )
            columns.append(ops.repeat(ops.full_like(first_column, np.nan), task.width, axis=1))
        else:
            columns.append(_column(task, values))
    return ops.concatenate(columns, axis=-1)


def _is_plain(task: Task, values: Any, first: Any) -> bool:
    """Return whether labels are [n] and of the same type as those of the first task.

    Such labels are stacked in one operation, whatever the number of tasks.
    """
    if (
        task.width != 1
        or values is None
        or first is None
        or len(named_inputs.known_shape(values) or ()) != 1
    ):
        return False
    return values.dtype == first.dtype and _is_number(values)


def _is_number(values: Any) -> bool:
    """Return whether the values are numbers and not text."""
    return keras.backend.standardize_dtype(values.dtype) != "string"


def _column(task: Task, values: Any) -> Tensor:
    """Return the labels of a task as float32 [n, width]."""
    _check_labels(task, values)
    if _is_one_hot(task, named_inputs.known_shape(values)):
        return _from_one_hot(task, values)
    return ops.reshape(ops.cast(values, "float32"), (-1, task.width))


def _check_labels(task: Task, values: Any) -> None:
    """Raise for labels that are text, or of a shape that would be broadcast.

    The number of rows may be unknown here.
    """
    if not hasattr(values, "dtype") or not _is_number(values):
        raise InputError(
            f"Task {shorten(task.name)!r}: the labels of a batch are text or objects, which "
            f"cannot reach the network from this source: give {task.wanted}, or yield them from "
            "a generator or a PyDataset."
        )
    shape = named_inputs.known_shape(values)
    if shape is None and task.width == 1 and isinstance(task, ClassTask) and task.kind != "binary":
        raise InputError(
            f"Task {shorten(task.name)!r}: the number of axes of its labels in a batch is not "
            "known, as where they were [n] in one source and one-hot in the next: give one form, "
            "or compile() the model in between."
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
    """Check what a source announces of its batches, as `tf.data` does, before a step is traced.

    Args:
        model: the model that trains or is measured.
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
    """Return how many axes each part of a batch has; None where the source does not announce it."""
    announced = getattr(source, "element_spec", None)
    if announced is None:
        return None
    return keras.tree.map_structure(lambda tensor: tensor.shape.rank, announced)


def _is_one_hot(task: Task, shape: tuple[int | None, ...] | None) -> bool:
    """Return whether labels of this shape are [n, classes] where one number a row is usual."""
    if not isinstance(task, ClassTask) or task.kind == "binary" or task.width != 1:
        return False
    return shape is not None and len(shape) == 2 and shape[1] == len(task.known_classes())


def _from_one_hot(task: Any, values: Any) -> Tensor:
    """Return one-hot labels [n, classes] as the number of each row's class [n, 1]."""
    classes = len(task.known_classes())
    rows = ops.cast(values, "float32")
    ones = ops.logical_or(ops.equal(rows, 0.0), ops.equal(rows, 1.0))
    # Exactly one 1 and else 0; anything else is not one-hot.
    valid = ops.logical_and(ops.all(ones, axis=1), ops.equal(ops.sum(rows, axis=1), 1.0))
    class_numbers = task.class_numbers
    numbers = np.arange(classes) if class_numbers is None else class_numbers
    label = ops.sum(
        ops.where(ops.equal(rows, 1.0), ops.convert_to_tensor(numbers.astype("float32")), 0.0),
        axis=1,
    )
    missing = ops.all(ops.isnan(rows), axis=1)
    # A row that is neither one-hot nor missing becomes infinite: no class, so it counts as wrong.
    label = ops.where(valid, label, ops.where(missing, np.nan, np.inf))
    return label[:, None]


def _coded(layout: Layout, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the labels as the network learns them [n, width], and where they are valid, bool."""
    columns, valid = [], []
    for group in layout.groups:
        y = group.target(labels, ops)
        y = _class_positions(group, y)
        is_valid = group.task.valid(y, ops)
        if (is_defined := keras_losses.defined(group.task, y, ops)) is not None:
            is_valid = ops.logical_and(is_valid, is_defined)
        flat = (-1, len(group.tasks) * group.task.width)
        columns.append(ops.reshape(y, flat))
        valid.append(ops.reshape(ops.broadcast_to(is_valid, ops.shape(y)), flat))
    if len(columns) == 1:
        return columns[0], valid[0]
    return ops.concatenate(columns, axis=-1), ops.concatenate(valid, axis=-1)


def _class_positions(group: Any, y: Tensor) -> Tensor:
    """Return the positions of classes that are numbers of their own, such as 1 to 5.

    -1 stands for a number that is none of the classes; NaN stays.
    """
    class_numbers = [
        task.class_numbers if isinstance(task, ClassTask) and task.width == 1 else None
        for task in group.tasks
    ]
    are_positions = [
        numbers is None or np.array_equal(numbers, np.arange(len(numbers)))
        for numbers in class_numbers
    ]
    if all(are_positions):
        return y
    # Tasks of a group may have different numbers as classes: one table serves all of them.
    most_classes = max(len(numbers) for numbers in class_numbers if numbers is not None)
    table = np.stack(
        [np.arange(most_classes) if numbers is None else numbers for numbers in class_numbers]
    ).astype("float32")
    same = ops.equal(y, ops.convert_to_tensor(table))  # [n, k, 1] against [k, classes]
    position = ops.sum(
        ops.where(same, ops.arange(most_classes, dtype="float32"), 0.0), axis=-1, keepdims=True
    )
    is_class = ops.any(same, axis=-1, keepdims=True)
    return ops.where(is_class, position, ops.where(ops.isnan(y), y, -1.0))


# -- weights ---------------------------------------------------------------------------------------


def _weights(layout: Layout, packed: Tensor, weights: Any) -> tuple[Tensor | None, Tensor]:
    """Return sample weights [n, tasks] or [n, 1], and how many were negative or not finite."""
    if weights is None:
        return None, ops.zeros(())
    if isinstance(weights, Mapping):
        for name in weights:
            layout.known(name, "task in the weights of a batch:")
        ones = ops.ones_like(packed[:, :1])
        parts = [
            _per_row(weights[name], f"of task {shorten(name)!r}") if name in weights else ones
            for name in layout.tasks
        ]
        weights = ops.concatenate(parts, axis=-1)
    else:
        weights = _per_row(weights, "of a batch")
    valid = ops.logical_and(ops.isfinite(weights), weights >= 0)
    return ops.where(valid, weights, 0.0), ops.sum(ops.cast(ops.logical_not(valid), "float32"))


def _per_row(values: Any, what: str) -> Tensor:
    """Return checked weights, one a row, as float32 [n, 1]."""
    _check_weights(values, what)
    return ops.reshape(ops.cast(values, "float32"), (-1, 1))


def _check_weights(values: Any, what: str) -> None:
    """Raise for weights of another shape than one a row."""
    shape = named_inputs.known_shape(values)
    if shape is not None and shape[1:] not in ((), (1,), (None,)):
        raise InputError(
            f"The weights {what} have shape {list(shape)}, expected one weight a row: [n]."
        )
