"""Draw curves over epochs, or over anything else with numbers on both axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polycera.errors import shorten
from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import (
    LEGEND,
    MOST_POINTS,
    Record,
    as_lists,
    ends,
    known,
    number,
    numbers,
    places_to_keep,
    plural,
    say,
)

FEW = 30
"""Curves with at most so many points show each of them."""


def lines(
    series: Mapping[str, Sequence[float | None]],
    x: Sequence[float],
    *,
    title: str,
    x_title: str = "epoch",
    y_title: str = "value",
    dashed: Mapping[str, Sequence[float | None]] | None = None,
    parts: tuple[str, str] = ("validation", "training"),
    chosen: float | None = None,
    chosen_name: str = "chosen",
    colours: Mapping[str, str] | None = None,
) -> theme.Chart:
    """Draw a curve for each name over the same values of x.

    Args:
        series: name -> values, one for each x; None where one is not known.
        x: what the curves run over.
        title: what is shown.
        x_title, y_title: of the axes, with the unit.
        dashed: name -> a second curve in the same colour, dashed.
        parts: what the first and the dashed curves are.
        chosen: where a dashed line stands across the chart. It is the parameter `chosen`: a page
            moves it by `view.signal("chosen", 12)`.
        chosen_name: words beside that line.
        colours: name -> colour, as `task_colours` gives them; by order where left out.

    Raises:
        InputError: where a curve does not have a value for each x.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.lines({"churn": [0.5, 0.7]}, [0, 1], title="Weight", y_title="weight")
        >>> chart.to_dict()["description"]
        'Weight: 1 curve over epoch 0 to 1. churn: from 0.5 to 0.7, lowest 0.5, highest 0.7.'
    """
    alt = theme.altair()
    places = numbers(x)
    both: dict[str, dict[str, list[float | None]]] = {name: {} for name in series}
    for part, curves in zip(parts, (series, dashed or {}), strict=True):
        for name, curve in curves.items():
            _, values = as_lists(x=places, values=numbers(curve))
            both.setdefault(str(name), {})[part] = values
    sound = {name: own for name, own in both.items() if any(map(known, own.values()))}
    if not sound or not known(places):
        return chart_parts.sentence_only(title, "No number is known, so there is no curve to draw.")
    palette = theme.colours_of(both, colours)
    last = {name: _last(next(iter(own.values()))) for name, own in sound.items()}
    crowded = len(sound) > LEGEND
    shown = ends(last, LEGEND - 2) if crowded else set(sound)
    records, thinned = _records(sound, places, shown, number(chosen))
    curve = alt.Chart(chart_parts.rows(records)).mark_line(
        strokeWidth=2,
        point={"size": 30, "aria": False} if len(places) <= FEW else False,
        aria=False,
    )
    several = len({record["part"] for record in records}) > 1
    dash = alt.Scale(domain=list(parts), range=[[1, 0], [5, 4]])
    curve = curve.encode(
        x=alt.X("x:Q", title=x_title, scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y("value:Q", title=y_title, scale=alt.Scale(zero=False)),
        color=chart_parts.task_scale(
            palette, "name", [name for name in sound if name in shown], symbolType="stroke"
        ),
        strokeDash=alt.StrokeDash(
            "part:N",
            scale=dash,
            title=None,
            legend=alt.Legend(symbolType="stroke", orient="top") if several else None,
        ),
        tooltip=chart_parts.tips(name_text="name", part_text="part", x="at", value="value"),
    )
    at, middle = number(chosen), (min(known(places)) + max(known(places))) / 2
    late = at is not None and at > middle
    rule = chart_parts.rule_across("chosen", at, chosen_name, late=late)
    notes = []
    if crowded:
        curve = curve.transform_filter(chart_parts.SHOWN)
        curve = curve.add_params(chart_parts.search_box("name"))
        notes.append(f"{len(shown)} of {len(sound)}: those that end highest and lowest.")
    if thinned:
        notes.append(f"Drawn at {thinned} of {len(places):,} places, spread evenly.")
    said = _description(title, x_title, sound, places)
    if at is not None:
        said += f" {chosen_name}: {say(at)}."
    return chart_parts.finish(
        alt.layer(curve, *rule), title=title, description=said, notes=notes, height=260
    )


def _records(
    sound: Mapping[str, Mapping[str, list[float | None]]],
    places: list[float | None],
    shown: set[str],
    chosen: float | None,
) -> tuple[list[Record], int]:
    """Return the points, and at how many places they are where not at all."""
    curves = sum(map(len, sound.values()))
    also = [places.index(chosen)] if chosen in places else []
    crowded = len(sound) > LEGEND
    share = MOST_POINTS // 2 if crowded else MOST_POINTS
    hidden = max(curves - len(shown), 1)
    kept = places_to_keep(len(places), max(10, share // min(curves, LEGEND)), also)
    few = places_to_keep(len(places), max(10, share // hidden), also)
    records = []
    for name, own in sound.items():
        for part, values in own.items():
            for i in kept if name in shown else few:
                if places[i] is None:
                    continue
                record: Record = {"x": places[i], "value": values[i], "name": name, "part": part}
                records.append(record | ({"shown": name in shown} if crowded else {}))
    return records, len(kept) if len(kept) < len(places) else 0


def _last(values: Sequence[float | None]) -> float | None:
    found = known(values)
    return found[-1] if found else None


def _description(
    title: str, x_title: str, sound: Mapping[str, Any], places: list[float | None]
) -> str:
    at = known(places)
    said = (
        f"{title}: {plural(len(sound), 'curve')} over {x_title} {say(min(at))} to {say(max(at))}."
    )
    for name, own in list(sound.items())[:5]:
        for part, values in own.items():
            found = known(values)
            if found:
                words = f"{shorten(name, 60)}, {part}" if len(own) > 1 else shorten(name, 60)
                said += f" {words}: from {say(found[0])} to {say(found[-1])},"
                said += f" lowest {say(min(found))}, highest {say(max(found))}."
    return said
