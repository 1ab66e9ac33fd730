"""The colours and letters of all pictures, as CSS: by variables for a page, by plain values for a file.

The eight colours begin with those of Okabe and Ito (2008), made darker for a light ground and lighter for a dark one,
so that each has a contrast of 3:1 to it at least. No picture tells two things apart by colour alone.
"""

from __future__ import annotations

import re

COLOURS = 8
"""How many there are: classes `pc-c0` to `pc-c7`."""

LIGHT = {
    "paper": "#ffffff",
    "text": "#1a1d21",
    "mute": "#5c6570",
    "grid": "#e3e6ea",
    "axis": "#8b939c",
    "soft": "#f1f3f5",
    "faint": "#b4bbc3",
    "c0": "#0072b2",
    "c1": "#d55e00",
    "c2": "#00916a",
    "c3": "#b8578f",
    "c4": "#a87400",
    "c5": "#3f8fc5",
    "c6": "#5b4fa0",
    "c7": "#6b6f1d",
}
DARK = {
    "paper": "#14171b",
    "text": "#eceff2",
    "mute": "#a3acb6",
    "grid": "#2a2f36",
    "axis": "#6d7680",
    "soft": "#22272d",
    "faint": "#545c66",
    "c0": "#4aa8e0",
    "c1": "#f28a3c",
    "c2": "#2fbf95",
    "c3": "#e08dbb",
    "c4": "#e0b040",
    "c5": "#9ad0f2",
    "c6": "#a99cf0",
    "c7": "#c0c45a",
}

FONTS = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'Liberation Sans', Arial, "
    "'DejaVu Sans', sans-serif"
)

_RULES = (
    f".pc-picture{{font-family:{FONTS};font-size:12px;direction:ltr}}"
    ".pc-picture text{fill:var(--pc-text);unicode-bidi:isolate;font-variant-numeric:tabular-nums}"
    ".pc-picture text.pc-title{font-size:15px;font-weight:600}"
    ".pc-picture text.pc-strong{font-weight:600}"
    ".pc-picture text.pc-mute{fill:var(--pc-mute)}"
    ".pc-picture text.pc-small{font-size:11px}"
    ".pc-picture text.pc-halo{stroke:var(--pc-paper);stroke-width:3px;stroke-linejoin:round;paint-order:stroke}"
    ".pc-picture text.pc-name{fill:currentColor}"
    ".pc-grid{stroke:var(--pc-grid);stroke-width:1px;fill:none}"
    ".pc-axis{stroke:var(--pc-axis);stroke-width:1px;fill:none}"
    ".pc-line{stroke:currentColor;stroke-width:2px;fill:none;stroke-linejoin:round;stroke-linecap:round}"
    ".pc-thin{stroke:currentColor;stroke-width:1px;fill:none}"
    ".pc-faint{stroke:var(--pc-faint);stroke-width:1px;fill:none}"
    ".pc-mark{stroke:var(--pc-text);stroke-width:1.25px;stroke-dasharray:4 3;fill:none}"
    ".pc-fill{fill:currentColor}"
    ".pc-fill-soft{fill:var(--pc-soft)}"
    ".pc-fill-faint{fill:var(--pc-faint)}"
    ".pc-fill-paper{fill:var(--pc-paper)}"
    ".pc-part{stroke:var(--pc-paper);stroke-width:1px}"
    ".pc-tint{fill:currentColor;fill-opacity:.13}"
    ".pc-dot{fill:currentColor;fill-opacity:.75;stroke:var(--pc-paper);stroke-width:.75px}"
    ".pc-hollow{fill:var(--pc-paper);stroke:currentColor;stroke-width:2px}"
    ".pc-fill-axis{fill:var(--pc-axis)}"
    ".pc-box{stroke:currentColor;stroke-width:1.25px}"
    ".pc-whisker{stroke:var(--pc-text);stroke-width:1.25px;fill:none}"
    ".pc-chosen{fill:none;stroke:var(--pc-text);stroke-width:2px}"
    ".pc-neutral{color:var(--pc-mute)}"
    + "".join(f".pc-c{i}{{color:var(--pc-c{i})}}" for i in range(COLOURS))
)


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--pc-{name}:{value};" for name, value in colours.items())


STYLE = (
    f":root{{{_variables(LIGHT)}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    f"{_RULES}.pc-picture{{max-width:100%;height:auto}}"
)
"""All classes, with their colours as variables on `:root`, light and dark; on paper always light."""

PLAIN = re.sub(r"var\(--pc-(\w+)\)", lambda found: LIGHT[found[1]], _RULES)
"""The same without variables, for programs that are no browsers; light."""


def colour(place: int) -> str:
    """The class of the n-th thing."""
    return f"pc-c{place % COLOURS}"


def dash(place: int, dashed: bool = False) -> str | None:
    """The pattern of the n-th line: things of one colour differ in it."""
    patterns = (None, "1 4", "9 3 2 3") if not dashed else ("6 4", "3 3", "9 3 2 3 2 3")
    return patterns[place // COLOURS % len(patterns)]
