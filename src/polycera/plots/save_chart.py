"""Write a chart to a file: a drawing, a picture, a page or its specification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polycera.errors import InputError, MissingExtra, shorten
from polycera.plots import theme
from polycera.storage import atomic

WIDTH = 800
"""Pixels of a drawing for which no width is asked."""

FORMATS = (".svg", ".png", ".html", ".json")


def save(
    chart: theme.Chart,
    path: str | Path,
    *,
    theme_name: str = "light",
    width: int = WIDTH,
) -> Path:
    """Write a chart as `.svg`, `.png` (twice as fine), `.html` or `.json`, after the path's ending.

    The HTML page holds all that it needs: it opens without a network. What was there under the
    path is replaced once the new file is whole.

    Args:
        chart: a chart of this package, or another of Altair.
        path: of the file.
        theme_name: `light` or `dark`.
        width: pixels of a drawing or picture; a page and a specification take the width they get.

    Returns:
        the path.

    Raises:
        InputError: for another ending, or a width that is not 100 to 10,000.
        MissingExtra: where vl-convert-python is not installed.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.confusion(["no", "yes"], [[90, 10], [5, 20]])
        >>> plots.save(chart, "confusion.svg").name
        'confusion.svg'
    """
    place = Path(path)
    kind = place.suffix.lower()
    if kind not in FORMATS:
        raise InputError(
            f"A chart cannot be written as {shorten(place.name)!r}: end the name in "
            f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}."
        )
    if not 100 <= width <= 10_000:
        raise InputError(f"The width of a chart is {width}: give 100 to 10,000 pixels.")
    spec = theme.themed(chart, theme_name).to_dict()
    atomic.write(place, _content(spec, kind, width))
    return place


def _content(spec: dict[str, Any], kind: str, width: int) -> bytes:
    if kind == ".json":
        return json.dumps(spec, ensure_ascii=False, indent=1).encode()
    try:
        import vl_convert
    except ImportError:
        raise MissingExtra("Writing a chart", "vl-convert-python", "report") from None
    if kind == ".html":
        return vl_convert.vegalite_to_html(spec, bundle=True).encode()
    spec = {**spec, "width": width}
    if kind == ".svg":
        return vl_convert.vegalite_to_svg(spec).encode()
    return vl_convert.vegalite_to_png(spec, scale=2)
