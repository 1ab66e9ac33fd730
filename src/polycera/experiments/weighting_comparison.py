"""Hold the results of a comparison of static loss weightings.

They are a table, the Pareto set of the weightings, and the best weighting under given score
weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from polycera import drawing, renamed
from polycera.errors import InputError, UnknownName, shorten
from polycera.experiments.gains import mean_defined
from polycera.runs import pareto_set
from polycera.runs.html_table import html_table
from polycera.tabular import Run
from polycera.tabular.loss_weights import weight_of
from polycera.tabular.prepare import tasks_from
from polycera.tasks.terms import factor

JUDGED = "Only networks are compared: loss weights do not affect kernel ridge, so it takes no part."
"""This sentence says what is compared."""


class Reached(msgspec.Struct):
    """Holds what a task reaches under a weighting, averaged over the seeds; None where undefined.

    Attributes:
        metric: name of the headline metric.
        value: the metric in the user's own scale.
        skill: 0 for the trivial predictor, 1 for a perfect one.
    """

    metric: str
    value: float | None
    skill: float | None


class Point(msgspec.Struct):
    """Holds one weighting with its runs and results.

    Attributes:
        loss_weights: of every task, and of the loss terms whose weights are varied.
        runs: names of the run folders, one for each seed.
        tasks: task -> its results on the rows by which weightings are compared.
        test: task -> its results on the test rows; where there are none, on the validation rows.
        in_pareto_set: whether no other weighting is at least as good in every task
            and better in one.
    """

    loss_weights: dict[str, float]
    runs: list[str]
    tasks: dict[str, Reached]
    test: dict[str, Reached]
    in_pareto_set: bool = False

    weights = renamed.Attribute("loss_weights")
    held_out = renamed.Attribute("test")
    front = renamed.Attribute("in_pareto_set")

    @property
    def name(self) -> str:
        """Return the weights as a short text."""
        return ", ".join(
            f"{shorten(name, 20)} {value:g}" for name, value in self.loss_weights.items()
        )


@dataclass(frozen=True)
class WeightingComparison:
    """Hold several weightings of one problem.

    Attributes:
        path: the folder with the runs.
        part: the rows by which weightings are compared: validation, where there are any.
        points: the weightings, in the order in which they were passed.
    """

    path: Path
    part: str
    points: list[Point]

    @property
    def table(self) -> list[dict[str, Any]]:
        """Return one row for each weighting, as plain values.

        The keys are `loss_weights`, `runs`, `tasks`, `test` and `in_pareto_set`.
        """
        return [msgspec.to_builtins(point) for point in self.points]

    @property
    def judged(self) -> str:
        """Return in a sentence what was compared."""
        return JUDGED

    @property
    def all_alike(self) -> bool:
        """Return whether all weightings reach the same numbers."""
        skills = _skills(self.points)
        return len(skills) > 1 and bool(
            np.allclose(skills, skills[0], rtol=1e-6, atol=0.0, equal_nan=True)
        )

    @property
    def pareto_set(self) -> list[Point]:
        """Return the weightings that no other beats."""
        return [point for point in self.points if point.in_pareto_set]

    front = renamed.Attribute("pareto_set")

    @renamed.arguments(weights="score_weights")
    def best(self, score_weights: Mapping[str, float]) -> Run:
        """Return the run that is best under these score weights; with several seeds the first one.

        Args:
            score_weights: task -> weight of its skill; a task that is not named has weight 0.

        Raises:
            UnknownName: for a task that does not exist.
            InputError: for weights that are not finite, 0 or more, with a positive sum.
        """
        names = list(self.points[0].tasks)
        by_task = np.zeros(len(names))
        for name, value in score_weights.items():
            by_task[self._index(name)] = factor(value, f"the weight of {shorten(name)!r}")
        if not by_task.sum() > 0:
            raise InputError(
                "Expected weights that are finite, 0 or more, and one above 0, got "
                f"{shorten(dict(score_weights))}."
            )
        chosen = self.points[pareto_set.choose(_skills(self.points), by_task)]
        return Run(self.path / chosen.runs[0])

    def picture(self, one: str, other: str) -> drawing.Picture:
        """Return a chart of the trade-off between two tasks: one point for each weighting.

        A line connects the Pareto set of these two tasks.

        Raises:
            UnknownName: for a task that does not exist.
        """
        skills = _skills(self.points)[:, [self._index(one), self._index(other)]]
        # A weighting with an undefined skill cannot be drawn, so the line leaves it out.
        pareto_points = np.flatnonzero(
            pareto_set.non_dominated(skills) & ~np.isnan(skills).any(axis=1)
        )
        return drawing.scatter(
            [(_number(a), _number(b)) for a, b in skills],
            title=(
                f"{shorten(one, 40)} against {shorten(other, 40)} under {len(self.points)} "
                "weightings"
            ),
            x_label=f"skill of {shorten(one, 40)}, {self.part} rows",
            y_label=f"skill of {shorten(other, 40)}, {self.part} rows",
            names=[point.name for point in self.points],
            connect=[
                int(index)
                for index in pareto_points[np.argsort(skills[pareto_points, 0], kind="stable")]
            ],
        )

    def __repr__(self) -> str:
        return (
            f"WeightingComparison({str(self.path)!r}: {len(self.points)} weightings, "
            f"{self.part} rows)"
        )

    def _repr_html_(self) -> str:
        tasks = list(self.points[0].tasks) if self.points else []
        rows = [
            [
                point.name,
                *(point.tasks[task].skill for task in tasks),
                "in the Pareto set" if point.in_pareto_set else "",
            ]
            for point in self.points
        ]
        return html_table(
            f"{self.path}: skill on the {self.part} rows", ["loss weights", *tasks, ""], rows
        )

    def to_config(self) -> dict[str, Any]:
        """Return the comparison as plain values, for JSON."""
        return {"part": self.part, "judged": self.judged, "points": self.table}

    def _index(self, name: str) -> int:
        """Return the position of a task among the tasks of the comparison."""
        names = list(self.points[0].tasks)
        if name not in names:
            raise UnknownName("task of the comparison:", name, names)
        return names.index(name)


def gathered(
    path: Path, weightings: Sequence[tuple[dict[str, float], list[Path]]]
) -> WeightingComparison:
    """Return the comparison that its runs make.

    Args:
        path: folder of the runs.
        weightings: weights and the runs with them, one for each seed.

    Raises:
        InputError: where two runs of a seed did not have the same rows, or a run's weights are not
            those in its name.
    """
    opened = [(weights, [Run(folder) for folder in folders]) for weights, folders in weightings]
    _check_alike(opened)
    first = opened[0][1][0].metrics
    part = "validation" if first.get("validation") else first["part"]
    points = [
        Point(
            weights,
            [run.path.name for run in runs],
            _reached(runs, part),
            _reached(runs, first["part"]),
        )
        for weights, runs in opened
    ]
    for point, is_pareto in zip(points, pareto_set.non_dominated(_skills(points)), strict=True):
        point.in_pareto_set = bool(is_pareto)
    return WeightingComparison(path, part, points)


def _check_alike(opened: list[tuple[dict[str, float], list[Run]]]) -> None:
    """Raise an InputError for a run with other weights than its name, or with another table."""
    rows: dict[int, str] = {}
    for weights, runs in opened:
        for run in runs:
            tasks = tasks_from(run.spec.tasks)
            if any(weight_of(name, tasks) != weight for name, weight in weights.items()):
                raise InputError(
                    f"The run {shorten(run.path)!r} was trained with other weights than its name "
                    "says."
                )
            # A seed draws the split, so only runs of the same seed have equal rows.
            if rows.setdefault(run.spec.seed, run.schema["rows"]) != run.schema["rows"]:
                raise InputError(
                    f"The run {shorten(run.path)!r} was trained on another table than the others "
                    "in its folder; remove it, or choose another out=."
                )


def _reached(runs: list[Run], part: str) -> dict[str, Reached]:
    """Return what each task reaches on a part of the rows, averaged over the runs."""
    reached = {}
    for task, task_metrics in runs[0].metrics[part].items():
        # The headline metric comes first.
        metric = next(iter(task_metrics))
        scores = [run.metrics[part][task][metric] for run in runs]
        value, skill = (
            mean_defined([score[key] for score in scores]) for key in ("value", "skill")
        )
        reached[task] = Reached(metric, value, skill)
    return reached


def _skills(points: Sequence[Point]) -> np.ndarray:
    """Return the skills [points, tasks]; NaN where undefined."""
    return np.array(
        [[reached.skill for reached in point.tasks.values()] for point in points], float
    )


def _number(value: float) -> float | None:
    """Return None for NaN, which JSON and charts do not take."""
    return None if np.isnan(value) else float(value)
