"""Seconds of a training step and of an answer, for a network and for separate ones of the same layers."""

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

STEPS, REPEATS = 16, 5
"""Steps of an epoch that is timed, at most; epochs."""
LONG = 0.5
"""Seconds that an epoch should not take longer than."""


def costs(model: Any, found: Sharing, x: Any = None) -> tuple[Cost, Cost]:
    """What the joint network costs and what separate ones cost together, with measured times.

    The separate networks of tasks that come to the same layers, parameters and multiply-adds are
    measured once. A model of polycera is trained by its own losses on made-up labels, another by
    squared error.

    Args:
        model: the joint network; it is copied, not trained.
        found: who shares what in it.
        x: rows, as for `fit`; None for random ones.

    Raises:
        InputError: where an input's length is not fixed, or it takes texts, and no rows are given.
    """
    rows = synthetic_rows.rows(model, x, ROWS * STEPS)
    alike: Counter[tuple[Any, ...]] = Counter()
    first: dict[tuple[Any, ...], str] = {}
    for place, task in enumerate(found.tasks):
        alike[key := _key(model, found, place)] += 1
        first.setdefault(key, task)
    timed = [Timed.of(copied(model), rows)]
    for key in alike:
        network, used = separate(model, first[key])
        timed.append(Timed.of(network, [rows[place] for place in used]))
    # in turns, so that what slows the machine for a while slows all of them
    seconds = np.median([[each.once() for each in timed] for _ in range(REPEATS)], axis=0)
    together = np.array(list(alike.values())) @ seconds[1:]
    joint, apart = found.joint, found.separate
    return (
        Cost(joint.parameters, joint.multiply_adds, *seconds[0].tolist()),
        Cost(apart.parameters, apart.multiply_adds, *together.tolist()),
    )


def _key(model: Any, found: Sharing, place: int) -> tuple[Any, ...]:
    """Equal for tasks whose own networks are the same but for names."""
    layers = [
        (each.kind, *each.shape, each.multiply_adds) for each in found.layers if place in each.tasks
    ]
    if not isinstance(model, Model):
        return tuple(layers)
    task = model.layout.tasks[found.tasks[place]]
    return (*layers, task.signature, tuple(type(term.loss).__name__ for term in task.terms))


class Timed:
    """A network that trains and answers on the same rows again and again.

    Args:
        model: compiled.
        given: rows, as it takes them.
        y: their targets.
    """

    def __init__(self, model: Any, given: list[np.ndarray], y: Any) -> None:
        self.model, self.given, self.y = model, given, y
        self.steps = 2
        self._step()  # compiles
        self.steps = int(np.clip(LONG / self._step(), 2, STEPS))
        self._answer()

    @classmethod
    def of(cls, model: Any, given: list[np.ndarray]) -> Timed:
        """By its tasks' losses, or by squared error; with Adam."""
        if isinstance(model, Model):
            model.compile("adam")
            return cls(
                model,
                given,
                {
                    name: synthetic_rows.labels(task, len(given[0]))
                    for name, task in model.tasks.items()
                },
            )
        answers = model.predict(_form(given), batch_size=ROWS, verbose=0)
        model.compile("adam", loss=keras.tree.map_structure(lambda _: "mse", answers))
        return cls(model, given, keras.tree.map_structure(np.zeros_like, answers))

    def once(self) -> tuple[float, float]:
        """Seconds of a training step, and of an answer for a row."""
        return self._step(), self._answer()

    def _step(self) -> float:
        rows, clock = slice(self.steps * ROWS), _Clock()
        given, y = (
            _form([each[rows] for each in self.given]),
            keras.tree.map_structure(lambda each: each[rows], self.y),
        )
        self.model.fit(given, y, batch_size=ROWS, verbose=0, callbacks=[clock])
        return clock.seconds / self.steps

    def _answer(self) -> float:
        rows = slice(self.steps * ROWS)
        given, begun = _form([each[rows] for each in self.given]), perf_counter()
        keras.Model.predict(self.model, given, batch_size=ROWS, verbose=0)
        return (perf_counter() - begun) / (self.steps * ROWS)


class _Clock(keras.callbacks.Callback):
    """Seconds of an epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.begun = perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = perf_counter() - self.begun


def _form(given: list[np.ndarray]) -> Any:
    return given[0] if len(given) == 1 else given
