"""Train the network of a table: choose its open options, build it, fit it and check its weights.

The lengths of a training and of its patience are counted in steps, not in epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import msgspec
import numpy as np

from polycera.callbacks import JointEarlyStopping, JointScore
from polycera.callbacks.guard import Guard
from polycera.data import Batches, Encoder, Split
from polycera.errors import InputError, PolyceraError
from polycera.layers import Heads, backend
from polycera.layers.devices import check_devices
from polycera.layers.initializers import Drawn
from polycera.layers.kernel_layer import Blend
from polycera.layers.trunk import BLEND, EMBEDDING, HEADS, Shape, landmarks, parameters, trunk
from polycera.model import nonfinite, variables
from polycera.model.model import Model
from polycera.model.predicting import PREDICTED, raw_outputs
from polycera.model.targets import encode, pack
from polycera.runs.spec import Network, Spec, Training
from polycera.tabular import blend, folds, streamed_batches, streamed_scaling
from polycera.tabular.left_out import Blocks
from polycera.tabular.row_weights import RowWeights
from polycera.tabular.step_plan import StepPlan
from polycera.tabular.streamed_table import Stream
from polycera.tasks import Layout, Task
from polycera.typing import Array

EMBEDDED = 100
"""Maximum number of number columns that get bins, and of features with low dropout."""
BINS = 32
"""Number of bins of each of these columns.

With more columns each one matters less, and bins for all of them are slow.
"""
LANDMARKS = 2000
"""Maximum number of landmarks."""
SMALL = 20_000
"""Maximum number of rows with landmarks and folds.

Above `SMALL` rows a plain validation split costs little accuracy (docs/accuracy.md).
"""
NUMBERS = 20_000_000
"""Maximum size of the similarities of all rows to the landmarks, and of the landmarks themselves.

These many numbers take 160 MB in float64 while the coefficients are solved for.
"""


def completed(spec: Spec, encoder: Encoder, parts: Split, *, streams: bool = False) -> Network:
    """Return the network options of a spec, with every open one chosen from the table.

    Args:
        spec: the spec. It gets no folds where it has its own validation rows or balances gradients.
        encoder: of the table.
        parts: its rows.
        streams: whether the training rows are larger than memory. There are no folds then and,
            unless asked for, no landmarks, whatever the number of rows that are held in memory.

    Raises:
        InputError: for folds that conflict with the rest of the spec.
    """
    rows, network = len(parts.train) + len(parts.validation), spec.network
    number_columns, part_options = len(encoder.numbers.columns), spec.data.parts
    small = rows <= SMALL and not streams
    if streams and (network.folds or 1) > 1:
        raise InputError(
            f"The network has {network.folds} folds, and the table does not fit in memory, where "
            "folds are made: set network.folds to 1 (--folds 1), or allow more memory (--memory)."
        )
    folds_allowed = (
        part_options.column is None
        and part_options.time is None
        and spec.training.balancing is None
    )
    folds = network.folds or (
        5
        if small and folds_allowed and len(parts.validation) and not (network.members or 0) % 5
        else 1
    )
    members = network.members or (2 * folds if folds > 1 else 10 if small else 4)
    if members % folds:
        raise InputError(
            f"The network has {members} members and {folds} folds: each fold is held out from as "
            "many members, so members is a multiple of folds."
        )
    if folds > 1 and not folds_allowed:
        raise InputError(
            f"The network has {folds} folds, which go neither with split= or time= nor with "
            "balancing: set network.folds to 1."
        )
    defaults = {
        "width": 192,
        "bins": BINS if 0 < number_columns <= EMBEDDED else 0,
        "dropout": 0.05 if encoder.width <= EMBEDDED else 0.3,
        "numbers": number_columns,
        "landmarks": min(rows, LANDMARKS, NUMBERS // rows, NUMBERS // encoder.width)
        if small
        else 0,
    }
    open_options = {
        name: value for name, value in defaults.items() if getattr(network, name) is None
    }
    return msgspec.structs.replace(network, members=members, folds=folds, **open_options)


def shape_of(features: int, network: Network) -> Shape:
    """Return the shape of the trunk that a spec describes; open options get a fixed default."""
    return Shape(
        features,
        min(network.numbers or 0, features),
        network.width or 256,
        network.depth,
        network.members or 1,
        network.bins or 0,
        network.dropout or 0.0,
    )


def build(
    features: int,
    tasks: list[Task],
    network: Network,
    training: Training,
    seed: int,
    weighted_metrics: bool = False,
) -> Model:
    """Return the compiled network of a table; its initial weights depend on the seed alone.

    Its metrics count rows by their sample weights where `weighted_metrics` says so.
    """
    shape = shape_of(features, network)
    inputs, clipped, hidden = trunk(shape, seed)
    fans = shape.width + Layout.of(tasks).units
    heads = Heads(
        tasks,
        # The standard deviation of Glorot and Bengio (2010).
        kernel_initializer=Drawn((2 / fans) ** 0.5, seed, HEADS),
        weighting=training.weighting,
        balancing=training.balancing,
        gradients=training.gradients,
        preference=training.preference,
        seed=seed,
        members=shape.members,
        name="heads",
    )
    outputs, output_columns = [heads(hidden)], heads.layout.units
    if network.landmarks:
        outputs.append(landmarks(clipped, network.landmarks, output_columns))
    model = Model(
        inputs,
        Blend(output_columns, name=BLEND)(outputs),
        name="polycera",
        weighted_metrics=weighted_metrics,
    )
    model.compile(
        keras.optimizers.AdamW(training.learning_rate, weight_decay=training.weight_decay)
    )
    return model


class TrainingResult(NamedTuple):
    """Holds the history of a training and its predictions for the validation rows.

    Attributes:
        history: name -> one value per epoch.
        out_of_fold_raw: raw outputs [n, output columns] of a network that did not train on these
            rows: for the validation rows, or with folds for all rows. None without validation.
    """

    history: dict[str, list[float]]
    out_of_fold_raw: Array | None


def train(
    model: Model,
    train: Any,
    validation: Any,
    steps: StepPlan,
    training: Training,
    callbacks: list[Any],
    seed: int,
    *,
    fold_mask: np.ndarray | None = None,
    refit: bool = True,
    groups: np.ndarray | None = None,
    blocks: Blocks | None = None,
    go_on: bool = False,
    stream: Stream | None = None,
    weights: tuple[RowWeights, RowWeights] | None = None,
) -> TrainingResult:
    """Train a network, stop on validation rows, keep the best weights, and fit the blend.

    The blend is solved for after the members have trained: landmarks, their share in each task's
    outputs, and calibration.

    Args:
        model: compiled.
        train, validation: pairs of features and targets by name; validation may be None.
        steps: batch size, epochs, patience.
        training: the options of the training, among them the score weights.
        callbacks: beside those that stop the training and lower the learning rate; they see the
            joint score.
        seed: of the order of rows and of dropout.
        fold_mask: which rows are held out from which members, [rows, members], in place of
            validation rows.
        refit: whether the landmarks are finally fitted to the validation rows as well.
        groups: the group of each validation row, [rows]; None where each row is its own group.
        blocks: which rows kernel ridge leaves out together: those of `train`, then those of
            `validation`; None where it leaves out each row alone.
        go_on: whether the members finally learn from the validation rows as well.
        stream: the training rows, where they are larger than memory; `train` is a sample of them.
        weights: of the training rows, and of the rows that validate, which with folds are the same;
            None where all rows count the same.
    """
    x, y = train[0], encode(model.layout, train[1])
    train_weights, watched_weights = weights or (None, None)
    sample = None if train_weights is None else train_weights.sample
    if validation is not None:
        validation = validation[0], encode(model.layout, validation[1])
    model.adapt(y, sample_weight=train_weights and train_weights.by_name(model.layout))
    if stream is not None:
        streamed_scaling.take(model, stream, y)
    # After `adapt`: packing applies the target scaling that it has computed.
    packed = pack(model.layout, y, model.units)
    if EMBEDDING in (layer.name for layer in model.layers):
        model.get_layer(EMBEDDING).fit_to(x)
    backend.seed(seed)
    batches = (
        Batches(
            x,
            folds.with_mask(packed, fold_mask),
            None if sample is None else sample.astype("float32"),
            batch_size=steps.batch_size,
            seed=seed,
            passes=steps.passes,
            whole=True,
        )
        if stream is None
        else streamed_batches.of(stream, model, steps, seed)
    )
    # Landmarks need nothing from the members, so a thread solves for them while these train.
    kernel_fit = (
        blend.ahead(model, (x, packed), seed, blocks, train_weights)
        if fold_mask is not None or validation is not None
        else None
    )
    watched_rows = (x, y) if fold_mask is not None else validation
    watched_sample = watched_weights and watched_weights.sample
    watching = _watching(model, watched_rows, steps, training, watched_sample)
    out_of_fold = folds.OutOfFold(x, packed, fold_mask, sample) if fold_mask is not None else None
    validation_weights = watched_weights and watched_weights.by_name(model.layout)
    history = model.fit(
        batches,
        epochs=steps.epochs,
        validation_data=(
            validation
            if validation is None or validation_weights is None
            else (*validation, validation_weights)
        ),
        validation_batch_size=PREDICTED,
        callbacks=[
            SetEpoch(batches),
            Guard(training.guard),
            # Before the callbacks that read the validation results, because it writes them.
            *([out_of_fold] if out_of_fold else []),
            *watching,
            *callbacks,
        ],
        verbose=0,
    ).history
    # Without finite weights there is nothing to blend, and without validation nothing to fit it to.
    if nonfinite.first_of(model.weights) is not None or watched_rows is None:
        return TrainingResult(history, None)
    training_rows = (x, packed)
    if out_of_fold is not None:
        return TrainingResult(
            history,
            blend.fit_blend(
                model,
                training_rows,
                training_rows,
                out_of_fold.predictions(),
                seed,
                refit,
                kernel_fit,
                groups,
                blocks,
                weights,
            ),
        )
    validation_rows = (
        validation[0],
        pack(model.layout, validation[1], model.units),
    )
    # Before the members learn from these rows.
    raw_validation = raw_outputs(model, validation_rows[0])
    if go_on:
        both = None if weights is None else weights[0].joined(weights[1]).sample
        learn_from_all(model, training_rows, validation_rows, steps, training, watching, seed, both)
        if nonfinite.first_of(model.weights) is not None:
            return TrainingResult(history, None)
    return TrainingResult(
        history,
        blend.fit_blend(
            model,
            training_rows,
            validation_rows,
            raw_validation,
            seed,
            refit,
            kernel_fit,
            groups,
            blocks,
            weights,
        ),
    )


def learn_from_all(
    model: Model,
    training_rows: blend.Rows,
    validation_rows: blend.Rows,
    steps: StepPlan,
    training: Training,
    watching: list[Any],
    seed: int,
    sample: Array | None = None,
) -> None:
    """Train on training and validation rows together, for as many steps as were best before.

    The last rows before the test are worth most where the future is asked for, and without this no
    member would have learned from them.

    Args:
        model: with the weights of its best epoch.
        training_rows, validation_rows: features and packed targets.
        steps, training, seed: as for `train`.
        watching: the callbacks that have found the best epoch.
        sample: sample weights [n, tasks] of the training rows and then the validation rows.
    """
    best = next((one.best_epoch for one in watching if hasattr(one, "best_epoch")), None)
    x, packed = (
        np.concatenate(parts) for parts in zip(training_rows, validation_rows, strict=True)
    )
    size, rows = steps.batch_size, len(training_rows[0])
    before = max(1, rows * steps.passes // size) * (1 + (best or 0))
    weights = None if sample is None else sample.astype("float32")
    batches = Batches(x, packed, weights, batch_size=size, seed=seed, whole=True)
    model.fit(
        batches,
        epochs=max(1, round(before / batches.steps)),
        callbacks=[SetEpoch(batches), Guard(training.guard)],
        verbose=0,
    )


class SetEpoch(keras.callbacks.Callback):
    """Gives each epoch its own order of rows.

    A `Checkpoint` does the same, and can also start in the middle of an epoch.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch of the batches."""
        self._batches.at(epoch)


def _watching(
    model: Model,
    validation: Any,
    steps: StepPlan,
    training: Training,
    sample: Array | None = None,
) -> list[Any]:
    """Return the callbacks that stop the training and lower the learning rate."""
    weights, learning_rate_patience = training.score_weights or None, max(2, steps.patience // 3)
    if validation is None:
        return []
    if _comparable(model, validation, sample):
        return [
            JointEarlyStopping(weights, patience=steps.patience, least=steps.least),
            keras.callbacks.ReduceLROnPlateau(
                "val_joint", 0.5, learning_rate_patience, mode="max", min_lr=1e-5
            ),
        ]
    return [
        JointScore(weights),
        keras.callbacks.ReduceLROnPlateau(
            "val_loss", 0.5, learning_rate_patience, mode="min", min_lr=1e-5
        ),
        keras.callbacks.EarlyStopping(
            "val_loss", mode="min", patience=steps.patience, restore_best_weights=True
        ),
    ]


HUGE = 1e18
"""Largest absolute weight that is accepted.

Its square (1e36) is close to the largest float32 (3e38).
"""


def rebuilt(
    spec: Spec, tasks: list[Task], features: int, load: Callable[[list[Any]], None]
) -> Model:
    """Return the network of a completed spec with the weights that it was trained to.

    Args:
        spec: its network, training and seed.
        tasks: of the spec.
        features: columns of the encoded table.
        load: writes the trained values into the weights that it is given.

    Raises:
        PolyceraError: in a process that cannot use the backend, or without the device that an
            environment variable names.
    """
    backend.check_process()
    check_devices()
    weighted_metrics = spec.data.sample_weight is not None
    model = build(features, tasks, spec.network, spec.training, spec.seed, weighted_metrics)
    load(variables.weights(model))
    blend.trim(model)
    return model


def check_finite(model: Model) -> None:
    """Raise an error for a network whose training diverged.

    Raises:
        PolyceraError: where a weight is not finite, or larger than `HUGE`.
    """
    largest = max(
        float(np.abs(np.asarray(weight)).max(initial=0.0)) for weight in model.get_weights()
    )
    # The weights are checked too: after the last steps no loss may have shown the problem yet.
    if nonfinite.first_of(model.weights) or largest > HUGE:
        rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        blamed = nonfinite.blamed_weight({name: task.weight for name, task in model.tasks.items()})
        raise PolyceraError(
            "Training diverged: the weights of the network are NaN or infinite. "
            + (
                blamed
                or f"Lower the learning rate (now {rate:g}), or look for enormous values in the "
                "table."
            )
        )


def check_size(
    features: int, tasks: list[Task], network: Network, shapes: Any, source: str
) -> None:
    """Raise an error where a spec needs more weights than a file has, before the network is built.

    Args:
        features: columns of the encoded table.
        tasks, network: of the spec.
        shapes: name -> (shape, type) of the weights.
        source: the name of the file, for the message of an error.

    Raises:
        InputError: where the spec describes a network larger than these weights.
    """
    output_columns, shape = sum(task.units for task in tasks), shape_of(features, network)
    needed = (
        parameters(shape)
        + (shape.width + 1) * output_columns
        + (network.landmarks or 0) * (features + output_columns)
    )
    stored = sum(math.prod(shape) for shape, _ in shapes.values())
    if needed > stored:
        raise InputError(
            f"{source} holds {stored} numbers, and a network of the spec has {needed} or more: "
            "they do not belong to the same run."
        )


def _comparable(model: Model, validation: Any, sample: Array | None = None) -> bool:
    """Return whether any task's skill is defined on these rows.

    If so, the joint score can be watched; otherwise only the loss can.
    """
    encoded = encode(model.layout, validation[1])
    packed = pack(model.layout, encoded, model.units)
    # The outputs of the trivial predictors stand in for predictions: what counts here is whether
    # a skill is defined, not its value.
    raw = np.tile(model.units.prior, (len(packed), 1))
    trivial = model.scores_of(packed, raw, sample)
    return any(
        not math.isnan(trivial[name][task.headline].skill) for name, task in model.tasks.items()
    )
