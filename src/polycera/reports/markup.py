"""Markup made of elements: whatever is not markup already is text, so that no name becomes an element."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from polycera.errors import shorten

VOID = {"br", "input", "link", "meta"}

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
"""Signs that a page may not hold: they show as a replacement sign."""

LONG = 80
"""Signs of a name that are shown; all of it is in its title."""


class Html(str):
    """Text that is markup already."""


Inside = str | Html | Iterable[Any] | None


def text(value: object) -> Html:
    """Any value as text of a page."""
    return Html(html.escape(FORBIDDEN.sub("\ufffd", str(value)), quote=True))


def join(*parts: Inside) -> Html:
    """Parts of a page one after the other: markup as it is, all else as text, None as nothing."""
    return Html("".join(_markup(part) for part in parts))


def _markup(part: Inside) -> str:
    if part is None:
        return ""
    if isinstance(part, str):
        return part if isinstance(part, Html) else text(part)
    return "".join(map(_markup, part))


def element(name: str, /, *inside: Inside, **attributes: Any) -> Html:
    """An element.

    Args:
        name: such as `section`.
        *inside: what is in it.
        **attributes: `class_` stands for class, `for_` for for, `aria_label` for aria-label; True is an attribute
            without a value, None and False are no attribute.

    Examples:
        >>> element("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    written = "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()
    )
    return Html(
        f"<{name}{written}>" if name in VOID else f"<{name}{written}>{join(*inside)}</{name}>"
    )


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    return f" {key}" if value is True else f' {key}="{text(value)}"'


def name(value: object, limit: int = LONG) -> Html:
    """A name from the user's data: set apart from the direction of what is around it, shortened where it is long."""
    whole = str(value)
    return element("bdi", shorten(whole, limit), title=whole if len(whole) > limit else None)


def table(
    caption: Inside,
    head: Sequence[Inside],
    rows: Iterable[Sequence[Inside]],
    numbers: Iterable[int] = (),
    label: str = "",
) -> Html:
    """A table in a box of its own that scrolls where the screen is narrow.

    Args:
        caption: what it shows.
        head: of the columns.
        rows: their cells; the first of each is its heading.
        numbers: columns that are set right, so that their digits stand below each other.
        label: of the box, for who does not see it; the caption where that is plain text.
    """
    right = {place: "n" for place in numbers}
    heads = [element("th", cell, scope="col", class_=right.get(i)) for i, cell in enumerate(head)]
    body = [
        element(
            "tr",
            [
                element("td", cell, class_=right.get(i))
                if i
                else element("th", cell, scope="row", class_=right.get(0))
                for i, cell in enumerate(row)
            ],
        )
        for row in rows
    ]
    inner = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", heads)),
        element("tbody", body),
    )
    said = label or (str(caption) if not isinstance(caption, Html) else "Table")
    return element("div", inner, class_="scroll", tabindex="0", role="group", aria_label=said)


def folded(summary: Inside, *inside: Inside, **attributes: Any) -> Html:
    """What is shown when it is asked for."""
    return element("details", element("summary", summary), *inside, **attributes)
