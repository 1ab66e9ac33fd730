"""Show several runs side by side: their scores, the best marked, and their joint scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polycera import drawing
from polycera.reports import markup
from polycera.reports.history import JOINT, plain
from polycera.reports.markup import Html, element, join
from polycera.reports.numbers import count, fixed, real, say, seconds
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import CROWD, Sheet, View, sentence


def names(runs: Sequence[RunView]) -> list[str]:
    """Return each run's name on the page: its folder, or the path where two have the same name."""
    short = [Path(run.path).resolve().name or str(run.path) for run in runs]
    return [
        name if short.count(name) == 1 else str(run.path)
        for name, run in zip(short, runs, strict=True)
    ]


def pictures(runs: Sequence[RunView]) -> dict[str, Any]:
    """Return the picture of the joint scores of all runs that have one."""
    histories = {
        name: (run.history, run.history.get(JOINT))
        for name, run in zip(names(runs), runs, strict=True)
        if run.history
    }
    with_score = {
        name: (history, column)
        for name, (history, column) in histories.items()
        if column is not None
    }
    return {"joint": lambda: _joint(with_score)} if with_score else {}


def _joint(histories: dict[str, Any]) -> drawing.Picture:
    epochs = sorted({epoch for history, _ in histories.values() for epoch in history.epochs})
    series = {}
    for name, (history, column) in histories.items():
        at = dict(zip(history.epochs, plain(column), strict=True))
        series[name] = [at.get(epoch) for epoch in epochs]
    return drawing.lines(
        series,
        title="Joint score of every run (validation rows)",
        x=epochs,
        x_label="epoch",
        y_label="joint score",
    )


def view(sheet: Sheet, runs: Sequence[RunView]) -> View:
    """Return the tables and the picture; `sheet` is that of the first run."""
    called = names(runs)
    unlike = len({run.held_out for run in runs if run.scores}) > 1
    note = sentence(
        "The best number of a row is marked where two runs or more have one",
        ", all measured on the same part of their rows." if unlike else ".",
    )
    return sheet.view(
        "compared",
        "Side by side",
        note,
        _runs(runs, called),
        sheet.figure("joint"),
        _metrics(runs, called),
    )


def _runs(runs: Sequence[RunView], called: Sequence[str]) -> Html:
    rows = [[markup.name(name), *_facts(run)] for name, run in zip(called, runs, strict=True)]
    head = ["run", "mean skill", "measured on", "tasks", "epochs", "time", "weights", "seed"]
    return markup.table("The runs", head, rows, (1, 3, 4, 5, 6, 7))


def _facts(run: RunView) -> list[str]:
    where = f"{run.held_out} rows" if run.held_out else "validation rows, not ended"
    epochs = len(run.history.epochs) if run.history else None
    return [
        fixed(run.mean_skill),
        where,
        count(len(run.tasks)),
        count(epochs),
        seconds(run.seconds),
        count(run.weights),
        str(run.spec.seed),
    ]


def _metrics(runs: Sequence[RunView], called: Sequence[str]) -> Html | None:
    pairs = dict.fromkeys(
        (task, metric) for run in runs for task, own in run.scores.items() for metric in own
    )
    if len({task for task, _ in pairs}) > CROWD:
        pairs = dict.fromkeys(
            (task, metric) for run in runs for task, (metric, _) in run.headlines.items()
        )
    if not pairs:
        return None
    rows = [_row(runs, task, metric) for task, metric in pairs]
    head = ["task", "metric", *(markup.name(name, 40) for name in called)]
    table = markup.table("Every metric, run by run", head, rows, range(2, len(head)))
    return (
        markup.folded(f"All {len(rows)} metrics", table, class_="more") if len(rows) > 60 else table
    )


def _row(runs: Sequence[RunView], task: str, metric: str) -> list[Html | str]:
    scores = [run.scores.get(task, {}).get(metric) for run in runs]
    distances = np.array([_distance(score) for score in scores])
    defined = distances[~np.isnan(distances)]
    parts = {run.held_out for run, score in zip(runs, scores, strict=True) if score}
    best = defined.min() if len(defined) > 1 and len(parts) == 1 else None
    cells = [
        _cell(score, distance == best) for score, distance in zip(scores, distances, strict=True)
    ]
    return [markup.name(task), metric, *cells]


def _distance(score: dict[str, Any] | None) -> float:
    """Return the distance from the ideal: lower is better for every metric; NaN where undefined."""
    value, ideal = (real(score[name]) if score else None for name in ("value", "ideal"))
    return float("nan") if value is None or ideal is None else abs(value - ideal)


def _cell(score: dict[str, Any] | None, best: bool) -> Html:
    value = say(score["value"] if score else None)
    return (
        join(element("strong", value), " ", element("span", "best", class_="best"))
        if best
        else join(value)
    )
