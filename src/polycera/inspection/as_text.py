"""Write an inspection as text, for terminals of any width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from polycera.errors import shorten

if TYPE_CHECKING:
    from polycera.inspection.result import InspectedColumn, InspectedTarget, Inspection, TargetPair

MANY = 100
"""Most columns or targets of a section that are printed; the rest are counted."""
FEW = 10
"""Most pairs of targets that are printed."""
CLASSES = 5
"""Most classes of a target that are printed."""
NARROW = 72
"""Width below which an item has no columns of its own for name and role."""
NAME = 28
"""Most characters of the column of names; a longer name is printed all the same."""


def as_text(found: Inspection, width: int = 100) -> str:
    """Return an inspection as lines of at most `width` characters, where words allow it.

    Args:
        found: the inspection.
        width: columns of the terminal.
    """
    used = [(name, column) for name, column in found.columns.items() if column.used]
    unused = [(name, column) for name, column in found.columns.items() if not column.used]
    lines = _wrapped(heading(found), width)
    lines += _section(
        "Targets",
        [(name, target.kind, target_text(target)) for name, target in found.targets.items()],
        width,
    )
    lines += _section(
        "Columns that are used",
        [(name, column.role, column_text(column)) for name, column in used],
        width,
    )
    lines += _section(
        "Columns that are left out",
        [(name, column.role, column_text(column)) for name, column in unused],
        width,
    )
    if found.correlations:
        lines += ["", f"Correlations between targets{strongest(found.correlations)}"]
        for pair in found.correlations[:FEW]:
            lines += _wrapped(pair_text(pair), width, "  ")
    if sentences := remarks(found):
        lines += ["", "What was guessed, and what to look at"]
        for sentence in sentences:
            lines += _wrapped(sentence, width, "- ", "  ")
    if found.refused is not None:
        lines += ["", *_wrapped(f"A training would refuse this table: {found.refused}", width)]
    return "\n".join(lines)


def heading(found: Inspection) -> str:
    """Return the sentence on the table as a whole: rows, columns, copies, parts."""
    inputs, targets = len(found.columns), len(found.targets)
    text = f"{shorten(found.source)}: {counted(found.rows, 'row')}, {counted(inputs, 'column')}"
    text += f" and {counted(targets, 'target')}" if targets else ""
    if found.copies == 1:
        text += "; 1 row is a copy of another"
    elif found.copies:
        text += f"; {found.copies:,} rows are copies of others"
    if found.parts:
        text += "; " + ", ".join(f"{count:,} {part}" for part, count in found.parts.items())
    return f"{text}."


def remarks(found: Inspection) -> list[str]:
    """Return the sentences that say more than the line of a column does."""
    reasons = {column.reason for column in found.columns.values()}
    return [sentence for sentence in found.said if sentence.partition("): ")[2] not in reasons]


def column_text(column: InspectedColumn) -> str:
    """Return what a line says of a column."""
    if column.role == "date" and column.min is not None:
        days = [str(moment).removesuffix("T00:00:00") for moment in (column.min, column.max)]
        return f"{days[0]} to {days[1]}; {column.reason}"
    return column.reason


def target_text(target: InspectedTarget) -> str:
    """Return what a line says of a target."""
    parts = []
    if target.classes is not None and target.shares is not None:
        pairs = zip(target.classes, target.shares, strict=True)
        shown = [f"{shorten(repr(label), 40)} {share:.3g}" for label, share in pairs]
        more = f", … ({len(shown)} in all)" if len(shown) > CLASSES else ""
        parts.append("shares " + ", ".join(shown[:CLASSES]) + more)
    elif target.mean is not None:
        parts.append(f"mean {target.mean:.6g}")
    if target.missing:
        parts.append(f"{target.missing:,} missing")
    return "; ".join([*parts, target.reason])


def pair_text(pair: TargetPair) -> str:
    """Return what a line says of two targets."""
    names = f"{shorten(pair.first, 40)} and {shorten(pair.second, 40)}"
    return f"{names}: {pair.measure} {pair.value:.2f} ({counted(pair.rows, 'row')})"


def strongest(pairs: Sequence[TargetPair]) -> str:
    """Return the remark that only the strongest pairs are shown; empty where all are."""
    return f", the {FEW} strongest" if len(pairs) > FEW else ""


def counted(count: int, noun: str) -> str:
    """Return a number and its noun.

    Examples:
        >>> counted(1, "row"), counted(7043, "row")
        ('1 row', '7,043 rows')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _section(title: str, items: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    """Return the lines of a section; nothing where it has no item."""
    if not items:
        return []
    shown = items[:MANY]
    names = [shorten(name, 60) for name, _, _ in shown]
    name_width = min(NAME, max(map(len, names)))
    role_width = max(len(role) for _, role, _ in shown)
    lines = ["", f"{title} ({len(items):,})"]
    for name, (_, role, text) in zip(names, shown, strict=True):
        if width < NARROW:
            lines += _wrapped(f"{name} ({role}): {text}", width, "  ", "    ")
        else:
            start = f"  {name:<{name_width}}  {role:<{role_width}}  "
            lines += _wrapped(text, width, start, " " * (name_width + role_width + 6))
    if len(items) > MANY:
        lines += [f"  … {len(items) - MANY:,} more"]
    return lines


def _wrapped(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Return text as lines that begin with `first` and then with `rest`."""
    # A name may hold line ends, which would break the layout.
    text = text.replace("\n", "\\n")
    rest = first if rest is None else rest
    return textwrap.wrap(
        text,
        max(width, len(rest) + 20),
        initial_indent=first.replace("\n", "\\n"),
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
