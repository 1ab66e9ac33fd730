"""Draw a bar for each name, with an interval where one is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polycera.errors import shorten
from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import CROWD, as_lists, numbers, plural, say


def bars(
    names: Sequence[str],
    values: Sequence[float | None],
    *,
    title: str,
    x_title: str,
    low: Sequence[float | None] | None = None,
    high: Sequence[float | None] | None = None,
    sort: bool = True,
    most: int = CROWD,
    what: str = "name",
    colour: str = theme.PALETTE[0],
    colours: Mapping[str, str] | None = None,
) -> theme.Chart:
    """Draw a bar for each name, the longest first.

    Args:
        names: of the bars.
        values: their lengths; a bar without a known value is left out.
        title: what is shown.
        x_title: of the axis, with the unit.
        low, high: interval of each value.
        sort: whether the highest value comes first; else the order is kept.
        most: bars shown; a search box finds the others.
        what: what a name is, for the search box and the tooltip.
        colour: of all bars.
        colours: name -> colour, where names are tasks.

    Raises:
        InputError: where these are not as many.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.bars(["age", "plan"], [0.1, 0.3], title="Columns", x_title="skill lost")
        >>> chart.to_dict()["description"]
        'Columns (skill lost): 2 names. plan 0.3, age 0.1.'
    """
    alt = theme.altair()
    unknown = [None] * len(names)
    lists = as_lists(
        name=map(str, names),
        value=numbers(values),
        low=numbers(unknown if low is None else low),
        high=numbers(unknown if high is None else high),
    )
    fields = ("name", "value", "low", "high")
    records = [dict(zip(fields, one, strict=True)) for one in zip(*lists, strict=True)]
    records = [record for record in records if record["value"] is not None]
    if not records:
        return chart_parts.sentence_only(title, "No number is known, so there is no bar to draw.")
    if sort:
        records.sort(key=lambda record: -record["value"])
    crowded = len(records) > most
    table = []
    for place, record in enumerate(records):
        shade = colour if colours is None else colours.get(record["name"], theme.NEUTRAL)
        table.append(record | {"order": place, "colour": shade, "shown": place < most})
    base: Any = alt.Chart(chart_parts.rows(table))
    if crowded:
        base = base.transform_filter(chart_parts.SHOWN)
    base = base.encode(
        y=chart_parts.names_down(),
        tooltip=chart_parts.tips(name_text=what, value="value", low="from", high="to"),
    )
    layers = [
        base.mark_bar(height={"band": 0.65}, aria=False).encode(
            x=alt.X("value:Q", title=x_title, scale=alt.Scale(zero=True)),
            color=alt.Color("colour:N", scale=None),
        )
    ]
    if any(record["low"] is not None for record in records):
        layers.append(
            base.mark_rule(strokeWidth=2, style="stem", opacity=0.9, aria=False).encode(
                x=alt.X("low:Q"), x2="high:Q"
            )
        )
    chart = alt.layer(*layers)
    notes = []
    if crowded:
        chart = chart.add_params(chart_parts.search_box(what))
        notes.append(f"The first {most} of {len(records)}.")
    some = ", ".join(f"{shorten(one['name'], 60)} {say(one['value'])}" for one in records[:5])
    said = f"{title} ({x_title}): {plural(len(records), what)}. {some}"
    said += f" and {len(records) - 5} more." if len(records) > 5 else "."
    return chart_parts.finish(
        chart,
        title=title,
        description=said,
        notes=notes,
        height=chart_parts.height_of(len(records), 22, crowded),
    )
