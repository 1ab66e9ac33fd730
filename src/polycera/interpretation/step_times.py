"""Measure the time of a training step and of a prediction.

A network is compared with separate networks of the same layers.
"""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import Any

import keras
import numpy as np

from polycera.drawing.described import ROWS
from polycera.interpretation import synthetic_rows
from polycera.interpretation.separate_models import copied, separate
from polycera.model import Model
from polycera.runs.results import Cost, Sharing

STEPS = 16
"""Steps of a timed epoch at most."""
REPEATS = 5
"""Number of timed epochs."""
LONG = 0.5
"""A timed epoch should not take longer than this many seconds."""


def costs(model: Any, sharing: Sharing, x: Any = None) -> tuple[Cost, Cost]:
    """Return the measured costs of the joint network, and of all separate networks together.

    Separate networks with the same layers are measured once. A polycera model is trained by its own
    losses on synthetic labels, any other model by squared error.

    Args:
        model: the joint network; a copy of it is trained, not the model itself.
        sharing: which layers of it serve which tasks.
        x: rows, as for `fit`; None for random ones.

    Raises:
        InputError: where an input's length is not fixed, or it takes texts, and no rows are given.
    """
    rows = synthetic_rows.rows(model, x, ROWS * STEPS)
    task_counts: Counter[tuple[Any, ...]] = Counter()
    first_task: dict[tuple[Any, ...], str] = {}
    for position, task in enumerate(sharing.tasks):
        task_counts[key := _key(model, sharing, position)] += 1
        first_task.setdefault(key, task)
    timed = [Timed.of(copied(model), rows)]
    for key in task_counts:
        network, used = separate(model, first_task[key])
        timed.append(Timed.of(network, [rows[index] for index in used]))
    # The networks take turns, so that a slow moment of the machine affects all of them.
    seconds = np.median([[candidate.once() for candidate in timed] for _ in range(REPEATS)], axis=0)
    separate_seconds = np.array(list(task_counts.values())) @ seconds[1:]
    joint_cost, separate_cost = sharing.joint, sharing.separate
    return (
        Cost(joint_cost.parameters, *seconds[0].tolist()),
        Cost(separate_cost.parameters, *separate_seconds.tolist()),
    )


def _key(model: Any, sharing: Sharing, position: int) -> tuple[Any, ...]:
    """Return a key that is equal for tasks whose own networks differ in names only."""
    layers = [
        (layer.kind, *layer.shape, layer.parameters)
        for layer in sharing.layers
        if position in layer.tasks
    ]
    if not isinstance(model, Model):
        return tuple(layers)
    task = model.layout.tasks[sharing.tasks[position]]
    return (*layers, task.signature, tuple(type(term.loss).__name__ for term in task.terms))


class Timed:
    """Time a network that trains and predicts on the same rows again and again.

    Args:
        model: a compiled network.
        inputs: rows, an array for each input.
        y: their targets.
    """

    def __init__(self, model: Any, inputs: list[np.ndarray], y: Any) -> None:
        self.model, self.inputs, self.y = model, inputs, y
        self.steps = 2
        # The first step compiles; the second one tells how many steps fit in an epoch.
        self._step()
        self.steps = int(np.clip(LONG / self._step(), 2, STEPS))
        # The first prediction compiles too.
        self._predict()

    @classmethod
    def of(cls, model: Any, inputs: list[np.ndarray]) -> Timed:
        """Compile the network with Adam and its tasks' losses, or squared error."""
        if isinstance(model, Model):
            model.compile("adam")
            return cls(
                model,
                inputs,
                {
                    name: synthetic_rows.labels(task, len(inputs[0]))
                    for name, task in model.tasks.items()
                },
            )
        outputs = model.predict(_form(inputs), batch_size=ROWS, verbose=0)
        model.compile("adam", loss=keras.tree.map_structure(lambda _: "mse", outputs))
        return cls(model, inputs, keras.tree.map_structure(np.zeros_like, outputs))

    def once(self) -> tuple[float, float]:
        """Return the seconds of a training step, and of a prediction for one row."""
        return self._step(), self._predict()

    def _step(self) -> float:
        """Return the seconds of a training step, as a mean over an epoch."""
        rows, clock = slice(self.steps * ROWS), _Clock()
        x, y = (
            _form([values[rows] for values in self.inputs]),
            keras.tree.map_structure(lambda array: array[rows], self.y),
        )
        self.model.fit(x, y, batch_size=ROWS, verbose=0, callbacks=[clock])
        return clock.seconds / self.steps

    def _predict(self) -> float:
        """Return the seconds of a prediction for one row."""
        rows = slice(self.steps * ROWS)
        x, started = _form([values[rows] for values in self.inputs]), perf_counter()
        # Stock `predict`: that of a polycera model would also turn raw outputs into predictions on
        # the host.
        keras.Model.predict(self.model, x, batch_size=ROWS, verbose=0)
        return (perf_counter() - started) / (self.steps * ROWS)


class _Clock(keras.callbacks.Callback):
    """Measure the seconds of an epoch, without what `fit` does before and after it."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.begun = perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = perf_counter() - self.begun


def _form(inputs: list[np.ndarray]) -> Any:
    """Return a single input as an array, several as a list."""
    return inputs[0] if len(inputs) == 1 else inputs
