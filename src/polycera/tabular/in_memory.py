"""From a prepared table to a network that predicts, in memory: what the scikit-learn face stands on."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np

from polycera import evaluation
from polycera.callbacks.progress import PHASES, Progress
from polycera.callbacks.score_scale import MEANS
from polycera.callbacks.watched_metrics import watched
from polycera.data import Encoder, Table
from polycera.errors import InputError, listing
from polycera.layers import backend
from polycera.model import scores, variables
from polycera.model.model import Model
from polycera.model.predicting import PREDICTED, in_batches
from polycera.runs import Spec
from polycera.tabular import blend, post_fit, recipe
from polycera.tabular.fit_data import FitData
from polycera.tabular.prediction_columns import Thresholds
from polycera.tabular.prepare import PreparedTable, targets_of, tasks_from
from polycera.tasks import Task
from polycera.typing import Array, TaskName

BUILDING = threading.Lock()
"""Held while a network is built: threads that come first at once share one."""


class MemoryFit(NamedTuple):
    """What a training came to.

    Attributes:
        model: the network.
        history: name -> one value an epoch.
        thresholds: task -> from which probability on yes is said, [labels].
        spec: by which it went.
    """

    model: Model
    history: dict[str, list[float]]
    thresholds: Thresholds
    spec: Spec


@dataclass
class FittedNetwork:
    """A trained network with all that it needs to answer for the rows of a table.

    It is pickled as plain values and arrays, never as a Keras graph, and built anew where it is
    asked to predict: in another process, on another backend.

    Attributes:
        spec: what it was trained by.
        tasks: what it predicts.
        encoder: makes features of a table.
        history: name -> one value an epoch.
        thresholds: task -> from which probability on yes is said, [labels]; above one half where it
            has none.
    """

    spec: Spec
    tasks: list[Task]
    encoder: Encoder
    history: dict[str, list[float]]
    thresholds: Thresholds
    _model: Model | None = None
    _weights: dict[str, Array] | None = None

    @property
    def model(self) -> Model:
        """The network, built from the spec the first time that it is asked for."""
        if self._model is None:
            with BUILDING:
                if self._model is None:  # else another thread has built it meanwhile
                    assert self._weights is not None
                    self._model = _rebuilt(self.spec, self.tasks, self.encoder, self._weights)
                    self._weights = None
        return self._model

    def predict(self, table: Table) -> dict[TaskName, Array]:
        """What the network says of each row.

        Args:
            table: with the columns of training; needs no target.

        Returns:
            task -> [n, p], in the order of `tasks` and in the user's units: a number, a rate,
            probabilities of the classes (of the second alone for a binary task), quantiles.

        Raises:
            InputError: for a column that is missing, or a value of another kind.
        """
        found = in_batches(self.model._in_units, self.encoder.transform(table))
        # heads have an order of their own
        return {task.name: found[task.name] for task in self.tasks}

    def skill(self, table: Table) -> float:
        """The joint score on a table with targets: the mean of the tasks' skills, 0 for a trivial answer, 1 at best.

        Args:
            table: with the columns of training and at least one target; its rows may lack labels.

        Returns:
            the mean with the weights that the spec gives the joint score; NaN where no task's skill
            is defined.

        Raises:
            InputError: for a table without a target.
        """
        targets = targets_of(table, self.tasks)
        if all(labels is None for labels in targets.values()):
            raise InputError(
                f"The table has none of the targets {listing(targets)}; there is nothing to measure."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measured = self.model.measure(self.encoder.transform(table), targets, PREDICTED)
        weights = watched(
            self.spec.training.joint or dict.fromkeys(targets, 1.0), self.model.tasks, "joint score"
        )
        skills = [measured[task][metric].skill for task, metric in weights]
        return float(
            MEANS["mean"](np.array([skills], "float64"), np.array(list(weights.values())))[0]
        )

    def __getstate__(self) -> dict[str, Any]:
        return {
            "spec": msgspec.to_builtins(self.spec),
            "tasks": [task.to_config() for task in self.tasks],
            "encoder": self.encoder.to_config(),
            "history": self.history,
            "thresholds": dict(self.thresholds),
            "weights": self._weights or variables.read(variables.weights(self.model)),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.spec = msgspec.convert(state["spec"], Spec)
        self.tasks = tasks_from(state["tasks"])
        self.encoder = Encoder.from_config(state["encoder"])
        self.history, self.thresholds = state["history"], state["thresholds"]
        self._model, self._weights = None, state["weights"]


def learn(prepared: PreparedTable, spec: Spec, progress: bool = False) -> FittedNetwork:
    """Train the network of a table and keep it in memory: no folder, no checkpoint, no look at gradients.

    Two calls with one seed give equal numbers on one machine. The global generators of random
    numbers are left as they were found.

    Args:
        prepared: the table, from `polycera.tabular.prepare.prepare`.
        spec: network, training and seed; its tasks and its data are those of `prepared`.
        progress: whether to draw a bar.

    Raises:
        InputError: for a task without a single label in the training part.
        PolyceraError: where the training came apart.

    Examples:
        >>> import numpy as np
        >>> from polycera.runs import Data, Parts, Spec, Training
        >>> from polycera.tabular.prepare import prepare
        >>> x = np.linspace(0, 1, 60)
        >>> prepared = prepare({"x": x, "y": 3 * x}, ["y"], Data(parts=Parts(test=0)))
        >>> learned = learn(prepared, Spec(tasks=[], training=Training(max_steps=100)))
        >>> learned.predict(prepared.table)["y"].shape
        (60, 1)
    """
    drawn = backend.random_state()
    try:
        trained = _trained(prepared, spec, progress)
    finally:
        backend.set_random_state(drawn)
    model, history, thresholds, plan = trained
    return FittedNetwork(plan, prepared.tasks, prepared.encoder, history, thresholds, model)


def _trained(prepared: PreparedTable, spec: Spec, progress: bool) -> MemoryFit:
    """Everything that is asked of the recipe; `finish._trained` and `finish._write` do the same for a run."""
    network = recipe.completed(spec, prepared.encoder, prepared.parts, prepared.copies)
    spec = msgspec.structs.replace(spec, network=network)
    lesson = FitData.of(prepared, spec)
    steps = recipe.StepPlan.of(len(lesson.train[0]), spec.training)
    model = recipe.build(
        prepared.encoder.width, prepared.tasks, spec.network, spec.training, spec.seed
    )
    bar = Progress(steps.epochs, phases=PHASES[:1])
    watch = [bar] if progress else []
    try:
        history, told = recipe.train(
            model,
            lesson.train,
            lesson.validation,
            steps,
            spec.training,
            watch,
            spec.seed,
            held=lesson.held,
            groups=lesson.groups,
        )
    finally:
        bar.stop()
    recipe.check_finite(model)
    honest = None if told is None else scores.predictions(model.layout, told, model.units)
    chosen = post_fit.thresholds(model, lesson.checked, honest, spec, None)
    return MemoryFit(
        model, history, evaluation.by_task(chosen, model.layout) if chosen is not None else {}, spec
    )


def _rebuilt(spec: Spec, tasks: list[Task], encoder: Encoder, weights: dict[str, Array]) -> Model:
    """The network of a spec with the weights of a training; `Run._with` does the same for a run."""
    backend.check_process()
    model = recipe.build(encoder.width, tasks, spec.network, spec.training, spec.seed)
    variables.write(variables.weights(model), weights, "The estimator")
    blend.trim(model)
    return model
