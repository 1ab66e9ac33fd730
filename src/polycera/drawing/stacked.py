"""Shares of a whole over time, as areas on top of each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polycera.drawing import ends
from polycera.drawing.axis import axis
from polycera.drawing.ends import End
from polycera.drawing.frame import Frame, room_for
from polycera.drawing.lettering import lettered
from polycera.drawing.numerals import short
from polycera.drawing.picture import WIDTH, Picture, nothing, picture
from polycera.drawing.series import Values, checked, several, whole
from polycera.drawing.style import COLOURS, colour
from polycera.drawing.table import table
from polycera.drawing.xml import Xml, isolated, tag
from polycera.errors import InputError, shorten

AREAS = 12
"""Where there are more, the smallest are one area."""
_PLACES = 240


def stacked(
    series: Mapping[str, Values],
    *,
    title: str,
    x: Values | None = None,
    x_label: str = "",
    y_label: str = "share",
) -> Picture:
    """Areas that add up to 1 wherever anything is defined, each with its name at its end.

    Args:
        series: name -> amounts of 0 or more, [n]; None counts as 0, and as a gap where nothing is defined.
        title: what is shown.
        x: where the amounts are, ascending, [n]; None: 1, 2, ...
        x_label, y_label: of the axes.

    Raises:
        InputError: where an amount is below 0 or no number, or places and amounts are not as many.

    Examples:
        >>> from polycera.drawing import stacked
        >>> stacked({"churn": [1, 3], "revenue": [1, 1]}, title="Share of the gradient").numbers
        [['place', 'churn', 'revenue'], ['1', '0.5', '0.5'], ['2', '0.75', '0.25']]
    """
    found, places = checked(series, x)
    for name, values in found.items():
        if (values < 0).any():
            raise InputError(
                f"The series {shorten(name)!r} has an amount below 0: give shares, or amounts of 0 or more."
            )
    names, shares = _shares(found, len(places))
    cells = [[float(p), *map(float, row)] for p, row in zip(places, shares.T, strict=True)]
    numbers = table([x_label or "place", *names], cells)
    if np.isnan(shares).all():
        return nothing(title, "no amount is above 0", numbers)
    y = axis([], low=0.0, high=1.0)
    left, right = max(room_for(y), 28.0), ends.room(names)
    frame = Frame(
        axis([places], tight=True, whole=whole(places), count=8),
        y,
        left,
        26.0,
        WIDTH - left - right,
        240.0,
    )
    edges = np.concatenate([np.zeros((1, shares.shape[1])), np.cumsum(shares, axis=0)])
    drawn = [_area(frame, i, name, edges[i], edges[i + 1], places) for i, name in enumerate(names)]
    body = [
        frame.ground(x_label, y_label),
        frame.inside(*drawn),
        frame.floor,
        _names(frame, names, edges),
    ]
    return picture(title, _summary(names, shares), numbers, frame.below, *body)


def _shares(found: Mapping[str, np.ndarray], count: int) -> tuple[list[str], np.ndarray]:
    """Names, and their shares [k, n], NaN where nothing is defined; of many the smallest as one."""
    names, amounts = [*found], np.nan_to_num(np.array([*found.values()]).reshape(len(found), count))
    total = amounts.sum(axis=0)
    shares = np.where(total > 0, amounts / np.where(total > 0, total, 1.0), np.nan)
    if len(names) <= AREAS:
        return names, shares
    large = np.sort(np.argsort(-np.nan_to_num(shares).sum(axis=1), kind="stable")[: AREAS - 1])
    rest = np.delete(shares, large, axis=0).sum(axis=0)
    return [*(names[i] for i in large), f"{len(names) - AREAS + 1} others"], np.concatenate(
        [shares[large], rest[None]]
    )


def _area(
    frame: Frame, place: int, name: str, low: np.ndarray, high: np.ndarray, places: np.ndarray
) -> Xml:
    known = np.flatnonzero(~np.isnan(high))
    if len(known) > _PLACES:
        known = known[np.linspace(0, len(known) - 1, _PLACES).astype(int)]
    gaps = np.isnan(high).cumsum()[known]
    pieces = [run for run in np.split(known, np.flatnonzero(np.diff(gaps)) + 1) if len(run)]
    path = "".join(_piece(frame, low[run], high[run], places[run]) for run in pieces)
    return lettered(
        name,
        tag("path", d=path, cls="pc-fill pc-part", fill_opacity=_depth(place)),
        cls=_hue(place),
    )


def _depth(place: int) -> float | None:
    """Colours that come a second time are paler."""
    return 0.7 if COLOURS <= place < AREAS - 1 else None


def _hue(place: int) -> str:
    return colour(place) if place < AREAS - 1 else "pc-neutral"


def _piece(frame: Frame, low: np.ndarray, high: np.ndarray, places: np.ndarray) -> str:
    x, top, bottom = frame.across(places), frame.down(high), frame.down(low)
    if len(x) == 1:  # a moment has no width of its own
        x, top, bottom = np.array([x[0] - 3, x[0] + 3]), top.repeat(2), bottom.repeat(2)
    around = [
        *zip(x.tolist(), top.tolist(), strict=True),
        *zip(x[::-1].tolist(), bottom[::-1].tolist(), strict=True),
    ]
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in around) + "Z"


def _names(frame: Frame, names: list[str], edges: np.ndarray) -> Xml:
    last = int(np.flatnonzero(~np.isnan(edges[-1]))[-1])
    middles = frame.down((edges[:-1, last] + edges[1:, last]) / 2).tolist()
    right = frame.left + frame.width
    at = [
        End(name, _hue(i), right, frame.top + y)
        for i, (name, y) in enumerate(zip(names, middles, strict=True))
    ]
    return ends.names(at, right, frame.top + 2, frame.top + frame.height)


def _summary(names: list[str], shares: np.ndarray) -> str:
    last = shares[:, np.flatnonzero(~np.isnan(shares[0]))[-1]]
    said = [
        f"{isolated(shorten(name))} {short(float(share), 3)}"
        for name, share in zip(names, last, strict=True)
    ]
    return f"{several(names, 'area')}; at the end: {', '.join(said[:3])}{', …' if len(said) > 3 else ''}."
