"""Target scaling that is not read off all rows: from the first batches of a source, or given as numbers.

Location and scale of a regression target and the trivial predictor of each task come from labels.
Of arrays all training rows are read. A stream is read in part, so it is said which part, and held
against what passes in training.
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
"""Batches read, of a source that can be read again, to learn the scaling of the targets."""

OF_KERAS = ("tensorflow", "torch", "grain", "keras")
"""Libraries whose sources of batches Keras reads."""

FACTOR = 2.0
"""By how much a standard deviation, a rate or the share of a class may differ before it is said."""

SURE = 4.0
"""Standard errors that a difference must exceed as well: rare classes differ by chance."""

NAMED = 5
"""Tasks that a sentence names; it says how many there are."""


@dataclass(frozen=True)
class ScalingSource:
    """Where a scaling comes from.

    Attributes:
        batches, rows: that were read; 0 where the numbers were given.
        whole: whether that was all of the source.
        what: the source in words.
    """

    batches: int
    rows: int
    whole: bool
    what: str


# -- from a source -------------------------------------------------------------------------------------------------


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

    Keras itself reads the sources of the libraries that it knows. Any other iterable is a matter of
    Python.
    """
    return isinstance(source, keras.utils.PyDataset) or not any(
        kind.__module__.split(".")[0] in OF_KERAS for kind in type(source).__mro__
    )


def is_iterator(source: Any) -> bool:
    """Return whether this can be read once."""
    return hasattr(source, "__next__") and iter(source) is source


def read(model: Any, source: Any, steps: int | None) -> tuple[Encoded, ScalingSource]:
    """Read labels off the first batches of a source.

    Args:
        model: whose tasks are meant.
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
            "This source has no end that can be seen: say how many batches to read, adapt(source, steps=64)."
        )
    seen: dict[TaskName, list[Array]] = {name: [] for name in model.layout.tasks}
    count = rows = 0
    whole = True
    for batch in _batches(source):
        if steps is not None and count == steps:
            whole = False
            break
        labels = _labels(model, batch, f"batch {count}", on_host(source))
        for name, values in labels.items():
            seen[name].append(values)
        rows += len(next(iter(labels.values())))
        count += 1
        if steps is not None and count == steps and is_iterator(source):
            whole = False  # what an iterator has yielded is gone
            break
    if not count:
        raise InputError("The source yields no batch; there is nothing to learn from.")
    labels_read = Encoded({name: np.concatenate(parts) for name, parts in seen.items()})
    return labels_read, ScalingSource(count, rows, whole, "batches")


def _endless(source: Any) -> bool:
    if is_iterator(source):
        return True
    if isinstance(source, keras.utils.PyDataset):
        return source.num_batches is None
    cardinality = getattr(source, "cardinality", None)  # of tf.data; -1 is without end
    return callable(cardinality) and int(cardinality()) == -1


def _batches(source: Any) -> Iterator[Any]:
    if isinstance(source, keras.utils.PyDataset):
        many = source.num_batches
        return (source[i] for i in (itertools.count() if many is None else range(int(many))))
    return iter(source)


def _labels(model: Any, batch: Any, what: str, host: bool) -> Encoded:
    """Return the encoded labels of a batch, its features looked at on the way."""
    if not isinstance(batch, list | tuple) or len(batch) < 2:
        raise InputError(
            f"{what.capitalize()} is no pair (x, y) with y a dict of task name to labels."
        )
    x = keras.tree.map_structure(_array, batch[0])
    check_names(model, x, f"x of {what}")
    check_features(x, f"x of {what}")
    layout = model.layout
    y = by_name(layout, batch[1], what)
    if not host:
        y = {name: _as_there(layout.tasks[name], values) for name, values in y.items()}
    return encode(layout, y, what)


def _array(leaf: Any) -> Any:
    """Return a tensor of any backend as a NumPy array."""
    if hasattr(leaf, "detach"):
        leaf = leaf.detach().cpu()
    if ops.is_tensor(leaf):
        return np.asarray(ops.convert_to_numpy(leaf))
    return np.asarray(leaf) if hasattr(leaf, "__array__") and not hasattr(leaf, "columns") else leaf


def _as_there(task: Task, values: Any) -> Any:
    """Return labels that go to the network unseen, with the user's classes for the places that stand for them."""
    if values is None:
        return None
    array = _array(values)
    if not hasattr(array, "dtype") or array.dtype.kind not in "biuf":
        raise InputError(
            f"Task {shorten(task.name)!r}: the labels of a batch are text or objects, which cannot reach the network "
            f"from this source: give {task.wanted}, or yield them from a generator or a PyDataset."
        )
    if (
        not isinstance(task, ClassTask)
        or task.class_numbers is not None
        or (array.ndim == 2 and array.shape[1] > 1)
    ):
        return array
    classes = task.known_classes()
    flat = np.ravel(array).astype("float64")
    place = np.where(np.isnan(flat), 0, flat)
    known = (place == np.floor(place)) & (place >= 0) & (place < len(classes))
    labels = np.array([*classes, None], dtype=object)[
        np.where(known, place, len(classes)).astype(int)
    ]
    labels[~known] = flat[~known]
    labels[np.isnan(flat)] = None
    return labels


# -- given as numbers ----------------------------------------------------------------------------------------------

CASES = 100_000
"""Rows of a made-up column whose shares of classes are those that were given."""


def units_of(layout: Layout, y: Any, encoded: Any) -> TargetScaling:
    """Return the units of labels and of tasks whose numbers were given.

    Args:
        layout: the tasks.
        y: task name -> labels, or a dict of numbers such as `{"mean": 100.0, "std": 20.0}`.
        encoded: the encoded labels of the tasks with labels.
    """
    given = {name: values for name, values in y.items() if isinstance(values, Mapping)}
    location, scale, prior = [], [], []
    for task in layout.tasks.values():
        if task.name in given:
            middle, spread, own = _given(task, given[task.name])
        else:
            one = TargetScaling.of(Layout.of([task]), {task.name: encoded[task.name]})
            middle, spread, own = one.location[0], one.scale[0], one.prior
        location.append(middle)
        scale.append(spread)
        prior.append(own)
    return TargetScaling(np.array(location), np.array(scale), np.concatenate(prior))


def _given(task: Task, numbers: Mapping[str, Any]) -> tuple[float, float, Array]:
    """Return location, scale and the trivial predictor's raw outputs [units]."""
    classes = isinstance(task, ClassTask) or task.kind == "multilabel"
    standard = getattr(task, "standardize", False)
    known = (
        ("shares",)
        if classes
        else ("mean", "std")
        if standard or task.kind == "quantile"
        else ("mean",)
    )
    for name in numbers:
        if name not in known:
            raise UnknownName(f"number for task {shorten(task.name)!r} ({task.kind}):", name, known)
    for name in known:
        if name not in numbers:
            raise InputError(
                f"Task {shorten(task.name)!r} ({task.kind}): give {listing(known)}; {name!r} is missing."
            )
    if classes:
        return 0.0, 1.0, task.prior(_with_shares(task, numbers["shares"]))
    mean = _number(task, "mean", numbers["mean"])
    spread = _number(task, "std", numbers.get("std", 1.0))
    if not spread > 0:
        raise InputError(
            f"Task {shorten(task.name)!r}: std is {spread:g}; a standard deviation is above 0."
        )
    middle, scale = (mean, spread) if standard else (0.0, 1.0)
    # as of a normal distribution: where training begins, not where it ends
    if task.kind == "quantile":
        usual = NormalDist(mean, spread)
        levels = [usual.inv_cdf(level) for level in task.quantiles]  # type: ignore[attr-defined]
        return middle, scale, (np.array(levels) - middle) / scale
    column = task.encode(np.full(CASES, mean))
    return middle, scale, task.prior((column - middle) / scale)


def _number(task: Task, name: str, value: Any) -> float:
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
    many = len(getattr(task, "labels", ()) or task.known_classes())  # type: ignore[attr-defined]
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
        values = np.repeat(values, many)
    fits = len(values) == many and (values >= 0).all() and (values <= 1).all()
    if not fits or (task.kind != "multilabel" and abs(values.sum() - 1.0) > 1e-3):
        whole = "" if task.kind == "multilabel" else " that add up to 1"
        raise InputError(
            f"Task {shorten(task.name)!r} ({task.kind}): shares is {shorten(repr(shares))}, expected {many} numbers "
            f"from 0 to 1{whole}, one for each of {listing(names, 5)}."
        )
    if task.kind == "multilabel":
        place = np.arange(CASES)[:, None] + 0.5
        return (place < values * CASES).astype("float64")
    labels = np.repeat(np.arange(many), np.rint(values * CASES).astype(int)).astype("float64")[
        :, None
    ]
    return labels if task.width == 1 else (labels == np.arange(many)).astype("float64")


# -- said ----------------------------------------------------------------------------------------------------------


def sentence(layout: Layout, units: TargetScaling, learned: ScalingSource) -> str:
    """Return one sentence that says where the scaling comes from and what it is."""
    phrases: list[str] = []
    for task, own in zip(layout.tasks.values(), _parts(layout, units), strict=True):
        if len(phrases) == NAMED:
            break
        phrases.append(f"{shorten(task.name, 40)!r} {_phrase(task, *own)}")
    more = f"; … ({len(layout.tasks)} tasks in all)" if len(layout.tasks) > NAMED else ""
    part = "all" if learned.whole else "the first"
    return (
        f"The scaling of the targets comes from {part} {learned.batches:,} {learned.what} ({learned.rows:,} rows): "
        f"{'; '.join(phrases)}{more}."
    ) + ("" if learned.whole else " model.adapt(source, steps=...) reads more of them.")


def _parts(layout: Layout, units: TargetScaling) -> Iterator[tuple[float, float, Array]]:
    """Yield location, scale and the trivial predictor's answer [p] of each task, in the user's units."""
    answers = predictions(layout, units.prior[None, :], units)
    for i, name in enumerate(layout.tasks):
        yield float(units.location[i]), float(units.scale[i]), answers[name][0]


def _phrase(task: Task, middle: float, spread: float, answer: Array) -> str:
    if getattr(task, "standardize", False):
        return f"mean {middle:.4g}, deviation {spread:.4g}"
    if isinstance(task, ClassTask) or task.kind == "multilabel":
        return f"shares {_few(answer)}" if len(answer) > 1 else f"share {answer[0]:.3g}"
    return f"mean {answer[len(answer) // 2]:.4g}"


def _few(shares: Array) -> str:
    text = ", ".join(f"{share:.3g}" for share in shares[:4])
    return f"{text}, …" if len(shares) > 4 else text


def differing(
    layout: Layout, units: TargetScaling, learned: ScalingSource, sums: Mapping[str, Array]
) -> str | None:
    """Return one sentence where what passed in an epoch differs from the scaling by more than `FACTOR`.

    Args:
        layout: the tasks.
        units: the scaling.
        learned: where it comes from.
        sums: what was added up, see `in_graph.shapes`.
    """
    names = np.array(columns_shown(layout))
    found = []
    for i, (task, own) in enumerate(zip(layout.tasks.values(), _parts(layout, units), strict=True)):
        many = float(sums["labels"][i]) / (task.width if task.width > 1 else 1)
        if many < 2:
            continue
        mean = sums["shown"][names == task.name] / many
        if phrase := _difference(task, own, mean, float(sums["squares"][i]) / many, many, learned):
            found.append(f"{shorten(task.name, 40)!r} {phrase}")
    if not found:
        return None
    more = f"; … ({len(found)} tasks in all)" if len(found) > NAMED else ""
    source = (
        f"{learned.batches:,} {learned.what}, {learned.rows:,} rows"
        if learned.batches
        else "the given numbers"
    )
    return (
        f"What passed in the first epoch differs from what the scaling of the targets comes from ({source}): "
        f"{'; '.join(found[:NAMED])}{more}. Shuffle the source, or call model.adapt with more of it or with known "
        "numbers before fit."
    )


def _difference(
    task: Task,
    own: tuple[float, float, Array],
    mean: Array,
    square: float,
    many: float,
    learned: ScalingSource,
) -> str | None:
    """Return what differs, in a few words; None where nothing does by more than the factor and by chance."""
    middle, spread, answer = own
    inverse = 1.0 / many + (1.0 / learned.rows if learned.rows else 0.0)
    if getattr(task, "standardize", False):
        deviation = float(np.sqrt(max(square - mean[0] ** 2, 0.0)))
        ratio = max(deviation, 1.0 / max(deviation, 1e-12))
        off = abs(float(mean[0])) > 1.0 and abs(float(mean[0])) > SURE * max(
            deviation, 1.0
        ) * np.sqrt(inverse)
        wide = ratio > FACTOR and abs(deviation - 1.0) > SURE * max(deviation, 1.0) * np.sqrt(
            inverse
        )
        if not off and not wide:
            return None
        return (
            f"mean {mean[0] * spread + middle:.4g}, deviation {deviation * spread:.4g} "
            f"instead of {middle:.4g} and {spread:.4g}"
        )
    # in the user's units: nothing is taken out of the labels
    if task.kind in ("regression", "quantile"):
        return None
    shares = isinstance(task, ClassTask) or task.kind == "multilabel"
    pooled = (mean + answer) / 2
    error = (
        pooled * (1.0 - pooled)
        if shares
        else np.full(1, max(square - float(mean[0]) ** 2, float(mean[0])))
    )
    sure = np.abs(mean - answer) > SURE * np.sqrt(np.maximum(error, 0.0) * inverse)
    high, low = np.maximum(mean, answer), np.minimum(mean, answer)
    sides = high > FACTOR * low
    if task.kind == "binary":  # yes and no alike
        sides = sides | (1.0 - low > FACTOR * (1.0 - high))
    bad = sides & sure
    if not bad.any():
        return None
    worst = int(np.argmax(np.where(bad, high / np.maximum(low, 1e-12), 0.0)))
    what = "share" if shares else "mean"
    label = ""
    if shares and len(mean) > 1:
        labels = getattr(task, "labels", ()) or task.known_classes()  # type: ignore[attr-defined]
        label = f" of {shorten(repr(labels[worst]), 40)}"
    return f"{what}{label} {mean[worst]:.3g} instead of {answer[worst]:.3g}"
