"""Train a network for some tasks of a run, in the way of the run and on the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from polycera.errors import InputError, listing, shorten
from polycera.runs import Network, Training
from polycera.runs.results import Sharing
from polycera.tabular.prepare import prepared_again, tasks_from
from polycera.tabular.run import Run
from polycera.tabular.step_plan import StepPlan
from polycera.tasks import Task
from polycera.tasks.layout import Encoded

if TYPE_CHECKING:
    from polycera.model.model import Model
    from polycera.model.scores import Score

Rows = tuple[np.ndarray, Encoded]
"""Rows are features [n, width] and encoded labels by task."""


@dataclass(frozen=True)
class ComparisonData:
    """Hold what all trainings of a comparison have in common.

    Attributes:
        tasks: configs of all tasks of the run.
        network, training: parts of its spec; the network without kernel ridge, which is separate
            for each task anyway.
        train, validation, held_out: its rows, drawn once; validation may be None.
        fold_mask: with folds, which row of `train` is a validation row of which member.
        groups: the group of each validation row, with folds of each row of `train`; None where each
            row is a group of its own.
        part: the part that `held_out` rows come from: test or validation.
        alone: whether the run has kernel ridge beside its network, which is left out here.
    """

    tasks: list[dict[str, Any]]
    network: Network
    training: Training
    train: Rows
    validation: Rows | None
    fold_mask: np.ndarray | None
    held_out: Rows
    groups: np.ndarray | None
    part: str
    alone: bool = False

    @property
    def names(self) -> list[str]:
        """Return the names of all tasks."""
        return [task["name"] for task in self.tasks]

    def metric(self, name: str) -> str:
        """Return the name of a task's headline metric."""
        return next(task.headline for task in tasks_from(self.tasks) if task.name == name)

    def build(self, names: Iterable[str], seed: int) -> Model:
        """Return the compiled network for these tasks."""
        from polycera.tabular import recipe

        names = list(names)
        width = self.train[0].shape[1]
        return recipe.build(width, self._tasks(names), self.network, self._settings(names), seed)

    def fit(self, model: Model, seed: int) -> None:
        """Train a network for as many steps and with as much patience as the run had."""
        from polycera.tabular import recipe

        train, validation = self._of(self.train, model.tasks), None
        if self.validation is not None:
            validation = self._of(self.validation, model.tasks)
        training = self._settings(model.tasks)
        steps = StepPlan.of(len(train[0]), training)
        # A refit learns from the validation rows; the rows that measure the network must stay out.
        refit = self.part != "validation"
        recipe.train(
            model,
            train,
            validation,
            steps,
            training,
            [],
            seed,
            fold_mask=self.fold_mask,
            refit=refit,
            groups=self.groups,
        )
        recipe.check_finite(model)

    def measure(self, model: Model) -> dict[str, Score]:
        """Return each task's headline metric on the `held_out` rows."""
        features, targets = self._of(self.held_out, model.tasks)
        scores = model.measure(features, targets)
        return {name: scores[name][task.headline] for name, task in model.tasks.items()}

    def sharing(self) -> Sharing:
        """Return the costs of the joint network and of separate ones."""
        from polycera.interpretation.sharing import sharing

        return sharing(self.build(self.names, 0))

    def _tasks(self, names: list[str]) -> list[Task]:
        """Return the tasks to train, with weight 1 for a single task.

        A factor of the only loss would change the step, not the objective. Where all chosen tasks
        have weight 0, they get weight 1 too: otherwise nothing would be learned.
        """
        tasks = [task for task in tasks_from(self.tasks) if task.name in names]
        idle = len(tasks) < len(self.tasks) and not any(task.weight for task in tasks)
        return [task.replace(weight=1.0) for task in tasks] if len(tasks) == 1 or idle else tasks

    def _settings(self, names: Iterable[str]) -> Training:
        """Return the run's training settings.

        For a subset of the tasks they are without what controls how all tasks work together.
        """
        names = list(names)
        if len(names) == len(self.tasks):
            return self.training
        joint = {
            name: weight
            for name, weight in self.training.score_weights.items()
            if self._owner(name) in names
        }
        return msgspec.structs.replace(
            self.training,
            score_weights=joint if sum(joint.values()) > 0 else {},
            weighting=None,
            balancing=None,
            gradients="features",
            preference={},
        )

    def _owner(self, name: str) -> str:
        """Return the task of `task` or `task/metric`."""
        return name if name in self.names else name.rpartition("/")[0]

    def _of(self, rows: Rows, names: Iterable[str]) -> Rows:
        """Return the rows with the labels of these tasks only."""
        return rows[0], Encoded({name: rows[1][name] for name in names})


@dataclass(frozen=True)
class Job:
    """Describes a network to train.

    Attributes:
        tasks: names, in the run's order.
        seed: seed of the initial weights, the order of rows and dropout.
    """

    tasks: tuple[str, ...]
    seed: int

    def __str__(self) -> str:
        return f"the network of {listing(self.tasks, 5)} with seed {self.seed}"


@dataclass(frozen=True)
class TrainedJob:
    """Holds the result of one training.

    Attributes:
        scores: task -> its headline metric on the `held_out` rows.
        seconds: training time, with compiling.
    """

    scores: dict[str, Score]
    seconds: float


def train(problem: ComparisonData, job: Job) -> TrainedJob:
    """Train a network and measure it; warnings are hidden, because the run has shown them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = perf_counter()
        model = problem.build(job.tasks, job.seed)
        problem.fit(model, job.seed)
        seconds = perf_counter() - started
        return TrainedJob(problem.measure(model), seconds)


def problem_of(run: Run, source: Any = None) -> ComparisonData:
    """Return the data of a comparison: the rows of a run, divided as in the run.

    Args:
        run: a finished run.
        source: the table, where it is no longer at the run's path, or was a data frame.

    Raises:
        InputError: where the table is not the one that the run began with; where there are neither
            validation nor test rows.
    """
    prepared, spec = prepared_again(run, source), run.spec
    if prepared.stream is not None:
        raise InputError(
            f"The table of the run {shorten(run.path)!r} does not fit in memory, where a "
            "comparison trains: train a run on a part of the table, or allow more memory."
        )
    part, rows = prepared.held_out
    if part == "train":
        raise InputError(
            f"The run {shorten(run.path)!r} has neither validation nor test rows, so a comparison "
            "would only measure memory: train with test=0.15, for example."
        )
    # With folds each member trains on the validation rows of others. No member may train on the
    # rows that measure the network.
    if part == "validation":
        spec = msgspec.structs.replace(spec, network=msgspec.structs.replace(spec.network, folds=1))
    # Kernel ridge is solved in closed form, for each task by itself. Neither seeds nor other tasks
    # change its predictions, so it would hide the differences between joint and separate networks.
    has_kernel_ridge = bool(spec.network.landmarks)
    network = msgspec.structs.replace(spec.network, landmarks=0)
    # Imported late: it needs Keras, and a wrong table is refused before Keras is loaded.
    from polycera.tabular.fit_data import FitData

    fit_data, held_out = FitData.of(prepared, spec), prepared.encoded_rows(rows)
    return ComparisonData(
        spec.tasks,
        network,
        spec.training,
        fit_data.train,
        fit_data.validation,
        fit_data.fold_mask,
        held_out,
        fit_data.groups,
        part,
        has_kernel_ridge,
    )
