"""The epochs that a training kept, each in a file of its own: their weights, what they scored, and the choice of one.

They are epochs that no other beats on every task, so the trade-off between tasks can be chosen when
the training is over, by weights, with nothing trained again.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from polycera.errors import InputError, PolyceraError, UnknownName, shorten
from polycera.runs import pareto_set
from polycera.storage import arrays, atomic, paths

NAME = re.compile(r"\d{6,}\.safetensors")


@dataclass(frozen=True)
class KeptEpoch:
    """An epoch whose weights were kept.

    Attributes:
        epoch: its number, from 0.
        path: the file that holds its weights, for `arrays.Stored`.
        scores: task -> metric -> `value`, `trivial`, `ideal`, `direction`, `skill` on the
            validation rows.
        watched: the metrics by which it was kept, as (task, metric).
        run: the identity of the run that kept it; None outside of runs, and in those of older
            versions.
    """

    epoch: int
    path: Path
    scores: dict[str, dict[str, dict[str, Any]]]
    watched: tuple[tuple[str, str], ...]
    run: str | None = None

    @property
    def skills(self) -> dict[str, float]:
        """Task -> skill in the watched metric: 0 the trivial predictor, 1 perfect; NaN where undefined."""
        return {task: self.scores[task][metric]["skill"] for task, metric in self.watched}

    @property
    def table(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The scores as a run's `metrics.json` has them: None where a number is not finite."""
        return {
            task: {
                metric: {column: _plain(part) for column, part in row.items()}
                for metric, row in own.items()
            }
            for task, own in self.scores.items()
        }


class _Notes(msgspec.Struct):
    """What is noted in a file: one list a column, which `arrays` holds as numbers where there are many."""

    epoch: int
    watched: list[str]
    names: list[str]
    direction: list[str]
    value: list[float]
    trivial: list[float]
    ideal: list[float]
    skill: list[float]
    run: str | None = None


NUMBERS = ("value", "trivial", "ideal", "skill")


def write(
    folder: Path,
    epoch: int,
    weights: Mapping[str, np.ndarray],
    scores: Mapping[str, Any],
    watched: Sequence[Any],
    run: str | None = None,
) -> None:
    """Write an epoch's file.

    Args:
        folder: of the kept epochs; it is there.
        epoch: its number.
        weights: of the model, by name.
        scores: task -> metric -> an object with `value`, `trivial`, `ideal`, `direction` and
            `skill`.
        watched: (task, metric) pairs.
        run: the identity of the run, where the folder is in one.

    Raises:
        PolyceraError: where the disk does not take it.
    """
    every = {
        f"{task}/{metric}": score for task, own in scores.items() for metric, score in own.items()
    }
    columns: dict[str, Any] = {
        name: [float(getattr(score, name)) for score in every.values()] for name in NUMBERS
    }
    columns |= {"names": list(every), "direction": [score.direction for score in every.values()]}
    columns |= {"run": run} if run is not None else {}
    notes = {"epoch": epoch, "watched": ["/".join(pair) for pair in watched], **columns}
    arrays.write(_path(folder, epoch), weights, notes)


def sweep(folder: Path, epochs: Collection[int]) -> None:
    """Remove the files of all other epochs."""
    for epoch, path in _files(folder).items():
        if epoch not in epochs:
            atomic.remove(path)


def files(folder: Path) -> list[Path]:
    """Return the files of the kept epochs, in their order."""
    return list(_files(folder).values())


def read(folder: Path, check: Callable[[KeptEpoch], None] | None = None) -> list[KeptEpoch]:
    """The kept epochs of a folder, in their order.

    What is not named as an epoch is passed over; a file that is damaged is left out, with a
    warning.

    Args:
        folder: that holds them.
        check: raises a PolyceraError for an epoch that does not belong there.
    """
    found = []
    for epoch, path in _files(folder).items():
        try:
            one = _read(epoch, path)
            if check is not None:
                check(one)
            found.append(one)
        except (PolyceraError, msgspec.ValidationError, KeyError, ValueError) as error:
            warnings.warn(
                f"The kept epoch {shorten(path.name)!r} is left out: {shorten(error, 200)}",
                UserWarning,
                stacklevel=2,
            )
    return found


def _files(folder: Path) -> dict[int, Path]:
    numbers = [int(path.stem) for path in paths.listed(folder) if NAME.fullmatch(path.name)]
    return {
        epoch: _path(folder, epoch) for epoch in sorted(numbers) if _path(folder, epoch).is_file()
    }


def _path(folder: Path, epoch: int) -> Path:
    return folder / f"{epoch:06d}{arrays.SUFFIX}"


def _read(epoch: int, path: Path) -> KeptEpoch:
    notes = msgspec.convert(arrays.StoredArrays(path).notes, _Notes)
    if notes.epoch != epoch:
        raise InputError(f"it holds epoch {notes.epoch}; rename it back.")
    scores: dict[str, dict[str, dict[str, Any]]] = {}
    columns = [*NUMBERS, "direction"]
    for name, *row in zip(
        notes.names, *(getattr(notes, column) for column in columns), strict=True
    ):
        task, metric = _split(name)
        scores.setdefault(task, {})[metric] = dict(zip(columns, row, strict=True))
    watched = tuple(_split(name) for name in notes.watched)
    for task, metric in watched:
        scores[task][metric]  # one without a score is a KeyError, here and not later
    return KeptEpoch(epoch, path, scores, watched, notes.run)


def _split(name: str) -> tuple[str, str]:
    task, _, metric = name.rpartition("/")
    return task, metric


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def pick(kept: Sequence[KeptEpoch], weights: Mapping[str, float]) -> KeptEpoch:
    """The kept epoch that is best under these weights; the first of equals.

    Args:
        kept: of one training.
        weights: task -> weight of its watched metric, or `"task/metric"` -> weight; what is not
            named counts nothing.

    Raises:
        UnknownName: for a task or metric that the epochs have no score of.
        InputError: for weights that are not finite, 0 or more, with a positive sum; where nothing
            is kept.
    """
    if not kept:
        raise InputError(
            "No epoch was kept to choose from: a training keeps them where it has validation rows."
        )
    pairs = [_metric(name, kept) for name in weights]
    numbers = np.array([_weight(name, value) for name, value in weights.items()])
    if not numbers.sum() > 0:
        raise InputError(
            f"To choose an epoch takes at least one weight above 0, got {shorten(dict(weights))}."
        )
    return kept[
        pareto_set.choose(
            np.array([[one.scores[t][m]["skill"] for t, m in pairs] for one in kept]), numbers
        )
    ]


def _weight(name: str, value: Any) -> float:
    try:
        number = float(value) if isinstance(value, int | float | np.number) else math.nan
    except OverflowError:  # an integer that no float is
        number = math.inf
    if not 0 <= number < math.inf:
        raise InputError(
            f"Expected the weight of {shorten(name)!r} to be a finite number, 0 or more, got {shorten(value)!r}."
        )
    return number


def _metric(name: str, kept: Sequence[KeptEpoch]) -> tuple[str, str]:
    """`task` or `task/metric` -> (task, metric), of what every epoch has."""
    tasks = [task for task in kept[0].scores if all(task in one.scores for one in kept)]
    if name in tasks:  # the first metric of a task that was not watched is its headline
        return name, dict(kept[0].watched).get(name, next(iter(kept[0].scores[name])))
    task, metric = _split(name)
    if task not in tasks:
        raise UnknownName("task in the weights:", name, tasks)
    metrics = [
        known for known in kept[0].scores[task] if all(known in one.scores[task] for one in kept)
    ]
    if metric not in metrics:
        raise UnknownName(f"metric of task {shorten(task)!r} in the weights:", metric, metrics)
    return task, metric
