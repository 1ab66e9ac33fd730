"""What the files of a run hold, field by field, so that whatever reads them later need not look again."""

from __future__ import annotations

import csv
import io
import math
from typing import Annotated, Any

import msgspec

from polycera.errors import listing, shorten

CELLS, LONG = 700_000, 2**24
"""Cells and bytes of a history at most: 500 epochs of 200 tasks have 500,000."""

LEVELS = 1000
"""Categories of a column with a place of their own, at most: more than any encoder makes."""

Score = dict[str, float | str | None]


class NumbersSchema(msgspec.Struct):
    """Columns side by side, each with its mean, its deviation and whether it had gaps."""

    columns: list[str]
    mean: list[float]
    deviation: list[float]
    gaps: list[bool]

    def __post_init__(self) -> None:
        _check_lengths(self)
        _check_deviations(self.deviation)


class DatesSchema(msgspec.Struct):
    """As `Numbers`, with two means and two deviations a column."""

    columns: list[str]
    mean: list[tuple[float, float]]
    deviation: list[tuple[float, float]]
    gaps: list[bool]

    def __post_init__(self) -> None:
        _check_lengths(self)
        _check_deviations([part for pair in self.deviation for part in pair])


class BooleansSchema(msgspec.Struct):
    """Columns side by side, each with its share of True and whether it had gaps."""

    columns: list[str]
    share: list[float]
    gaps: list[bool]

    def __post_init__(self) -> None:
        _check_lengths(self)


class LevelsSchema(msgspec.Struct):
    """One column of categories."""

    column: str
    levels: list[str]
    rare: list[str]
    gap: bool

    def __post_init__(self) -> None:
        if len(self.levels) > LEVELS:
            raise ValueError(f"the column {shorten(self.column)!r} has more than {LEVELS} levels")


class EncoderSchema(msgspec.Struct):
    """How features are made of columns; each column once, so that they are no more than a table can have."""

    numbers: NumbersSchema
    booleans: BooleansSchema
    categories: list[LevelsSchema]
    dates: DatesSchema
    left_out: list[str]

    def __post_init__(self) -> None:
        blocks = [self.numbers.columns, self.booleans.columns, self.dates.columns]
        names = [name for block in blocks for name in block] + [
            one.column for one in self.categories
        ]
        if len(set(names)) < len(names):
            raise ValueError("the encoder takes a column twice")


class ColumnSchema(msgspec.Struct, forbid_unknown_fields=True):
    """What a column is to the network."""

    name: str
    role: str
    kind: str
    reason: str
    notable: bool


class TableSchema(msgspec.Struct):
    """`schema.json`."""

    columns: list[ColumnSchema]
    encoder: EncoderSchema
    rows: str
    warnings: list[str]


class Metrics(msgspec.Struct):
    """`metrics.json`: task -> metric -> scores, on one part of the rows or two."""

    held_out: str
    test: dict[str, dict[str, Score]] = {}
    validation: dict[str, dict[str, Score]] = {}
    train: dict[str, dict[str, Score]] = {}

    def __post_init__(self) -> None:
        if self.held_out not in ("test", "validation", "train") or not getattr(self, self.held_out):
            raise ValueError(
                f"it says that {shorten(self.held_out)!r} was held out, and has no scores of it"
            )
        scores = [
            score
            for part in (self.test, self.validation, self.train)
            for own in part.values()
            for score in own.values()
        ]
        if any(
            not {"value", "trivial", "ideal", "direction", "skill"} <= set(score)
            for score in scores
        ):
            raise ValueError("it has a score without value, trivial, ideal, direction or skill")


class State(msgspec.Struct, rename={"kind": "class"}):
    """What a callback remembers."""

    kind: str
    state: dict[str, Any]


class CheckpointNotes(msgspec.Struct):
    """The notes of a checkpoint."""

    epoch: Annotated[int, msgspec.Meta(ge=0)]
    batch: Annotated[int, msgspec.Meta(ge=0)]
    rows: str | None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None
    finished: bool
    random: dict[str, Any]
    callbacks: list[State]
    run: str | None = None


def checked(found: Any, form: Any) -> Any:
    """A value as it came, once it is seen to have this form.

    Raises:
        ValueError: with the place and what is expected there.
    """
    msgspec.convert(found, form)
    return found


def history(text: bytes) -> list[dict[str, float]]:
    """The rows of `history.csv`, counted before anything is made of them: one dict an epoch.

    Raises:
        ValueError: where it is no such table.
        csv.Error: where it is no CSV.
    """
    if text.count(b",") + text.count(b"\n") > CELLS:
        raise ValueError(f"it has more than {CELLS} cells")
    rows = csv.reader(io.StringIO(text.decode(), newline=""))
    names = next(rows, [])
    if len(set(names)) < len(names):
        raise ValueError(f"two of its columns have one name: {listing(names, 3)}")
    found = []
    for row in rows:
        if len(row) != len(names):
            raise ValueError(
                f"its rows do not have one cell for each of its columns {listing(names, 3)}"
            )
        found.append({name: float(cell or "nan") for name, cell in zip(names, row, strict=True)})
    return found


def _check_lengths(block: Any) -> None:
    for field in block.__struct_fields__[1:]:
        if len(getattr(block, field)) != len(block.columns):
            raise ValueError(f"{field} has another length than columns")


def _check_deviations(values: list[float]) -> None:
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError("a deviation is 0 or less")
