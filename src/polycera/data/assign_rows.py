"""Assign rows to parts (0 training, 1 validation, 2 test), each with a quota of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polycera.errors import InputError

Indices = NDArray[np.int64]


def by_strata(
    codes: Indices, quota: tuple[int, int, int], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return parts [n] in which each class has its share.

    The rows are sorted by class, at random within a class. Rows at even distances in this order are
    taken for test, then for validation.
    """
    order = random.permutation(len(codes))
    # NumPy sorts numbers of 16 bits by their digits, in a fraction of the time.
    small = codes.astype(np.uint16) if codes.max(initial=0) < 2**16 else codes
    order = order[np.argsort(small[order], kind="stable")]
    parts = np.full(len(codes), -1)
    left = list(quota)
    _seat_rare(codes[order], parts, left)
    for part in (2, 1):
        unassigned = np.flatnonzero(parts < 0)
        parts[unassigned[_every(len(unassigned), left[part], random)]] = part
    parts[parts < 0] = 0
    by_row = np.empty_like(parts)
    by_row[order] = parts
    return by_row


def _seat_rare(codes: Indices, parts: NDArray[np.int64], left: list[int]) -> None:
    """Assign one row to each part for classes so rare that the even draw could miss a part.

    Classes of fewer rows than parts stay in training. The codes, from 0 on, are in order.
    """
    shares = [count / len(codes) for count in left if count]
    used = [part for part in range(3) if left[part]]
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    counts = np.diff(first, append=len(codes))
    rare = counts * min(shares) < 1
    needed = {part: int((rare & (counts >= len(used))).sum()) for part in used[1:]}
    if rare.all() or any(needed[part] > left[part] for part in needed) or rare.sum() > left[0]:
        # The quotas are too small for all rare classes; the even draw is better then.
        return
    for start, count in zip(first[rare], counts[rare], strict=True):
        for offset, part in enumerate(used if count >= len(used) else [0] * count):
            if left[part]:
                parts[start + offset] = part
                left[part] -= 1


def _every(count: int, chosen: int, random: np.random.Generator) -> Indices:
    """Return the indices of `chosen` of `count` rows, at even distances from a random start."""
    start = random.random()
    indices = np.floor((np.arange(chosen) + start) * count / max(chosen, 1)).astype(np.int64)
    return np.minimum(indices, count - 1)  # rounding may go one too far


def by_groups(
    codes: Indices, quota: tuple[int, int, int], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return parts [n]: each group, in random order, goes to the part that lacks the most rows.

    Raises:
        InputError: for fewer groups than parts.
    """
    sizes = np.bincount(codes)
    _check_count(len(sizes), quota)
    lacking = np.array(quota, dtype=np.float64)
    parts = np.zeros(len(sizes), dtype=np.int64)
    used = [part for part in range(3) if quota[part]]
    empty = set(used)
    for assigned, group in enumerate(random.permutation(len(sizes))):
        # Once only as many groups are left as there are empty parts, they fill these.
        must_fill = len(sizes) - assigned <= len(empty)
        part = max(sorted(empty) if must_fill else used, key=lacking.__getitem__)
        parts[group] = part
        lacking[part] -= sizes[group]
        empty.discard(part)
    return parts[codes]


def by_time(
    moments: Indices, quota: tuple[int, int, int], groups: Indices | None = None
) -> NDArray[np.int64]:
    """Return parts [n]: the last rows are the test, those before them the validation.

    Rows of one moment stay together where the parts can keep about their sizes, and groups in any
    case: a group is as late as its latest row.

    Args:
        moments: rank of the time of each row.
        quota: rows of each part.
        groups: group of each row, or None.

    Raises:
        InputError: for fewer groups than parts.
    """
    if groups is not None:
        _check_count(int(groups.max()) + 1, quota)
        moments = latest(moments, groups)
    parts = _cut(moments, quota)
    # A moment may hold too many rows, as with a column of years: then it is divided.
    if parts is None or (parts == 0).sum() < quota[0] / 2:
        units = np.arange(len(moments)) if groups is None else groups
        order = np.lexsort((units, moments))
        change = np.diff(units[order], prepend=units[order[0]]) != 0
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.cumsum(change)
        parts = _cut(ranks, quota)
    assert parts is not None
    return parts


def latest(moments: Indices, groups: Indices) -> Indices:
    """Return the latest moment of each row's group, [n]."""
    of_group = np.zeros(groups.max(initial=0) + 1, dtype=np.int64)
    np.maximum.at(of_group, groups, moments)
    return of_group[groups]


def _cut(ranks: Indices, quota: tuple[int, int, int]) -> NDArray[np.int64] | None:
    """Return parts [n] of sizes near their quotas that divide no rank; None where there are none.

    Args:
        ranks: of the rows; the highest ones are the test.
        quota: rows of each part.
    """
    ordered = np.sort(ranks)
    cuts = np.flatnonzero(np.diff(ordered)) + 1
    needed = [(part, sum(quota[:part])) for part in (2, 1) if quota[part]]
    if len(cuts) < len(needed):
        return None
    parts = np.zeros(len(ranks), dtype=np.int64)
    order, end = np.argsort(ranks, kind="stable"), len(ranks)
    # The test is cut off first, and then the validation before it.
    for i, (part, rows) in enumerate(needed):
        usable = cuts[len(needed) - 1 - i :]
        usable = usable[usable < end]
        start = usable[np.abs(usable - rows).argmin()]
        parts[order[start:end]] = part
        end = start
    return parts


def _check_count(groups: int, quota: tuple[int, int, int]) -> None:
    """Raise where there are fewer groups than parts.

    Raises:
        InputError: with both numbers.
    """
    needed = sum(count > 0 for count in quota)
    if groups < needed:
        raise InputError(
            f"{groups} group{'s' * (groups != 1)} cannot be divided into {needed} parts "
            f"without splitting a group; at least {needed} are expected."
        )
