"""Draw what one task gives up for another: the epochs by their skills, and the Pareto set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from polycera.errors import InputError, shorten
from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import (
    MOST_POINTS,
    Record,
    as_lists,
    number,
    numbers,
    places_to_keep,
    plural,
    say,
)

MOST_TASKS = 12
"""Tasks in parallel coordinates; of more, those in which the epochs differ most."""


def pareto(
    skills: Mapping[str, Sequence[float | None]],
    *,
    epochs: Sequence[float] | None = None,
    chosen: float | None = None,
    kept: Iterable[float] = (),
    title: str | None = None,
) -> theme.Chart:
    """Draw each epoch by its skills: two tasks as points, more as one line an epoch.

    An epoch is in the Pareto set where no other is as good in every task and better in one.

    Args:
        skills: task -> its skill in each epoch.
        epochs: their numbers; 0, 1, 2 ... where left out.
        chosen: the epoch with a ring, or a thick line. It is the parameter `chosen`: a page moves
            it by `view.signal("chosen", 12)`.
        kept: epochs of which the weights are kept.
        title: what is shown.

    Raises:
        InputError: for fewer than two tasks, or skills that are not as many as the epochs.

    Examples:
        >>> from polycera import plots
        >>> skills = {"churn": [0.1, 0.5, 0.4], "revenue": [0.2, 0.3, 0.1]}
        >>> plots.pareto(skills, chosen=1).to_dict()["description"]
        'Trade-off between 2 tasks: 3 epochs, 1 of them in the Pareto set. Best in churn: epoch 1
        with 0.5. Best in revenue: epoch 1 with 0.3. Chosen: epoch 1.'
    """
    names = [str(task) for task in skills]
    if len(names) < 2:
        raise InputError(f"A trade-off was given {plural(len(names), 'task')}: give two or more.")
    columns = as_lists(**{f"skills of {shorten(n, 40)}": numbers(skills[n]) for n in skills})
    count = len(columns[0])
    at, _ = as_lists(epochs=range(count) if epochs is None else numbers(epochs), skills=columns[0])
    title = title or f"Trade-off between {len(names)} tasks"
    table = np.array(columns, dtype=float).T.reshape(count, len(names))
    sound = [i for i in range(count) if np.isfinite(table[i]).all() and at[i] is not None]
    if not sound:
        return chart_parts.sentence_only(title, "No epoch has a known skill in every task.")
    table, places = table[sound], [float(at[i]) for i in sound]
    best = non_dominated(table)
    marked, one = set(map(float, kept)), number(chosen)
    said = f"{title}: {plural(len(places), 'epoch')}, {int(best.sum())} of them in the Pareto set."
    for task, column in list(zip(names, table.T, strict=True))[:5]:
        i = int(np.argmax(column))
        said += f" Best in {shorten(task, 60)}: epoch {say(places[i])} with {say(column[i])}."
    said += "" if one is None else f" Chosen: epoch {say(one)}."
    also = [i for i, epoch in enumerate(places) if best[i] or epoch in marked or epoch == one]
    width = 1 if len(names) == 2 else min(len(names), MOST_TASKS)
    rows = places_to_keep(len(places), MOST_POINTS // width, also[: MOST_POINTS // width])
    notes = [f"{len(rows)} of {len(places):,} epochs are drawn."] if len(rows) < len(places) else []
    kinds = ["kept" if places[i] in marked else "Pareto set" if best[i] else "epoch" for i in rows]
    given = [
        Epoch(places[i], kind, bool(best[i]), table[i]) for i, kind in zip(rows, kinds, strict=True)
    ]
    draw = _scatter if len(names) == 2 else _parallel
    chart, more = draw(given, names, one)
    return chart_parts.finish(
        chart, title=title, description=said, notes=[*notes, *more], height=300
    )


def non_dominated(table: np.ndarray) -> np.ndarray:
    """Return which rows no other row beats: as high in every column, higher in one."""
    found = np.ones(len(table), bool)
    for i, row in enumerate(table):
        better = (table >= row).all(axis=1) & (table > row).any(axis=1)
        found[i] = not better.any()
    return found


class Epoch(NamedTuple):
    """Holds one epoch of a trade-off.

    Attributes:
        number: of the epoch.
        kind: how it is drawn, see `LOOK`.
        best: whether it is in the Pareto set.
        skills: of the tasks.
    """

    number: float
    kind: str
    best: bool
    skills: np.ndarray


Given = Sequence[Epoch]
LOOK = {"epoch": theme.NEUTRAL, "Pareto set": theme.PALETTE[0], "kept": theme.PALETTE[1]}


def _kinds(given: Given) -> Any:
    alt = theme.altair()
    there = [kind for kind in LOOK if any(kind == epoch.kind for epoch in given)]
    scale = alt.Scale(domain=there, range=[LOOK[kind] for kind in there])
    return alt.Color("kind:N", title=None, scale=scale, legend=alt.Legend())


def _scatter(given: Given, names: Sequence[str], chosen: float | None) -> tuple[Any, list[str]]:
    alt = theme.altair()
    records: list[Record] = [
        {
            "epoch": epoch.number,
            "kind": epoch.kind,
            "best": epoch.best,
            "across": float(epoch.skills[0]),
            "up": float(epoch.skills[1]),
        }
        for epoch in given
    ]
    front = sorted((r for r in records if r["best"]), key=lambda r: r["across"])
    free = alt.Scale(zero=False, padding=8)
    x = alt.X("across:Q", title=f"skill in {shorten(names[0], 30)}", scale=free)
    y = alt.Y("up:Q", title=f"skill in {shorten(names[1], 30)}", scale=free)
    tip = chart_parts.tips(epoch="epoch", kind_text="kind", across="skill across", up="skill up")
    points = alt.Chart(chart_parts.rows(records)).encode(x=x, y=y, tooltip=tip)
    layers = [
        alt.Chart(chart_parts.rows(front))
        .mark_line(style="guide", strokeWidth=1, aria=False)
        .encode(x=x, y=y, order=alt.Order("across:Q")),
        points.mark_point(filled=True, size=55, opacity=0.9, aria=False).encode(
            color=_kinds(given)
        ),
    ]
    if chosen is not None:
        ring = points.transform_filter("datum.epoch == chosen")
        ring = ring.mark_point(style="ring", size=190, filled=False, opacity=1, aria=False)
        layers.append(ring.add_params(alt.param(name="chosen", value=chosen)))
    return alt.layer(*layers), []


def _parallel(given: Given, names: Sequence[str], chosen: float | None) -> tuple[Any, list[str]]:
    alt = theme.altair()
    table = np.array([epoch.skills for epoch in given])
    most = np.argsort(-np.ptp(table, axis=0), kind="stable")[:MOST_TASKS]
    shown = sorted(int(i) for i in most)
    records = [
        {
            "epoch": epoch.number,
            "kind": epoch.kind,
            "task": names[j],
            "order": j,
            "skill": float(epoch.skills[j]),
        }
        for epoch in given
        for j in shown
    ]
    lines = alt.Chart(chart_parts.rows(records)).encode(
        x=alt.X(
            "task:N",
            sort=alt.EncodingSortField("order", op="min"),
            title="task",
            scale=alt.Scale(type="point", padding=0.3),
            axis=alt.Axis(labelAngle=-30, labelLimit=100, grid=True),
        ),
        y=alt.Y("skill:Q", title="skill (1 perfect)", scale=alt.Scale(zero=False)),
        detail="epoch:N",
        tooltip=chart_parts.tips(epoch="epoch", kind_text="kind", task_text="task", skill="skill"),
    )
    layers = [
        lines.transform_filter(f"datum.kind {sign} 'epoch'")
        .mark_line(opacity=opacity, strokeWidth=width, aria=False)
        .encode(color=_kinds(given))
        for sign, opacity, width in (("==", 0.35, 1), ("!=", 0.9, 1.5))
    ]
    if chosen is not None:
        one = lines.transform_filter("datum.epoch == chosen")
        one = one.mark_line(style="ring", filled=False, strokeWidth=3, aria=False)
        layers.append(one.add_params(alt.param(name="chosen", value=chosen)))
    few = len(shown) < len(names)
    notes = [f"The {MOST_TASKS} of {len(names)} tasks in which epochs differ most."] if few else []
    return alt.layer(*layers), notes
