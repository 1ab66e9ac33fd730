"""The trade-off between two tasks: every epoch by the skill that it has in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from polycera import drawing
from polycera.reports.history import plain
from polycera.reports.markup import Html, element
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import Sheet, View, sentence
from polycera.reports.views import joint
from polycera.runs import pareto_set


def pictures(seen: RunView) -> Iterator[tuple[str, Any]]:
    """Of the first two tasks; the page draws any other two."""
    tasks = [task for task in joint.weighable(seen) if task in seen.epoch_skills]
    if len(tasks) > 1 and seen.history is not None:
        yield "tradeoff", lambda: _scatter(seen, tasks[0], tasks[1])


def _scatter(seen: RunView, across: str, up: str) -> drawing.Picture:
    assert seen.history is not None
    x, y = (seen.epoch_skills[task] for task in (across, up))
    kept = {one.epoch for one in seen.kept}
    names = [
        f"epoch {epoch}" + (", kept" if epoch in kept else "") for epoch in seen.history.epochs
    ]
    return drawing.scatter(
        list(zip(plain(x), plain(y), strict=True)),
        title="Skills of every epoch in two tasks (validation rows)",
        x_label=f"skill in {across}",
        y_label=f"skill in {up}",
        names=names,
        connect=along_the_front(x, y),
    )


def along_the_front(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> list[int]:
    """Places of the epochs that no other beats on both tasks, from the lowest x to the highest."""
    both = np.column_stack([x, y])
    places = np.flatnonzero(pareto_set.non_dominated(both) & np.isfinite(both).all(axis=1))
    return [int(i) for i in places[np.argsort(both[places, 0], kind="stable")]]


def view(sheet: Sheet) -> View | None:
    """Two selects and the picture."""
    if "tradeoff" not in sheet.pictures:
        return None
    kept = (
        " Ringed epochs were kept: each of them can be had with polycera pick."
        if sheet.seen.kept
        else ""
    )
    said = (
        "An epoch further right is better in one task, one further up in the other; along the line no epoch beats "
        f"another.{kept}"
    )
    selects = [_select(sheet, axis, i) for i, axis in enumerate(("across", "up"))]
    chosen = element("div", selects, class_="selects")
    return sheet.view(
        "tradeoff",
        "Trade-off between epochs",
        sentence(said),
        chosen,
        sheet.figure("tradeoff", live="tradeoff"),
    )


def _select(sheet: Sheet, axis: str, chosen: int) -> Html:
    """All tasks that have a skill in every epoch, by their place among the sliders; the n-th of them is chosen."""
    place, known = sheet.id(f"axis-{axis}"), sheet.seen.epoch_skills
    tasks = [(i, task) for i, task in enumerate(joint.weighable(sheet.seen)) if task in known]
    options = [
        element("option", task, value=str(i), selected=nth == chosen, dir="auto")
        for nth, (i, task) in enumerate(tasks)
    ]
    label = element("label", "Across" if axis == "across" else "Up", for_=place)
    return element("p", label, element("select", options, id=place, data_axis=axis))
