"""Assign rows to parts (0 training, 1 validation, 2 test), each with a quota of rows."""

from __future__ import annotations

from typing import Any

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
    order = order[np.argsort(codes[order], kind="stable")]
    parts = np.full(len(codes), -1)
    left = list(quota)
    _seat_rare(codes[order], parts, left)
    for part in (2, 1):
        unassigned = np.flatnonzero(parts < 0)
        parts[unassigned[_every(len(unassigned), left[part], random)]] = part
    parts[parts < 0] = 0
    return parts[np.argsort(order)]


def _seat_rare(codes: Indices, parts: NDArray[np.int64], left: list[int]) -> None:
    """Assign one row to each part for classes so rare that the even draw could miss a part.

    Classes of fewer rows than parts stay in training.
    """
    shares = [count / len(codes) for count in left if count]
    used = [part for part in range(3) if left[part]]
    first, counts = np.unique(codes, return_index=True, return_counts=True)[1:]
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
    needed = sum(count > 0 for count in quota)
    if len(sizes) < needed:
        raise InputError(
            f"{len(sizes)} group{'s' * (len(sizes) != 1)} cannot be divided into {needed} parts "
            f"without splitting a group; at least {needed} are expected."
        )
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


def by_time(moments: NDArray[Any], quota: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return parts [n]: the last rows are the test, those before them the validation."""
    parts = np.empty(len(moments), dtype=np.int64)
    parts[np.argsort(moments, kind="stable")] = np.repeat([0, 1, 2], quota)
    return parts
