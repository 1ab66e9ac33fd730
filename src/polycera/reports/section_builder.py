"""Build the views of one run: headings, identifiers, pictures with their numbers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from polycera.drawing import Picture
from polycera.errors import PolyceraError, shorten
from polycera.reports import markup
from polycera.reports.markup import Html, Inside, element, folded, join
from polycera.reports.run_view import RunView
from polycera.runs.segment_scores import Segments

Pictures = Mapping[str, Callable[[], Picture]]

MANY = 12
"""Number of tasks above which a filter finds each task's part."""

CROWD = 40
"""Number of tasks above which each task's part is short, so that the page still opens fast."""

SHORT = {
    "separate": "Separate networks",
    "joint": "Joint score",
    "tradeoff": "Trade-off",
    "repeat": "Repeat it",
}
"""View -> its title in the navigation, where that is not its name."""

CELLS = 4000
"""Maximum number of cells in the table of a picture's numbers."""

NUMBER = re.compile(r"[-+−]?[\d.][\d.,eE+\-−%\u202f\u2009 ]*|[–—]|nan|-?inf|")


class View(NamedTuple):
    """Holds a part of the page with its own heading.

    Attributes:
        id, title: by which the page's navigation leads to it; its heading may say more.
        markup: of all of it.
    """

    id: str
    title: str
    markup: Html


@dataclass
class Sheet:
    """Builds the views of a run.

    Attributes:
        seen: the run.
        pictures: all that can be drawn of it, by name.
        prefix: of every identifier, so that several runs share a page.
        level: of the views' headings.
        rows: of a picture's numbers at most.
        segments: metrics by segment, where they were asked for.
    """

    seen: RunView
    pictures: Pictures
    prefix: str = ""
    level: int = 2
    rows: int = 200
    segments: Segments | None = None
    drawn: list[str] = field(default_factory=list)

    @property
    def crowded(self) -> bool:
        """Return whether there are so many tasks that each one's part is short."""
        return len(self.seen.tasks) > CROWD

    def id(self, name: str) -> str:
        """Return an identifier with the run's prefix."""
        return f"{self.prefix}{name}"

    def view(self, name: str, title: str, *inside: Inside) -> View:
        """Return a view with its heading."""
        heading = self.id(f"{name}-title")
        top = element(f"h{self.level}", title, id=heading)
        found = element(
            "section",
            top,
            *inside,
            id=self.id(name),
            class_=f"view {name}",
            aria_labelledby=heading,
        )
        return View(self.id(name), SHORT.get(name, name.capitalize()), found)

    def heading(self, title: Inside) -> Html:
        """Return a heading within a view."""
        return element(f"h{self.level + 1}", title)

    def figure(self, name: str, note: Inside = None, live: str = "") -> Html | None:
        """Return a picture, its note and its numbers; None where the run has no such picture.

        If the content of a file cannot be drawn, that is a fault of the run, and it is left out.

        Args:
            name: of the picture.
            note: below it.
            live: what the page's script draws in its place.
        """
        if name not in self.pictures:
            return None
        try:
            picture = self.pictures[name]()
        except PolyceraError as error:
            self.seen.faults.append(f"The picture {shorten(name)!r} cannot be drawn: {error}")
            return None
        self.drawn.append(name)
        place = self.id(f"p{len(self.drawn)}")
        drawing = element(
            "div", Html(picture.fragment(place)), class_="drawing", data_live=live or None
        )
        said = element("figcaption", note) if note else None
        return element("figure", drawing, said, self._numbers(name, picture), data_picture=name)

    def _numbers(self, name: str, picture: Picture) -> Html:
        head, *rows = picture.numbers or [[]]
        most = max(10, min(self.rows, CELLS // max(len(head), 1)))
        shown = (
            [rows[i * (len(rows) - 1) // (most - 1)] for i in range(most)]
            if len(rows) > most
            else rows
        )
        right = [
            i
            for i in range(1, len(head))
            if all(NUMBER.fullmatch(row[i]) for row in shown if i < len(row))
        ]
        part = f" ({len(shown)} of {len(rows)} rows)" if len(shown) < len(rows) else ""
        caption = join(picture.title, part)
        label = f"Numbers: {picture.title}"[:120]
        command = (
            f"polycera plot {shlex.quote(str(self.seen.path))} {shlex.quote(name)} -o picture.svg"
        )
        return folded(
            "Numbers",
            markup.table(
                caption, [markup.name(cell) for cell in head], _named(shown), right, label
            ),
            element("p", "As a file: ", element("code", command)),
            class_="numbers",
        )

    def figures(self, *names: str) -> Html:
        """Return pictures side by side, without those that the run does not have."""
        return element("div", [self.figure(name) for name in names], class_="figures")

    def each_task(self, what: str, tasks: Mapping[str, Callable[[], Inside]]) -> Html:
        """Return a part for every task, folded if there are several, with a filter if there are many.

        Args:
            what: the identifier of the filter.
            tasks: name -> function that returns its part.
        """
        lone = len(tasks) == 1
        found = [
            folded(
                element("span", markup.name(task), class_="task"),
                inside(),
                class_="of-task",
                open=lone,
                data_name=task.casefold()[:300],
            )
            for task, inside in tasks.items()
        ]
        box = element(
            "div", found, class_="tasks", data_print="open" if len(tasks) <= MANY else None
        )
        return join(self._filter(what, len(tasks)) if len(tasks) > MANY else None, box)

    def _filter(self, what: str, count: int) -> Html:
        place = self.id(f"filter-{what}")
        label = element("label", f"Filter the {count} tasks", for_=place)
        box = element("input", type="search", id=place, autocomplete="off", spellcheck="false")
        return element("p", label, box, element("output", for_=place), class_="filter")


def _named(rows: Sequence[Sequence[str]]) -> list[list[Html]]:
    return [
        [markup.name(cell) if i == 0 else markup.text(cell) for i, cell in enumerate(row)]
        for row in rows
    ]


def beside(*parts: Inside) -> Html:
    """Return parts next to each other where the page is wide enough."""
    return element("div", [element("div", part) for part in parts if part], class_="figures")


def sentence(*parts: Inside) -> Html:
    """Return a paragraph."""
    return element("p", *parts)


def names(found: Sequence[str], most: int = 4) -> Html:
    """Return `a, b and c`; the first `most` of many."""
    shown: list[Inside] = [markup.name(one, 40) for one in found[:most]]
    if len(found) > most:
        shown.append(f"{len(found) - most} more")
    commas = [part for one in shown[:-1] for part in (one, ", ")][:-1]
    return join(*commas, " and " if len(shown) > 1 else "", shown[-1]) if shown else Html("")
