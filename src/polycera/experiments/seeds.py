"""The seeds of several trainings of one network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polycera.errors import InputError, shorten

APART = 1000
"""Between two seeds: a layer draws its first weights by the seed plus its place in the trunk."""

END = 2**32
"""Seeds are below this."""


def seeds_of(seeds: int | Sequence[int], first: int) -> list[int]:
    """So many seeds from the first on, or the ones named.

    Raises:
        InputError: where there is none, one comes twice, or one is no whole number from 0 up to
            2**32.

    Example:
        >>> seeds_of(3, 7), seeds_of([1, 2], 7)
        ([7, 1007, 2007], [1, 2])
    """
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        found = [(first + APART * i) % END for i in range(seeds)]
    else:
        found = list(seeds) if isinstance(seeds, Iterable) else []
    whole = all(
        isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < END for seed in found
    )
    if not found or not whole or len(set(found)) < len(found):
        raise InputError(
            f"Expected seeds= to be how many, 1 or more, or a list of different seeds, got {shorten(repr(seeds))}."
        )
    return found
