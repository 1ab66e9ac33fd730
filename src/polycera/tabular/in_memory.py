"""Train the network of a prepared table in memory, for the scikit-learn estimators."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from polycera import evaluation
from polycera.callbacks.progress import PHASES, Progress
from polycera.callbacks.score_scale import MEANS
from polycera.callbacks.watched_metrics import watched
from polycera.data import Encoder, Table
from polycera.errors import InputError, listing, shorten
from polycera.layers import backend
from polycera.model import variables
from polycera.model.model import Model
from polycera.model.objective import Objective
from polycera.model.predicting import PREDICTED, in_batches, raw_outputs
from polycera.model.scores import Score, Scores, exact, predictions
from polycera.model.targets import TargetScaling, encode, pack
from polycera.runs import Spec
from polycera.tabular import recipe, row_weights
from polycera.tabular.fit_data import FitData
from polycera.tabular.prediction_columns import Thresholds
from polycera.tabular.prepare import PreparedTable, targets_of, tasks_from
from polycera.tabular.step_plan import StepPlan
from polycera.tabular.threshold_metrics import decided
from polycera.tabular.train_network import train_network
from polycera.tasks import Layout, Task
from polycera.typing import Array, TaskName

BUILDING = threading.Lock()
"""Lock that is held while a network is built, so that several threads build only one."""


@dataclass
class FittedNetwork:
    """Holds a trained network and everything that it needs to predict the rows of a table.

    It is pickled as plain values and arrays, never as a Keras graph. It is rebuilt at the first
    prediction, also in another process or on another backend.

    Attributes:
        spec: of the training.
        tasks: what it predicts.
        encoder: turns a table into features.
        history: name -> one value per epoch.
        thresholds: task -> decision thresholds, [labels]; one half for a task without any.
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
        """Return the network; after unpickling, build it from the spec first."""
        if self._model is None:
            with BUILDING:
                # Another thread may have built it while this one waited for the lock.
                if self._model is None:
                    assert self._weights is not None
                    self._model = _rebuilt(self.spec, self.tasks, self.encoder, self._weights)
                    self._weights = None
        return self._model

    def predict(self, table: Table) -> dict[TaskName, Array]:
        """Return the predictions of the network for each row.

        Args:
            table: with the columns of training; needs no target.

        Returns:
            task -> [n, p], in the order of `tasks` and in the user's units: a number, a rate,
            probabilities of the classes (of the second alone for a binary task), quantiles.

        Raises:
            InputError: for a column that is missing, or a value of another kind.
        """
        predictions = in_batches(self.model.predict_arrays, self.encoder.transform(table))
        # The heads group tasks by kind, so their order differs from that of `tasks`.
        return {task.name: predictions[task.name] for task in self.tasks}

    def skill(self, table: Table, weights: Mapping[TaskName, Array] | None = None) -> float:
        """Return the joint score on a table with targets: the weighted mean of the tasks' skills.

        A skill is 0 for a trivial predictor and 1 for a perfect one.

        Args:
            table: with the columns of training and at least one target; its rows may lack labels.
            weights: task -> sample weights [n], or None.

        Returns:
            the mean with the score weights of the spec; NaN where no task's skill is defined.

        Raises:
            InputError: for a table without a target.
        """
        targets = targets_of(table, self.tasks)
        if all(labels is None for labels in targets.values()):
            raise InputError(
                f"The table has none of the targets {listing(targets)}; there is nothing to "
                "measure."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measured = self._measured(table, targets, weights)
        score_weights = watched(
            self.spec.training.score_weights or dict.fromkeys(targets, 1.0),
            self.model.tasks,
            "joint score",
        )
        skills = [measured[task][metric].skill for task, metric in score_weights]
        return float(
            MEANS["mean"](np.array([skills], "float64"), np.array(list(score_weights.values())))[0]
        )

    def _measured(
        self,
        table: Table,
        targets: Mapping[TaskName, Any],
        weights: Mapping[TaskName, Array] | None,
    ) -> Scores:
        """Return the metrics of all tasks, with rows counted by their sample weights."""
        features = self.encoder.transform(table)
        if weights is None:
            return self.model.measure(features, targets, PREDICTED)
        layout = self.model.layout
        encoded = encode(layout, targets)
        sample = row_weights.normalised(layout, weights, encoded)
        packed = pack(layout, encoded, self.model.units)
        objective = Objective(layout, weighted_metrics=True)
        raw = raw_outputs(self.model, features)
        return exact(objective, packed, raw, objective.counted(len(raw), sample), self.model.units)

    def score_of(
        self,
        table: Table,
        task: TaskName,
        metric: str,
        weights: Mapping[TaskName, Array] | None = None,
    ) -> Score:
        """Return one metric of one task, at its decision threshold where it uses one.

        Args:
            table: with the columns of training and the target of the task; labels may be missing.
            task: its name.
            metric: any metric of the task's kind.
            weights: task -> sample weights [n], or None.

        Raises:
            UnknownName: for a task or metric that does not exist.
            InputError: for a table without the target.
        """
        layout = self.model.layout
        alone = layout.known(task, "task").replace(metrics=[metric])
        (name,) = alone.metrics
        targets = targets_of(table, self.tasks)
        if targets[task] is None:
            raise InputError(
                f"The table has no labels of task {shorten(task)!r}; there is nothing to measure."
            )
        targets = {other: targets[task] if other == task else None for other in targets}
        encoded = encode(layout, targets)
        raw = raw_outputs(self.model, self.encoder.transform(table))
        units = self.model.units
        position = list(layout.tasks).index(task)
        columns, target_columns = layout.raw_columns[task], layout.target_columns[task]
        single = Layout.of([alone])
        scaling = TargetScaling(
            units.location[position : position + 1],
            units.scale[position : position + 1],
            units.prior[columns],
        )
        sample = row_weights.normalised(single, weights, {task: encoded[task]})
        objective = Objective(single, weighted_metrics=True)
        packed = pack(layout, encoded, units)[:, target_columns]
        measured = exact(
            objective, packed, raw[:, columns], objective.counted(len(raw), sample), scaling
        )
        predicted = predictions(layout, raw, units)
        return decided(
            measured,
            single,
            {task: encoded[task]},
            {task: predicted[task]},
            self.thresholds,
            scaling.prior,
            sample,
        )[task][name]

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


def learn(
    prepared: PreparedTable,
    spec: Spec,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
) -> FittedNetwork:
    """Train the network of a table and keep it in memory.

    There is no run folder and no checkpoint, and no gradients are recorded. Two calls with one seed
    give equal numbers on one machine. The state of the global random generators is restored.

    Args:
        prepared: the table, from `polycera.tabular.prepare.prepare`.
        spec: network, training and seed; its tasks and its data are those of `prepared`.
        progress: whether to draw a bar.
        say: called with a sentence on each column that alone predicts a target nearly as well as
            the network; or None.

    Raises:
        InputError: for a task without a single label in the training part.
        PolyceraError: where the training diverged.

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
    network = recipe.completed(spec, prepared.encoder, prepared.parts)
    spec = msgspec.structs.replace(spec, network=network)
    bar = Progress(1, phases=PHASES[:1])

    def observers(model: Model, fit_data: FitData, steps: StepPlan) -> list[Any]:
        """Return the progress bar, if it is wanted."""
        bar.epochs = steps.epochs
        return [bar] if progress else []

    random_state = backend.random_state()
    try:
        result = train_network(prepared, spec, observers)
        recipe.check_finite(result.model)
    finally:
        backend.set_random_state(random_state)
        bar.stop()
    thresholds = evaluation.by_task(result.thresholds(), result.model.layout)
    if say is not None:
        for sentence in result.leaks(prepared):
            say(sentence)
    return FittedNetwork(
        spec, prepared.tasks, prepared.encoder, result.history, thresholds, result.model
    )


def _rebuilt(spec: Spec, tasks: list[Task], encoder: Encoder, weights: dict[str, Array]) -> Model:
    """Return the network of a spec with trained weights."""
    return recipe.rebuilt(
        spec,
        tasks,
        encoder.width,
        lambda network: variables.write(network, weights, "The estimator"),
    )
