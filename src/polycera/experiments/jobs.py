"""A network of some of a run's tasks, trained as the run was, on the very rows that it had."""

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
from polycera.tasks import Task

if TYPE_CHECKING:
    from polycera.model.model import Model
    from polycera.model.scores import Score

Rows = tuple[np.ndarray, dict[str, Any]]
"""Features [n, width] and labels by task."""


@dataclass(frozen=True)
class ComparisonData:
    """What all trainings of a comparison have in common.

    Attributes:
        tasks: configs of all tasks of the run.
        network, training: of its spec; the network without kernel ridge, of which each task has its
            own anyway.
        train, validation, held_out: its rows, drawn once; there may be no validation.
        held: with folds, which row of `train` is held out from which member.
        groups: the group of each row that is held out once to choose by; None where each is its
            own.
        part: what the held-out rows are: test or validation.
        alone: whether the run has kernel ridge beside its network, which is left out here.
    """

    tasks: list[dict[str, Any]]
    network: Network
    training: Training
    train: Rows
    validation: Rows | None
    held: np.ndarray | None
    held_out: Rows
    groups: np.ndarray | None
    part: str
    alone: bool = False

    @property
    def names(self) -> list[str]:
        """Of all tasks."""
        return [task["name"] for task in self.tasks]

    def metric(self, name: str) -> str:
        """A task's headline metric."""
        return next(task.headline for task in tasks_from(self.tasks) if task.name == name)

    def build(self, names: Iterable[str], seed: int) -> Model:
        """The network of these tasks, compiled."""
        from polycera.tabular import recipe

        names = list(names)
        width = self.train[0].shape[1]
        return recipe.build(width, self._tasks(names), self.network, self._settings(names), seed)

    def fit(self, model: Model, seed: int) -> None:
        """Train it, for as many steps and with as much patience as the run had."""
        from polycera.tabular import recipe

        train, validation = self._of(self.train, model.tasks), None
        if self.validation is not None:
            validation = self._of(self.validation, model.tasks)
        training = self._settings(model.tasks)
        steps = recipe.StepPlan.of(len(train[0]), training)
        refit = self.part != "validation"  # else what says how good it is would be learned
        recipe.train(
            model,
            train,
            validation,
            steps,
            training,
            [],
            seed,
            held=self.held,
            refit=refit,
            groups=self.groups,
        )
        recipe.check_finite(model)

    def measure(self, model: Model) -> dict[str, Score]:
        """Each task's headline metric on the held-out rows."""
        features, targets = self._of(self.held_out, model.tasks)
        model.evaluate(features, targets, verbose=0)
        return {name: model.scores[name][task.headline] for name, task in model.tasks.items()}

    def sharing(self) -> Sharing:
        """What the joint network costs, and separate ones."""
        from polycera.interpretation.sharing import sharing

        return sharing(self.build(self.names, 0))

    def _tasks(self, names: list[str]) -> list[Task]:
        """A task by itself has weight 1: a factor of the only loss would change the step, not the aim.

        So have some that all have weight 0, of which nothing would be learned.
        """
        tasks = [task for task in tasks_from(self.tasks) if task.name in names]
        idle = len(tasks) < len(self.tasks) and not any(task.weight for task in tasks)
        return [task.replace(weight=1.0) for task in tasks] if len(tasks) == 1 or idle else tasks

    def _settings(self, names: Iterable[str]) -> Training:
        """The run's; for some of its tasks, less what says how all of them get on."""
        names = list(names)
        if len(names) == len(self.tasks):
            return self.training
        joint = {
            name: weight
            for name, weight in self.training.joint.items()
            if self._owner(name) in names
        }
        return msgspec.structs.replace(
            self.training,
            joint=joint if sum(joint.values()) > 0 else {},
            weighting=None,
            balancing=None,
            gradients="features",
            preference={},
        )

    def _owner(self, name: str) -> str:
        """The task of `task` or `task/metric`."""
        return name if name in self.names else name.rpartition("/")[0]

    def _of(self, rows: Rows, names: Iterable[str]) -> Rows:
        return rows[0], {name: rows[1][name] for name in names}


@dataclass(frozen=True)
class Job:
    """A network to train.

    Attributes:
        tasks: names, in the run's order.
        seed: of the first weights, the order of rows and dropout.
    """

    tasks: tuple[str, ...]
    seed: int

    def __str__(self) -> str:
        return f"the network of {listing(self.tasks, 5)} with seed {self.seed}"


@dataclass(frozen=True)
class TrainedJob:
    """What it came to.

    Attributes:
        scores: task -> its headline metric on the held-out rows.
        seconds: that training took, compiling included.
    """

    scores: dict[str, Score]
    seconds: float


def train(problem: ComparisonData, job: Job) -> TrainedJob:
    """Train a network and measure it; what a training would warn of, the run has said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = perf_counter()
        model = problem.build(job.tasks, job.seed)
        problem.fit(model, job.seed)
        seconds = perf_counter() - begun
        return TrainedJob(problem.measure(model), seconds)


def problem_of(run: Run, source: Any = None) -> ComparisonData:
    """The rows of a run, as it divided them.

    Args:
        run: a finished one.
        source: the table, where it is no longer where the run found it, or was a data frame.

    Raises:
        InputError: where the table is not the one with which it began; where no rows were held out.
    """
    prepared, plan = prepared_again(run, source), run.spec
    part, rows = prepared.held_out
    if part == "train":
        raise InputError(
            f"The run {shorten(run.path)!r} held out no rows, neither for validation nor for test, so a comparison "
            "would say who remembers best: train with test=0.15, say."
        )
    if part == "validation":  # which must then be held out from all members
        plan = msgspec.structs.replace(plan, network=msgspec.structs.replace(plan.network, folds=1))
    # Kernel ridge is solved in closed form, for each task by itself: neither seeds nor other tasks
    # change its answers, so that it would only hide what joint and separate networks differ in.
    alone = bool(plan.network.landmarks)
    network = msgspec.structs.replace(plan.network, landmarks=0)
    # only now: it needs Keras, and another table is refused before that
    from polycera.tabular.fit_data import FitData

    lesson, held_out = FitData.of(prepared, plan), prepared.rows(rows)
    return ComparisonData(
        plan.tasks,
        network,
        plan.training,
        lesson.train,
        lesson.validation,
        lesson.held,
        held_out,
        lesson.groups,
        part,
        alone,
    )
