"""The curves of every loss term and metric, on the training and the validation rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from polycera import drawing
from polycera.reports.history import History, plain
from polycera.reports.markup import Html, Inside
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import Sheet, View, sentence

OTHERS = {
    "loss": "Total loss",
    "regularization": "Regularisation",
    "learning_rate": "Learning rate",
    "skipped_steps": "Skipped steps",
}


def pictures(seen: RunView) -> Iterator[tuple[str, Any]]:
    """`loss` and what else is of no task; of each task `curve/TASK/TERM`."""
    history = seen.history
    if history is None:
        return
    for name, title in OTHERS.items():
        both = {"training": history.get(name), "validation": history.get(f"val_{name}")}
        known = {part: column for part, column in both.items() if column is not None}
        if known and (name == "loss" or any(map(_moves, known.values()))):
            yield name.replace("_", "-"), partial(_curve, history, title, known)
    for task, own in history.curves.items():
        for what, parts in own.items():
            yield f"curve/{task}/{what}", partial(_curve, history, f"{what} of {task}", parts)


def _moves(column: np.ndarray) -> bool:
    """Whether it is not one number all along."""
    known = column[~np.isnan(column)]
    return len(known) > 0 and bool((known != known[0]).any())


def _curve(history: History, title: str, parts: dict[str, np.ndarray]) -> drawing.Picture:
    return drawing.lines(
        {part: plain(column) for part, column in parts.items()},
        title=title,
        x=history.epochs,
        x_label="epoch",
        dashed=("training",) if len(parts) > 1 else (),
    )


def view(sheet: Sheet) -> View | None:
    """The total loss, then task by task."""
    history = sheet.seen.history
    if history is None or "loss" not in sheet.pictures:
        return None
    said = _legend(history.validated, sheet.seen.spec.network.folds or 1)
    whole = sheet.figures(*(name.replace("_", "-") for name in OTHERS))
    tasks: dict[str, Callable[[], Inside]] = {
        task: partial(_of_task, sheet, task, own) for task, own in history.curves.items() if own
    }
    each = (sheet.heading("Task by task"), sheet.each_task("curves", tasks)) if tasks else None
    return sheet.view("curves", "Curves of every term and metric", sentence(said), whole, each)


def _legend(validated: bool, folds: int) -> str:
    if not validated:
        return "There were no validation rows."
    lines = "Solid lines are validation rows, dashed ones training rows."
    turns = (
        f" In {folds} folds every row is both: it validates the members that do not learn from it."
    )
    return lines + turns if folds > 1 else lines


def _of_task(sheet: Sheet, task: str, own: dict[str, Any]) -> Html:
    return sheet.figures(*(f"curve/{task}/{what}" for what in own))
