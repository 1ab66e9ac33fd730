"""What the tasks' gradients did to each other in the layers that they share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from polycera import drawing
from polycera.reports import markup
from polycera.reports.history import plain
from polycera.reports.markup import Html, join
from polycera.reports.numbers import fixed, percent, plural
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import CROWD, Sheet, View, sentence
from polycera.runs.region_gradients import RegionGradients


def pictures(seen: RunView) -> Iterator[tuple[str, Any]]:
    """At each place the shares over time, the mean cosines and, where they were counted, the conflicts."""
    found = seen.gradients
    for p, place in enumerate(found.places if found else ()):
        assert found is not None
        where = f"in {place}"
        if not np.isnan(found.shares[:, p]).all():
            yield f"shares/{place}", partial(_shares, found, p, where)
        if len(found.tasks) < 2:
            continue
        for name, array, title, low, diverging in (
            ("cosines", found.cosines, "Mean cosine between the gradients", -1.0, True),
            ("conflicts", found.conflicts, "How often two gradients oppose each other", 0.0, False),
        ):
            if array is not None and not np.isnan(array[:, p]).all():
                yield (
                    f"{name}/{place}",
                    partial(_heat, found, array[:, p], f"{title} {where}", low, diverging),
                )
        if len(found.looks) > 1 and not np.isnan(found.cosines[:, p]).all():
            yield f"opposition/{place}", partial(_opposition, found, p, where)


def _shares(found: RegionGradients, p: int, where: str) -> drawing.Picture:
    shares = found.shares[:, p]
    return drawing.stacked(
        {task: plain(shares[:, i]) for i, task in enumerate(found.tasks)},
        title=f"Share of each task in the pull {where}",
        x=found.epochs,
        x_label="epoch",
        y_label="share of the weighted gradient norm",
    )


def _heat(
    found: RegionGradients, array: np.ndarray, title: str, low: float, diverging: bool
) -> drawing.Picture:
    """Means over the looks; of a crowd of tasks those that conflict most."""
    matrix = _mean(array)
    chosen = fiercest(matrix, CROWD, lowest=diverging)
    shown = [found.tasks[i] for i in chosen]
    values = [[None if i == j else plain([matrix[i, j]])[0] for j in chosen] for i in chosen]
    return drawing.heat(values, shown, shown, title=title, low=low, high=1.0, diverging=diverging)


def _opposition(found: RegionGradients, p: int, where: str) -> drawing.Picture:
    upper = np.triu_indices(len(found.tasks), 1)
    pairs = found.cosines[:, p][:, *upper]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a look that saw nothing
        lines = {"mean": np.nanmean(pairs, axis=1), "lowest": np.nanmin(pairs, axis=1)}
    return drawing.lines(
        {name: plain(line) for name, line in lines.items()},
        title=f"Cosine of all pairs of gradients {where}",
        x=found.looks,
        x_label="epoch",
        y_label="cosine",
    )


def _mean(array: np.ndarray) -> np.ndarray:
    """Over the looks, NaN where none saw anything; [k, m, m] -> [m, m]."""
    known = ~np.isnan(array)
    count = known.sum(axis=0)
    return np.divide(
        np.where(known, array, 0.0).sum(axis=0),
        count,
        out=np.full(array.shape[1:], np.nan),
        where=count > 0,
    )


def fiercest(matrix: np.ndarray, most: int, lowest: bool = True) -> list[int]:
    """Of more tasks than are shown the ones in the sharpest conflicts, in their order.

    Args:
        matrix: of pairs, [m, m]; NaN where nothing was seen.
        most: tasks that are shown.
        lowest: whether a low number is the conflict, as of cosines; else a high one.
    """
    if len(matrix) <= most:
        return list(range(len(matrix)))
    signed = np.where(
        np.eye(len(matrix), dtype=bool) | np.isnan(matrix), np.inf, matrix if lowest else -matrix
    )
    return sorted(int(i) for i in np.argsort(signed.min(axis=1), kind="stable")[:most])


def view(sheet: Sheet) -> View | None:
    """One part a place."""
    found = sheet.seen.gradients
    if found is None or not any(
        name.startswith(("shares/", "cosines/")) for name in sheet.pictures
    ):
        return None
    said = (
        "They were read from the training itself."
        if found.source == "balancing"
        else "They were measured on a sample of batches."
    )
    parts = [_place_view(sheet, found, p, place) for p, place in enumerate(found.places)]
    return sheet.view("gradients", "Gradients: who pulls where", sentence(said), parts)


def _place_view(sheet: Sheet, found: RegionGradients, p: int, place: str) -> Html:
    kinds = ("shares", "opposition", "cosines", "conflicts")
    heading = sheet.heading(join("In ", markup.name(place)))
    few = sentence(
        f"Of {len(found.tasks)} tasks the heat maps show the {CROWD} in the sharpest conflicts."
    )
    return join(
        heading,
        _worst_pair(found, p),
        few if len(found.tasks) > CROWD else None,
        sheet.figures(*(f"{kind}/{place}" for kind in kinds)),
    )


def _worst_pair(found: RegionGradients, p: int) -> Html | None:
    """In a sentence: the two that pull apart most, and how many pairs do."""
    upper = np.triu_indices(len(found.tasks), 1)
    cosines = _mean(found.cosines[:, p])[upper]
    if not len(cosines) or np.isnan(cosines).all():
        return None
    i = int(np.nanargmin(cosines))
    one, other = (found.tasks[int(side[i])] for side in upper)
    against, all_ = int((cosines < 0).sum()), int((~np.isnan(cosines)).sum())
    many = f"{against} ({percent(against, all_)})" if against else "none"
    return sentence(
        f"Of {plural(all_, 'pair')} of tasks, {many} pull against each other on average; ",
        "lowest: ",
        markup.name(one, 40),
        " and ",
        markup.name(other, 40),
        f", cosine {fixed(cosines[i], 2)}.",
    )
