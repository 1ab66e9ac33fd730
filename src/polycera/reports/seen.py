"""Everything that a report may want of a run, each part as far as it is there and whole."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from polycera.errors import InputError, PolyceraError, shorten
from polycera.reports import pulls
from polycera.reports.history import History
from polycera.reports.numbers import mean, real
from polycera.reports.pulls import RegionGradients
from polycera.runs import Folder, Spec, folder, manifest, results, spec
from polycera.runs.checkpoints import Checkpoints
from polycera.runs.kept_epochs import KeptEpoch
from polycera.runs.timing import TIMING, Timing
from polycera.runs.verify import verify

Part = TypeVar("Part")


@dataclass(frozen=True)
class Cut:
    """Where a training is that has not ended.

    Attributes:
        epoch, batch: of the newest checkpoint, which come next.
        history: of the epochs so far; None where there is none yet.
    """

    epoch: int
    batch: int
    history: History | None


class RunView:
    """A run, read part by part; a part that is absent is None, one that is damaged is None with a sentence in `faults`.

    Args:
        path: of the run's folder.

    Attributes:
        path: as it was given.
        spec: what it takes to repeat the run.
        faults: a sentence for each part that could not be read.

    Raises:
        InputError: where there is no run.
        PolyceraError: where its manifest or its spec is damaged: nothing can be said of it then.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.folder = Folder(path)
        self.faults: list[str] = []
        self.spec: Spec = self.folder.spec
        self.finished = self.folder.finished
        # the page shows nothing of these, but what it shows is said of them
        unread = {folder.MODEL, folder.PREDICTIONS}
        self.faults += [found.sentence for found in verify(path).findings if found.file in unread]

    def _part(self, name: str, read: Callable[[], Part]) -> Part | None:
        """A part of the run, read from the file or folder of this name."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found = read()
            self.faults += [
                str(one.message) for one in caught if issubclass(one.category, UserWarning)
            ]
            return found
        except PolyceraError as error:
            said = shorten(" ".join(str(error).split()), 300)
            # a long path was cut off before it
            self.faults.append(said if name in said else f"{name}: {said}")
            return None

    @cached_property
    def tasks(self) -> list[str]:
        """Names, in the spec's order."""
        return [str(task.get("name", f"task {i}")) for i, task in enumerate(self.spec.tasks)]

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Task -> kind, where the spec says it."""
        return {
            name: str(task.get("kind", ""))
            for name, task in zip(self.tasks, self.spec.tasks, strict=True)
        }

    @cached_property
    def text(self) -> str | None:
        """The spec as it stands in its file."""
        found = self._part(folder.SPEC, lambda: manifest.content(self.path, folder.SPEC, spec.SIZE))
        return None if found is None else found.decode(errors="replace")

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """The columns of the table, what each is to the network, and warnings."""
        return self._part(folder.SCHEMA, lambda: self.folder.schema)

    @cached_property
    def timing(self) -> Timing | None:
        """What the run says of the clock and the machine."""
        return self._part(TIMING, lambda: self.folder.timing)

    @property
    def versions(self) -> dict[str, str] | None:
        """Of what the run was made with."""
        return None if self.timing is None else self.timing.versions

    @property
    def seconds(self) -> float | None:
        """How long it trained."""
        found = None if self.timing is None else self.timing.seconds
        # a run of an older version has it among its metrics
        return found if found is not None else (self.metrics or {}).get("seconds")

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """What it reached, in the form of `metrics.json`; None as long as the training goes on."""
        return self._part(folder.METRICS, lambda: self.folder.metrics) if self.finished else None

    @cached_property
    def cut(self) -> Cut | None:
        """Where the training is; None where it has ended, or has no checkpoint yet."""
        found = None if self.finished else self._part(folder.CHECKPOINTS, self._newest)
        if found is None:
            return None
        notes = found.notes
        states = {one["class"]: one["state"] for one in notes["callbacks"]}
        return Cut(
            notes["epoch"], notes["batch"], History.of_state(states.get("History"), self.tasks)
        )

    def _newest(self) -> Any:
        return Checkpoints(self.path / folder.CHECKPOINTS).newest()

    @cached_property
    def history(self) -> History | None:
        """One row an epoch; of a training that has not ended, from its newest checkpoint."""
        if not self.finished:
            found = self.cut.history if self.cut else None
        else:
            rows = self._part(folder.HISTORY, lambda: self.folder.history)
            found = None if rows is None else History.of(rows, self.tasks)
        return found if found is not None and found.epochs else None

    @cached_property
    def kept(self) -> list[KeptEpoch]:
        """The epochs whose weights were kept."""
        return self._part(folder.EPOCHS, lambda: _of_one_form(self.folder.epochs)) or []

    @cached_property
    def sharing(self) -> results.Sharing | None:
        """Which layers serve which tasks."""
        return self._part(results.SHARING, lambda: self.folder.sharing)

    @property
    def weights(self) -> int | None:
        """How many weights serve a task; as the training counted them where nobody has looked whom they serve."""
        if self.sharing is not None:
            return self.sharing.parameters.total - self.sharing.parameters.none
        counted = real(self.metrics.get("parameters")) if self.metrics else None
        return None if counted is None else int(counted)

    @cached_property
    def quality(self) -> results.Quality | None:
        """How good the answers are, task by task."""
        return self._part(results.QUALITY, lambda: self.folder.quality)

    @cached_property
    def importance(self) -> results.Importance | None:
        """What each input column is worth to each task."""
        return self._part(results.IMPORTANCE, lambda: self.folder.importance)

    @cached_property
    def thresholds(self) -> results.Thresholds | None:
        """From which probability on a label is said."""
        return self._part(results.THRESHOLDS, lambda: self.folder.thresholds)

    @cached_property
    def comparison(self) -> results.SeparateComparison | None:
        """The network against separate ones."""
        return self._part(results.COMPARISON, lambda: self.folder.comparison)

    @cached_property
    def pulls(self) -> RegionGradients | None:
        """What the training saw of the tasks' gradients."""
        return self._part(folder.GRADIENTS, self._pulls)

    def _pulls(self) -> RegionGradients | None:
        stored = self.folder.gradients
        return None if stored is None else pulls.read(stored)

    # -- what follows from them ----------------------------------------------------------------------------------

    @cached_property
    def held_out(self) -> str:
        """The part of the rows that says how good the network is; empty where nothing was measured yet."""
        return str(self.metrics["held_out"]) if self.metrics else ""

    @cached_property
    def scores(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Task -> metric -> value, trivial value, ideal, direction, skill on these rows."""
        return self.metrics[self.held_out] if self.metrics else {}

    @cached_property
    def headlines(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Task -> the metric that stands for it, and its score."""
        return {task: next(iter(own.items())) for task, own in self.scores.items() if own}

    @cached_property
    def skills(self) -> dict[str, float | None]:
        """Task -> skill in its headline metric on the held-out rows; before the end, on validation rows by now."""
        if self.scores:
            return {task: real(score["skill"]) for task, (_, score) in self.headlines.items()}
        latest = {task: self.history.skill(task) for task in self.tasks} if self.history else {}
        return {task: real(column[-1]) for task, column in latest.items() if column is not None}

    @property
    def mean_skill(self) -> float | None:
        """Over the tasks in which it is defined."""
        return mean(self.skills.values())

    @cached_property
    def joint(self) -> dict[str, float]:
        """Task -> weight in the joint score by which the training stopped."""
        named = self.spec.training.joint or dict.fromkeys(self.tasks, 1.0)
        return {
            task: sum(weight for name, weight in named.items() if name in self._ways(task))
            for task in self.tasks
        }

    def _ways(self, task: str) -> set[str]:
        """How the joint score may name a task: as it is, or with a metric."""
        named = {
            name
            for name in self.spec.training.joint
            if name.rpartition("/")[0] == task and name not in self.tasks
        }
        return {task} | named

    @cached_property
    def epoch_skills(self) -> dict[str, np.ndarray]:
        """Task -> its headline metric as skill on the validation rows, epoch by epoch, [e]; where it is known."""
        found = {task: self._epoch_skill(task) for task in self.tasks} if self.history else {}
        return {task: column for task, column in found.items() if column is not None}

    def _epoch_skill(self, task: str) -> np.ndarray | None:
        """As it was logged; where the joint score did not watch this metric, from what the metrics say is trivial."""
        assert self.history is not None
        column, named = self.history.skill(task), self.spec.training.joint
        if column is not None and (not named or task in named):
            return column
        own: dict[str, dict[str, Any]] = ((self.metrics or {}).get("validation") or {}).get(
            task, {}
        )
        metric = next(iter(own), "")
        trivial, ideal = (real(own.get(metric, {}).get(name)) for name in ("trivial", "ideal"))
        values = self.history.get(f"val_{task}/{metric}")
        if values is None or trivial is None or ideal is None or trivial == ideal:
            return None
        return np.asarray(1 - np.abs(values - ideal) / abs(trivial - ideal))


def _of_one_form(found: Sequence[KeptEpoch]) -> list[KeptEpoch]:
    """Kept epochs that can be compared: all watched the same."""
    if any(one.watched != found[0].watched for one in found):
        raise InputError("The kept epochs are of several trainings, so they are not compared.")
    return list(found)


def read(runs: Sequence[str | Path]) -> list[RunView]:
    """Several runs.

    Raises:
        InputError: where there is none, or one is named twice.
    """
    if not runs:
        raise InputError("Name at least one run folder: polycera report RUN.")
    found = [RunView(path) for path in runs]
    twice = {
        str(one.path)
        for one in found
        if sum(other.path.resolve() == one.path.resolve() for other in found) > 1
    }
    if twice:
        raise InputError(
            f"A report shows a run once: {shorten(', '.join(sorted(twice)))} is named twice."
        )
    return found
