"""The weights of the tasks over time: of whole losses, and of what flows into the shared layers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from polycera import drawing
from polycera.reports.history import History, plain
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import Sheet, View, sentence

LOGGED = {
    "weights": ("weight", "Weight of each task's loss", "weight"),
    "trunk-weights": (
        "trunk_weight",
        "Weight of each task's gradient in the shared layers",
        "weight",
    ),
    "gradient-norms": (
        "gradient_norm",
        "Norm of each task's gradient before it is weighted",
        "norm",
    ),
}
"""Picture -> what is logged of a task, title, label."""


def pictures(seen: RunView) -> Iterator[tuple[str, Any]]:
    """A line for each task."""
    for name, (what, title, label) in LOGGED.items():
        columns = seen.history.each(what) if seen.history else {}
        if columns and seen.history:
            yield name, partial(_lines, seen.history, columns, title, label)


def _lines(
    history: History, columns: dict[str, np.ndarray], title: str, label: str
) -> drawing.Picture:
    return drawing.lines(
        {task: plain(column) for task, column in columns.items()},
        title=title,
        x=history.epochs,
        x_label="epoch",
        y_label=label,
    )


def view(sheet: Sheet) -> View | None:
    """As far as something was logged."""
    if not any(name in sheet.pictures for name in LOGGED):
        return None
    plan = sheet.seen.spec.training
    losses = (
        "by the weights of the spec" if plan.weighting is None else f"by {_method(plan.weighting)}"
    )
    gradients = "added up" if plan.balancing is None else f"balanced by {_method(plan.balancing)}"
    said = (
        f"Whole losses are weighted {losses}; in the shared layers the gradients are {gradients}."
    )
    return sheet.view("weights", "Weights over time", sentence(said), sheet.figures(*LOGGED))


def _method(found: Any) -> str:
    """A method of the spec by its name."""
    return (
        str(found.get("name", "a method without a name")) if isinstance(found, dict) else str(found)
    )
