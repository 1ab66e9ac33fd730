"""What a sweep over static weights came to: a table, the weightings that no other beats, the best under weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from polycera import drawing
from polycera.errors import InputError, UnknownName, shorten
from polycera.experiments.gains import mean_defined
from polycera.runs import pareto_set
from polycera.runs.html_table import html_table
from polycera.tabular import Run
from polycera.tabular.loss_weights import weight_of
from polycera.tabular.prepare import tasks_from
from polycera.tasks.terms import factor

JUDGED = "Judged is the network alone: weights of losses do not reach kernel ridge, so it takes no part in a sweep."
"""What was compared."""


class Reached(msgspec.Struct):
    """What a task reaches under a weighting, as a mean over the seeds; None where it is undefined.

    Attributes:
        metric: the headline.
        value: in the user's unit.
        skill: 0 the trivial predictor, 1 perfect.
    """

    metric: str
    value: float | None
    skill: float | None


class Point(msgspec.Struct):
    """One weighting.

    Attributes:
        weights: of every task, and of the loss terms that are swept.
        runs: folders, one a seed.
        tasks: task -> what it reaches on the rows by which weightings are compared.
        held_out: task -> what it reaches on the held-out rows.
        front: whether no other weighting is at least as good in every task and better in one.
    """

    weights: dict[str, float]
    runs: list[str]
    tasks: dict[str, Reached]
    held_out: dict[str, Reached]
    front: bool = False

    @property
    def name(self) -> str:
        """Its weights in a few signs."""
        return ", ".join(f"{shorten(name, 20)} {value:g}" for name, value in self.weights.items())


@dataclass(frozen=True)
class Sweep:
    """Several weightings of one problem.

    Attributes:
        path: the folder with the runs.
        part: the rows by which weightings are compared: validation, where there are any.
        points: the weightings, in the order in which they were asked for.
    """

    path: Path
    part: str
    points: list[Point]

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row a weighting, as plain values: `weights`, `runs`, `tasks`, `held_out`, `front`."""
        return [msgspec.to_builtins(point) for point in self.points]

    @property
    def judged(self) -> str:
        """What was compared, in a sentence."""
        return JUDGED

    @property
    def all_alike(self) -> bool:
        """Whether no weighting reaches another number than the first."""
        skills = _skills(self.points)
        return len(skills) > 1 and bool(
            np.allclose(skills, skills[0], rtol=1e-6, atol=0.0, equal_nan=True)
        )

    @property
    def front(self) -> list[Point]:
        """The weightings that no other beats."""
        return [point for point in self.points if point.front]

    def best(self, weights: Mapping[str, float]) -> Run:
        """The run that is best under these weights of the tasks' skills; of several seeds the first.

        Args:
            weights: task -> how much its skill counts; what is not named counts nothing.

        Raises:
            UnknownName: for a task that there is not.
            InputError: for weights that are not finite, 0 or more, with a positive sum.
        """
        names = list(self.points[0].tasks)
        counts = np.zeros(len(names))
        for name, value in weights.items():
            counts[self._place(name)] = factor(value, f"the weight of {shorten(name)!r}")
        if not counts.sum() > 0:
            raise InputError(
                f"Expected weights that are finite, 0 or more, and one above 0, got {shorten(dict(weights))}."
            )
        chosen = self.points[pareto_set.choose(_skills(self.points), counts)]
        return Run(self.path / chosen.runs[0])

    def picture(self, one: str, other: str) -> drawing.Picture:
        """The trade-off of two tasks: a point a weighting, and a line through those that no other beats in these two.

        Raises:
            UnknownName: for a task that there is not.
        """
        skills = _skills(self.points)[:, [self._place(one), self._place(other)]]
        best = np.flatnonzero(pareto_set.non_dominated(skills) & ~np.isnan(skills).any(axis=1))
        return drawing.scatter(
            [(_number(a), _number(b)) for a, b in skills],
            title=f"{shorten(one, 40)} against {shorten(other, 40)} under {len(self.points)} weightings",
            x_label=f"skill of {shorten(one, 40)}, {self.part} rows",
            y_label=f"skill of {shorten(other, 40)}, {self.part} rows",
            names=[point.name for point in self.points],
            connect=[int(place) for place in best[np.argsort(skills[best, 0], kind="stable")]],
        )

    def __repr__(self) -> str:
        return f"Sweep({str(self.path)!r}: {len(self.points)} weightings, {self.part} rows)"

    def _repr_html_(self) -> str:
        tasks = list(self.points[0].tasks) if self.points else []
        rows = [
            [
                point.name,
                *(point.tasks[task].skill for task in tasks),
                "beaten by none" if point.front else "",
            ]
            for point in self.points
        ]
        return html_table(
            f"{self.path}: skill on the {self.part} rows", ["weights", *tasks, ""], rows
        )

    def to_config(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"part": self.part, "judged": self.judged, "points": self.table}

    def _place(self, name: str) -> int:
        names = list(self.points[0].tasks)
        if name not in names:
            raise UnknownName("task of the sweep:", name, names)
        return names.index(name)


def gathered(path: Path, weightings: Sequence[tuple[dict[str, float], list[Path]]]) -> Sweep:
    """The table of a sweep, from its runs.

    Args:
        path: of the sweep.
        weightings: weights and the runs with them, one a seed.

    Raises:
        InputError: where two runs of a seed did not see the same rows, or one is not what its name
            says.
    """
    opened = [(weights, [Run(place) for place in places]) for weights, places in weightings]
    _check_alike(opened)
    first = opened[0][1][0].metrics
    part = "validation" if first.get("validation") else first["held_out"]
    points = [
        Point(
            weights,
            [run.path.name for run in runs],
            _reached(runs, part),
            _reached(runs, first["held_out"]),
        )
        for weights, runs in opened
    ]
    for point, best in zip(points, pareto_set.non_dominated(_skills(points)), strict=True):
        point.front = bool(best)
    return Sweep(path, part, points)


def _check_alike(opened: list[tuple[dict[str, float], list[Run]]]) -> None:
    rows: dict[int, str] = {}
    for weights, runs in opened:
        for run in runs:
            tasks = tasks_from(run.spec.tasks)
            if any(weight_of(name, tasks) != weight for name, weight in weights.items()):
                raise InputError(
                    f"The run {shorten(run.path)!r} was trained with other weights than its name says."
                )
            if rows.setdefault(run.spec.seed, run.schema["rows"]) != run.schema["rows"]:
                raise InputError(
                    f"The run {shorten(run.path)!r} was trained on another table than the others of its sweep; "
                    "remove it, or choose another out=."
                )


def _reached(runs: list[Run], part: str) -> dict[str, Reached]:
    found = {}
    for task, own in runs[0].metrics[part].items():
        metric = next(iter(own))
        scores = [run.metrics[part][task][metric] for run in runs]
        value, skill = (
            mean_defined([score[key] for score in scores]) for key in ("value", "skill")
        )
        found[task] = Reached(metric, value, skill)
    return found


def _skills(points: Sequence[Point]) -> np.ndarray:
    """[points, tasks], NaN where undefined."""
    return np.array(
        [[reached.skill for reached in point.tasks.values()] for point in points], float
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
