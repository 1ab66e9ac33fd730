"""Turn targets and weights by name into one packed array each, checked and never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.model.predicting import rows_of
from polycera.tasks import Layout, Multilabel, Task, weighted_labels
from polycera.tasks.keras_losses import check_labels
from polycera.tasks.layout import Encoded
from polycera.tasks.terms import factor
from polycera.tasks.user_labels import read
from polycera.typing import Array, TaskName


@dataclass(frozen=True)
class TargetScaling:
    """Hold what is taken out of the labels and put back into predictions, in the layout's order.

    Attributes:
        location, scale: [tasks].
        prior: raw outputs of the trivial predictors, [columns].
    """

    location: Array
    scale: Array
    prior: Array

    @classmethod
    def of(
        cls, layout: Layout, encoded: Mapping[TaskName, Array], weights: Array | None = None
    ) -> TargetScaling:
        """Return the target scaling fitted to the labels that are known.

        Args:
            layout: the tasks.
            encoded: their encoded labels.
            weights: sample weights [n, tasks] or [n, 1], or None.

        Raises:
            InputError: for a task without a single label, or with none whose weight is above 0.
        """
        location, scale, prior = [], [], []
        for i, task in enumerate(layout.tasks.values()):
            labels = encoded[task.name]
            task_weights = None if weights is None else weights[:, i % weights.shape[1]]
            if np.isnan(labels).all():
                raise InputError(
                    f"Task {shorten(task.name)!r} has no label at all in the training part; "
                    "give it some, or leave the task out."
                )
            if task_weights is not None and np.isnan(labels[task_weights > 0]).all():
                raise InputError(
                    f"Task {shorten(task.name)!r} has no label with a sample weight above 0 in the "
                    "training part; give it some, or leave the task out."
                )
            middle, spread = weighted_labels.applied(task.moments, labels, task_weights)
            location.append(middle)
            scale.append(spread)
            prior.append(
                weighted_labels.applied(task.prior, (labels - middle) / spread, task_weights)
            )
        return cls(np.array(location), np.array(scale), np.concatenate(prior))


def encode(layout: Layout, y: Any, what: str = "y") -> Encoded:
    """Return encoded labels by name from targets by name.

    Args:
        layout: the tasks.
        y: a dict or data frame, task name -> labels; None for a task without labels here. With a
            single task, its labels alone. A result of this function is returned unchanged.
        what: the name of `y` in messages.

    Raises:
        UnknownName: for a name that is no task.
        InputError: for a task that is not mentioned, unequal lengths, or labels that its kind does
            not take.
    """
    if isinstance(y, Encoded):
        return y
    targets = by_name(layout, y, what)
    encoded = {
        name: layout.tasks[name].encode(_squeezed(layout.tasks[name], name, values))
        for name, values in targets.items()
        if values is not None
    }
    for name, labels in encoded.items():
        check_labels(layout.tasks[name], labels)
    lengths = {name: len(values) for name, values in encoded.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"The targets in {what} differ in length: {lengths}.")
    if not lengths:
        raise InputError(f"{what} holds no labels for any task.")
    n = next(iter(lengths.values()))
    if n == 0:
        raise InputError(f"{what} has 0 rows; there is nothing to learn from or to measure.")
    return Encoded(
        {t.name: encoded.get(t.name, np.full((n, t.width), np.nan)) for t in layout.tasks.values()}
    )


def by_name(layout: Layout, y: Any, what: str) -> dict[TaskName, Any]:
    """Return the targets as a dict with exactly the tasks' names.

    Raises:
        UnknownName: for a name that is no task.
        InputError: for targets without names, or a task that is not mentioned.
    """
    if hasattr(y, "columns") and hasattr(y, "__getitem__"):
        y = {str(name): y[name] for name in y.columns}
    if not isinstance(y, Mapping):
        if len(layout.tasks) > 1 or y is None or isinstance(y, list | tuple):
            raise InputError(
                f"{what} must be a dict of task name to labels, got {type(y).__name__}; tasks: "
                f"{listing(layout.tasks)}."
            )
        y = {next(iter(layout.tasks)): y}
    for name in y:
        if name not in layout.tasks:
            raise UnknownName(f"task in {what}:", name, layout.tasks)
    if absent := [name for name in layout.tasks if name not in y]:
        raise InputError(
            f"{what} lacks the task{'s' if len(absent) > 1 else ''} {listing(absent)}; "
            "pass None for a task without labels here."
        )
    return dict(y)


def _squeezed(task: Task, name: TaskName, values: Any) -> Any:
    """Return labels without a last axis of length 1 behind two others."""
    if hasattr(values, "columns"):  # a frame, whose columns the task knows by name
        return values
    array = read(name, values)
    if array.ndim == 3 and array.shape[-1] == 1:
        return array[..., 0]
    return array


def pack(layout: Layout, encoded: Mapping[TaskName, Array], scaling: TargetScaling) -> np.ndarray:
    """Return encoded labels as float32 [n, width], standardised where the task asks for it."""
    scaled_labels = []
    for name, middle, spread in zip(layout.tasks, scaling.location, scaling.scale, strict=True):
        scaled_labels.append((encoded[name] - middle) / spread)
    return np.concatenate(scaled_labels, axis=1).astype("float32")


def pack_weights(
    layout: Layout,
    encoded: Mapping[TaskName, Array],
    sample_weight: Any,
    class_weight: Any = None,
    what: str = "sample_weight",
    last: int | None = None,
) -> np.ndarray | None:
    """Return sample and class weights as one float32 array, or None without any.

    It is [n, tasks], or [n, 1] where one weight serves all tasks.

    Args:
        layout: the tasks.
        encoded: their labels, which class weights need.
        sample_weight: [n] for all tasks, or a dict of task name to [n]; tasks not named have weight
            1.
        class_weight: task name -> {label: weight} or `"balanced"`.
        what: the name of the weights in messages.
        last: where the training rows end; class weights change no row after it.

    Raises:
        UnknownName, InputError: for an unknown name or label, a wrong length, a weight below 0.
    """
    n = len(next(iter(encoded.values())))
    weights_by_task = sample_weight if isinstance(sample_weight, Mapping) else None
    if class_weight is not None and not isinstance(class_weight, Mapping):
        raise InputError(
            "class_weight must be a dict of task name to {label: weight} or 'balanced', "
            f"got {shorten(repr(class_weight))}."
        )
    if sample_weight is not None and weights_by_task is None:
        common = _weights(sample_weight, n, what)[:, None]
        if not class_weight:
            return common.astype("float32")
    else:
        common = np.ones((n, 1))
    if weights_by_task is None and not class_weight:
        return None
    # Sample, task and class weights multiply.
    packed = np.tile(common, (1, len(layout.tasks)))
    positions = {name: i for i, name in enumerate(layout.tasks)}
    for name, values in (weights_by_task or {}).items():
        layout.known(name, f"task in {what}:")
        packed[:, positions[name]] *= _weights(values, n, f"{what} of task {shorten(name)!r}")
    for name, weights in (class_weight or {}).items():
        task = layout.known(name, "task in class_weight:")
        packed[:last, positions[name]] *= _of_classes(task, weights, encoded[name][:last])
    return packed.astype("float32")


def _weights(values: Any, n: int, what: str) -> Array:
    """Return weights as float64 [n], checked to be finite and 0 or more."""
    try:
        array = np.asarray(values, dtype="float64")
    except (TypeError, ValueError):
        first = shorten(repr(np.ravel(np.asarray(values, dtype=object))[0]))
        raise InputError(
            f"The {what} holds {first}, which is not a number, expected one weight a row."
        ) from None
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if array.shape != (n,):
        raise InputError(
            f"The {what} has shape {list(array.shape)}, expected one weight a row: [{n}]."
        )
    is_bad = ~(np.isfinite(array) & (array >= 0))
    if is_bad.any():
        row = int(np.argmax(is_bad))
        raise InputError(
            f"The {what} is {array[row]:g} in row {row}; weights are finite and 0 or more."
        )
    return array


def _of_classes(task: Task, weights: Any, encoded: Array) -> Array:
    """Return the class weight of every row of a task; 1 where the label is missing."""
    classes = getattr(task, "classes", None)
    if getattr(task, "soft", False):
        raise InputError(
            f"Task {shorten(task.name)!r} has shares for labels (soft=True); class_weight is for "
            "tasks with classes: give sample_weight, one weight a row."
        )
    if classes is None:
        raise InputError(
            f"Task {shorten(task.name)!r} is {task.kind}; class_weight is for tasks with classes."
        )
    # -1 marks a missing label; the weight that it picks from the table is replaced by 1 below.
    codes_of_rows = np.where(np.isnan(encoded[:, 0]), -1, encoded[:, 0]).astype(int)
    if isinstance(weights, str):
        if weights != "balanced":
            raise InputError(
                f"class_weight of task {shorten(task.name)!r} is {weights!r}; known: 'balanced', "
                "a dict."
            )
        counts = np.bincount(codes_of_rows[codes_of_rows >= 0], minlength=len(classes))
        # As in scikit-learn: rows / (classes * rows of the class), with missing labels left out.
        class_weights = (codes_of_rows >= 0).sum() / (len(classes) * np.maximum(counts, 1.0))
    elif not isinstance(weights, Mapping):
        kind = type(weights).__name__
        raise InputError(
            f"class_weight of task {shorten(task.name)!r} is a {kind}; known: 'balanced', a dict."
        )
    else:
        labels = list(weights)
        label_codes = task.encode(np.array(labels, dtype=object))[:, 0].astype(int)
        class_weights = np.ones(len(classes))
        class_weights[label_codes] = [
            factor(weights[label], f"class_weight of task {shorten(task.name)!r}")
            for label in labels
        ]
    return np.where(codes_of_rows >= 0, class_weights[codes_of_rows], 1.0)


def rows_alike(x: Any, encoded: Mapping[TaskName, Array], what: str) -> None:
    """Raise an error if features and labels differ in their number of rows."""
    rows, labels = rows_of(x), rows_of(encoded)
    if rows is not None and rows != labels:
        raise InputError(f"The features have {rows} rows but {what} has {labels}.")


def constant(layout: Layout, encoded: Mapping[TaskName, Array]) -> list[str]:
    """Return at most one warning, on all tasks whose labels do not vary.

    Such a task teaches nothing: its network predicts that one label, and metrics that compare are
    undefined.
    """
    constant_labels = [
        label for name, labels in encoded.items() for label in _alike(layout.tasks[name], labels)
    ]
    if not constant_labels:
        return []
    consequence = "there is nothing to learn, and metrics that compare are undefined (NaN)."
    if len(constant_labels) == 1:
        name, kind, phrase = constant_labels[0]
        return [f"Task {shorten(name)!r} ({kind}): {phrase} in the training part; {consequence}"]
    names = listing([name for name, _, _ in constant_labels], 5)
    return [
        f"{len(constant_labels)} tasks or labels have a single value in the training part, which "
        f"is all that is predicted for them: {names}; {consequence}"
    ]


def _alike(task: Task, labels: Array) -> list[tuple[str, str, str]]:
    """Return name, kind and a phrase where all known labels are equal; empty where they vary.

    There is one entry for the task, or one for each constant label of a multilabel task.
    """
    present = ~np.isnan(labels)
    highest = np.where(present, labels, -np.inf).max(axis=0, initial=-np.inf)
    same = present.any(axis=0) & (
        highest == np.where(present, labels, np.inf).min(axis=0, initial=np.inf)
    )
    if isinstance(task, Multilabel) and not same.all():
        return [
            (f"{task.name}={label}", task.kind, "only one value")
            for label, alike in zip(task.labels, same, strict=True)
            if alike
        ]
    if not same.all():
        return []
    number_kinds = (
        "regression",
        "proportion",
        "quantile",
        "count",
        "soft multilabel",
        "soft multiclass",
    )
    return [
        (
            task.name,
            task.kind,
            "every label is the same" if task.measured_as in number_kinds else "only one class",
        )
    ]
