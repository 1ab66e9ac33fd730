"""Rows -> training, validation and test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polycera.data import assign_rows
from polycera.data.column import canonical, is_missing
from polycera.data.table import Table
from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks import Binary, Multiclass, Ordinal, Task

Indices = NDArray[np.int64]

_PARTS = {
    "train": 0,
    "training": 0,
    "valid": 1,
    "validation": 1,
    "val": 1,
    "dev": 1,
    "test": 2,
    "testing": 2,
}
_ENOUGH = 3  # rows of each class, one a part


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of rows, ascending; each row is in exactly one part.

    Attributes:
        train: [a], never empty.
        validation: [b].
        test: [c].
    """

    train: Indices
    validation: Indices
    test: Indices

    @classmethod
    def _of(cls, parts: NDArray[Any]) -> Split:
        """From each row's part [n]: 0, 1 or 2."""
        return cls(*(np.flatnonzero(parts == part).astype(np.int64) for part in range(3)))

    def of_kinds(self, kinds: Indices) -> Split:
        """Return the parts of rows [n], each of which goes where its kind goes in this split."""
        part = np.zeros(len(self.train) + len(self.validation) + len(self.test), dtype=np.int64)
        part[self.validation], part[self.test] = 1, 2
        return Split._of(part[kinds])

    def __repr__(self) -> str:
        return f"Split(train {len(self.train)}, validation {len(self.validation)}, test {len(self.test)} rows)"


def split(
    rows: int,
    *,
    seed: int,
    validation: float = 0.15,
    test: float = 0.15,
    stratify: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    time: ArrayLike | None = None,
) -> Split:
    """Divides the rows; the same seed and rows give the same parts.

    Args:
        rows: how many.
        seed: of the draw.
        validation: share of the rows, 0 for none.
        test: share of the rows, 0 for none.
        stratify: codes of classes [rows], with one further code for a missing label: each part gets
            its share of each, and a class of at least three rows is in every part. Groups and time
            go before it.
        groups: what belongs together [rows]; no group is divided, and rows without a group are one
            group.
        time: when each row was [rows]; the last are the test, those before them the validation.

    Raises:
        InputError: too few rows or groups, shares that leave nothing to train on, a time that is
            missing.

    Example:
        >>> split(100, seed=0)
        Split(train 70, validation 15, test 15 rows)
    """
    quota = _quota(rows, validation, test)
    if groups is not None and time is not None:
        raise InputError("A split is by groups or by time, not by both; give one of them.")
    random = np.random.default_rng([abs(int(seed)), rows])
    if groups is not None:
        return Split._of(assign_rows.by_groups(_codes(groups, rows, "groups"), quota, random))
    if time is not None:
        return Split._of(assign_rows.by_time(_moments(time, rows), quota))
    codes = (
        np.zeros(rows, dtype=np.int64) if stratify is None else _codes(stratify, rows, "stratify")
    )
    return Split._of(assign_rows.by_strata(codes, quota, random))


def from_column(
    values: ArrayLike,
    *,
    seed: int,
    validation: float = 0.15,
    stratify: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    time: ArrayLike | None = None,
) -> Split:
    """Return the parts that a column names: train, valid or validation, test, in any case.

    Where it names no validation, that share of the training rows is drawn for it: whole groups,
    where there are groups, and the last of them, where there is a time.

    Raises:
        UnknownName: for another name.
        InputError: a row without a part, no row to train on, a group in two parts, groups and a
            time together.
    """
    column = canonical(values, "split")
    if is_missing(column).any():
        raise InputError(
            f"Row {int(is_missing(column).argmax())} belongs to no part; train, validation or test is expected."
        )
    words = [str(value).strip().lower() for value in column]
    if strange := next((word for word in words if word not in _PARTS), None):
        raise UnknownName("part of a split", strange, _PARTS)
    parts = np.array([_PARTS[word] for word in words])
    train = np.flatnonzero(parts == 0)
    if not len(train):
        raise InputError("The split column names no row 'train'; some are expected.")
    if groups is not None:
        _check_undivided(parts, groups)
    if validation and not (parts == 1).any():
        strata, together, moments = (
            None if values is None else canonical(values, what)[train]
            for values, what in ((stratify, "stratify"), (groups, "groups"), (time, "time"))
        )
        drawn = split(
            len(train),
            seed=seed,
            validation=validation,
            test=0.0,
            stratify=strata,
            groups=together,
            time=moments,
        )
        parts[train[drawn.validation]] = 1
    return Split._of(parts)


def _check_undivided(parts: NDArray[np.int64], groups: ArrayLike) -> None:
    """Refuse a column of parts that divides a group: its validation and test would be of rows known already.

    Raises:
        InputError: naming the first such group.
    """
    codes = _codes(groups, len(parts), "groups")
    lowest, highest = np.full(codes.max() + 1, 2), np.zeros(codes.max() + 1, "int64")
    np.minimum.at(lowest, codes, parts)
    np.maximum.at(highest, codes, parts)
    divided = lowest < highest
    if divided.any():
        row = int(divided[codes].argmax())
        own = np.unique(parts[codes == codes[row]])
        names = " and ".join(("train", "validation", "test")[part] for part in own)
        first = shorten(repr(canonical(groups, "groups").tolist()[row]))
        raise InputError(
            f"The split column divides {int(divided.sum())} of the groups, such as {first}, which stands in {names}: "
            "put each group into one part, or leave out the groups or the split column."
        )


def copies(table: Table, columns: Iterable[str]) -> Indices | None:
    """Return which rows are equal in all these columns, as one code for each kind of row [rows]; None if none are.

    Rows are compared by a hash of 64 bits.
    """
    mixed = np.zeros(table.rows, dtype=np.uint64)
    for name in columns:
        codes = _codes(table[name], table.rows, name).astype(np.uint64)
        mixed = (mixed ^ (codes + np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    first, kinds = np.unique(mixed, return_index=True, return_inverse=True)[1:]
    if len(first) == table.rows:
        return None
    # Numbered by their first rows, so that the draw does not depend on the hash.
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[kinds.reshape(-1)]


def strata(table: Table, tasks: Iterable[Task]) -> Indices | None:
    """Codes [rows] to stratify by: the classes of the first task that has at least three rows of each.

    A missing label has a code of its own. None where no task has such classes.
    """
    for task in tasks:
        if isinstance(task, Binary | Multiclass | Ordinal) and not getattr(task, "soft", False):
            column = table[task.name]
            codes = _codes(column, table.rows, "stratify")
            counts = np.unique(codes[~is_missing(column)], return_counts=True)[1]
            if len(counts) > 1 and counts.min() >= _ENOUGH:
                return codes
    return None


def _quota(rows: int, validation: float, test: float) -> tuple[int, int, int]:
    """Rows of training, validation and test."""
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1:
            raise InputError(
                f"The share of {name} is {share:g}; a number from 0 up to, not including, 1 is expected."
            )
    if validation + test >= 1:
        raise InputError(
            f"Validation ({validation:g}) and test ({test:g}) together leave no row to train on."
        )
    wanted = [max(1, round(rows * share)) if share else 0 for share in (validation, test)]
    needed = 1 + sum(share > 0 for share in (validation, test))
    if rows < needed:
        raise InputError(
            f"{rows} row{'s' * (rows != 1)} cannot be divided into {needed} parts; at least one row for "
            "each is expected: give more rows."
        )
    while sum(wanted) >= rows:  # a handful of rows, where rounding up took them all
        wanted[int(np.argmax(wanted))] -= 1
    return rows - sum(wanted), wanted[0], wanted[1]


def _moments(time: ArrayLike, rows: int) -> NDArray[Any]:
    column = canonical(time, "time")
    _check_length(len(column), rows, "time")
    if is_missing(column).any():
        row = int(is_missing(column).argmax())
        raise InputError(
            f"The time of row {row} is missing; a split by time needs the time of every row."
        )
    return column


def _codes(values: ArrayLike, rows: int, what: str) -> Indices:
    """Values [n] of any kind as whole numbers from 0, those missing as one more."""
    column = canonical(values, what)
    _check_length(len(column), rows, what)
    if column.dtype.kind == "O":
        places: dict[Any, int] = {}
        return np.array([places.setdefault(value, len(places)) for value in column], dtype=np.int64)
    return np.unique(column, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _check_length(came: int, rows: int, what: str) -> None:
    if came != rows:
        raise InputError(
            f"{shorten(what)} has {came} values for {rows} rows; one a row is expected."
        )
