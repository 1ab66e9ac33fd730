"""Which part each row goes to: 0 is training, 1 validation, 2 test; a quota says how many each gets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.errors import InputError

Indices = NDArray[np.int64]


def by_strata(
    codes: Indices, quota: tuple[int, int, int], random: np.random.Generator
) -> NDArray[np.int64]:
    """Parts [n]: of the rows sorted by class, in random order within, each k-th is for test or validation."""
    order = random.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    parts = np.full(len(codes), -1)
    left = list(quota)
    _seat_rare(codes[order], parts, left)
    for part in (2, 1):
        open_ = np.flatnonzero(parts < 0)
        parts[open_[_every(len(open_), left[part], random)]] = part
    parts[parts < 0] = 0
    return parts[np.argsort(order)]


def _seat_rare(codes: Indices, parts: NDArray[np.int64], left: list[int]) -> None:
    """A row a part for classes so rare that the draw could miss one; a row or two alone stay in training."""
    shares = [count / len(codes) for count in left if count]
    wanted = [part for part in range(3) if left[part]]
    first, counts = np.unique(codes, return_index=True, return_counts=True)[1:]
    rare = counts * min(shares) < 1
    seats = {part: int((rare & (counts >= len(wanted))).sum()) for part in wanted[1:]}
    if rare.all() or any(seats[part] > left[part] for part in seats) or rare.sum() > left[0]:
        return  # more rare classes than seats: the even draw is the better one
    for place, count in zip(first[rare], counts[rare], strict=True):
        for offset, part in enumerate(wanted if count >= len(wanted) else [0] * count):
            if left[part]:
                parts[place + offset] = part
                left[part] -= 1


def _every(count: int, wanted: int, random: np.random.Generator) -> Indices:
    """Places of `wanted` of `count` rows at even distances from a random start."""
    start = random.random()
    places = np.floor((np.arange(wanted) + start) * count / max(wanted, 1)).astype(np.int64)
    return np.minimum(places, count - 1)  # lest rounding go one too far


def by_groups(
    codes: Indices, quota: tuple[int, int, int], random: np.random.Generator
) -> NDArray[np.int64]:
    """Parts [n]: groups in random order, each to the part that lacks the most rows."""
    sizes = np.bincount(codes)
    needed = sum(count > 0 for count in quota)
    if len(sizes) < needed:
        raise InputError(
            f"{len(sizes)} group{'s' * (len(sizes) != 1)} cannot be divided into {needed} parts uncut; "
            f"at least {needed} are expected."
        )
    lacking = np.array(quota, dtype=np.float64)
    part_of = np.zeros(len(sizes), dtype=np.int64)
    wanted = [part for part in range(3) if quota[part]]
    empty = set(wanted)
    for seen, group in enumerate(random.permutation(len(sizes))):
        few = len(sizes) - seen <= len(empty)
        part = max(sorted(empty) if few else wanted, key=lacking.__getitem__)
        part_of[group] = part
        lacking[part] -= sizes[group]
        empty.discard(part)
    return part_of[codes]


def by_time(moments: NDArray[Any], quota: tuple[int, int, int]) -> NDArray[np.int64]:
    """Parts [n]: the last rows are the test, those before them the validation."""
    parts = np.empty(len(moments), dtype=np.int64)
    parts[np.argsort(moments, kind="stable")] = np.repeat([0, 1, 2], quota)
    return parts
