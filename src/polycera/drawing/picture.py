"""A finished picture: part of a page, a file of its own, or an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polycera.drawing import png
from polycera.drawing.lettering import label
from polycera.drawing.style import PLAIN
from polycera.drawing.xml import Xml, escape, plain, tag, together
from polycera.errors import InputError, shorten
from polycera.runs.html_table import html_table
from polycera.storage import atomic, paths

WIDTH = 640
"""Of a picture in pixels, but for those that need more."""
TITLE = 30
"""Height of the line with the title."""
MARGIN = 16
"""Around the picture in a file; within a page that is the page's business."""
_LINE = 15


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        title: what it shows.
        summary: what is to be seen in it, with numbers, for who cannot see it.
        width, height: pixels.
        numbers: what is drawn, as a table; headings first.
        body: its shapes, below the title.

    Examples:
        >>> from polycera.drawing import lines
        >>> picture = lines({"churn": [0.4, 0.6, 0.7]}, title="Skill")
        >>> picture.page()[:4], picture.numbers[1]
        ('<svg', ['1', '0.4'])
    """

    title: str
    summary: str
    width: int
    height: int
    numbers: list[list[str]]
    body: Xml = field(repr=False)

    def fragment(self, id: str) -> str:
        """The picture as part of an HTML page that holds `STYLE` once.

        Args:
            id: where its own ids begin; another for each picture of a page.
        """
        return self._svg(id)

    def page(self) -> str:
        """The picture as an SVG file: on white, with its style in it."""
        ground = tag("rect", x=-MARGIN, y=-MARGIN, width="100%", height="100%", cls="pc-fill-paper")
        style = tag("style", Xml(PLAIN.replace("&", "&amp;").replace("<", "&lt;")))
        return (
            self._svg("pc", style, ground, margin=MARGIN, xmlns="http://www.w3.org/2000/svg") + "\n"
        )

    def _svg(self, id: str, *before: Xml, margin: int = 0, **attributes: object) -> str:
        known = [tag(name, escape(text), id=f"{id}-{name}") for name, text in self._spoken]
        shapes = tag("g", self.body, transform=f"translate(0 {TITLE})")
        title = label(0.0, 18.0, self.title, room=float(self.width), cls="pc-title")
        wide, high = self.width + 2 * margin, self.height + 2 * margin
        size = {"width": wide, "height": high, "viewBox": f"{-margin} {-margin} {wide} {high}"}
        named = {"role": "img", "aria_labelledby": f"{id}-title {id}-desc"}
        return tag(
            "svg", *known, *before, title, shapes, cls="pc-picture", **attributes, **size, **named
        )

    def __repr__(self) -> str:
        return f"Picture({self.title!r}, {self.width} x {self.height})"

    def _repr_html_(self) -> str:
        headings = self.numbers[0] if self.numbers else []
        numbers = html_table(self.summary, headings, self.numbers[1:])
        return (
            f"<figure>{self.page()}<details><summary>Numbers</summary>{numbers}</details></figure>"
        )

    @property
    def _spoken(self) -> list[tuple[str, str]]:
        return [("title", self.title), ("desc", self.summary)]

    def write(self, path: str | Path) -> None:
        """Write a file with a margin: `.svg`, or `.png` with two pixels for one (needs `pip install 'polycera[png]'`).

        Raises:
            InputError: where the ending is another one.
            MissingExtra: where an image is asked for and what makes it is not installed.
            PolyceraError: where it cannot be written.
        """
        path = Path(path)
        makers = {
            ".svg": lambda: self.page().encode(),
            ".png": lambda: png.rendered(self.page(), self.width + 2 * MARGIN),
        }
        if path.suffix.lower() not in makers:
            raise InputError(
                f"A picture cannot be written to {shorten(path)!r}: end the name in .svg or .png."
            )
        paths.check_output(path)
        atomic.write(path, makers[path.suffix.lower()]())


def picture(
    title: str,
    summary: str,
    numbers: list[list[str]],
    height: float,
    *parts: Xml,
    notes: Sequence[str] = (),
    width: int = WIDTH,
) -> Picture:
    """A picture of these shapes, with notes in small letters below them."""
    below = [_note(height + _LINE * (i + 1), note, width) for i, note in enumerate(notes)]
    whole = TITLE + height + _LINE * len(notes) + 8
    return Picture(
        plain(title), plain(summary), width, int(whole), numbers, together(*parts, *below)
    )


def _note(y: float, said: str, width: int) -> Xml:
    return label(0.0, y, said, room=float(width), cls="pc-mute", small=True)


def nothing(title: str, why: str, numbers: list[list[str]]) -> Picture:
    """A picture that says that there is nothing in it, and why."""
    said = f"Nothing to draw: {why}."
    return picture(
        title, said, numbers, 48.0, label(0.0, 28.0, said, cls="pc-mute", room=float(WIDTH))
    )
