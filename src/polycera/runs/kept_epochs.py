"""Write, read and choose kept epochs: one file each, with the weights and the scores.

The kept epochs form the Pareto set: no other epoch beats them on every task. So the trade-off
between tasks can be chosen after training, by weights, without training again.
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
"""Names of the files: the epoch with six digits or more."""


@dataclass(frozen=True)
class KeptEpoch:
    """Describes an epoch whose weights were saved.

    Attributes:
        epoch: its number, from 0.
        path: the file with its weights, for `arrays.StoredArrays`.
        scores: task -> metric -> `value`, `trivial`, `ideal`, `direction`, `skill` on the
            validation rows.
        watched: the metrics that decided that it belongs to the Pareto set, as (task, metric).
        run: the identity of its run; None outside of runs, and in runs of older versions.
    """

    epoch: int
    path: Path
    scores: dict[str, dict[str, dict[str, Any]]]
    watched: tuple[tuple[str, str], ...]
    run: str | None = None

    @property
    def skills(self) -> dict[str, float]:
        """Return task -> skill in the watched metric.

        0 is the trivial predictor, 1 is perfect; NaN where undefined.
        """
        return {task: self.scores[task][metric]["skill"] for task, metric in self.watched}

    @property
    def table(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the scores as `metrics.json` has them: None where a number is not finite."""
        return {
            task: {
                metric: {column: _plain(part) for column, part in score.items()}
                for metric, score in metrics.items()
            }
            for task, metrics in self.scores.items()
        }


class _Notes(msgspec.Struct):
    """Holds a file's notes, one list a column; `arrays` writes long lists as arrays."""

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
"""The columns of the notes that hold numbers."""


def write(
    folder: Path,
    epoch: int,
    weights: Mapping[str, np.ndarray],
    scores: Mapping[str, Any],
    watched: Sequence[Any],
    run: str | None = None,
) -> None:
    """Write the file of an epoch.

    Args:
        folder: the folder of the kept epochs; it must exist.
        epoch: its number.
        weights: the model's weights by name.
        scores: task -> metric -> an object with `value`, `trivial`, `ideal`, `direction` and
            `skill`.
        watched: (task, metric) pairs.
        run: the identity of the run, where the folder is part of one.

    Raises:
        PolyceraError: where the disk refuses it.
    """
    by_name = {
        f"{task}/{metric}": score
        for task, metrics in scores.items()
        for metric, score in metrics.items()
    }
    columns: dict[str, Any] = {
        name: [float(getattr(score, name)) for score in by_name.values()] for name in NUMBERS
    }
    columns |= {
        "names": list(by_name),
        "direction": [score.direction for score in by_name.values()],
    }
    columns |= {"run": run} if run is not None else {}
    notes = {"epoch": epoch, "watched": ["/".join(pair) for pair in watched], **columns}
    arrays.write(_path(folder, epoch), weights, notes)


def sweep(folder: Path, epochs: Collection[int]) -> None:
    """Remove the files of all epochs that are not listed."""
    for epoch, path in _files(folder).items():
        if epoch not in epochs:
            atomic.remove(path)


def files(folder: Path) -> list[Path]:
    """Return the files of the kept epochs, in order of the epochs."""
    return list(_files(folder).values())


def read(folder: Path, check: Callable[[KeptEpoch], None] | None = None) -> list[KeptEpoch]:
    """Return the kept epochs of a folder, in order.

    Files with other names are ignored. A damaged file is left out with a warning.

    Args:
        folder: the folder of the kept epochs.
        check: raises a PolyceraError for an epoch that does not belong there.
    """
    epochs = []
    for epoch, path in _files(folder).items():
        try:
            candidate = _read(epoch, path)
            if check is not None:
                check(candidate)
            epochs.append(candidate)
        except (PolyceraError, msgspec.ValidationError, KeyError, ValueError) as error:
            warnings.warn(
                f"The kept epoch {shorten(path.name)!r} is left out: {shorten(error, 200)}",
                UserWarning,
                stacklevel=2,
            )
    return epochs


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
        scores[task][metric]  # raises KeyError now, not when the score is used
    return KeptEpoch(epoch, path, scores, watched, notes.run)


def _split(name: str) -> tuple[str, str]:
    task, _, metric = name.rpartition("/")
    return task, metric


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def pick(kept: Sequence[KeptEpoch], weights: Mapping[str, float]) -> KeptEpoch:
    """Return the kept epoch that is best under these weights; the first one in case of a tie.

    Args:
        kept: the kept epochs of one training.
        weights: task -> weight of its watched metric, or `"task/metric"` -> weight; tasks without a
            weight do not count.

    Returns:
        The epoch with the highest weighted mean of skills.

    Raises:
        UnknownName: for a task or metric for which the epochs have no score.
        InputError: for weights that are not finite and at least 0 with a positive sum, and where
            there are no kept epochs.
    """
    if not kept:
        raise InputError(
            "There is no kept epoch to choose from: a training keeps epochs only if it has "
            "validation rows."
        )
    pairs = [_metric(name, kept) for name in weights]
    numbers = np.array([_weight(name, value) for name, value in weights.items()])
    if not numbers.sum() > 0:
        raise InputError(
            f"Choosing an epoch needs at least one weight above 0, got {shorten(dict(weights))}."
        )
    return kept[
        pareto_set.choose(
            np.array([[epoch.scores[t][m]["skill"] for t, m in pairs] for epoch in kept]), numbers
        )
    ]


def _weight(name: str, value: Any) -> float:
    try:
        number = float(value) if isinstance(value, int | float | np.number) else math.nan
    except OverflowError:  # an integer too large for a float
        number = math.inf
    if not 0 <= number < math.inf:
        raise InputError(
            f"Expected the weight of {shorten(name)!r} to be a finite number, 0 or more, "
            f"got {shorten(value)!r}."
        )
    return number


def _metric(name: str, kept: Sequence[KeptEpoch]) -> tuple[str, str]:
    """Return (task, metric) for `task` or `task/metric`, if every epoch has a score for it."""
    tasks = [task for task in kept[0].scores if all(task in epoch.scores for epoch in kept)]
    # A task's own name goes first, because a task's name may contain a slash. Without a watched
    # metric, a task's first metric counts.
    if name in tasks:
        return name, dict(kept[0].watched).get(name, next(iter(kept[0].scores[name])))
    task, metric = _split(name)
    if task not in tasks:
        raise UnknownName("task in the weights:", name, tasks)
    metrics = [
        known
        for known in kept[0].scores[task]
        if all(known in epoch.scores[task] for epoch in kept)
    ]
    if metric not in metrics:
        raise UnknownName(f"metric of task {shorten(task)!r} in the weights:", metric, metrics)
    return task, metric
