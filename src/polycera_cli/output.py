"""Print what a command says: sentences, JSON and tables."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANY = 30
"""Tasks beyond which a table shows only each task's headline metric."""


@dataclass
class OutputSettings:
    """Holds the options of every command.

    Attributes:
        quiet: print the result and nothing else.
        verbose: print the versions in use, and how long the command took.
        closed: whether standard output was closed when the program began.
    """

    quiet: bool = False
    verbose: bool = False
    closed: bool = False


settings = OutputSettings()
"""The settings of this process."""


def printable(text: str) -> str:
    """Return the text with control characters written as escapes, because a terminal obeys them.

    A name from a table or a file's name may hold codes that clear the screen or move the cursor.
    Line ends and tabs stay. Marks that turn the direction of writing are written as escapes too.
    """
    if text.isprintable():
        return text
    return "".join(sign if _harmless(sign) else repr(sign)[1:-1] for sign in text)


def _harmless(sign: str) -> bool:
    category = unicodedata.category(sign)
    # Joiners and isolates do no harm; other marks of format reorder the text.
    if category == "Cf":
        return sign in "\u200c\u200d\u2068\u2069\ufeff"
    return sign in "\n\t" or category not in ("Cc", "Cs", "Zl", "Zp")


def complain(sentence: str) -> None:
    """Print an error on stderr."""
    with suppress(OSError):  # the terminal may be gone, which may be why the program ends
        print(f"polycera: {printable(sentence)}", file=sys.stderr)


def note(sentence: str) -> None:
    """Print a note beside the result, on stderr."""
    if not settings.quiet:
        print(f"Note: {printable(sentence)}", file=sys.stderr)


def say(sentence: str) -> None:
    """Print a sentence for a person."""
    if not settings.quiet:
        print(printable(sentence))


def written(what: str, path: Path | str) -> None:
    """Print where the result was written; with --quiet the path alone, for a script to read."""
    print(printable(str(path) if settings.quiet else f"{what}{path}"))


def need_output(way_out: str = "") -> None:
    """Raise an error before any work is done, where standard output is closed.

    Raises:
        PolyceraError: with `way_out`, a sentence on what works instead.
    """
    if settings.closed:
        from polycera.errors import PolyceraError

        raise PolyceraError(
            f"Standard output is closed, so there is nowhere to print the result. {way_out}".strip()
        )


def print_json(value: Any) -> None:
    """Print one JSON object for a program."""
    need_output()
    import msgspec

    # msgspec writes NaN as null; json then writes ASCII alone, which every terminal and pipe takes.
    print(json.dumps(msgspec.json.decode(msgspec.json.encode(value))))


def console() -> Any:
    """Return the console that prints tables: as wide as the terminal, 140 columns in a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140)


def cell(text: object, limit: int = 40) -> Any:
    """Return a table's cell as plain text, without markup and control characters."""
    from rich.text import Text

    from polycera.errors import shorten

    return Text(printable(shorten(text, limit)).replace("\n", "\\n"))


def reached(run: Any, json_: bool) -> None:
    """Print the result of a training."""
    part = run.metrics["part"]
    if json_:
        print_json({"run": run.address, **run.metrics, "seconds": run.seconds})
        return
    if not settings.quiet:
        table(
            run.metrics[part],
            {t.name: t.kind for t in run.tasks.values()},
            f"the {part} rows",
        )
        say(f"Spec: {run.address}/spec.yaml (copy it, edit it, and pass it back with --spec).")
    written("Run:  ", run.address)


def epochs(kept: Any, chosen: int) -> None:
    """Print the kept epochs, and which was chosen."""
    from rich.table import Table

    table = Table(title="Pareto set of epochs: skill on the validation rows")
    for name in ("", "epoch", *list(kept[0].skills)[:MANY]):
        table.add_column(cell(name), justify="right")
    for epoch in kept:
        skills = [f"{value:.3f}" for value in list(epoch.skills.values())[:MANY]]
        table.add_row("chosen" if epoch.epoch == chosen else "", str(epoch.epoch), *skills)
    console().print(table)


def table(measured: Mapping[str, Any], kinds: Mapping[str, str], title: str) -> None:
    """Print each task's metrics, those of the trivial predictor, and the skill."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=cell(f"On {title}", 200))
    for name in ("task", "kind", "metric"):
        table.add_column(name)
    for name in ("value", "trivial", "skill"):
        table.add_column(name, justify="right")
    for task, scores in measured.items():
        shown = list(scores.items())[:1] if len(measured) > MANY else list(scores.items())
        for i, (metric, score) in enumerate(shown):
            lead = (cell(task), kinds.get(task, "")) if i == 0 else ("", "")
            table.add_row(
                *lead,
                metric,
                number(score["value"]),
                number(score["trivial"]),
                number(score["skill"], 3),
            )
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    skills = [next(iter(scores.values()))["skill"] for scores in measured.values()]
    defined = [skill for skill in skills if skill is not None]
    mean = f"{sum(defined) / len(defined):.3f}" if defined else "undefined"
    counted = (
        "the headline metrics"
        if len(defined) == len(skills)
        else f"{len(defined)} of {len(skills)} headline metrics"
    )
    say(f"skill: 0 is the trivial predictor, 1 perfect; mean over {counted}: {mean}")


def number(value: float | None, digits: int = 4) -> str:
    """Return a number as a table's cell."""
    return "undefined" if value is None else f"{value:.{digits}g}"
