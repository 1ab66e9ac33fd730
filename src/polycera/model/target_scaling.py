"""Take target scaling from the first batches of a source, or from given numbers.

Location and scale of a regression target and the trivial predictor of each task come from labels.
From arrays, all training rows are read. A stream is read in part; a message says which part, and
the labels that pass in training are compared with it.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.model.named_inputs import check_names
from polycera.model.predicting import check_features
from polycera.model.scores import predictions
from polycera.model.step_batches import columns_shown
from polycera.model.targets import Encoded, TargetScaling, by_name, encode
from polycera.tasks import Layout, Task
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

PEEK = 64
"""Number of batches read to learn the target scaling, of a source that can be read again."""

OF_KERAS = ("tensorflow", "torch", "grain", "keras")
"""Libraries whose sources of batches Keras reads by itself."""

FACTOR = 2.0
"""Factor by which a deviation, a rate or a class share must differ before a warning."""

SURE = 4.0
"""Standard errors that a difference must exceed as well: rare classes differ by chance."""

NAMED = 5
"""Number of tasks that a sentence names; of more it gives the number."""


@dataclass(frozen=True)
class ScalingSource:
    """Describe where a target scaling comes from.

    Attributes:
        batches, rows: how many were read; 0 where numbers were given.
        whole: whether that was all of the source.
        what: the source in words.
    """

    batches: int
    rows: int
    whole: bool
    what: str


# -- from a source ---------------------------------------------------------------------------------


def is_source(values: Any) -> bool:
    """Return whether this yields batches, and is no array, frame, list or dict of labels."""
    if (
        isinstance(values, Mapping | list | tuple | str)
        or hasattr(values, "columns")
        or hasattr(values, "shape")
    ):
        return False
    if isinstance(values, keras.utils.PyDataset | types.GeneratorType):
        return True
    return hasattr(values, "__iter__")


def on_host(source: Any) -> bool:
    """Return whether batches of this source are encoded on the host, where labels may be text.

    Keras itself reads the sources of the libraries that it knows. Any other iterable is read in
    Python.
    """
    return isinstance(source, keras.utils.PyDataset) or not any(
        kind.__module__.split(".")[0] in OF_KERAS for kind in type(source).__mro__
    )


def is_iterator(source: Any) -> bool:
    """Return whether this can be read only once."""
    return hasattr(source, "__next__") and iter(source) is source


def read(model: Any, source: Any, steps: int | None) -> tuple[Encoded, ScalingSource]:
    """Return the labels of the first batches of a source, and a description of what was read.

    Args:
        model: whose tasks are read.
        source: yields (x, y) or (x, y, sample_weight).
        steps: batches to read; None for all.

    Raises:
        InputError: for a source without end and no `steps`, or a batch that cannot be learned from.
    """
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise InputError(
            f"steps must be a number of batches, 1 or more, got {shorten(repr(steps))}."
        )
    if steps is None and _endless(source):
        raise InputError(
            "This source has no known length: give the number of batches to read, adapt(source, "
            "steps=64)."
        )
    label_batches: dict[TaskName, list[Array]] = {name: [] for name in model.layout.tasks}
    count = rows = 0
    whole = True
    for batch in _batches(source):
        if steps is not None and count == steps:
            whole = False
            break
        labels = _labels(model, batch, f"batch {count}", on_host(source))
        for name, values in labels.items():
            label_batches[name].append(values)
        rows += len(next(iter(labels.values())))
        count += 1
        if steps is not None and count == steps and is_iterator(source):
            whole = False  # looking for one more batch would take it from the iterator
            break
    if not count:
        raise InputError("The source yields no batch; there is nothing to learn from.")
    labels_read = Encoded({name: np.concatenate(parts) for name, parts in label_batches.items()})
    return labels_read, ScalingSource(count, rows, whole, "batches")


def _endless(source: Any) -> bool:
    """Return whether a source has no end that is known."""
    if is_iterator(source):
        return True
    if isinstance(source, keras.utils.PyDataset):
        return source.num_batches is None
    cardinality = getattr(source, "cardinality", None)  # of tf.data; -1 is INFINITE_CARDINALITY
    return callable(cardinality) and int(cardinality()) == -1


def _batches(source: Any) -> Iterator[Any]:
    """Return an iterator over the batches of a source."""
    if isinstance(source, keras.utils.PyDataset):
        number = source.num_batches
        return (source[i] for i in (itertools.count() if number is None else range(int(number))))
    return iter(source)


def _labels(model: Any, batch: Any, what: str, host: bool) -> Encoded:
    """Return the encoded labels of a batch; its features are checked as well."""
    if not isinstance(batch, list | tuple) or len(batch) < 2:
        raise InputError(
            f"{what.capitalize()} is not a pair (x, y) with y a dict of task name to labels."
        )
    x = keras.tree.map_structure(_array, batch[0])
    check_names(model, x, f"x of {what}")
    check_features(x, f"x of {what}")
    layout = model.layout
    y = by_name(layout, batch[1], what)
    if not host:
        y = {name: _as_encoded(layout.tasks[name], values) for name, values in y.items()}
    return encode(layout, y, what)


def _array(leaf: Any) -> Any:
    """Return a tensor of any backend as a NumPy array; other values stay unchanged."""
    if hasattr(leaf, "detach"):
        leaf = leaf.detach().cpu()
    if ops.is_tensor(leaf):
        return np.asarray(ops.convert_to_numpy(leaf))
    return np.asarray(leaf) if hasattr(leaf, "__array__") and not hasattr(leaf, "columns") else leaf


def _as_encoded(task: Task, values: Any) -> Any:
    """Return labels that would reach the network unencoded in the form that `encode` takes.

    Positions 0..K-1 become the user's classes that they stand for. Other numbers stay, and
    `encode` refuses them.
    """
    if values is None:
        return None
    array = _array(values)
    if not hasattr(array, "dtype") or array.dtype.kind not in "biuf":
        raise InputError(
            f"Task {shorten(task.name)!r}: the labels of a batch are text or objects, which "
            f"cannot reach the network from this source: give {task.wanted}, or yield them from "
            "a generator or a PyDataset."
        )
    if (
        not isinstance(task, ClassTask)
        or task.class_numbers is not None
        or (array.ndim == 2 and array.shape[1] > 1)
    ):
        return array
    classes = task.known_classes()
    numbers = np.ravel(array).astype("float64")
    positions = np.where(np.isnan(numbers), 0, numbers)
    known = (positions == np.floor(positions)) & (positions >= 0) & (positions < len(classes))
    labels = np.array([*classes, None], dtype=object)[
        np.where(known, positions, len(classes)).astype(int)
    ]
    labels[~known] = numbers[~known]
    labels[np.isnan(numbers)] = None
    return labels


# -- scaling given as numbers ----------------------------------------------------------------------

CASES = 100_000
"""Number of rows of a made-up column that has the given shares of classes."""


def units_of(layout: Layout, y: Any, encoded: Any) -> TargetScaling:
    """Return the target scaling where some tasks have labels and others were given numbers.

    Args:
        layout: the tasks.
        y: task name -> labels, or a dict of numbers such as `{"mean": 100.0, "std": 20.0}`.
        encoded: the encoded labels of the tasks with labels.
    """
    given = {name: values for name, values in y.items() if isinstance(values, Mapping)}
    location, scale, prior = [], [], []
    for task in layout.tasks.values():
        if task.name in given:
            middle, spread, task_prior = _from_numbers(task, given[task.name])
        else:
            task_scaling = TargetScaling.of(Layout.of([task]), {task.name: encoded[task.name]})
            middle, spread, task_prior = (
                task_scaling.location[0],
                task_scaling.scale[0],
                task_scaling.prior,
            )
        location.append(middle)
        scale.append(spread)
        prior.append(task_prior)
    return TargetScaling(np.array(location), np.array(scale), np.concatenate(prior))


def _from_numbers(task: Task, numbers: Mapping[str, Any]) -> tuple[float, float, Array]:
    """Return location, scale and trivial raw outputs [columns] from given numbers."""
    has_classes = isinstance(task, ClassTask) or task.kind == "multilabel"
    standardized = getattr(task, "standardize", False)
    known = (
        ("shares",)
        if has_classes
        else ("mean", "std")
        if standardized or task.kind == "quantile"
        else ("mean",)
    )
    for name in numbers:
        if name not in known:
            raise UnknownName(f"number for task {shorten(task.name)!r} ({task.kind}):", name, known)
    for name in known:
        if name not in numbers:
            raise InputError(
                f"Task {shorten(task.name)!r} ({task.kind}): give {listing(known)}; {name!r} is "
                "missing."
            )
    if has_classes:
        return 0.0, 1.0, task.prior(_with_shares(task, numbers["shares"]))
    mean = _number(task, "mean", numbers["mean"])
    spread = _number(task, "std", numbers.get("std", 1.0))
    if not spread > 0:
        raise InputError(
            f"Task {shorten(task.name)!r}: std is {spread:g}; a standard deviation is above 0."
        )
    middle, scale = (mean, spread) if standardized else (0.0, 1.0)
    # Quantiles of a normal distribution are good enough: training only starts from them.
    if task.kind == "quantile":
        normal = NormalDist(mean, spread)
        levels = [normal.inv_cdf(level) for level in task.quantiles]  # type: ignore[attr-defined]
        return middle, scale, (np.array(levels) - middle) / scale
    column = task.encode(np.full(CASES, mean))
    return middle, scale, task.prior((column - middle) / scale)


def _number(task: Task, name: str, value: Any) -> float:
    """Return a given number as a float; raise if float32 cannot hold it."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(np.float32(number)):
        raise InputError(
            f"Task {shorten(task.name)!r}: {name} is {shorten(repr(value))}, expected a number."
        )
    return number


def _with_shares(task: Task, shares: Any) -> Array:
    """Return a column of made-up labels with these shares of classes."""
    count = len(getattr(task, "labels", ()) or task.known_classes())  # type: ignore[attr-defined]
    names = list(getattr(task, "labels", ()) or task.known_classes())  # type: ignore[attr-defined]
    if isinstance(shares, Mapping):
        for name in shares:
            if name not in names:
                raise UnknownName(
                    f"class of task {shorten(task.name)!r}:", name, [str(n) for n in names]
                )
        if absent := [name for name in names if name not in shares]:
            raise InputError(f"Task {shorten(task.name)!r}: the shares lack {listing(absent)}.")
        shares = [shares[name] for name in names]
    if task.kind == "binary" and np.ndim(shares) == 0:
        positive = _number(task, "shares", shares)
        shares = [1.0 - positive, positive]
    listed = list(shares) if isinstance(shares, Sequence | np.ndarray) else [shares]
    values = np.array([_number(task, "shares", share) for share in listed])
    if task.kind == "multilabel" and len(values) == 1:
        values = np.repeat(values, count)
    valid = len(values) == count and (values >= 0).all() and (values <= 1).all()
    if not valid or (task.kind != "multilabel" and abs(values.sum() - 1.0) > 1e-3):
        condition = "" if task.kind == "multilabel" else " that add up to 1"
        raise InputError(
            f"Task {shorten(task.name)!r} ({task.kind}): shares is {shorten(repr(shares))}, "
            f"expected {count} numbers from 0 to 1{condition}, one for each of {listing(names, 5)}."
        )
    if task.kind == "multilabel":
        row_positions = np.arange(CASES)[:, None] + 0.5
        return (row_positions < values * CASES).astype("float64")
    labels = np.repeat(np.arange(count), np.rint(values * CASES).astype(int)).astype("float64")[
        :, None
    ]
    return labels if task.width == 1 else (labels == np.arange(count)).astype("float64")


# -- sentences -------------------------------------------------------------------------------------


def sentence(layout: Layout, scaling: TargetScaling, source: ScalingSource) -> str:
    """Return one sentence that says where the target scaling comes from and what it is."""
    phrases: list[str] = []
    for task, moments in zip(layout.tasks.values(), _parts(layout, scaling), strict=True):
        if len(phrases) == NAMED:
            break
        phrases.append(f"{shorten(task.name, 40)!r} {_phrase(task, *moments)}")
    more = f"; … ({len(layout.tasks)} tasks in all)" if len(layout.tasks) > NAMED else ""
    extent = "all" if source.whole else "the first"
    return (
        f"The scaling of the targets comes from {extent} {source.batches:,} {source.what} "
        f"({source.rows:,} rows): {'; '.join(phrases)}{more}."
    ) + ("" if source.whole else " model.adapt(source, steps=...) reads more of them.")


def _parts(layout: Layout, scaling: TargetScaling) -> Iterator[tuple[float, float, Array]]:
    """Yield location, scale and trivial prediction [p] of each task, in the user's units."""
    trivial_predictions = predictions(layout, scaling.prior[None, :], scaling)
    for i, name in enumerate(layout.tasks):
        yield float(scaling.location[i]), float(scaling.scale[i]), trivial_predictions[name][0]


def _phrase(task: Task, middle: float, spread: float, outputs: Array) -> str:
    """Return a task's target scaling or trivial prediction in a few words."""
    if getattr(task, "standardize", False):
        return f"mean {middle:.4g}, deviation {spread:.4g}"
    if isinstance(task, ClassTask) or task.kind == "multilabel":
        return f"shares {_few(outputs)}" if len(outputs) > 1 else f"share {outputs[0]:.3g}"
    return f"mean {outputs[len(outputs) // 2]:.4g}"


def _few(shares: Array) -> str:
    """Return the first shares as text."""
    text = ", ".join(f"{share:.3g}" for share in shares[:4])
    return f"{text}, …" if len(shares) > 4 else text


def differing(
    layout: Layout, scaling: TargetScaling, source: ScalingSource, sums: Mapping[str, Array]
) -> str | None:
    """Return a sentence if an epoch's labels differ from the target scaling by more than `FACTOR`.

    Args:
        layout: the tasks.
        scaling: the target scaling.
        source: where it comes from.
        sums: what was added up, see `step_batches.shapes`.

    Returns:
        One sentence on all tasks that differ; None where none does.
    """
    names = np.array(columns_shown(layout))
    differences = []
    for i, (task, moments) in enumerate(
        zip(layout.tasks.values(), _parts(layout, scaling), strict=True)
    ):
        count = float(sums["labels"][i]) / (task.width if task.width > 1 else 1)
        if count < 2:
            continue
        mean = sums["shown"][names == task.name] / count
        if phrase := _difference(
            task, moments, mean, float(sums["squares"][i]) / count, count, source
        ):
            differences.append(f"{shorten(task.name, 40)!r} {phrase}")
    if not differences:
        return None
    more = f"; … ({len(differences)} tasks in all)" if len(differences) > NAMED else ""
    description = (
        f"{source.batches:,} {source.what}, {source.rows:,} rows"
        if source.batches
        else "the given numbers"
    )
    return (
        "The targets of the first epoch differ from those that their scaling was computed from "
        f"({description}): {'; '.join(differences[:NAMED])}{more}. Shuffle the source, or call "
        "model.adapt with more of it or with known numbers before fit."
    )


def _difference(
    task: Task,
    scaling: tuple[float, float, Array],
    mean: Array,
    square: float,
    many: float,
    source: ScalingSource,
) -> str | None:
    """Return what differs, in a few words.

    None where nothing differs both by more than the factor and by more than chance explains.
    """
    middle, spread, answer = scaling
    inverse_rows = 1.0 / many + (1.0 / source.rows if source.rows else 0.0)
    if getattr(task, "standardize", False):
        # Standardised labels have mean 0 and deviation 1 if the scaling fits.
        deviation = float(np.sqrt(max(square - mean[0] ** 2, 0.0)))
        ratio = max(deviation, 1.0 / max(deviation, 1e-12))
        mean_differs = abs(float(mean[0])) > 1.0 and abs(float(mean[0])) > SURE * max(
            deviation, 1.0
        ) * np.sqrt(inverse_rows)
        deviation_differs = ratio > FACTOR and abs(deviation - 1.0) > SURE * max(
            deviation, 1.0
        ) * np.sqrt(inverse_rows)
        if not mean_differs and not deviation_differs:
            return None
        return (
            f"mean {mean[0] * spread + middle:.4g}, deviation {deviation * spread:.4g} "
            f"instead of {middle:.4g} and {spread:.4g}"
        )
    # A task that does not standardise takes nothing out of its labels.
    if task.kind in ("regression", "quantile"):
        return None
    shares = isinstance(task, ClassTask) or task.kind == "multilabel"
    pooled_share = (mean + answer) / 2
    error = (
        pooled_share * (1.0 - pooled_share)
        if shares
        else np.full(1, max(square - float(mean[0]) ** 2, float(mean[0])))
    )
    beyond_chance = np.abs(mean - answer) > SURE * np.sqrt(np.maximum(error, 0.0) * inverse_rows)
    high, low = np.maximum(mean, answer), np.minimum(mean, answer)
    beyond_factor = high > FACTOR * low
    if task.kind == "binary":  # the share of the other class counts too
        beyond_factor = beyond_factor | (1.0 - low > FACTOR * (1.0 - high))
    differs = beyond_factor & beyond_chance
    if not differs.any():
        return None
    worst = int(np.argmax(np.where(differs, high / np.maximum(low, 1e-12), 0.0)))
    quantity = "share" if shares else "mean"
    label = ""
    if shares and len(mean) > 1:
        labels = getattr(task, "labels", ()) or task.known_classes()  # type: ignore[attr-defined]
        label = f" of {shorten(repr(labels[worst]), 40)}"
    return f"{quantity}{label} {mean[worst]:.3g} instead of {answer[worst]:.3g}"
