"""How good every task is beside the trivial predictor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from polycera import drawing
from polycera.reports import markup
from polycera.reports.markup import Html
from polycera.reports.numbers import fixed, say
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import CROWD, Sheet, View, beside, sentence


def pictures(seen: RunView) -> Iterator[tuple[str, Any]]:
    """The skills as bars; of a crowd of tasks also how they are spread."""
    if not seen.skills:
        return
    rows = f"{seen.held_out} rows" if seen.held_out else "validation rows, latest epoch"
    title = f"Skill of each task ({rows})"
    yield (
        "skills",
        lambda: drawing.bars(
            seen.skills,
            title=title,
            x_label="skill: 0 the trivial predictor, 1 perfect",
            high=1.0,
            reference=0.0,
        ),
    )
    known = np.array([skill for skill in seen.skills.values() if skill is not None])
    if len(known) > CROWD:
        counts, edges = np.histogram(np.clip(known, -1.0, 1.0), bins=20)
        yield (
            "skills-spread",
            lambda: drawing.histogram(
                edges.tolist(),
                counts.tolist(),
                title=f"How the skills of the tasks are spread ({rows})",
                x_label="skill",
            ),
        )


def view(sheet: Sheet) -> View | None:
    """Bars, and every metric with its value, its trivial value and its skill."""
    seen = sheet.seen
    if not seen.skills:
        return None
    said = (
        "A skill brings every metric to one scale: 0 is what the trivial predictor of that task reaches on the same "
        "rows, 1 is perfect."
    )
    bars: Any = sheet.figure("skills")
    if sheet.crowded:
        bars = markup.join(
            sheet.figure("skills-spread"), markup.folded("Each task", bars, class_="more")
        )
    return sheet.view(
        "skills", "Against the trivial predictor", sentence(said), beside(bars, _table(seen))
    )


def _table(seen: RunView) -> Html | None:
    if not seen.scores:
        return None
    rows = [
        [
            markup.name(task),
            seen.kinds.get(task, ""),
            metric,
            say(score["value"]),
            say(score["trivial"]),
            fixed(score["skill"]),
            _best(score),
        ]
        for task, own in seen.scores.items()
        for metric, score in own.items()
    ]
    head = ["task", "kind", "metric", "value", "trivial", "skill", "best is"]
    found = markup.table(f"Every metric on the {seen.held_out} rows", head, rows, (3, 4, 5))
    return (
        markup.folded(f"All {len(rows)} metrics", found, class_="more") if len(rows) > 60 else found
    )


def _best(score: dict[str, Any]) -> str:
    return {"max": "high", "min": "low"}.get(str(score["direction"]), say(score["ideal"]))
