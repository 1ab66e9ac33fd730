"""Make names of layers unique: layers of inner models may have the same name."""

from __future__ import annotations

from collections.abc import Iterable


def unique_names(names: Iterable[str]) -> list[str]:
    """Return the names; one that occurred before gets a number at its end.

    Examples:
        >>> unique_names(["dense", "dense", "out"])
        ['dense', 'dense (2)', 'out']
    """
    unique: dict[str, None] = {}
    for name in names:
        free, number = name, 1
        while free in unique:
            number += 1
            free = f"{name} ({number})"
        unique[free] = None
    return list(unique)
