"""How wide text is, and text made to fit. Fonts differ from machine to machine: widths are those of a wide one."""

from __future__ import annotations

import unicodedata

from polycera.drawing.xml import Xml, escape, plain, tag

SIZE = 12.0
"""Of ordinary text in pixels; nothing is smaller than `SMALL`."""
SMALL = 11.0

_NARROW, _SLIM, _BROAD = set("iIjl|!.,:;'` "), set('()[]{}/\\ftr-"*'), set("mwMW@%—…")
_JOINERS = {"\u200d", "\ufe0e", "\ufe0f"}


def width(text: str, size: float = SIZE) -> float:
    """About how many pixels the text takes."""
    return size * sum(map(_em, text))


def _em(letter: str) -> float:
    if unicodedata.combining(letter) or letter in _JOINERS:
        return 0.0
    if letter in _NARROW:
        return 0.28
    if letter in _SLIM:
        return 0.37
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.05
    return 0.9 if letter in _BROAD else 0.7 if letter.isupper() else 0.57


def fit(value: object, room: float, size: float = SIZE) -> str:
    """The text, or its beginning and …, whichever is no wider than `room` pixels; one letter at least."""
    text = plain(value)
    if width(text, size) <= room:
        return text
    end, left = 0, room - width("…", size)
    for letter in text:
        left -= width(letter, size)
        if left < 0:
            break
        end += 1
    while 0 < end < len(text) and _belongs_to_the_one_before(text, end):
        end -= 1
    return text[: max(end, 1)].rstrip() + "…"


def _belongs_to_the_one_before(text: str, at: int) -> bool:
    """Whether cutting here would take an accent, a skin tone or half of a joined emoji away from its letter."""
    tone = "\U0001f3fb" <= text[at] <= "\U0001f3ff"
    return (
        bool(unicodedata.combining(text[at]))
        or text[at] in _JOINERS
        or text[at - 1] == "\u200d"
        or tone
    )


def label(
    x: float,
    y: float,
    value: object,
    *,
    room: float | None = None,
    cls: str = "pc-text",
    anchor: str | None = None,
    small: bool = False,
    turn: str | None = None,
) -> Xml:
    """A line of text at a place; where it had to be shortened, the whole of it is in a tooltip.

    Args:
        x, y: of the start of the baseline, or of its `middle` or `end` by `anchor`.
        value: what is said.
        room: pixels that there are; None: as many as it takes.
        cls: the classes of `style`.
        anchor: `middle` or `end`.
        small: the smallest size.
        turn: an SVG transform.
    """
    whole = plain(value)
    shown = whole if room is None else fit(whole, room, SMALL if small else SIZE)
    title = () if shown == whole else (tag("title", escape(whole)),)
    classes = f"{cls} pc-small" if small else cls
    return tag(
        "text", *title, escape(shown), x=x, y=y, cls=classes, text_anchor=anchor, transform=turn
    )


def lettered(value: object, *inside: Xml, **attributes: object) -> Xml:
    """Shapes with a tooltip."""
    return tag("g", tag("title", escape(value)), *inside, **attributes)
