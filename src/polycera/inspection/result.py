"""Hold what an inspection found: plain numbers and sentences, which print themselves."""

from __future__ import annotations

from typing import Any

import msgspec

MANY_LEVELS = 1_000
"""Most levels of a column that are listed."""


class InspectedColumn(msgspec.Struct, frozen=True):
    """Describes a column that is not a target.

    Attributes:
        role: what it is used for: number, category, boolean, date; or why it is not used: id, text,
            constant, group, time, ignore.
        reason: one sentence on why it has the role.
        used: whether the network gets it.
        missing: number of cells without a value; None where the column was not read.
        min, max: of numbers, and of dates in ISO format; None for others.
        levels: of categories and booleans, sorted, the first `MANY_LEVELS` of many; None for
            others.
        distinct: number of levels; None for others.
    """

    role: str
    reason: str
    used: bool
    missing: int | None
    min: float | str | None = None
    max: float | str | None = None
    levels: list[Any] | None = None
    distinct: int | None = None


class InspectedTarget(msgspec.Struct, frozen=True):
    """Describes a target.

    Attributes:
        kind: regression, proportion, binary, multiclass, multilabel, ordinal, count or quantile.
        reason: one sentence on why it is of this kind.
        missing: number of rows without a label.
        classes: of targets with classes, in their order: the last one of a binary target is the
            positive one; the labels of a multilabel target; None for numbers.
        shares: share of each class among the known labels; of a multilabel target, the share of
            rows that have each label. None for numbers.
        mean, min, max: of numbers; None for classes.
    """

    kind: str
    reason: str
    missing: int
    classes: list[Any] | None = None
    shares: list[float] | None = None
    mean: float | None = None
    min: float | None = None
    max: float | None = None


class TargetPair(msgspec.Struct, frozen=True):
    """Says how strongly two targets go together.

    Attributes:
        first, second: names of the targets; labels of a multilabel target by their own names.
        measure: `rank correlation` (Spearman, from -1 to 1) or, where a target has several classes
            without order, `Cramér's V` (from 0 to 1, corrected for chance).
        value: of the measure.
        rows: rows with both labels that it was measured on.
    """

    first: str
    second: str
    measure: str
    value: float
    rows: int


class Inspection(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """Holds all that `fit` would understand of a table.

    Attributes:
        source: what the table is called: its path, or its type.
        rows: number of rows.
        columns: name -> what is known of each column that is not a target.
        targets: name -> what is known of each target.
        left_out: name -> reason, of columns that the network does not get.
        parts: train, validation and test -> number of rows; empty without a target.
        copies: number of rows that are copies of another in all columns that are used.
        correlations: pairs of targets, the strongest first; of many only the strongest.
        leaks: a sentence for each column that may give a target away.
        said: a sentence for each guess and each warning.
        refused: why `fit` would refuse the table; None where it would not.
    """

    source: str
    rows: int
    columns: dict[str, InspectedColumn]
    targets: dict[str, InspectedTarget]
    left_out: dict[str, str]
    parts: dict[str, int]
    copies: int
    correlations: list[TargetPair]
    leaks: list[str]
    said: list[str]
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, as `polycera inspect --json` prints them."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def __repr__(self) -> str:
        from polycera.inspection.as_text import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from polycera.inspection.as_html import as_html

        return as_html(self)
