"""Write one HTML page of a run, or of several: one file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from polycera.drawing import STYLE
from polycera.errors import InputError, shorten
from polycera.reports import catalogue, markup, run_comparison
from polycera.reports.markup import Html, element, join
from polycera.reports.numbers import plural
from polycera.reports.run_view import RunView, read
from polycera.reports.section_builder import Sheet, View
from polycera.reports.views import (
    curves,
    gradients,
    joint,
    quality,
    repeat,
    segment_tables,
    separate,
    sharing,
    skills,
    table,
    tradeoff,
    verdict,
    weights,
)
from polycera.runs import manifest
from polycera.runs.segment_scores import Segments
from polycera.storage import atomic, paths

VIEWS = (
    skills,
    separate,
    joint,
    tradeoff,
    curves,
    weights,
    gradients,
    sharing,
    quality,
    segment_tables,
    table,
    repeat,
)
"""The views after the verdict, in the page's order."""

ROWS, ALL = 200, 12_000
"""Rows of a picture's numbers, and of all pictures of a page together, at most."""

NAME = "report.html"


def report(runs: Any, path: str | Path | None = None, *, segments: Segments | None = None) -> Path:
    """Write one HTML page about a run, or about several side by side, from their folders alone.

    The file needs no network and no other file, shows in light and dark, on a phone and on paper, and can be read with
    a keyboard and a screen reader. Of a training that has not ended it shows what there is so far; a file of the run
    that is damaged is named on the page, and what it would have shown is left out.

    Args:
        runs: a run's folder, or an opened run, or a folder of runs such as `pc.compare_weightings` leaves, or a list of these.
        path: of the file, ending in .html. Default: `report.html` in the run's folder; of several runs, in the current
            folder.
        segments: metrics by segment to show too, of a single run: `run.evaluate(by=["region"])`.

    Returns:
        the path of the file.

    Raises:
        InputError: where there is no run, one is named twice, or the file has another ending; for segments beside several
            runs.
        PolyceraError: where the manifest or the spec of a run is damaged, or the page cannot be written.

    Examples:
        >>> from polycera import reports
        >>> reports.report("runs/customers-1")  # doctest: +SKIP
        PosixPath('runs/customers-1/report.html')
    """
    given = list(runs) if isinstance(runs, list | tuple) else [runs]
    found = read([folder for run in given for folder in _folders(getattr(run, "path", run))])
    if segments is not None and len(found) > 1:
        raise InputError(
            f"The segments are those of one run, and there are {len(found)}: name one run, or leave segments= out."
        )
    place = (
        Path(path) if path is not None else (found[0].path if len(found) == 1 else Path()) / NAME
    )
    if place.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"Cannot write the report to {shorten(place)!r}: end the name in .html.")
    paths.check_output(place, allowed=NAME)
    atomic.write(place, page(found, segments).encode(errors="replace"))
    return place


def _folders(path: str | Path) -> list[str | Path]:
    """Return a run's folder, or the runs within a folder that is not a run."""
    place = Path(path)
    if not place.is_dir() or (place / manifest.MANIFEST).exists():
        return [path]
    return [inner.parent for inner in sorted(place.glob(f"*/{manifest.MANIFEST}"))] or [path]


def page(runs: Sequence[RunView], segments: Segments | None = None) -> str:
    """Return the page as text; with the segments of a single run, where they are given."""
    called = run_comparison.names(runs)
    title = called[0] if len(runs) == 1 else f"{len(runs)} runs side by side"
    inside = _alone(runs[0], segments) if len(runs) == 1 else _together(runs, called)
    return (
        "<!doctype html>\n"
        + element("html", _head(title), _body(title, runs, *inside), lang="en")
        + "\n"
    )


def _alone(run: RunView, segments: Segments | None) -> tuple[Html, Html]:
    """Return the navigation and the views of a single run."""
    sheet = _sheet(run, "", 2)
    sheet.segments = segments
    views = _views(sheet)
    return _links([(f"#{view.id}", view.title) for view in views]), _run(sheet, views)


def _together(runs: Sequence[RunView], called: Sequence[str]) -> tuple[Html, Html]:
    first = Sheet(runs[0], run_comparison.pictures(runs), prefix="all-", rows=ROWS)
    parts, links = [run_comparison.view(first, runs).markup], [("#all-compared", "Side by side")]
    for i, (run, name) in enumerate(zip(runs, called, strict=True)):
        sheet = _sheet(run, f"r{i + 1}-", 3, share=len(runs))
        heading = element("h2", markup.name(name), id=sheet.id("run"))
        parts.append(markup.folded(heading, _run(sheet, _views(sheet)), class_="whole-run"))
        links.append((f"#{sheet.id('run')}", name))
    return _links(links), join(*parts)


def _sheet(run: RunView, prefix: str, level: int, share: int = 1) -> Sheet:
    pictures = catalogue.of(run)
    rows = max(12, min(ROWS, ALL // (share * max(len(pictures), 1))))
    return Sheet(run, pictures, prefix, level, rows)


def _views(sheet: Sheet) -> list[View]:
    """Return the views that have something to show, the verdict first.

    The verdict is made last, because it lists what could not be read.
    """
    made = [view for room in VIEWS if (view := room.view(sheet)) is not None]
    return [verdict.view(sheet), *made]


def _run(sheet: Sheet, views: Sequence[View]) -> Html:
    """Return a run's views, and the data for the page's script."""
    return element(
        "div", [view.markup for view in views], _data(sheet), class_="run", data_prefix=sheet.prefix
    )


def _data(sheet: Sheet) -> Html:
    """Return the script's data as JSON in which no character can end its element."""
    # Names may hold characters that are not UTF-8; JSON writes them as escapes.
    text = json.dumps(joint.data(sheet.seen), separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return element("script", Html(text), type="application/json", class_="data")


def _links(links: Sequence[tuple[str, str]]) -> Html:
    items = [
        element("li", element("a", markup.name(title, 40), href=where)) for where, title in links
    ]
    return element("nav", element("ol", items), aria_label="Views")


@cache
def _file(name: str) -> str:
    return resources.files("polycera.reports").joinpath(name).read_text(encoding="utf-8")


def _head(title: str) -> Html:
    digest = base64.b64encode(hashlib.sha256(_file("page.js").encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{shorten(title)} – polycera report"),
        element("style", Html(STYLE + _file("page.css"))),
    )


def _body(title: str, runs: Sequence[RunView], links: Html, views: Html) -> Html:
    tasks = plural(len(runs[0].tasks), "task")
    under = (
        f"Report of a training of one network for {tasks}"
        if len(runs) == 1
        else "Report of several trainings"
    )
    header = element("header", element("h1", markup.name(title, 200)), element("p", under))
    footer = element(
        "footer",
        element(
            "p", "Written by polycera from the run's folder. Nothing on this page was fetched."
        ),
    )
    skip = element(
        "a",
        "Skip to the verdict" if len(runs) == 1 else "Skip to the runs",
        href="#main",
        class_="skip",
    )
    main = element("main", views, id="main", tabindex="-1")
    return element(
        "body",
        skip,
        header,
        element("div", links, main, class_="columns"),
        footer,
        element("script", Html(_file("page.js"))),
    )
