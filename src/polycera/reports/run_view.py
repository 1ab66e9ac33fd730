"""Read the parts of a run that a report shows; missing and damaged parts do not stop it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from polycera.errors import InputError, PolyceraError, shorten
from polycera.reports.history import History
from polycera.reports.numbers import mean, real
from polycera.runs import Folder, Spec, folder, manifest, region_gradients, results, spec
from polycera.runs.checkpoints import Checkpoints
from polycera.runs.kept_epochs import KeptEpoch
from polycera.runs.region_gradients import RegionGradients
from polycera.runs.timing import TIMING, Timing
from polycera.runs.verify import verify

Part = TypeVar("Part")


@dataclass(frozen=True)
class Cut:
    """Holds where an unfinished training stands.

    Attributes:
        epoch, batch: the next ones after the newest checkpoint.
        history: the epochs so far; None before the first.
    """

    epoch: int
    batch: int
    history: History | None


class RunView:
    """Reads a run part by part. A missing part is None; a damaged one too, with a sentence in `faults`.

    Args:
        path: of the run's folder.

    Attributes:
        path: as it was given.
        spec: everything needed to repeat the run.
        faults: a sentence for each part that could not be read.

    Raises:
        InputError: where there is no run.
        PolyceraError: where its manifest or its spec is damaged: then nothing can be shown.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.folder = Folder(path)
        self.faults: list[str] = []
        self.spec: Spec = self.folder.spec
        self.finished = self.folder.finished
        # The page shows nothing of these files, but what it shows was computed from them.
        unread = {folder.MODEL, folder.PREDICTIONS}
        self.faults += [found.sentence for found in verify(path).findings if found.file in unread]

    def _part(self, name: str, read: Callable[[], Part]) -> Part | None:
        """Return a part of the run, read from the file or folder of this name."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                part = read()
            self.faults += [
                str(warning.message)
                for warning in caught
                if issubclass(warning.category, UserWarning)
            ]
            return part
        except PolyceraError as error:
            sentence = shorten(" ".join(str(error).split()), 300)
            # A long path may have been cut off before the name.
            self.faults.append(sentence if name in sentence else f"{name}: {sentence}")
            return None

    @cached_property
    def tasks(self) -> list[str]:
        """Return the tasks' names, in the spec's order."""
        return [str(task.get("name", f"task {i}")) for i, task in enumerate(self.spec.tasks)]

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Return task -> kind, empty where the spec does not name one."""
        return {
            name: str(task.get("kind", ""))
            for name, task in zip(self.tasks, self.spec.tasks, strict=True)
        }

    @cached_property
    def text(self) -> str | None:
        """Return the text of the spec's file."""
        content = self._part(
            folder.SPEC, lambda: manifest.content(self.path, folder.SPEC, spec.SIZE)
        )
        return None if content is None else content.decode(errors="replace")

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """Return the columns of the table with their roles, and the warnings."""
        return self._part(folder.SCHEMA, lambda: self.folder.schema)

    @cached_property
    def timing(self) -> Timing | None:
        """Return what depends on the clock and the machine."""
        return self._part(TIMING, lambda: self.folder.timing)

    @property
    def versions(self) -> dict[str, str] | None:
        """Return the versions of the libraries that made the run."""
        return None if self.timing is None else self.timing.versions

    @property
    def seconds(self) -> float | None:
        """Return how many seconds the training took."""
        measured = None if self.timing is None else self.timing.seconds
        # A run of an older version has it among its metrics.
        return measured if measured is not None else (self.metrics or {}).get("seconds")

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """Return the scores, in the form of `metrics.json`; None for an unfinished training."""
        return self._part(folder.METRICS, lambda: self.folder.metrics) if self.finished else None

    @cached_property
    def cut(self) -> Cut | None:
        """Return where the training stands; None if it has ended or has no checkpoint yet."""
        checkpoint = None if self.finished else self._part(folder.CHECKPOINTS, self._newest)
        if checkpoint is None:
            return None
        notes = checkpoint.notes
        states = {one["class"]: one["state"] for one in notes["callbacks"]}
        return Cut(
            notes["epoch"], notes["batch"], History.of_state(states.get("History"), self.tasks)
        )

    def _newest(self) -> Any:
        return Checkpoints(self.path / folder.CHECKPOINTS).newest()

    @cached_property
    def history(self) -> History | None:
        """Return the history; of an unfinished training from its newest checkpoint."""
        if not self.finished:
            found = self.cut.history if self.cut else None
        else:
            rows = self._part(folder.HISTORY, lambda: self.folder.history)
            found = None if rows is None else History.of(rows, self.tasks)
        return found if found is not None and found.epochs else None

    @cached_property
    def kept(self) -> list[KeptEpoch]:
        """Return the kept epochs."""
        return self._part(folder.EPOCHS, lambda: _of_one_form(self.folder.epochs)) or []

    @cached_property
    def sharing(self) -> results.Sharing | None:
        """Return which layers serve which tasks."""
        return self._part(results.SHARING, lambda: self.folder.sharing)

    @property
    def weights(self) -> int | None:
        """Return the number of weights that serve a task; all weights where that is not known."""
        if self.sharing is not None:
            return self.sharing.parameters.total - self.sharing.parameters.none
        counted = real(self.metrics.get("parameters")) if self.metrics else None
        return None if counted is None else int(counted)

    @cached_property
    def quality(self) -> results.Quality | None:
        """Return how good the predictions are, task by task."""
        return self._part(results.QUALITY, lambda: self.folder.quality)

    @cached_property
    def importance(self) -> results.Importance | None:
        """Return the importance of each input column for each task."""
        return self._part(results.IMPORTANCE, lambda: self.folder.importance)

    @cached_property
    def thresholds(self) -> results.Thresholds | None:
        """Return the decision thresholds."""
        return self._part(results.THRESHOLDS, lambda: self.folder.thresholds)

    @cached_property
    def comparison(self) -> results.SeparateComparison | None:
        """Return the comparison with separate networks."""
        return self._part(results.COMPARISON, lambda: self.folder.comparison)

    @cached_property
    def gradients(self) -> RegionGradients | None:
        """Return the gradient statistics of the training."""
        return self._part(folder.GRADIENTS, self._gradients)

    def _gradients(self) -> RegionGradients | None:
        stored = self.folder.gradients
        return None if stored is None else region_gradients.read(stored)

    # -- what follows from them ----------------------------------------------------------------------------------

    @cached_property
    def held_out(self) -> str:
        """Return the part of the rows that the headline scores are of; empty before any score."""
        return str(self.metrics["part"]) if self.metrics else ""

    @cached_property
    def scores(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return task -> metric -> value, trivial value, ideal, direction, skill on these rows."""
        return self.metrics[self.held_out] if self.metrics else {}

    @cached_property
    def headlines(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return task -> its headline metric, and its score."""
        return {task: next(iter(own.items())) for task, own in self.scores.items() if own}

    @cached_property
    def skills(self) -> dict[str, float | None]:
        """Return task -> skill in its headline metric; before the end, on the validation rows so far."""
        if self.scores:
            return {task: real(score["skill"]) for task, (_, score) in self.headlines.items()}
        latest = {task: self.history.skill(task) for task in self.tasks} if self.history else {}
        return {task: real(column[-1]) for task, column in latest.items() if column is not None}

    @property
    def mean_skill(self) -> float | None:
        """Return the mean skill of the tasks in which it is defined."""
        return mean(self.skills.values())

    @cached_property
    def joint(self) -> dict[str, float]:
        """Return task -> weight in the joint score that early stopping used."""
        named = self.spec.training.score_weights or dict.fromkeys(self.tasks, 1.0)
        return {
            task: sum(weight for name, weight in named.items() if name in self._ways(task))
            for task in self.tasks
        }

    def _ways(self, task: str) -> set[str]:
        """Return the names of a task in the joint score: alone, or with a metric."""
        named = {
            name
            for name in self.spec.training.score_weights
            if name.rpartition("/")[0] == task and name not in self.tasks
        }
        return {task} | named

    @cached_property
    def epoch_skills(self) -> dict[str, np.ndarray]:
        """Return task -> skill on the validation rows by epoch, [e], for tasks where it is known."""
        skills = {task: self._epoch_skill(task) for task in self.tasks} if self.history else {}
        return {task: column for task, column in skills.items() if column is not None}

    def _epoch_skill(self, task: str) -> np.ndarray | None:
        """Return a task's skill by epoch: as logged, or computed from the metric and its trivial value."""
        assert self.history is not None
        column, named = self.history.skill(task), self.spec.training.score_weights
        if column is not None and (not named or task in named):
            return column
        scores: dict[str, dict[str, Any]] = ((self.metrics or {}).get("validation") or {}).get(
            task, {}
        )
        metric = next(iter(scores), "")
        trivial, ideal = (real(scores.get(metric, {}).get(name)) for name in ("trivial", "ideal"))
        values = self.history.get(f"val_{task}/{metric}")
        if values is None or trivial is None or ideal is None or trivial == ideal:
            return None
        return np.asarray(1 - np.abs(values - ideal) / abs(trivial - ideal))


def _of_one_form(epochs: Sequence[KeptEpoch]) -> list[KeptEpoch]:
    """Return the kept epochs; raise an error unless all of them watched the same metrics."""
    if any(epoch.watched != epochs[0].watched for epoch in epochs):
        raise InputError("The kept epochs are of several trainings, so they are not compared.")
    return list(epochs)


def read(runs: Sequence[str | Path]) -> list[RunView]:
    """Return the views of several runs.

    Raises:
        InputError: where there is none, or one is named twice.
    """
    if not runs:
        raise InputError("Name at least one run folder: polycera report RUN.")
    views = [RunView(path) for path in runs]
    twice = {
        str(view.path)
        for view in views
        if sum(other.path.resolve() == view.path.resolve() for other in views) > 1
    }
    if twice:
        raise InputError(
            f"A report shows a run once: {shorten(', '.join(sorted(twice)))} is named twice."
        )
    return views
