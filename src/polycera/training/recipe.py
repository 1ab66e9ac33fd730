"""How a table's network is trained: steps, not epochs, rule patience and length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from polycera.data import Batches
from polycera.errors import InputError, PolyceraError
from polycera.monitoring import JointEarlyStopping, JointScore
from polycera.networks import Heads, backend
from polycera.networks.trunks import parameters, perceptron
from polycera.runs.spec import Network, Training
from polycera.tasks import Task
from polycera.training import scores
from polycera.training.guard import Guard, not_finite
from polycera.training.model import Model
from polycera.training.targets import encode, pack

EPOCH = 100
"""Steps at least between two looks at the validation part: a small table is passed over several times."""


@dataclass(frozen=True)
class Plan:
    """What the numbers of rows and steps come to.

    Attributes:
        batch_size: rows a step.
        passes: passes over the rows between two looks at the validation part, called an epoch.
        epochs: at most.
        patience: epochs without a better score.
    """

    batch_size: int
    passes: int
    epochs: int
    patience: int

    @classmethod
    def of(cls, rows: int, training: Training) -> Plan:
        """For this number of training rows."""
        batch = training.batch_size or int(np.clip(2 ** round(math.log2(max(rows, 1) / 40)), 16, 512))
        steps = math.ceil(rows / batch)
        passes = max(1, min(EPOCH, training.max_steps) // steps)
        each = steps * passes
        return cls(
            batch,
            passes,
            max(1, training.max_steps // each),
            max(5, math.ceil(training.patience_steps / each)),
        )


def build(features: int, tasks: list[Task], network: Network, training: Training, seed: int) -> Model:
    """The network of a table, compiled; its first weights depend on the seed alone."""
    inputs, hidden = perceptron(features, width=network.width, depth=network.depth, dropout=network.dropout, seed=seed)
    first = keras.initializers.GlorotUniform(seed=seed)
    model = Model(
        inputs,
        Heads(
            tasks,
            kernel_initializer=first,
            weighting=training.weighting,
            balancing=training.balancing,
            gradients=training.gradients,
            preference=training.preference,
            seed=seed,
            name="heads",
        )(hidden),
        name="polycera",
    )
    model.compile(keras.optimizers.AdamW(training.learning_rate, weight_decay=training.weight_decay))
    return model


def train(
    model: Model, train: Any, validation: Any, plan: Plan, training: Training, callbacks: list[Any], seed: int
) -> dict[str, list[float]]:
    """Train, stop on the validation part, keep the best weights.

    Args:
        model: compiled.
        train, validation: pairs of features and targets by name; validation may be None.
        plan: batch size, epochs, patience.
        training: the weights of the joint score.
        callbacks: beside those that stop and slow down; they see the joint score.
        seed: of the order of rows and of dropout.

    Returns:
        name -> one value an epoch.
    """
    x, y = train
    model.adapt(y)
    packed = pack(model.layout, encode(model.layout, y), model.units)
    backend.seed(seed)
    batches = Batches(x, packed, batch_size=plan.batch_size, seed=seed, passes=plan.passes)
    history = model.fit(
        batches,
        epochs=plan.epochs,
        validation_data=validation,
        validation_batch_size=1024,
        callbacks=[Turn(batches), Guard(training.guard), *_watching(model, validation, plan, training), *callbacks],
        verbose=0,
    )
    return history.history


class Turn(keras.callbacks.Callback):
    """Gives each epoch an order of rows of its own; a `Checkpoint` does so too, and may begin in the middle of one."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Go to this epoch."""
        self._batches.at(epoch)


def _watching(model: Model, validation: Any, plan: Plan, training: Training) -> list[Any]:
    """What stops and slows down."""
    weights, slower = training.joint or None, max(2, plan.patience // 3)
    if validation is None:
        return []
    if _comparable(model, validation):
        return [
            JointEarlyStopping(weights, patience=plan.patience),
            keras.callbacks.ReduceLROnPlateau("val_joint", 0.5, slower, mode="max", min_lr=1e-5),
        ]
    return [
        JointScore(weights),
        keras.callbacks.ReduceLROnPlateau("val_loss", 0.5, slower, mode="min", min_lr=1e-5),
        keras.callbacks.EarlyStopping("val_loss", mode="min", patience=plan.patience, restore_best_weights=True),
    ]


def check_finite(model: Model) -> None:
    """Refuse a network that knows nothing any more.

    Raises:
        PolyceraError: where its weights are no numbers.
    """
    if not_finite(model):
        rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        raise PolyceraError(
            f"The training came apart: the weights of the network are no numbers any more (learning rate {rate:g}); "
            "lower training.learning_rate, or look for enormous values in the table."
        )


def check_size(features: int, tasks: list[Task], network: Network, shapes: Any, source: str) -> None:
    """Hold a spec against the weights that are there before a network of its size is built.

    Args:
        features: columns of the encoded table.
        tasks, network: of the spec.
        shapes: name -> (shape, type) of the weights.
        source: whence they come, for the sentence of an error.

    Raises:
        InputError: where the spec asks for a network larger than these weights.
    """
    units = sum(task.units for task in tasks)
    wanted = parameters(features, width=network.width, depth=network.depth) + (network.width + 1) * units
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
    return any(not math.isnan(trivial[name][task.headline].skill) for name, task in model.tasks.items())
