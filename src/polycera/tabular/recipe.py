"""How a table's network is trained: steps, not epochs, rule patience and length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import msgspec
import numpy as np

from polycera.callbacks import JointEarlyStopping, JointScore
from polycera.callbacks.guard import Guard, not_finite
from polycera.data import Batches, Encoder, Split
from polycera.errors import InputError, PolyceraError, shorten
from polycera.layers import Heads, backend
from polycera.layers.first_weights import Drawn
from polycera.layers.kernel_layer import Blend
from polycera.layers.trunk import BLEND, EMBEDDING, HEADS, Shape, landmarks, parameters, trunk
from polycera.model import scores
from polycera.model.model import Model
from polycera.model.nonfinite import blamed_weight
from polycera.model.predicting import PREDICTED, raw_outputs
from polycera.model.targets import encode, pack
from polycera.runs.spec import Network, Spec, Training
from polycera.tabular import blend, folds
from polycera.tabular.presets import preset as preset
from polycera.tasks import Layout, Task
from polycera.typing import Array

EMBEDDED, BINS = 100, 32
"""Numbers that get bins of their own, at most: of more columns, each matters less and all cost much."""
LANDMARKS, SMALL = 2000, 20_000
"""Landmarks at most, and rows up to which there are landmarks and folds: of more, a validation part is no loss."""
NUMBERS = 20_000_000
"""In the similarities of all rows to the landmarks, and in the landmarks, at most: 160 MB while they are solved for."""
PASSES, LONGEST = 8, (4_000, 20_000)
"""Passes over the rows at most, as long as they come to so many steps: of few rows there are more, of many fewer."""
SURE = 2000
"""Rows from which on a score that falls is taken at its word: that of fewer rows may fall by chance and rise again."""
LEAST = 4
"""Epochs without a better score after which the training of so many rows may end at the earliest."""
EPOCH, SHORT = 100, 50
"""Steps at least between two looks at the validation part, of few rows and of many: a small table
is passed over several times. Of many rows the best epoch may be the first, and is then found
sooner, and nearer to the best step."""


@dataclass(frozen=True)
class StepPlan:
    """What the numbers of rows and steps come to.

    Attributes:
        batch_size: rows a step.
        passes: passes over the rows between two looks at the validation part, called an epoch.
        epochs: at most.
        patience: epochs without a better score, at most.
        least: the same where the best epoch was among the first; patience grows with the epochs
            that it took.
    """

    batch_size: int
    passes: int
    epochs: int
    patience: int
    least: int

    @classmethod
    def of(cls, rows: int, training: Training) -> StepPlan:
        """For this number of training rows."""
        batch = training.batch_size or int(
            np.clip(2 ** round(math.log2(max(rows, 1) / 20)), 32, 512)
        )
        steps = math.ceil(rows / batch)
        longest = training.max_steps or int(np.clip(PASSES * steps, *LONGEST))
        patience = training.patience_steps or longest // 5
        passes = max(1, min(EPOCH if rows < SURE else SHORT, longest) // steps)
        each = steps * passes
        waits = max(5, math.ceil(patience / each))
        patient = training.patience_steps or rows < SURE
        return cls(batch, passes, max(1, longest // each), waits, waits if patient else LEAST)


COPIED = 0.1
"""With a larger share of rows that are copies of others, leaving single rows out says too much good of landmarks."""


def completed(plan: Spec, encoder: Encoder, parts: Split, copies: Any = None) -> Network:
    """The network of a spec with all that was left open chosen by the table.

    Args:
        plan: the spec; where it says which rows validate, or that gradients are balanced, there are
            no folds; where it has groups, there are no landmarks.
        encoder: of the table.
        parts: its rows.
        copies: one number for each kind of row, where some rows are copies of others; where many
            are, no landmarks.

    Raises:
        InputError: for folds or landmarks that do not go with the rest of the spec.
    """
    rows, network = len(parts.train) + len(parts.validation), plan.network
    numbers, said = len(encoder.numbers.columns), plan.data.parts
    small = rows <= SMALL
    free = said.column is None and said.time is None and plan.training.balancing is None
    folds = network.folds or (
        5 if small and free and len(parts.validation) and not (network.members or 0) % 5 else 1
    )
    members = network.members or (2 * folds if folds > 1 else 10 if small else 4)
    if said.groups is not None and network.landmarks:
        raise InputError(
            f"The network has {network.landmarks} landmarks, and what they are worth is found by leaving out single "
            f"rows, not whole groups of {shorten(repr(said.groups))}: set network.landmarks to 0."
        )
    if members % folds:
        raise InputError(
            f"The network has {members} members and {folds} folds: each fold is held out from as many members, "
            "so members is a multiple of folds."
        )
    if folds > 1 and not free:
        raise InputError(
            f"The network has {folds} folds, which go neither with split= or time= nor with balancing: "
            "set network.folds to 1."
        )
    choice = {
        "width": 192,
        "bins": BINS if 0 < numbers <= EMBEDDED else 0,
        "dropout": 0.05 if encoder.width <= EMBEDDED else 0.3,
        "numbers": numbers,
        "landmarks": min(rows, LANDMARKS, NUMBERS // rows, NUMBERS // encoder.width)
        if small
        else 0,
    }
    copied = 0.0 if copies is None else 1.0 - (copies.max() + 1) / len(copies)
    # a left-out row would be answered by the others of its group
    if said.groups is not None or copied > COPIED:
        choice["landmarks"] = 0
    left = {name: value for name, value in choice.items() if getattr(network, name) is None}
    return msgspec.structs.replace(network, members=members, folds=folds, **left)


def shape_of(features: int, network: Network) -> Shape:
    """The trunk that a spec asks for; what it leaves open is as small as can be."""
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
    features: int, tasks: list[Task], network: Network, training: Training, seed: int
) -> Model:
    """The network of a table, compiled; its first weights depend on the seed alone."""
    shape = shape_of(features, network)
    inputs, clipped, hidden = trunk(shape, seed)
    fans = shape.width + Layout.of(tasks).units
    heads = Heads(
        tasks,
        kernel_initializer=Drawn((2 / fans) ** 0.5, seed, HEADS),  # as Glorot and Bengio (2010)
        weighting=training.weighting,
        balancing=training.balancing,
        gradients=training.gradients,
        preference=training.preference,
        seed=seed,
        members=shape.members,
        name="heads",
    )
    parts, units = [heads(hidden)], heads.layout.units
    if network.landmarks:
        parts.append(landmarks(clipped, network.landmarks, units))
    model = Model(inputs, Blend(units, name=BLEND)(parts), name="polycera")
    model.compile(
        keras.optimizers.AdamW(training.learning_rate, weight_decay=training.weight_decay)
    )
    return model


class TrainingResult(NamedTuple):
    """What a training came to.

    Attributes:
        history: name -> one value an epoch.
        told: raw outputs [n, units] for the validation rows, or with folds for all rows, of a
            network that did not learn from them; None where no row was held out.
    """

    history: dict[str, list[float]]
    told: Array | None


def train(
    model: Model,
    train: Any,
    validation: Any,
    plan: StepPlan,
    training: Training,
    callbacks: list[Any],
    seed: int,
    *,
    held: np.ndarray | None = None,
    refit: bool = True,
    groups: np.ndarray | None = None,
) -> TrainingResult:
    """Train, stop on rows that were held out, keep the best weights, and solve for what is beside the members.

    Args:
        model: compiled.
        train, validation: pairs of features and targets by name; validation may be None.
        plan: batch size, epochs, patience.
        training: the weights of the joint score.
        callbacks: beside those that stop and slow down; they see the joint score.
        seed: of the order of rows and of dropout.
        held: which rows are held out from which members, [rows, members], in place of a validation
            part.
        refit: whether what is solved in closed form learns from the validation rows too, in the
            end.
        groups: the group of each row that is held out once, [rows]; None where each is its own.
    """
    x, y = train[0], encode(model.layout, train[1])
    if validation is not None:
        validation = validation[0], encode(model.layout, validation[1])
    model.adapt(y)
    packed = pack(model.layout, y, model.units)
    if EMBEDDING in (layer.name for layer in model.layers):
        model.get_layer(EMBEDDING).fit_to(x)
    backend.seed(seed)
    batches = Batches(
        x,
        folds.beside(packed, held),
        batch_size=plan.batch_size,
        seed=seed,
        passes=plan.passes,
        whole=True,
    )
    begun = (
        blend.ahead(model, (x, packed), seed)
        if held is not None or validation is not None
        else None
    )
    checked = (x, y) if held is not None else validation
    outside = folds.OutOfFold(x, packed, held) if held is not None else None
    history = model.fit(
        batches,
        epochs=plan.epochs,
        validation_data=validation,
        validation_batch_size=PREDICTED,
        callbacks=[
            SetEpoch(batches),
            Guard(training.guard),
            *([outside] if outside else []),
            *_watching(model, checked, plan, training),
            *callbacks,
        ],
        verbose=0,
    ).history
    if not_finite(model) is not None or checked is None:
        return TrainingResult(history, None)
    known = (x, packed)
    if outside is not None:
        return TrainingResult(
            history,
            blend.fit_blend(model, known, known, outside.said(), seed, refit, begun, groups),
        )
    rows = validation[0], pack(model.layout, encode(model.layout, validation[1]), model.units)
    told = raw_outputs(model, rows[0])
    return TrainingResult(
        history, blend.fit_blend(model, known, rows, told, seed, refit, begun, groups)
    )


class SetEpoch(keras.callbacks.Callback):
    """Gives each epoch an order of rows of its own; a `Checkpoint` does so too, and may begin in the middle of one."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Go to this epoch."""
        self._batches.at(epoch)


def _watching(model: Model, validation: Any, plan: StepPlan, training: Training) -> list[Any]:
    """What stops and slows down."""
    weights, slower = training.joint or None, max(2, plan.patience // 3)
    if validation is None:
        return []
    if _comparable(model, validation):
        return [
            JointEarlyStopping(weights, patience=plan.patience, least=plan.least),
            keras.callbacks.ReduceLROnPlateau("val_joint", 0.5, slower, mode="max", min_lr=1e-5),
        ]
    return [
        JointScore(weights),
        keras.callbacks.ReduceLROnPlateau("val_loss", 0.5, slower, mode="min", min_lr=1e-5),
        keras.callbacks.EarlyStopping(
            "val_loss", mode="min", patience=plan.patience, restore_best_weights=True
        ),
    ]


HUGE = 1e18
"""No weight of a network that learned something is larger: its square leaves float32."""


def check_finite(model: Model) -> None:
    """Refuse a network that knows nothing any more.

    Raises:
        PolyceraError: where its weights are no numbers.
    """
    largest = max(
        float(np.abs(np.asarray(weight)).max(initial=0.0)) for weight in model.get_weights()
    )
    if not_finite(model) or largest > HUGE:  # too few steps may have followed for a loss to show it
        rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        blamed = blamed_weight({name: task.weight for name, task in model.tasks.items()})
        raise PolyceraError(
            "The training came apart: the weights of the network are beyond all numbers. "
            + (
                blamed
                or f"Lower the learning rate (now {rate:g}), or look for enormous values in the table."
            )
        )


def check_size(
    features: int, tasks: list[Task], network: Network, shapes: Any, source: str
) -> None:
    """Hold a spec against the weights that are there before a network of its size is built.

    Args:
        features: columns of the encoded table.
        tasks, network: of the spec.
        shapes: name -> (shape, type) of the weights.
        source: whence they come, for the sentence of an error.

    Raises:
        InputError: where the spec asks for a network larger than these weights.
    """
    units, shape = sum(task.units for task in tasks), shape_of(features, network)
    wanted = (
        parameters(shape)
        + (shape.width + 1) * units
        + (network.landmarks or 0) * (features + units)
    )
    stored = sum(math.prod(shape) for shape, _ in shapes.values())
    if wanted > stored:
        raise InputError(
            f"{source} holds {stored} numbers, and a network of the spec has {wanted} or more: they are not of one run."
        )


def _comparable(model: Model, validation: Any) -> bool:
    """Whether any task's skill is defined on these rows: a joint score can then be watched, else only the loss."""
    encoded = encode(model.layout, validation[1])
    packed = pack(model.layout, encoded, model.units)
    rows = len(packed)
    raw = np.tile(model.units.prior, (rows, 1))
    trivial = scores.exact(model._objective, packed, raw, np.ones((rows, 1), bool), model.units)
    return any(
        not math.isnan(trivial[name][task.headline].skill) for name, task in model.tasks.items()
    )
