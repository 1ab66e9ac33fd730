"""Choose colours and letters for the charts of a page: one colour a task, a light and a dark theme.

A chart names no colour of paper, ink or grid: these come from the configuration that Vega-Lite
merges into it. A chart that stands alone carries the light one. A page that follows
`prefers-color-scheme` takes `specification(chart)`, which carries none, and gives `config("light")`
or `config("dark")` to Vega when it draws. Colours of tasks are the same in both: each has a
contrast of 3 to 1 or more with white and with the dark paper.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from polycera.errors import InputError, MissingExtra, UnknownName

Chart: TypeAlias = Any
"""Stands for an `altair.Chart` or an `altair.LayerChart`."""

PALETTE = (
    *("#0072b2", "#d55e00", "#00916a", "#b8578f"),
    *("#a87400", "#3f8fc5", "#7d6fd0", "#7d8220"),
)
"""Colours of tasks in order, after Okabe and Ito (2008), darker so that they are seen on white."""

NEUTRAL = "#777f88"
"""Colour of what belongs to no task, or to all of them."""

THEMES: dict[str, dict[str, str]] = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1a1d21",
        "quiet": "#5c6570",
        "grid": "#e3e6ea",
        "axis": "#8b939c",
        "soft": "#f1f3f5",
    },
    "dark": {
        "paper": "#14171b",
        "ink": "#eceff2",
        "quiet": "#a3acb6",
        "grid": "#2a2f36",
        "axis": "#6d7680",
        "soft": "#22272d",
    },
}
"""Theme -> what a colour is for -> the colour."""

RAMPS = {
    "light": {
        "ramp": ["#f1f3f5", "#cfe1ef", "#8fbcdc", "#3f8fc5", "#0072b2", "#004a75"],
        "diverging": ["#a84a00", "#e0946a", "#f1f3f5", "#6aaed6", "#005f96"],
    },
    "dark": {
        "ramp": ["#22272d", "#14405e", "#0f5c8c", "#2f8cc6", "#7cc0ea", "#cfe8fa"],
        "diverging": ["#ffa45c", "#a35a20", "#22272d", "#1f6d9c", "#7cc6f5"],
    },
}
"""Theme -> colours of cells, from few to many, and from against to along."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', 'Noto Sans', sans-serif"


def altair() -> Any:
    """Return the module `altair`.

    Raises:
        MissingExtra: where it is not installed.
    """
    try:
        import altair as alt
    except ImportError:
        raise MissingExtra("A chart", "altair", "report") from None
    return alt


def task_colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each task: the same order of names gives the same colours.

    Give it all tasks of a page, and every chart the colours that come back. There are eight
    colours; the ninth task begins again, and its name stands in the tooltip.

    Args:
        names: tasks in the order of the page.

    Examples:
        >>> from polycera import plots
        >>> plots.task_colours(["churn", "revenue_loss"])
        {'churn': '#0072b2', 'revenue_loss': '#d55e00'}
    """
    unique = dict.fromkeys(map(str, names))
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(unique)}


def config(theme: str = "light", *, paper: bool = False) -> dict[str, Any]:
    """Return the configuration of Vega-Lite that gives a chart its theme.

    Args:
        theme: `light` or `dark`.
        paper: whether the chart has a background of its own; else one sees what is behind it.

    Raises:
        UnknownName: for another theme.

    Examples:
        >>> from polycera import plots
        >>> plots.config("dark")["title"]["color"]
        '#eceff2'
    """
    if theme not in THEMES:
        raise UnknownName("theme", theme, THEMES)
    colours = THEMES[theme]
    ink, quiet = colours["ink"], colours["quiet"]
    words = {"labelColor": ink, "titleColor": quiet, "labelFontSize": 12, "titleFontSize": 12}
    line = {"stroke": quiet, "color": quiet}
    return {
        "background": colours["paper"] if paper else "transparent",
        "font": FONT,
        "padding": 5,
        "view": {"stroke": None, "continuousHeight": 260, "continuousWidth": 600},
        "title": {
            "color": ink,
            "subtitleColor": quiet,
            "anchor": "start",
            "frame": "bounds",
            "fontSize": 14,
            "subtitleFontSize": 12,
            "subtitlePadding": 4,
            "offset": 10,
        },
        "axis": {
            **words,
            "titleFontWeight": "normal",
            "gridColor": colours["grid"],
            "domainColor": colours["axis"],
            "tickColor": colours["axis"],
            "labelLimit": 130,
            "labelOverlap": True,
            "labelSeparation": 4,
        },
        "legend": {
            **words,
            "titleFontWeight": "normal",
            "orient": "bottom",
            "labelLimit": 140,
            "columns": 2,
            "symbolType": "circle",
        },
        "mark": {"color": PALETTE[0]},
        "range": {**RAMPS[theme], "heatmap": RAMPS[theme]["ramp"]},
        "style": {
            "guide": {**line, "strokeDash": [4, 3]},
            "stem": {**line, "opacity": 0.5},
            "zero": {"stroke": colours["axis"], "color": colours["axis"]},
            "ring": {"color": ink, "filled": False, "strokeWidth": 2},
            "box": {"color": colours["soft"], "stroke": colours["axis"]},
            "quiet": {"color": quiet, "fontSize": 11},
            "name": {"color": ink, "fontWeight": "bold", "fontSize": 12},
            "words": {"color": ink, "fontSize": 13},
            "on-few": {"color": ink, "fontSize": 12},
            "on-many": {"color": colours["paper"], "fontSize": 12},
        },
    }


def specification(chart: Chart) -> dict[str, Any]:
    """Return a chart as Vega-Lite without a theme, for a page that gives one when it draws.

    Examples:
        >>> from polycera import plots
        >>> "config" in plots.specification(plots.confusion(["no", "yes"], [[90, 10], [5, 20]]))
        False
    """
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("config", None)
    return spec


def themed(chart: Chart, theme: str = "light") -> Chart:
    """Return a copy of a chart in another theme, with paper of its colour behind it.

    Args:
        chart: a chart of this package.
        theme: `light` or `dark`.

    Raises:
        UnknownName: for another theme.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.confusion(["no", "yes"], [[90, 10], [5, 20]])
        >>> plots.themed(chart, "dark").to_dict()["config"]["background"]
        '#14171b'
    """
    found = chart.copy(deep=False)
    found.config = copy.deepcopy(config(theme, paper=True))
    return found


def colours_of(tasks: Iterable[str], colours: Mapping[str, str] | None) -> dict[str, str]:
    """Return the colours of a chart's tasks: those given, else by their order.

    Raises:
        InputError: where some tasks have none.
    """
    names = list(tasks)
    if colours is None:
        return task_colours(names)
    without = [name for name in names if name not in colours]
    if without:
        raise InputError(
            f"The colours lack the task {without[0]!r}: give a colour for every task, as "
            "plots.task_colours does."
        )
    return {name: colours[name] for name in names}
