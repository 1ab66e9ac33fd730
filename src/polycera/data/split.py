"""Divide rows into training, validation and test.

scikit-learn's splitters draw other rows for the same seed, so a spec would no longer give the rows
that it gave; and they have no split into three parts that keeps groups whole or time in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polycera.data import assign_rows
from polycera.data.column import Values, canonical, is_missing
from polycera.data.level_codes import LevelCodes
from polycera.data.table import Table
from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks import Binary, Multiclass, Ordinal, Task

Indices = NDArray[np.int64]
"""Indices of rows, or codes of rows."""

PARTS = {
    "train": 0,
    "training": 0,
    "valid": 1,
    "validation": 1,
    "val": 1,
    "dev": 1,
    "test": 2,
    "testing": 2,
}
"""What a split column may hold -> number of the part: 0 training, 1 validation, 2 test."""
_ROWS = 2**14
"""Rows that are compared at a time."""
_ENOUGH = 3
"""Fewest rows of each class to stratify by: one for each part."""


@dataclass(frozen=True, eq=False)
class Split:
    """Holds the row indices of each part, ascending; each row is in exactly one part.

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
        """Return the split for the parts of the rows [n]: 0, 1 or 2."""
        return cls(*(np.flatnonzero(parts == part).astype(np.int64) for part in range(3)))

    def of_kinds(self, kinds: Indices) -> Split:
        """Return the parts of rows [n]; each row gets the part that its kind has in this split."""
        part = np.zeros(len(self.train) + len(self.validation) + len(self.test), dtype=np.int64)
        part[self.validation], part[self.test] = 1, 2
        return Split._of(part[kinds])

    def __repr__(self) -> str:
        return (
            f"Split(train {len(self.train)}, validation {len(self.validation)}, "
            f"test {len(self.test)} rows)"
        )


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
    """Divide the rows; the same seed and number of rows give the same parts.

    Args:
        rows: number of rows.
        seed: seed of the random draw.
        validation: share of the rows, 0 for none.
        test: share of the rows, 0 for none.
        stratify: class codes [rows], with one more code for a missing label. Each part gets its
            share of each class, and a class of at least three rows is in every part. Ignored where
            groups or a time are given.
        groups: group of each row [rows]; no group is divided. Rows without a group form one group.
        time: time of each row [rows]; the last rows are the test, those before them the
            validation. Rows of one moment are in one part, unless a moment holds too many rows for
            that. With groups too, each group belongs where its latest row belongs.

    Returns:
        The parts.

    Raises:
        InputError: for too few rows or groups, for shares that leave no row to train on, and for a
            missing time.

    Examples:
        >>> split(100, seed=0)
        Split(train 70, validation 15, test 15 rows)
    """
    quota = _quota(rows, validation, test)
    # `abs`, because a seed sequence takes no negative number.
    random = np.random.default_rng([abs(int(seed)), rows])
    group_codes = None if groups is None else _codes(groups, rows, "groups")
    if time is not None:
        return Split._of(assign_rows.by_time(_moments(time, rows), quota, group_codes))
    if group_codes is not None:
        return Split._of(assign_rows.by_groups(group_codes, quota, random))
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
    """Return the parts that a column names, in any case: train, valid or validation, test.

    Where it names no validation rows, that share of the training rows is drawn: whole groups where
    there are groups, the last rows where there is a time.

    Raises:
        UnknownName: for another name.
        InputError: for a row without a part, no row to train on, or a group in two parts.
    """
    column = canonical(values, "split")
    if is_missing(column).any():
        raise InputError(
            f"Row {int(is_missing(column).argmax())} belongs to no part; "
            "train, validation or test is expected."
        )
    part_names = [str(value).strip().lower() for value in column]
    if unknown := next((word for word in part_names if word not in PARTS), None):
        raise UnknownName("part of a split", unknown, PARTS)
    parts = np.array([PARTS[word] for word in part_names])
    train = np.flatnonzero(parts == 0)
    if not len(train):
        raise InputError("The split column has no row 'train'; at least one is expected.")
    if groups is not None:
        _check_undivided(parts, groups)
    if validation and not (parts == 1).any():
        stratify_codes, train_groups, times = (
            None if values is None else canonical(values, argument)[train]
            for values, argument in ((stratify, "stratify"), (groups, "groups"), (time, "time"))
        )
        drawn = split(
            len(train),
            seed=seed,
            validation=validation,
            test=0.0,
            stratify=stratify_codes,
            groups=train_groups,
            time=times,
        )
        parts[train[drawn.validation]] = 1
    return Split._of(parts)


def _check_undivided(parts: NDArray[np.int64], groups: ArrayLike) -> None:
    """Raise where a column of parts divides a group: its test rows would not be independent.

    Raises:
        InputError: with the first such group.
    """
    codes = _codes(groups, len(parts), "groups")
    lowest, highest = np.full(codes.max() + 1, 2), np.zeros(codes.max() + 1, "int64")
    np.minimum.at(lowest, codes, parts)
    np.maximum.at(highest, codes, parts)
    # A group is divided where the lowest and the highest part of its rows differ.
    divided = lowest < highest
    if divided.any():
        row = int(divided[codes].argmax())
        group_parts = np.unique(parts[codes == codes[row]])
        names = " and ".join(("train", "validation", "test")[part] for part in group_parts)
        group = shorten(repr(canonical(groups, "groups").tolist()[row]))
        raise InputError(
            f"The split column divides {int(divided.sum())} of the groups, such as {group}, which "
            f"has rows in {names}: put each group into one part, or leave out the groups or the "
            "split column."
        )


def copies(table: Table, columns: Iterable[str]) -> Indices | None:
    """Return one code for each kind of row [rows], where rows equal in all columns are of one kind.

    Rows are compared by a hash of 64 bits. None where no two rows are equal.
    """
    names = list(columns)
    hashes = {name: _hashes(table.codes(name)) for name in names if table[name].dtype.kind == "O"}
    mixed = np.zeros(table.rows, dtype=np.uint64)
    # Some rows at a time, which a processor keeps at hand.
    for start in range(0, table.rows, _ROWS):
        part, rows = mixed[start : start + _ROWS], slice(start, start + _ROWS)
        for name in names:
            if name in hashes:
                bits = hashes[name][table.codes(name).codes[rows]]
            else:
                bits = _bits(table[name][rows])
            # Small whole numbers differ in the high bits alone, which a product does not carry
            # down.
            bits ^= bits >> np.uint64(32)
            part ^= bits
            part *= np.uint64(0x9E3779B97F4A7C15)
            part ^= part >> np.uint64(29)
    in_order = np.sort(mixed)  # quicker than what `unique` does, and enough for most tables
    if (in_order[1:] != in_order[:-1]).all():
        return None
    first, kinds = np.unique(mixed, return_index=True, return_inverse=True)[1:]
    # Kinds are numbered by their first row, so that the draw does not depend on the hash.
    code_of_kind = np.empty(len(first), dtype=np.int64)
    code_of_kind[np.argsort(first)] = np.arange(len(first))
    return code_of_kind[kinds.reshape(-1)]


def _hashes(codes: LevelCodes) -> NDArray[np.uint64]:
    """Return 64 bits for each level of an object column, and then for a missing value."""
    values = [*codes.levels, None]
    return np.fromiter(map(hash, values), np.int64, len(values)).view(np.uint64)


def _bits(column: Values) -> NDArray[np.uint64]:
    """Return 64 bits for each number or date of a column [n]; equal values have equal bits."""
    if column.dtype.kind == "f":
        # 0.0 and -0.0 are equal, and so are all missing values.
        column = np.where(np.isnan(column), np.nan, column + 0.0)
    return column.copy().view(np.uint64)


def strata(table: Table, tasks: Iterable[Task]) -> Indices | None:
    """Return class codes [rows] to stratify by; None where no task has suitable classes.

    They are those of the first task that has at least three rows of each class. A missing label has
    a code of its own.
    """
    for task in tasks:
        if isinstance(task, Binary | Multiclass | Ordinal) and not getattr(task, "soft", False):
            column = table[task.name]
            if column.dtype.kind == "O":
                coded = table.codes(task.name)
                codes, counts = coded.by_first_row, coded.counts[:-1]
                counts = counts[counts > 0]
            else:
                codes = _codes(column, table.rows, "stratify")
                counts = np.unique(codes[~is_missing(column)], return_counts=True)[1]
            if len(counts) > 1 and counts.min() >= _ENOUGH:
                return codes
    return None


def _quota(rows: int, validation: float, test: float) -> tuple[int, int, int]:
    """Return the number of rows of training, validation and test."""
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1:
            raise InputError(
                f"The share of {name} is {share:g}; "
                "a number from 0 up to, not including, 1 is expected."
            )
    if validation + test >= 1:
        raise InputError(
            f"Validation ({validation:g}) and test ({test:g}) together leave no row to train on."
        )
    sizes = [max(1, round(rows * share)) if share else 0 for share in (validation, test)]
    needed = 1 + sum(share > 0 for share in (validation, test))
    if rows < needed:
        raise InputError(
            f"{rows} row{'s' * (rows != 1)} cannot be divided into {needed} parts; "
            "at least one row for "
            "each is expected: give more rows."
        )
    # With a handful of rows, rounding up may leave none to train on.
    while sum(sizes) >= rows:
        sizes[int(np.argmax(sizes))] -= 1
    return rows - sum(sizes), sizes[0], sizes[1]


def stretches(time: ArrayLike, count: int, groups: ArrayLike | None = None) -> Indices:
    """Return the number of the stretch of time of each row [n], of about equally many rows each.

    Args:
        time: of each row.
        count: number of stretches; fewer are used where there are fewer moments.
        groups: group of each row; a group is as late as its latest row and in one stretch, or None.
    """
    moments = _moments(time, len(np.asarray(time)))
    if groups is not None:
        moments = assign_rows.latest(moments, _codes(groups, len(moments), "groups"))
    return np.searchsorted(np.sort(moments), moments) * count // max(len(moments), 1)


def _moments(time: ArrayLike, rows: int) -> Indices:
    """Return the rank of each time [n], or raise where one is missing."""
    column = canonical(time, "time")
    _check_length(len(column), rows, "time")
    if is_missing(column).any():
        row = int(is_missing(column).argmax())
        raise InputError(
            f"The time of row {row} is missing; a split by time needs the time of every row."
        )
    return np.unique(column, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _codes(values: ArrayLike, rows: int, what: str) -> Indices:
    """Return values [n] of any kind as codes from 0; missing values have a code of their own."""
    column = canonical(values, what)
    _check_length(len(column), rows, what)
    if column.dtype.kind == "O":
        codes = {value: code for code, value in enumerate(dict.fromkeys(column.tolist()))}
        return np.fromiter(map(codes.__getitem__, column), np.int64, len(column))
    return np.unique(column, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _check_length(length: int, rows: int, what: str) -> None:
    if length != rows:
        raise InputError(
            f"{shorten(what)} has {length} values for {rows} rows; one a row is expected."
        )
