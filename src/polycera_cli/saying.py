"""What a command says: sentences, JSON and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

MANY = 30
"""Tasks beyond which a table shows only each task's headline metric."""


def complain(sentence: str) -> None:
    """What went wrong, on stderr."""
    with suppress(OSError):  # the terminal may be gone, which ended us
        print(f"polycera: {sentence}", file=sys.stderr)


def say(sentence: str) -> None:
    """A sentence for a person."""
    print(sentence)


def print_json(value: Any) -> None:
    """One JSON object for a program."""
    import msgspec

    # by msgspec what is no number becomes null; by json every sign is ASCII, which any terminal and pipe takes
    print(json.dumps(msgspec.json.decode(msgspec.json.encode(value))))


def reached(run: Any, json_: bool) -> None:
    """What a training came to."""
    held_out = run.metrics["held_out"]
    if json_:
        print_json({"run": str(run.path), **run.metrics})
        return
    table(run.metrics[held_out], {t.name: t.kind for t in run.model.tasks.values()}, f"the {held_out} rows")
    say(f"Spec: {run.path / 'spec.yaml'} (copy it, edit it, and pass it back with --spec).")
    say(f"Run:  {run.path}")


def epochs(kept: Any, chosen: int) -> None:
    """The epochs that were kept, and which was chosen."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Epochs that no other beats on every task: skill on the validation rows")
    for name in ("", "epoch", *list(kept[0].skills)[:MANY]):
        table.add_column(name, justify="right")
    for one in kept:
        skills = [f"{value:.3f}" for value in list(one.skills.values())[:MANY]]
        table.add_row("chosen" if one.epoch == chosen else "", str(one.epoch), *skills)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def table(measured: Mapping[str, Any], kinds: Mapping[str, str], title: str) -> None:
    """Each task's metrics beside what the trivial predictor reaches, and the skill that follows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from polycera.errors import shorten

    table = Table(title=Text(f"On {title}"))
    for name in ("task", "kind", "metric"):
        table.add_column(name)
    for name in ("value", "trivial", "skill"):
        table.add_column(name, justify="right")
    for task, own in measured.items():
        shown = list(own.items())[:1] if len(measured) > MANY else list(own.items())
        for i, (metric, score) in enumerate(shown):
            lead = (Text(shorten(task, 40)), kinds.get(task, "")) if i == 0 else (Text(""), "")
            table.add_row(*lead, metric, number(score["value"]), number(score["trivial"]), number(score["skill"], 3))
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    skills = [next(iter(own.values()))["skill"] for own in measured.values()]
    known = [skill for skill in skills if skill is not None]
    mean = f"{sum(known) / len(known):.3f}" if known else "undefined"
    counted = "the headline metrics" if len(known) == len(skills) else f"{len(known)} of {len(skills)} headline metrics"
    say(f"skill: 0 is the trivial predictor, 1 perfect; mean over {counted}: {mean}")


def number(value: float | None, digits: int = 4) -> str:
    """A number as a cell of a table."""
    return "undefined" if value is None else f"{value:.{digits}g}"
