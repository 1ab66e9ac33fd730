"""Draw paired differences with their intervals: on which side of 0 they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from polycera.errors import InputError, shorten
from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import CROWD, Record, ends, number, plural, say

SIDES = {
    "better": theme.PALETTE[0],
    "no difference seen": theme.NEUTRAL,
    "worse": theme.PALETTE[1],
}
"""Where an interval lies -> its colour; the shape of the point says it too."""


def comparison(
    records: Iterable[Mapping[str, Any]],
    *,
    title: str,
    x_title: str,
    higher_is_better: bool = True,
) -> theme.Chart:
    """Draw a forest of differences, such as one network minus separate ones, task by task.

    A difference counts as one where its interval does not hold 0. Of more than 40 rows the 20
    highest and the 20 lowest are shown; a search box finds the others.

    Args:
        records: `name`, `difference`, `low` and `high` of each row.
        title: what is compared with what.
        x_title: of the axis: what differs, with its unit and the confidence.
        higher_is_better: whether a difference above 0 is good.

    Raises:
        InputError: for a record without a name.

    Examples:
        >>> from polycera import plots
        >>> records = [{"name": "churn", "difference": 0.02, "low": 0.01, "high": 0.03}]
        >>> plots.comparison(records, title="Gain", x_title="AUC").to_dict()["description"]
        'Gain (AUC): 1 row, 1 better, 0 worse, 0 with no difference seen. churn: 0.02 (0.01 to
        0.03).'
    """
    alt = theme.altair()
    found = [_row(record, higher_is_better) for record in records]
    found = [row for row in found if row["difference"] is not None]
    if not found:
        return chart_parts.sentence_only(title, "No difference is known.")
    shown = ends({row["name"]: row["difference"] for row in found}, CROWD)
    crowded = len(shown) < len(found)
    if crowded:
        found.sort(key=lambda row: -row["difference"])
    table = [row | {"order": i, "shown": row["name"] in shown} for i, row in enumerate(found)]
    sides = [side for side in SIDES if any(row["side"] == side for row in found)]
    shapes = dict(zip(SIDES, ("triangle-right", "circle", "triangle-left"), strict=True))
    colour = alt.Scale(domain=sides, range=[SIDES[side] for side in sides])
    shape = alt.Scale(domain=sides, range=[shapes[side] for side in sides])
    base: Any = alt.Chart(chart_parts.rows(table))
    if crowded:
        base = base.transform_filter(chart_parts.SHOWN)
    base = base.encode(
        y=chart_parts.names_down(),
        color=alt.Color("side:N", title=None, scale=colour),
        tooltip=chart_parts.tips(
            name_text="name", difference="difference", low="from", high="to", side_text="result"
        ),
    )
    zero = alt.Chart(chart_parts.rows([{"difference": 0}])).mark_rule(style="guide", aria=False)
    x = alt.X("difference:Q", title=x_title, scale=alt.Scale(zero=True))
    layers = [
        zero.encode(x=x),
        base.mark_rule(strokeWidth=2.5, aria=False).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1, aria=False).encode(
            x=x, shape=alt.Shape("side:N", title=None, scale=shape)
        ),
    ]
    chart = alt.layer(*layers)
    notes = []
    if crowded:
        chart = chart.add_params(chart_parts.search_box("row"))
        notes.append(f"The {CROWD // 2} highest and the {CROWD // 2} lowest of {len(found)}.")
    counts = {side: sum(row["side"] == side for row in found) for side in SIDES}
    said = f"{title} ({x_title}): {plural(len(found), 'row')}, {counts['better']} better, "
    said += f"{counts['worse']} worse, {counts['no difference seen']} with no difference seen. "
    some = [
        f"{shorten(row['name'], 60)}: {say(row['difference'])}"
        + ("" if row["low"] is None else f" ({say(row['low'])} to {say(row['high'])})")
        for row in found[:5]
    ]
    said += "; ".join(some) + ("." if len(found) <= 5 else f"; {len(found) - 5} more.")
    return chart_parts.finish(
        chart,
        title=title,
        description=said,
        notes=notes,
        height=chart_parts.height_of(len(found), 18 if crowded else 24, crowded),
    )


def _row(given: Mapping[str, Any], higher_is_better: bool) -> Record:
    if given.get("name") is None:
        raise InputError(f"A row of a comparison has no name: it has {', '.join(map(str, given))}.")
    low, middle, high = (number(given.get(field)) for field in ("low", "difference", "high"))
    side = "no difference seen"
    if low is not None and high is not None and (low > 0 or high < 0):
        side = "better" if (low > 0) == higher_is_better else "worse"
    name = str(given["name"])
    return {"name": name, "difference": middle, "low": low, "high": high, "side": side}
