"""Draw how good each task is: its skill, with interval, beside the trivial predictor and others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from polycera.errors import InputError, shorten
from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import CROWD, Record, ends, name_list, number, plural, say

LOWEST = -1.0
"""Skills below are drawn here: one hopeless task would flatten all others."""


def skills(
    records: Iterable[Mapping[str, Any]],
    *,
    title: str = "Skill of each task",
    baseline: str = "baseline",
    colours: Mapping[str, str] | None = None,
) -> theme.Chart:
    """Draw the skill of each task with its interval: 0 is the trivial predictor, 1 is perfect.

    Of more than 40 tasks the best 20 and the worst 20 are shown; a search box finds the others.

    Args:
        records: one a task. `task`, and either `skill` (`low`, `high`, `baseline` are skills then)
            or `value`, `trivial` and `ideal` of a metric, from which skills are computed, with
            `low`, `high` and `baseline` on the metric's scale. `metric` names it. Only `task`
            and a skill or a value are needed.
        title: what is shown.
        baseline: what the baseline is, such as "logistic regression".
        colours: task -> colour, as `task_colours` gives them.

    Raises:
        InputError: for a record without a task.

    Examples:
        >>> from polycera import plots
        >>> auc = {"metric": "auc", "trivial": 0.5, "ideal": 1.0}
        >>> auc |= {"value": 0.84, "low": 0.81, "high": 0.87, "baseline": 0.82}
        >>> plots.skills([{"task": "churn"} | auc]).to_dict()["description"]
        'Skill of each task: 1 task, 0 is the trivial predictor and 1 is perfect.
        churn: 0.68 (0.62 to 0.74), baseline 0.64.'
    """
    alt = theme.altair()
    everything = [_record(record) for record in records]
    undefined = [record["task"] for record in everything if record["skill"] is None]
    found = [record for record in everything if record["skill"] is not None]
    if not found:
        return chart_parts.sentence_only(
            title, "No task has a skill: their labels are constant, or there are no rows with one."
        )
    shown = ends({record["task"]: record["skill"] for record in found}, CROWD)
    crowded = len(shown) < len(found)
    if crowded:
        found.sort(key=lambda record: -record["skill"])
    table = [
        record | {"order": place, "shown": record["task"] in shown}
        for place, record in enumerate(found)
    ]
    palette = theme.colours_of([record["task"] for record in everything], colours)
    base = alt.Chart().encode(
        y=chart_parts.names_down(),
        color=alt.Color(
            "task:N", legend=None, scale=alt.Scale(domain=[*palette], range=[*palette.values()])
        ),
        tooltip=chart_parts.tips(
            task_text="task",
            metric_text="metric",
            skill="skill",
            low="interval from",
            high="interval to",
            value="value",
            trivial="trivial predictor",
            baseline_skill="skill of the baseline",
            baseline="baseline",
        ),
    )
    axis = alt.X(
        "drawn:Q",
        title="skill (0 trivial predictor, 1 perfect)",
        scale=alt.Scale(domain=[min(0.0, *_drawn(found)), 1.0], nice=True),
    )
    layers = [
        alt.Chart(chart_parts.rows([{"drawn": 0.0}]))
        .mark_rule(style="zero", strokeWidth=1.5, aria=False)
        .encode(x=axis, tooltip=chart_parts.tips(drawn="trivial predictor")),
        base.mark_rule(strokeWidth=3, opacity=0.55, aria=False).encode(
            x=alt.X("drawn_low:Q"), x2="drawn_high:Q"
        ),
        base.mark_point(filled=True, size=80, opacity=1, aria=False).encode(x=axis),
    ]
    if any(record["baseline_skill"] is not None for record in found):
        tick = base.mark_tick(thickness=2, size=16, style="guide", aria=False)
        layers.append(tick.encode(x=alt.X("drawn_baseline:Q"), color=alt.value(theme.NEUTRAL)))
    chart = alt.layer(*layers, data=chart_parts.rows(table))
    notes = [f"Grey tick: {baseline}."] if len(layers) > 3 else []
    if crowded:
        chart = alt.layer(
            layers[0],
            *(layer.transform_filter(chart_parts.SHOWN) for layer in layers[1:]),
            data=chart_parts.rows(table),
        ).add_params(chart_parts.search_box("task"))
        notes.append(f"The best {CROWD // 2} and the worst {CROWD // 2} of {len(found)} tasks.")
    if undefined:
        notes.append(f"Not defined for {name_list(undefined, 3)}.")
    if min(record["skill"] for record in found) < LOWEST:
        notes.append(f"Skills below {LOWEST:g} are drawn at {LOWEST:g}.")
    return chart_parts.finish(
        chart,
        title=title,
        description=_description(title, found, baseline),
        notes=notes,
        height=chart_parts.height_of(len(found), 24 if len(found) <= 12 else 18, crowded),
    )


def _record(given: Mapping[str, Any]) -> Record:
    """Return what is drawn of a task, with all numbers as skills besides those given."""
    if given.get("task") is None:
        raise InputError(f"A record of skills has no task: it has {', '.join(map(str, given))}.")
    fields = ("value", "trivial", "ideal", "low", "high", "baseline", "skill")
    own = {field: number(given.get(field)) for field in fields}
    if own["skill"] is None:
        bring = _to_skill(own["trivial"], own["ideal"])
        own |= {"skill": bring(own["value"])}
        own |= dict(
            zip(("low", "high"), _ordered(bring(own["low"]), bring(own["high"])), strict=True)
        )
        own["baseline_skill"] = bring(own["baseline"])
    else:
        own["baseline_skill"] = own["baseline"]
    name = str(given["task"])
    drawn = {
        "drawn": _clipped(own["skill"]),
        "drawn_low": _clipped(own["low"]),
        "drawn_high": _clipped(own["high"]),
        "drawn_baseline": _clipped(own["baseline_skill"]),
    }
    return {"task": name, "name": name, "metric": str(given.get("metric") or ""), **own, **drawn}


def _to_skill(trivial: float | None, ideal: float | None) -> Any:
    """Return the function that brings a metric to the scale of skills."""

    def bring(value: float | None) -> float | None:
        if value is None or trivial is None or ideal is None or ideal == trivial:
            return None
        return (value - trivial) / (ideal - trivial)

    return bring


def _ordered(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    if low is None or high is None:
        return None, None
    return min(low, high), max(low, high)


def _clipped(value: float | None) -> float | None:
    return None if value is None else min(max(value, LOWEST), 1.0)


def _drawn(found: list[Record]) -> list[float]:
    fields = ("drawn", "drawn_low", "drawn_baseline")
    return [record[field] for record in found for field in fields if record[field] is not None]


def _description(title: str, found: list[Record], baseline: str) -> str:
    said = f"{title}: {plural(len(found), 'task')}, 0 is the trivial predictor and 1 is perfect."
    parts = []
    for record in found[:5]:
        words = f"{shorten(record['task'], 60)}: {say(record['skill'])}"
        if record["low"] is not None:
            words += f" ({say(record['low'])} to {say(record['high'])})"
        if record["baseline_skill"] is not None:
            words += f", {baseline} {say(record['baseline_skill'])}"
        parts.append(words)
    return f"{said} {'; '.join(parts)}" + (f"; {len(found) - 5} more." if len(found) > 5 else ".")
