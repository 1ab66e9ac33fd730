"""Who shares what in a network, as text: for a terminal, and wherever there is no picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from polycera.errors import shorten
from polycera.runs.results import Layer, Sharing

if TYPE_CHECKING:
    from rich.table import Table

ROWS = 32
"""Rows of a training step whose time is measured."""
KEPT = "\u200d\ufe0f"
"""Signs that are not printed and that make one emoji of several."""


def described(found: Sharing, width: int = 110) -> str:
    """The verdict, the layers, how much serves whom, and what separate networks would cost.

    Args:
        found: of `polycera.interpretation.sharing`.
        width: columns of the terminal.

    Examples:
        >>> from polycera.runs.results import Amount, Cost, Sharing
        >>> nothing = Amount(0, 0, 0)
        >>> print(
        ...     described(
        ...         Sharing(
        ...             ["price"],
        ...             [],
        ...             nothing,
        ...             Cost(0),
        ...             Cost(0),
        ...             "There is no layer.",
        ...         )
        ...     )
        ... )
        There is no layer.
    """
    from rich.console import Console

    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=False, color_system=None, legacy_windows=False
    )
    for part in parts(found):
        console.print(part)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def parts(found: Sharing) -> list[Any]:
    """The same as pieces that rich can print."""
    from rich.text import Text

    shown: list[Any] = [Text(found.verdict)]
    if found.layers:
        shown += [_layers(found), _amounts(found)]
    return shown + [Text(sentence) for sentence in _sentences(found)]


def _layers(found: Sharing) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Layers")
    for name in ("layer", "kind", "tasks"):
        table.add_column(name, overflow="fold")
    for name in ("gives", "parameters"):
        table.add_column(name, justify="right")
    for layer in found.layers:
        names = (plain(layer.name, 40), plain(layer.kind, 30), _served(layer, found.tasks))
        shape = "×".join("?" if length is None else str(length) for length in layer.shape)
        table.add_row(*map(Text, names), shape, f"{layer.parameters:,}")
    return table


def _served(layer: Layer, tasks: list[str]) -> str:
    if len(layer.tasks) == len(tasks) > 1:
        return "both" if len(tasks) == 2 else f"all {len(tasks)}"
    names = [plain(tasks[place], 24) for place in layer.tasks]
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} of {len(tasks)}"


def _amounts(found: Sharing) -> Table:
    from rich.table import Table

    table = Table(title="Who is served")
    table.add_column("")
    named = {"all": "all tasks", "some": "some tasks", "one": "one task", "none": "no task"}
    amounts = {name: getattr(found.parameters, name) for name in named}
    cells = [f"{count:,}" for count in amounts.values() if count]
    for name, count in amounts.items():
        if count:
            table.add_column(named[name], justify="right")
    for name in ("this network", "separate networks"):
        table.add_column(name, justify="right")
    joint, separate = found.joint.parameters, found.separate.parameters
    table.add_row("parameters", *cells, f"{joint:,}", f"{separate:,}{_ratio(separate, joint)}")
    return table


def _sentences(found: Sharing) -> list[str]:
    said = []
    if found.joint.step is not None and found.separate.step is not None:
        said += [
            _timed(f"A training step of {ROWS} rows takes", found.joint.step, found.separate.step),
            _timed("An answer for a row takes", found.joint.predict, found.separate.predict),
        ]
    return said


def _timed(what: str, joint: float | None, separate: float | None) -> str:
    if joint is None or separate is None:
        return f"{what} a time that was not measured."
    return f"{what} {_seconds(joint)}, in separate networks together {_seconds(separate)}{_ratio(separate, joint)}."


def _seconds(value: float) -> str:
    unit, factor = next(((u, f) for u, f in (("s", 1.0), ("ms", 1e-3)) if value >= f), ("µs", 1e-6))
    return f"{value / factor:.3g} {unit}"


def _ratio(separate: float, joint: float) -> str:
    return f" ({separate / joint:.2f} times as much)" if joint else ""


def plain(name: str, limit: int) -> str:
    """A name as text that cannot steer a terminal, shortened."""
    return shorten(
        "".join(sign if sign.isprintable() or sign in KEPT else "\ufffd" for sign in name), limit
    )
