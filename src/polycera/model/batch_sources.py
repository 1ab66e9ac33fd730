"""Prepare data that comes in batches: encode it on the host, or let the training step pack it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.data.batches import PACKED, marked
from polycera.errors import InputError, listing, shorten
from polycera.model import named_inputs, step_batches, target_scaling
from polycera.model.predicting import check_features
from polycera.model.scores import predictions
from polycera.model.target_scaling import ScalingSource
from polycera.model.targets import TargetScaling, encode, pack, pack_weights, rows_alike
from polycera.tasks import Layout
from polycera.tasks.keras_losses import labels_wanted
from polycera.tasks.task import ClassTask
from polycera.typing import Array

COUNTED = "\0counted"
"""Key of a stream's packed targets that the host has checked and the step is to count."""


class Refusal:
    """Hold the error of a batch that was refused while the backend read it.

    TensorFlow reads batches in its graph, and raises an error of its own instead.

    Attributes:
        error: the original error, or None.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise the original error of a batch that was refused inside."""
        self.error = None
        try:
            yield
        except Exception:
            if (refused := self.error) is not None:
                raise refused from None
            raise
        finally:
            self.error = None


class PackedDataset(keras.utils.PyDataset):
    """Wrap a PyDataset so that its batches carry packed targets."""

    def __init__(self, source: keras.utils.PyDataset, packed: Callable[[Any], Any]) -> None:
        workers = dict(
            workers=source.workers, use_multiprocessing=False, max_queue_size=source.max_queue_size
        )
        super().__init__(**workers)
        self.source, self.packed = source, packed

    @property
    def num_batches(self) -> Any:
        return self.source.num_batches

    def __getitem__(self, index: int) -> Any:
        return self.packed(self.source[index])

    def on_epoch_begin(self) -> None:
        self.source.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.source.on_epoch_end()


def prepared(
    model: Any,
    source: Any,
    class_weight: Any = None,
    sample_weight: Any = None,
    trains: bool = False,
    what: str = "x",
) -> Any:
    """Return a source of batches made ready for Keras.

    A batch is `(x, y)` or `(x, y, sample_weight)`, with y by name.

    A `keras.utils.PyDataset` or a Python generator is encoded on the host, so labels may be the
    user's own. Others (`tf.data`, a torch DataLoader, grain) are packed and checked in the step:
    their classes that are text must come as positions 0..K-1.

    Args:
        model: the model that trains or is measured.
        source: the batches.
        class_weight: task name -> {label: weight} or "balanced", for sources encoded on the host.
        sample_weight: refused, since weights come with the batches.
        trains: whether the target scaling is learned from the source if the model has none.
        what: the name of the source in messages.

    Raises:
        InputError: for weights given beside a source, or a source whose target scaling cannot be
            learned.
    """
    if source is None or not target_scaling.is_source(source):
        raise InputError(
            "y is missing: pass a dict of task name to labels; tasks: "
            f"{listing(model.layout.tasks)}."
        )
    is_on_host = target_scaling.on_host(source)
    if sample_weight is not None:
        raise InputError(
            "sample_weight goes with arrays; a source of batches yields (x, y, sample_weight)."
        )
    if class_weight is not None and not is_on_host:
        raise InputError(
            "class_weight goes with arrays, a PyDataset or a generator; batches of a "
            f"{type(source).__name__} yield (x, y, sample_weight)."
        )
    if (announced := getattr(source, "element_spec", None)) is not None:
        step_batches.check_announced(model, announced)
    if trains and not model.fitted:
        _learn(model, source)
    if not is_on_host:
        return source
    layout, scaling = model.layout, model.units
    weights_of_classes = _class_weights(layout, scaling, class_weight)

    def packed(batch: Any) -> Any:
        try:
            return checked(batch)
        except InputError as error:
            # TensorFlow raises an error of its own instead: `Refusal.raised` brings this one back.
            model.refusal.error = error
            raise

    def checked(batch: Any) -> Any:
        x, y, weights = (
            (*batch, None)[:3] if isinstance(batch, list | tuple) else (batch, None, None)
        )
        named_inputs.check_names(model, x, f"{what} of a batch")
        check_features(x, f"{what} of a batch")
        encoded = encode(layout, y, "a batch")
        rows_alike(x, encoded, "y of a batch")
        packed_weights = pack_weights(
            layout, encoded, weights, weights_of_classes, what="sample_weight of a batch"
        )
        y = {COUNTED: pack(layout, encoded, scaling)}
        return (x, y) if packed_weights is None else (x, y, marked(packed_weights))

    if isinstance(source, keras.utils.PyDataset):
        return PackedDataset(source, packed)
    return _mapped(source, packed, again=not target_scaling.is_iterator(source))


def shuffles(source: Any) -> bool:
    """Return whether Keras shuffles the order of the batches, as it does for a finite PyDataset."""
    return isinstance(source, PackedDataset) and source.num_batches is not None


def steps_of(source: Any) -> int | None:
    """Return the number of batches in an epoch of a plain Python iterable.

    None for sources that Keras counts itself.

    Raises:
        InputError: for an iterable without a length.
    """
    known = isinstance(source, keras.utils.PyDataset) or not target_scaling.is_source(source)
    if known or not target_scaling.on_host(source) or target_scaling.is_iterator(source):
        return None
    if not hasattr(source, "__len__"):
        raise InputError(
            f"The source is a {type(source).__name__} without a length: give it __len__, "
            "or pass a generator with steps_per_epoch=..."
        )
    return len(source)


def _mapped(source: Any, packed: Callable[[Any], Any], again: bool) -> Iterator[Any]:
    """Yield the packed form of each batch.

    A source that can be read again is repeated without end, because Keras counts the steps.
    """
    while True:
        for batch in source:
            yield packed(batch)
        if not again:
            return


def _learn(model: Any, source: Any) -> None:
    """Take the target scaling from the first batches, and warn where these are not all."""
    if target_scaling.is_iterator(source):
        raise InputError(
            "A generator can be read only once: call model.adapt(targets) with some targets first, "
            "so that polycera knows their scale."
        )
    model.scaling.learn_from_source(*target_scaling.read(model, source, target_scaling.PEEK))


def _class_weights(layout: Layout, scaling: TargetScaling, class_weight: Any) -> Any:
    """Return class weights as a dict for each task.

    "balanced" uses the shares of classes that the model has learned with its target scaling.

    Raises:
        UnknownName, InputError: as for arrays, before the first batch.
    """
    if class_weight is None:
        return None
    no_labels = {task.name: np.full((1, task.width), np.nan) for task in layout.tasks.values()}
    pack_weights(layout, no_labels, None, class_weight)  # raises where something is wrong
    trivial_predictions = predictions(layout, scaling.prior[None, :], scaling)
    weights_of_tasks = {}
    for name, weights in class_weight.items():
        task = layout.tasks[name]
        if isinstance(weights, str) and isinstance(task, ClassTask):
            shares = (
                trivial_predictions[name][0]
                if task.kind != "binary"
                else np.array(
                    [1 - trivial_predictions[name][0, 0], trivial_predictions[name][0, 0]]
                )
            )
            classes = task.known_classes()
            weights = {
                label: 1.0 / (len(classes) * share)
                for label, share in zip(classes, shares, strict=True)
            }
        weights_of_tasks[name] = weights
    return weights_of_tasks


# -- in a step -------------------------------------------------------------------------------------


def trusted(y: Any) -> Any | None:
    """Return packed targets that the host has checked; None for targets in the user's form."""
    if isinstance(y, Mapping):
        return y.get(PACKED, y.get(COUNTED))
    return None


def unpacked(model: Any, x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
    """Return a step's packed targets and weights, and count what a stream contains.

    Args:
        model: whose step it is.
        x: features.
        y: packed by the host, or as a source yields them.
        weights: [n], [n, 1], [n, tasks], or by name; or None.
    """
    if (packed := trusted(y)) is not None:
        weights = weights[PACKED] if isinstance(weights, Mapping) else weights
        if weights is not None and len(weights.shape) == 1:
            weights = ops.expand_dims(weights, -1)
        if isinstance(y, Mapping) and COUNTED in y and model.stream_counts is not None:
            counts = step_batches.label_counts(model.layout, packed)
            step_batches.count(model.stream_counts, counts)
        return packed, weights
    batch = step_batches.batch(model, x, y, weights, model.scaling.constants())
    if model.stream_counts is not None:
        step_batches.count(model.stream_counts, batch.counts, batch.strange)
    return batch.y, batch.weights


# -- at the end of an epoch ------------------------------------------------------------------------


def sentences(model: Any, sums: Mapping[str, Array], training: bool) -> list[str]:
    """Return sentences on the labels, features and weights that were left out of an epoch."""
    messages = []
    where = "in training" if training else "when measuring"
    rows = int(sums["rows"])
    if sums["wrong"].any():
        messages.append(_wrong_labels(model.layout, sums, where))
    if sums["lost"]:
        columns = listing_of(named_inputs.named_columns(model, sums["features"]))
        messages.append(
            f"{int(sums['lost']):,} of {rows:,} rows were left out {where}, because features are "
            f"NaN or infinite: {columns}; fill them in before training."
        )
    if sums["weights"]:
        messages.append(
            f"{int(sums['weights']):,} sample weights of {rows:,} rows were negative, NaN or "
            f"infinite {where}: these rows were left out; weights are finite and 0 or more."
        )
    return messages


def _wrong_labels(layout: Layout, sums: Mapping[str, Array], where: str) -> str:
    """Return a sentence on labels that their task does not take, with an example each."""
    phrases = []
    for i, task in enumerate(layout.tasks.values()):
        if sums["wrong"][i]:
            example = sums["example"][i]
            such_as = f", such as {example:g}" if example else ""
            phrases.append(
                f"{shorten(task.name, 40)!r} {int(sums['wrong'][i]):,}{such_as} (expected "
                f"{labels_wanted(task)})"
            )
    return (
        f"Labels that their task does not accept were left out {where}: {listing_of(phrases)}; "
        "write them as the task expects them, or NaN where one is missing."
    )


def listing_of(parts: list[str], limit: int = 5) -> str:
    """Return the first few phrases, separated by commas, and the number of all."""
    more = f", … ({len(parts)} in all)" if len(parts) > limit else ""
    return ", ".join(parts[:limit]) + more


def adapted(model: Any, y: Any, steps: int | None, sample_weight: Any = None) -> None:
    """Take the target scaling from labels, a source or numbers, as `Model.adapt` does."""
    layout = model.layout
    given_numbers = isinstance(y, Mapping) and any(isinstance(v, Mapping) for v in y.values())
    if sample_weight is not None and (target_scaling.is_source(y) or given_numbers):
        raise InputError("sample_weight= goes with targets by name, not with batches or numbers.")
    if target_scaling.is_source(y):
        encoded, source = target_scaling.read(model, y, steps)
        model.scaling.learn_from_source(encoded, replace(source, what="batches"), quiet=True)
        return
    if steps is not None:
        raise InputError("steps= goes with a source of batches: of arrays all rows are read.")
    if given_numbers:
        _from_numbers(model, y)
        return
    encoded = encode(layout, y)
    model.scaling.learn(encoded, pack_weights(layout, encoded, sample_weight))
    model.scaling.source = None


def _from_numbers(model: Any, y: Mapping[str, Any]) -> None:
    """Take given numbers for some tasks, and labels for the others."""
    layout = model.layout
    for name in y:
        layout.known(name, "task in y:")
    labels = {name: values for name, values in y.items() if not isinstance(values, Mapping)}
    if absent := [name for name in layout.tasks if name not in y]:
        raise InputError(
            f"y lacks the task{'s' if len(absent) > 1 else ''} {listing(absent)}: give labels or "
            "numbers."
        )
    labelled_layout = Layout.of([layout.tasks[name] for name in labels]) if labels else None
    encoded = encode(labelled_layout, labels) if labelled_layout is not None else {}
    model.scaling.set(target_scaling.units_of(layout, y, encoded))
    model.scaling.source = ScalingSource(0, 0, True, "numbers")
