"""Name the columns that predict a target nearly alone, in few sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from polycera.errors import listing

MOST = 5
"""Most sentences; further columns are counted."""
SHOWN = 5
"""Most columns or targets that a sentence names."""


class TellingColumn(NamedTuple):
    """Describes a column that predicts a target nearly alone.

    Attributes:
        column, target: their names; a label of a multilabel task is a target.
        skill: what the column reaches alone in rows that were held out: R2 of ranks for numbers,
            the Brier skill for classes.
        rows: number of rows that were used.
        network: the same measure of the network's own predictions; None before training.
    """

    column: str
    target: str
    skill: float
    rows: int
    network: float | None = None


def sentences(found: Iterable[TellingColumn]) -> list[str]:
    """Return what to say of these columns.

    Columns that predict the same target share a sentence, and so do targets predicted by the same
    columns, because lags of a series, for instance, often come by the dozen.

    Examples:
        >>> sentences([TellingColumn("left_on", "churn", 0.97, 4000)])[0][:69]
        "Column 'left_on' alone predicts 'churn' (skill 0.97 in held-out folds"
    """
    by_target: dict[str, list[TellingColumn]] = {}
    for telling in found:
        by_target.setdefault(telling.target, []).append(telling)
    by_columns: dict[tuple[str, ...], list[TellingColumn]] = {}
    for group in by_target.values():
        by_columns.setdefault(tuple(telling.column for telling in group), []).extend(group)
    said = [_sentence(list(columns), group) for columns, group in by_columns.items()]
    if len(said) > MOST:
        further = {name for names in list(by_columns)[MOST:] for name in names}
        said[MOST:] = [
            f"{len(said) - MOST} more groups of targets are predicted nearly alone by a column, "
            f"among {len(further)} columns: {listing(sorted(further), SHOWN)}."
        ]
    return said


def _sentence(columns: list[str], group: list[TellingColumn]) -> str:
    """Return the sentence on columns each of which tells each of the same targets."""
    targets = listing(dict.fromkeys(telling.target for telling in group), SHOWN)
    reached = f"skill {_span([telling.skill for telling in group])}"
    networks = [telling.network for telling in group if telling.network is not None]
    if networks:
        measured = f"{reached} in held-out rows, the whole network {_span(networks)}"
    else:
        measured = f"{reached} in held-out folds of {group[0].rows:,} training rows"
    names = listing(columns, SHOWN)
    if len(columns) == 1:
        return (
            f"Column {names} alone predicts {targets} ({measured}): a possible leak. Is it known "
            f"at the time of prediction? If not, leave it out with exclude=[{names}] (--exclude)."
        )
    return (
        f"{len(columns)} columns, each of them alone, predict {targets} ({measured}): possible "
        "leaks. Are they known at the time of prediction? If not, leave them out with "
        f"exclude=[{names}] (--exclude)."
    )


def _span(values: list[float]) -> str:
    """Return the range of numbers in two decimals."""
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"
