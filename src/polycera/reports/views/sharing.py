"""Who shares what: the network with its tasks, how much of it serves whom, and what one network saves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polycera import drawing
from polycera.reports import markup
from polycera.reports.costs import costs
from polycera.reports.markup import Html, element
from polycera.reports.numbers import count, percent
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import Sheet, View, beside, sentence
from polycera.runs.results import Sharing

WHOM = {"all": "all tasks", "some": "some tasks", "one": "a single task", "none": "no task"}


def pictures(seen: RunView) -> Iterator[tuple[str, Any]]:
    """The network."""
    found = seen.sharing
    if found is not None:
        yield "sharing", lambda: drawing.network(found)


def view(sheet: Sheet) -> View | None:
    """The verdict on sharing, the picture, the counts, the cost."""
    found = sheet.seen.sharing
    if found is None:
        return None
    return sheet.view(
        "sharing",
        "Who shares what",
        sentence(found.verdict),
        _unseen(sheet.seen, found),
        sheet.figure("sharing"),
        beside(_served(found), _cost(found)),
        _layers(found),
    )


def _unseen(seen: RunView, found: Sharing) -> Html | None:
    """Why nothing is said of gradients that do meet."""
    if (
        seen.gradients is not None
        or not seen.finished
        or not found.parameters.all + found.parameters.some
    ):
        return None
    return sentence(
        "Who pulls how hard in what is shared was not looked at: looks may take 5 % of the time of a training, and "
        "this one was too short. With ",
        element("code", "--balancing mean"),
        " it is measured in every step, and nothing is changed.",
    )


def _served(found: Sharing) -> Html:
    parameters = found.parameters
    rows = [
        [
            what,
            count(getattr(parameters, whom)),
            percent(getattr(parameters, whom), parameters.total),
        ]
        for whom, what in WHOM.items()
        if getattr(parameters, whom) or whom != "none"
    ]
    head = ["serves", "weights", "part"]
    return markup.table("How much of the network serves whom", head, rows, (1, 2))


def _cost(found: Sharing) -> Html:
    one, many = found.joint, found.separate
    times = [
        ("a training step", one.step, many.step),
        ("answering for a row", one.predict, many.predict),
    ]
    return costs(
        "What it costs against a network for each task, of the same layers", one, many, times
    )


def _layers(found: Sharing) -> Html:
    rows = [
        [
            markup.name(layer.name),
            layer.kind,
            f"{len(layer.tasks)} of {len(found.tasks)}",
            " × ".join("any" if side is None else str(side) for side in layer.shape),
            count(layer.parameters),
        ]
        for layer in found.layers
    ]
    head = ["layer", "kind", "tasks served", "gives, for a row", "weights"]
    return markup.folded(
        f"All {len(rows)} layers", markup.table("Layer by layer", head, rows, (4,)), class_="more"
    )
