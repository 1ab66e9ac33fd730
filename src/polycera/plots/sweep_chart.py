"""Draw how the tasks do under several settings, such as several weightings of the losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from polycera.errors import InputError, shorten
from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import CROWD, LEGEND, Record, number, plural, say


def sweep(
    records: Iterable[Mapping[str, Any]],
    *,
    title: str = "Skills by setting",
    x_title: str = "skill (1 perfect)",
    colours: Mapping[str, str] | None = None,
) -> theme.Chart:
    """Draw a row for each setting, and in it a point for each task.

    Of more than 40 settings the first 40 are shown; a search box finds the others.

    Args:
        records: `setting`, `task` and `value`; `low` and `high` where an interval is known.
        title: what is shown.
        x_title: of the axis of the values.
        colours: task -> colour, as `task_colours` gives them.

    Raises:
        InputError: for a record without setting or task.

    Examples:
        >>> from polycera import plots
        >>> records = [
        ...     {"setting": "1 : 1", "task": "churn", "value": 0.6},
        ...     {"setting": "2 : 1", "task": "churn", "value": 0.7},
        ... ]
        >>> plots.sweep(records).to_dict()["description"]
        'Skills by setting: 1 task under 2 settings. churn: highest with 2 : 1, 0.7.'
    """
    alt = theme.altair()
    found: list[Record] = []
    for given in records:
        if given.get("setting") is None or given.get("task") is None:
            raise InputError("A record of a sweep needs `setting`, `task` and `value`.")
        own = {field: number(given.get(field)) for field in ("value", "low", "high")}
        found.append({"name": str(given["setting"]), "task": str(given["task"]), **own})
    found = [one for one in found if one["value"] is not None]
    if not found:
        return chart_parts.sentence_only(title, "No setting has a known value.")
    settings = list(dict.fromkeys(one["name"] for one in found))
    order = {name: place for place, name in enumerate(settings)}
    table = [
        one | {"order": order[one["name"]], "shown": order[one["name"]] < CROWD} for one in found
    ]
    palette = theme.colours_of(dict.fromkeys(one["task"] for one in found), colours)
    base: Any = alt.Chart(chart_parts.rows(table))
    if len(settings) > CROWD:
        base = base.transform_filter(chart_parts.SHOWN)
    base = base.encode(
        y=chart_parts.names_down("setting"),
        color=chart_parts.task_scale(palette),
        tooltip=chart_parts.tips(
            name_text="setting", task_text="task", value="value", low="from", high="to"
        ),
    )
    layers = [
        base.mark_rule(strokeWidth=2, opacity=0.5, aria=False).encode(
            x=alt.X("low:Q"), x2="high:Q"
        ),
        base.mark_point(filled=True, size=70, opacity=0.9, aria=False).encode(
            x=alt.X("value:Q", title=x_title, scale=alt.Scale(zero=False, padding=8))
        ),
    ]
    chart = alt.layer(*(layers if any(one["low"] is not None for one in found) else layers[1:]))
    notes = []
    if len(settings) > CROWD:
        chart = chart.add_params(chart_parts.search_box("setting"))
        notes.append(f"The first {CROWD} of {len(settings)} settings.")
    if len(palette) > LEGEND:
        notes.append(f"{len(palette)} tasks: the tooltip of a point names its task.")
    said = f"{title}: {plural(len(palette), 'task')} under {plural(len(settings), 'setting')}."
    for task in list(palette)[:5]:
        best = max((one for one in found if one["task"] == task), key=lambda one: one["value"])
        said += f" {shorten(task, 60)}: highest with {shorten(best['name'], 60)}, "
        said += f"{say(best['value'])}."
    return chart_parts.finish(
        chart,
        title=title,
        description=said,
        notes=notes,
        height=chart_parts.height_of(len(settings), 24, len(settings) > CROWD),
    )
