"""Put a chart together: what every chart has alike, and what many have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polycera.plots import theme
from polycera.plots.plain_values import LEGEND, Record, lines_of

NUMBER = ".4~g"
"""Format of numbers in tooltips."""

SHOWN = "search == '' ? datum.shown : indexof(lower(datum.name), lower(search)) >= 0"
"""Condition of Vega: a row is among those shown, or its name holds what is typed."""


def finish(
    chart: Any,
    *,
    title: str,
    description: str,
    height: Any = 260,
    notes: Iterable[str] = (),
) -> theme.Chart:
    """Return a chart with title, description, size and theme."""
    alt = theme.altair()
    below = [line for note in notes for line in lines_of(note, 50)]
    heading = alt.TitleParams(lines_of(title), subtitle=below) if below else lines_of(title)
    found = chart.properties(
        title=heading, description=" ".join(description.split()), width="container", height=height
    ).properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    found.config = theme.config("light", paper=True)
    return found


def sentence_only(title: str, words: str) -> theme.Chart:
    """Return a chart without data: a sentence says why there is nothing to see."""
    alt = theme.altair()
    lines = lines_of(words)
    text = alt.Chart(rows([{"words": line, "line": i} for i, line in enumerate(lines)]))
    text = text.mark_text(style="words", align="left", aria=False).encode(
        x=alt.value(0),
        y=alt.Y("line:O", axis=None),
        text="words:N",
        tooltip=[alt.Tooltip("words:N", title="why")],
    )
    return finish(
        text, title=title, description=f"{title}: {words}", height=height_of(len(lines), 18)
    )


def height_of(count: int, step: int, crowded: bool = False) -> Any:
    """Return the height of a chart with a row for each name.

    Where a search box leaves fewer rows the chart shrinks with them, for which Vega-Lite writes a
    warning into the console of a page.
    """
    return theme.altair().Step(step) if crowded else count * step


def rows(records: Sequence[Record]) -> Any:
    """Return records as data that stand in the chart."""
    return theme.altair().Data(values=list(records))


def tips(**fields: str) -> list[Any]:
    """Return tooltips: `value="skill"` shows the field `value` under the word `skill`.

    A name that ends in `_text` is text; all others are numbers.
    """
    alt = theme.altair()
    found = []
    for field, words in fields.items():
        if field.endswith("_text"):
            found.append(alt.Tooltip(f"{field.removesuffix('_text')}:N", title=words))
        else:
            found.append(alt.Tooltip(f"{field}:Q", title=words, format=NUMBER))
    return found


def task_scale(
    colours: Mapping[str, str], field: str = "task", shown: Sequence[str] = (), **look: Any
) -> Any:
    """Return the colour channel of the field that holds tasks, with a legend where it helps.

    Args:
        colours: task -> colour, in the order of the legend.
        field: that holds the tasks.
        shown: tasks in the legend where there are too many for all.
        look: of the legend.
    """
    alt = theme.altair()
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    if len(colours) < 2:
        return alt.Color(f"{field}:N", scale=scale, legend=None)
    if len(colours) <= LEGEND:
        return alt.Color(f"{field}:N", scale=scale, title=None, legend=alt.Legend(**look))
    legend = alt.Legend(values=list(shown)[:LEGEND], **look) if shown else None
    return alt.Color(f"{field}:N", scale=scale, title=None, legend=legend)


def search_box(what: str) -> Any:
    """Return a parameter `search` with a box to type into."""
    alt = theme.altair()
    box = alt.binding(input="search", placeholder="part of a name", name=f"Find a {what} ")
    return alt.param(name="search", value="", bind=box)


def rule_across(name: str, value: float | None, label: str, *, late: bool = False) -> list[Any]:
    """Return a parameter's dashed line across a chart, and its words; none without a value.

    A page moves it by `view.signal(name, value)`.

    Args:
        name: of the parameter, a plain word.
        value: where the line stands.
        label: words before the number, plain words.
        late: whether it stands on the right half, where its words go to its left.
    """
    if value is None:
        return []
    alt = theme.altair()
    place = alt.X("x:Q")
    base = alt.Chart(rows([{name: value}])).transform_calculate(x=name)
    tip = tips(x=label)
    rule = base.mark_rule(style="guide", strokeWidth=1.5, aria=False).encode(x=place, tooltip=tip)
    words = base.mark_text(
        style="quiet", dy=-7, aria=False, align="right" if late else "left"
    ).encode(
        x=place, y=alt.value(0), text=alt.value(alt.expr(f"'{label} ' + format({name}, '.3~g')"))
    )
    return [rule.add_params(alt.param(name=name, value=value)), words]


def names_down(title: str | None = None) -> Any:
    """Return the vertical channel of names, in the order of the field `order`."""
    alt = theme.altair()
    sort = alt.EncodingSortField("order", op="min")
    return alt.Y("name:N", sort=sort, title=title, axis=alt.Axis(domain=False, ticks=False))
