"""Draw a number for each pair of names as the colour of a cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polycera.errors import InputError, shorten
from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import number, plural, say

MOST = 30
"""Most names drawn; of more, those with the numbers that matter most."""


def matrix(
    names: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    title: str,
    value: str,
    low: float = 0.0,
    high: float = 1.0,
    diverging: bool = False,
    diagonal: bool = False,
) -> theme.Chart:
    """Draw a square of cells: the number of each pair of names.

    Of more than 30 names those in the most extreme pairs are drawn: the lowest where the colours
    diverge, else the highest.

    Args:
        names: of rows and columns.
        values: a list for each row; None where a number is not known.
        title: what is shown.
        value: what a number is, with its unit.
        low, high: ends of the colours.
        diverging: whether the middle has no colour, as between -1 and 1.
        diagonal: whether a name with itself is drawn.

    Raises:
        InputError: where the values are not a square of as many names.

    Examples:
        >>> from polycera import plots
        >>> values = [[1, 0.25], [0.25, 1]]
        >>> plots.matrix(["a", "b"], values, title="Alike", value="CKA").to_dict()["description"]
        'Alike: CKA of 1 pair. Lowest: a and b with 0.25. Highest: a and b with 0.25.'
    """
    alt = theme.altair()
    labels = [str(name) for name in names]
    if [len(row) for row in values] != [len(labels)] * len(labels):
        raise InputError(
            f"A matrix of {len(labels)} names was given rows of "
            f"{', '.join(str(len(row)) for row in values) or 'no'} values: give a row and a column "
            "for each name."
        )
    table = np.array(
        [[np.nan if (v := number(cell)) is None else v for cell in row] for row in values]
    ).reshape(len(labels), len(labels))
    off = np.where(np.eye(len(labels), dtype=bool), np.nan, table)
    if not np.isfinite(table if diagonal else off).any():
        return chart_parts.sentence_only(title, "No number of a pair is known.")
    extreme = np.where(np.isnan(off), np.inf, off if diverging else -off)
    both = np.minimum(extreme.min(axis=0), extreme.min(axis=1))
    chosen = sorted(int(i) for i in np.argsort(both, kind="stable")[:MOST])
    records = [
        {
            "down": labels[i],
            "along": labels[j],
            "value": number(table[i, j]),
            "down_order": i,
            "along_order": j,
            "strong": abs(_part(table[i, j], low, high, diverging)) > 0.6,
        }
        for i in chosen
        for j in chosen
        if (diagonal or i != j) and np.isfinite(table[i, j])
    ]
    sort = {place: alt.EncodingSortField(f"{place}_order", op="min") for place in ("down", "along")}
    cell = alt.Chart(chart_parts.rows(records)).encode(
        x=alt.X(
            "along:N",
            sort=sort["along"],
            title=None,
            axis=alt.Axis(labelAngle=-40, labelLimit=90, labelOverlap=len(chosen) > 12),
        ),
        y=alt.Y("down:N", sort=sort["down"], title=value),
        tooltip=chart_parts.tips(down_text="row", along_text="column", value="value"),
    )
    shade = alt.Color(
        "value:Q",
        title=None,
        scale=alt.Scale(
            domain=[low, high],
            range="diverging" if diverging else "ramp",
            clamp=True,
            interpolate="rgb",
        ),
        legend=alt.Legend(format=".2~g"),
    )
    layers = [cell.mark_rect(aria=False).encode(color=shade)]
    if len(chosen) <= 10:
        for style, condition in (("on-few", "!datum.strong"), ("on-many", "datum.strong")):
            text = cell.transform_filter(condition).mark_text(style=style, aria=False)
            layers.append(text.encode(text=alt.Text("value:Q", format=".2f")))
    notes = [f"{MOST} of {len(labels)}: those in the most extreme pairs."]
    return chart_parts.finish(
        alt.layer(*layers),
        title=title,
        description=f"{title}: {value} of {_said(labels, off if not diagonal else table)}",
        notes=notes if len(labels) > MOST else (),
        height=chart_parts.height_of(len(chosen), 34 if len(chosen) <= 10 else 22),
    )


def _part(value: float, low: float, high: float, diverging: bool) -> float:
    """Return where a value lies between the ends: 0 to 1, or -1 to 1."""
    part = (value - low) / (high - low) if high > low else 0.0
    return float(2 * part - 1 if diverging else part)


def _said(names: Sequence[str], table: np.ndarray) -> str:
    upper = np.triu(np.isfinite(table) | np.isfinite(table.T), 1)
    said = f"{plural(int(upper.sum()), 'pair')}."
    for word, where in (("Lowest", np.nanargmin), ("Highest", np.nanargmax)):
        if np.isfinite(table).any():
            i, j = np.unravel_index(int(where(table)), table.shape)
            one, other = shorten(names[int(i)], 60), shorten(names[int(j)], 60)
            said += f" {word}: {one} and {other} with {say(float(table[i, j]))}."
    return said
