"""Find the names that a pattern such as `label_*` means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from polycera.errors import UnknownName

Value = TypeVar("Value")

SIGNS = "*?["
"""Characters that make a name a pattern, as in the shell."""


def is_pattern(name: object) -> bool:
    """Return whether a name has a sign of a pattern in it."""
    return isinstance(name, str) and any(sign in name for sign in SIGNS)


def matching(name: str, names: Sequence[str], what: str = "column") -> list[str]:
    """Return the names that a name or a pattern means, in their order.

    A name that exists means itself, whatever signs it holds.

    Args:
        name: a name, or a pattern with `*`, `?` or `[...]`.
        names: the names that exist.
        what: what they are names of, for the error.

    Raises:
        UnknownName: for a name that does not exist, and for a pattern that no name matches.

    Examples:
        >>> matching("label_*", ["age", "label_a", "label_b"])
        ['label_a', 'label_b']
    """
    if name in names:
        return [name]
    if is_pattern(name):
        if matches := [known for known in names if fnmatchcase(known, name)]:
            return matches
        raise UnknownName(what, name, names, "No name matches this pattern.")
    raise UnknownName(what, name, names)


def all_matching(given: Iterable[str], names: Sequence[str], what: str = "column") -> list[str]:
    """Return the names that several names and patterns mean, each once.

    Raises:
        UnknownName: as `matching`.
    """
    found = dict.fromkeys(match for name in given for match in matching(name, names, what))
    return list(found)


def spread(
    given: Mapping[str, Value], names: Sequence[str], what: str = "column"
) -> dict[str, Value]:
    """Return name -> value from name or pattern -> value; an exact name goes before a pattern.

    Among patterns the last that matches counts.

    Raises:
        UnknownName: as `matching`.

    Examples:
        >>> spread({"label_b": "count", "label_*": "proportion"}, ["label_a", "label_b"])
        {'label_b': 'count', 'label_a': 'proportion'}
    """
    exact = {name: value for name, value in given.items() if name in names}
    found: dict[str, Value] = dict(exact)
    for name, value in given.items():
        if name not in exact:
            for match in matching(name, names, what):
                if match not in exact:
                    found[match] = value
    return found


def means(given: Collection[str], name: str) -> bool:
    """Return whether names and patterns mean a name."""
    return name in given or any(is_pattern(one) and fnmatchcase(name, one) for one in given)
