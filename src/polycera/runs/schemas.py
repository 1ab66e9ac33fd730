"""Define and check what the files of a run hold, so that readers of them need not check again."""

from __future__ import annotations

import csv
import io
import math
from typing import Annotated, Any

import msgspec

from polycera.errors import listing, shorten

CELLS = 700_000
"""Most cells of a history."""
LONG = 2**24
"""Most bytes. 500 epochs of 200 tasks have 500,000 cells."""

LEVELS = 1000
"""Most categories of a column with a feature of their own: more than any encoder makes."""

Score = dict[str, float | str | None]
"""A metric's value, trivial value, ideal, direction and skill."""


class NumbersSchema(msgspec.Struct):
    """Holds number columns, each with its mean, its deviation and whether it had missing values."""

    columns: list[str]
    mean: list[float]
    deviation: list[float]
    gaps: list[bool]

    def __post_init__(self) -> None:
        _check_lengths(self)
        _check_deviations(self.deviation)


class DatesSchema(msgspec.Struct):
    """Holds date columns, like `NumbersSchema` but with two means and two deviations a column."""

    columns: list[str]
    mean: list[tuple[float, float]]
    deviation: list[tuple[float, float]]
    gaps: list[bool]

    def __post_init__(self) -> None:
        _check_lengths(self)
        _check_deviations([part for pair in self.deviation for part in pair])


class BooleansSchema(msgspec.Struct):
    """Holds boolean columns, each with its share of True and whether it had missing values."""

    columns: list[str]
    share: list[float]
    gaps: list[bool]

    def __post_init__(self) -> None:
        _check_lengths(self)


class LevelsSchema(msgspec.Struct):
    """Holds the categories of one column."""

    column: str
    levels: list[str]
    rare: list[str]
    gap: bool

    def __post_init__(self) -> None:
        if len(self.levels) > LEVELS:
            raise ValueError(f"the column {shorten(self.column)!r} has more than {LEVELS} levels")


class EncoderSchema(msgspec.Struct):
    """Holds how features are computed from columns.

    Each column occurs once, which limits the number of features to what a table can have.
    """

    numbers: NumbersSchema
    booleans: BooleansSchema
    categories: list[LevelsSchema]
    dates: DatesSchema
    left_out: list[str]

    def __post_init__(self) -> None:
        blocks = [self.numbers.columns, self.booleans.columns, self.dates.columns]
        names = [name for block in blocks for name in block] + [
            levels.column for levels in self.categories
        ]
        if len(set(names)) < len(names):
            raise ValueError("the encoder takes a column twice")


class ColumnSchema(msgspec.Struct, forbid_unknown_fields=True):
    """Holds the role of a column, with its reason."""

    name: str
    role: str
    kind: str
    reason: str
    notable: bool


class TableSchema(msgspec.Struct):
    """Holds `schema.json`."""

    columns: list[ColumnSchema]
    encoder: EncoderSchema
    rows: str
    warnings: list[str]


class Metrics(msgspec.Struct):
    """Holds `metrics.json`: task -> metric -> scores, for one part of the rows or several.

    Attributes:
        part: the part by which the run is judged: test rows, where there are any.
        rows: part -> number of its rows.
        test, validation, train: scores of the parts that were measured.
    """

    part: str
    rows: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}
    test: dict[str, dict[str, Score]] = {}
    validation: dict[str, dict[str, Score]] = {}
    train: dict[str, dict[str, Score]] = {}

    def __post_init__(self) -> None:
        if self.part not in ("test", "validation", "train") or not getattr(self, self.part):
            raise ValueError(f"its part is {shorten(self.part)!r}, but it has no scores for that")
        fields = {"value", "trivial", "ideal", "direction", "skill"}
        for scores in (self.test, self.validation, self.train):
            for metrics in scores.values():
                if not all(fields <= set(score) for score in metrics.values()):
                    raise ValueError(
                        "it has a score without value, trivial, ideal, direction or skill"
                    )


class State(msgspec.Struct, rename={"kind": "class"}):
    """Holds the state of a callback."""

    kind: str
    state: dict[str, Any]


class CheckpointNotes(msgspec.Struct):
    """Holds the notes of a checkpoint."""

    epoch: Annotated[int, msgspec.Meta(ge=0)]
    batch: Annotated[int, msgspec.Meta(ge=0)]
    rows: str | None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None
    finished: bool
    random: dict[str, Any]
    callbacks: list[State]
    run: str | None = None


def checked(value: Any, form: Any) -> Any:
    """Return a value unchanged if it has this form.

    Raises:
        ValueError: with the path of the wrong value and what is expected there.
    """
    # The converted value is dropped: readers want plain dicts, not structs.
    msgspec.convert(value, form)
    return value


def history(text: bytes) -> list[dict[str, float]]:
    """Return the rows of `history.csv`, one dict an epoch.

    Raises:
        ValueError: where it is not such a table, or has too many cells.
        csv.Error: where it is not CSV.
    """
    # Counted before parsing, so that a huge file cannot fill the memory.
    if text.count(b",") + text.count(b"\n") > CELLS:
        raise ValueError(f"it has more than {CELLS} cells")
    rows = csv.reader(io.StringIO(text.decode(), newline=""))
    names = next(rows, [])
    if len(set(names)) < len(names):
        raise ValueError(f"two of its columns have one name: {listing(names, 3)}")
    epochs = []
    for row in rows:
        if len(row) != len(names):
            raise ValueError(
                f"its rows do not have one cell for each of its columns {listing(names, 3)}"
            )
        epochs.append({name: float(cell or "nan") for name, cell in zip(names, row, strict=True)})
    return epochs


def _check_lengths(block: Any) -> None:
    for field in block.__struct_fields__[1:]:
        if len(getattr(block, field)) != len(block.columns):
            raise ValueError(f"{field} has another length than columns")


def _check_deviations(values: list[float]) -> None:
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError("a deviation is 0 or less")
