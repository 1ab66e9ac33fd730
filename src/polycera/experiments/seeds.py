"""Choose the seeds of several trainings of one network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polycera.errors import InputError, shorten

APART = 1000
"""Two seeds of a series differ by this number.

A layer draws its initial weights from the seed plus its position in the trunk, so neighbouring
seeds would share draws.
"""

END = 2**32
"""A seed is below this number."""


def seeds_of(seeds: int | Sequence[int], first: int) -> list[int]:
    """Return as many seeds as requested, starting with `first`; or the given seeds.

    Raises:
        InputError: where there is no seed, one comes twice, or one is not a whole number from 0 to
            below 2**32.

    Examples:
        >>> seeds_of(3, 7), seeds_of([1, 2], 7)
        ([7, 1007, 2007], [1, 2])
    """
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        seed_list = [(first + APART * i) % END for i in range(seeds)]
    else:
        seed_list = list(seeds) if isinstance(seeds, Iterable) else []
    all_valid = all(
        isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < END
        for seed in seed_list
    )
    if not seed_list or not all_valid or len(set(seed_list)) < len(seed_list):
        raise InputError(
            "Expected seeds= to be a number of seeds, 1 or more, or a list of different seeds, "
            f"got {shorten(repr(seeds))}."
        )
    return seed_list
