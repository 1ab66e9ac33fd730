"""Names of layers, each once: layers of models within a model may have the same."""

from __future__ import annotations

from collections.abc import Iterable


def unique_names(names: Iterable[str]) -> list[str]:
    """The names; one that came before gets a number behind.

    Example:
        >>> distinct(["dense", "dense", "out"])
        ['dense', 'dense (2)', 'out']
    """
    found: dict[str, None] = {}
    for name in names:
        free, number = name, 1
        while free in found:
            number += 1
            free = f"{name} ({number})"
        found[free] = None
    return list(found)
