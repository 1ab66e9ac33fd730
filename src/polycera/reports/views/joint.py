"""The joint score with a slider for each task: which epoch would be chosen under other weights."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from polycera import drawing
from polycera.reports import markup
from polycera.reports.history import JOINT, plain
from polycera.reports.markup import Html, element
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import MANY, Sheet, View, sentence

LEAST = 0.1
"""Weights of which the largest is below this would be rounded too much, or to 0, as they are."""

DIGITS = 9
"""Of the skills of all epochs in the page's data; those of the kept epochs are there to the last bit."""


def pictures(seen: RunView) -> Iterator[tuple[str, Any]]:
    """The joint score, epoch by epoch, as it was logged."""
    score = seen.history.get(JOINT) if seen.history else None
    best = seen.history.best(JOINT, True) if seen.history else None
    if seen.history is not None and score is not None and best is not None:
        epochs = seen.history.epochs
        yield (
            "joint",
            lambda: drawing.lines(
                {"joint score": plain(score)},
                title="Joint score on the validation rows",
                x=epochs,
                x_label="epoch",
                y_label="joint score",
                marks={f"best: epoch {best[0]}": best[0]},
            ),
        )


def data(seen: RunView) -> dict[str, Any] | None:
    """What the page's script chooses an epoch by; None where there is nothing to choose from.

    Returns:
        `tasks`: names, m; `weights`: that the sliders begin with, [m]; `epochs`: numbers, [e]; `skills`: [m, e];
        `kept`: of each kept epoch `epoch` and `skills` [m]. None stands for what is not defined.
    """
    tasks, skills = weighable(seen), seen.epoch_skills
    if not tasks:
        return None
    epochs = seen.history.epochs if seen.history and skills else []
    return {
        "run": shlex.quote(str(seen.path)),
        "tasks": tasks,
        "weights": _start(seen, tasks),
        "epochs": epochs,
        "skills": [
            _defined(skills[task], DIGITS) if task in skills else [None] * len(epochs)
            for task in tasks
        ],
        "kept": [
            {"epoch": one.epoch, "skills": _defined(one.skills[task] for task in tasks)}
            for one in seen.kept
        ],
    }


def weighable(seen: RunView) -> list[str]:
    """The tasks whose skills are known, epoch by epoch or of the epochs that were kept; each has a slider."""
    return (
        list(dict.fromkeys(task for task, _ in seen.kept[0].watched))
        if seen.kept
        else list(seen.epoch_skills)
    )


def _start(seen: RunView, tasks: list[str]) -> list[float]:
    """The weights of the joint score, brought to the sliders' range of 0 to 1; all alike where none is above 0.

    Small ones grow with the largest: a hundredth is the least that a slider can say.
    """
    weights = [seen.joint.get(task, 0.0) for task in tasks]
    most = max(weights)
    sound = all(math.isfinite(weight) and weight >= 0 for weight in weights) and most > 0
    whole = most if most > 1 or most < LEAST else 1.0
    return [round(weight / whole, 2) for weight in weights] if sound else [1.0] * len(tasks)


def _defined(values: Iterable[float], digits: int = 0) -> list[float | None]:
    """Numbers for the script: infinite ones keep their rank, what is no number is None."""
    kept = (min(max(float(value), -1e300), 1e300) if value == value else None for value in values)
    return [
        float(f"{value:.{digits}g}") if digits and value is not None else value for value in kept
    ]


def view(sheet: Sheet) -> View | None:
    """Sliders, the epochs that they choose, and the curve."""
    found = data(sheet.seen)
    if found is None:
        return None
    said = (
        "How much is each task worth to you? Move the sliders: the joint score is the weighted mean of the tasks' "
        "skills on the validation rows, and the epoch with the highest is the one to have."
    )
    return sheet.view(
        "joint", "Joint score, and the epoch it chooses", sentence(said), _board(sheet, found)
    )


def _board(sheet: Sheet, found: dict[str, Any]) -> Html:
    figure = sheet.figure("joint", live="joint") or element(
        "figure", element("div", class_="drawing", data_live="joint")
    )
    script = (
        "The sliders need scripts, which are switched off here; polycera pick chooses an epoch too."
    )
    return element(
        "div",
        element("noscript", sentence(script)),
        element("div", _sliders(sheet, found), _outcome(sheet), class_="controls"),
        figure,
        class_="board",
    )


def _sliders(sheet: Sheet, found: dict[str, Any]) -> Html:
    pairs = zip(found["tasks"], found["weights"], strict=True)
    sliders = [_slider(sheet, i, task, weight) for i, (task, weight) in enumerate(pairs)]
    many = len(sliders) > MANY
    box = element(
        "div",
        sliders,
        class_="sliders many" if many else "sliders",
        tabindex="0" if many else None,
        role="group",
        aria_label="Weights of the tasks",
    )
    place = sheet.id("filter-weights")
    label = element("label", f"Filter the {len(sliders)} tasks", for_=place)
    field = element("input", type="search", id=place, autocomplete="off", spellcheck="false")
    reset = element("button", "Back to the weights of the training", type="button", class_="reset")
    return element(
        "div",
        element("p", label, field, element("output", for_=place), class_="filter")
        if many
        else None,
        box,
        reset,
    )


def _slider(sheet: Sheet, i: int, task: str, weight: float) -> Html:
    place = sheet.id(f"weight-{i}")
    label = element("label", markup.name(task, 60), for_=place)
    slider = element(
        "input",
        type="range",
        id=place,
        min="0",
        max="1",
        step="0.01",
        value=f"{weight:g}",
        data_task=str(i),
    )
    # the slider says it itself
    shown = element("output", f"{weight:.2f}", for_=place, aria_live="off")
    return element("div", label, slider, shown, class_="slider", data_name=task.casefold()[:300])


def _outcome(sheet: Sheet) -> Html:
    """What the script fills: the epoch of those kept, the best of all, the command."""
    kept = element("output", "–", class_="epoch", id=sheet.id("chosen"))
    every = element("output", "–", class_="epoch", id=sheet.id("best"))
    return element(
        "div",
        element(
            "dl",
            _pair("best of the kept epochs", kept),
            _pair("best of all epochs", every),
            class_="tiles",
        ),
        element("p", class_="skills", id=sheet.id("reached")),
        element(
            "pre",
            element("code", class_="command"),
            tabindex="0",
            role="group",
            aria_label="Command",
        ),
        class_="outcome",
        aria_live="polite",
    )


def _pair(term: str, value: Html) -> Html:
    return element("div", element("dt", term), element("dd", "epoch ", value))
