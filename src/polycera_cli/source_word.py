"""Take `-`, standard input, for the word that names a table: the parser would take it for an option."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

STANDARD_INPUT = "standard-input:"
"""What stands for `-` until the words are parsed."""
FLAGS = ("--fast", "--json", "--quiet", "-q", "--resume", "--safe-csv", "--verbose")
"""Options without a value; after any other option `-` is its value."""


def with_standard_input(words: Sequence[str]) -> list[str]:
    """Return the words of a command line, with `-` replaced where it names a table.

    Examples:
        >>> with_standard_input(["fit", "-", "--missing", "-"])
        ['fit', 'standard-input:', '--missing', '-']
    """
    before = ["", *words]
    return [
        STANDARD_INPUT if word == "-" and (not last.startswith("-") or last in FLAGS) else word
        for last, word in zip(before, words, strict=False)
    ]


def _source(_: Any, tokens: Sequence[Any]) -> str:
    value: str = tokens[0].value
    return "-" if value == STANDARD_INPUT else value


Source = Annotated[str | None, Parameter(converter=_source)]
"""A table: a path, an address, `-`."""
