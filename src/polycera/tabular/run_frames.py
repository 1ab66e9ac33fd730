"""Convert metrics, history and predictions of a run to data frames of the user's library."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from polycera.errors import InputError, PolyceraError, UnknownName, shorten
from polycera.tasks import Task
from polycera.tasks.task import ClassTask

if TYPE_CHECKING:
    from polycera.tabular.run import Run

LIBRARIES = ("pandas", "polars", "pyarrow")
"""Libraries whose frames can be made; the first one that is installed is the default."""

PARTS = ("test", "validation", "train")
"""Parts of the rows for which a run may have metrics."""


def library_of(source: Any) -> str | None:
    """Return the library whose frame a table is, or None.

    It is None for a path and a dict, and for a library whose frames cannot be made.
    """
    name = type(source).__module__.split(".")[0]
    return name if name in LIBRARIES else None


def frame(columns: Mapping[str, Sequence[Any]], library: str | None = None) -> Any:
    """Return named columns as a data frame.

    Args:
        columns: name -> values, all of one length.
        library: pandas, polars or pyarrow; default: the one that is imported, or else the first
            that is installed.

    Raises:
        UnknownName: for another library.
        PolyceraError: where none is installed, or not the requested one.
    """
    if library is None:
        installed = [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]
        imported = [name for name in installed if name in sys.modules]
        if not installed:
            raise PolyceraError(
                "A data frame needs pandas, polars or pyarrow, and none is installed: pip install "
                "'polycera[pandas]'. Without one: run.metrics and run.history are plain dicts and "
                "lists."
            )
        library = (imported or installed)[0]
    elif library not in LIBRARIES:
        raise UnknownName("library of data frames", library, LIBRARIES)
    elif importlib.util.find_spec(library) is None:
        raise PolyceraError(
            f"{library} is not installed, so no frame of it can be made: pip install {library}."
        )
    values = {name: list(column) for name, column in columns.items()}
    if library == "pyarrow":
        return importlib.import_module("pyarrow").table(values)
    # polars refuses a column with classes of several types (1, "one"), unless it may convert them
    # to text.
    options = {"strict": False} if library == "polars" else {}
    return importlib.import_module(library).DataFrame(values, **options)


def metrics_columns(metrics: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return the columns of the metrics, one row for each part, task and metric.

    Args:
        metrics: as `run.metrics`.
        kinds: task -> its kind.
    """
    headings = ("part", "task", "kind", "metric", "value", "trivial", "ideal", "direction", "skill")
    columns: dict[str, list[Any]] = {name: [] for name in headings}
    for part in PARTS:
        for task, task_scores in (metrics.get(part) or {}).items():
            for metric, score in task_scores.items():
                row = {
                    "part": part,
                    "task": task,
                    "kind": kinds.get(task),
                    "metric": metric,
                    **score,
                }
                for name in headings:
                    value = row[name]
                    columns[name].append(float(value) if isinstance(value, int) else value)
    return columns


def history_columns(history: Iterable[Mapping[str, float]]) -> dict[str, list[Any]]:
    """Return the columns of the history, one row for each epoch; `epoch` counts from 0."""
    rows = list(history)
    columns: dict[str, list[Any]] = {
        name: [row[name] for row in rows] for name in (rows[0] if rows else ())
    }
    if "epoch" in columns:
        columns["epoch"] = [int(value) for value in columns["epoch"]]
    return columns


def predictions_columns(text: str, tasks: Iterable[Task]) -> dict[str, list[Any]]:
    """Return the columns of `predictions.csv`, with numbers as numbers and classes in their type.

    Raises:
        InputError: where the file is not what a training writes.
    """
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise InputError(
            "The predictions of the run are damaged: the rows of predictions.csv differ in length."
        )
    classes: dict[str, dict[str, Any]] = {}
    for task in tasks:
        if isinstance(task, ClassTask):
            labels = {str(label): label for label in task.known_classes()}
            classes |= {task.name: labels, f"{task.name} (true)": labels}
    names, cells = rows[0], list(zip(*rows[1:], strict=True)) or [()] * len(rows[0])
    return {
        name: _values(column, classes.get(name)) for name, column in zip(names, cells, strict=True)
    }


def _values(cells: Sequence[str], classes: Mapping[str, Any] | None) -> list[Any]:
    """Return cells as the values that they stand for; an empty cell becomes None."""
    if classes is not None:
        return [classes.get(cell, cell) if cell else None for cell in cells]
    try:
        numbers = [float(cell) if cell else None for cell in cells]
    except ValueError:
        return list(cells)
    whole = bool(cells) and all(cell.lstrip("-").isdigit() for cell in cells)
    return [int(cell) for cell in cells] if whole else numbers


def short_repr(run: Run) -> str:
    """Return the run in one line: its folder, and the headline metrics of a finished training."""
    name = f"Run({str(run.path)!r}"
    try:
        part = run.metrics["part"]
        scores = [
            (task, *next(iter(task_scores.items())))
            for task, task_scores in run.metrics[part].items()
        ]
        shown = [
            f"{shorten(task, 20)} {metric} {_number(score['value'])}"
            for task, metric, score in scores[:3]
        ]
    except (PolyceraError, LookupError, TypeError, AttributeError, StopIteration):
        return f"{name})"  # not ended, or damaged: run.metrics says so, and a repr raises nothing
    more = f", … {len(scores)} tasks" if len(scores) > 3 else ""
    return f"{name}, {part}: {', '.join(shown)}{more})"


def _number(value: object) -> str:
    """Return a metric with four digits for `short_repr`; None becomes `undefined`."""
    if isinstance(value, int | float):
        return f"{value:.4g}"
    return "undefined" if value is None else shorten(repr(value), 20)
