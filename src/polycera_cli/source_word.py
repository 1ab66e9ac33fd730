"""Take the words that name a table: `-` for standard input, several files for one table."""

from __future__ import annotations

from collections.abc import Sequence
from glob import has_magic
from pathlib import Path
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


def _source(_: Any, tokens: Sequence[Any]) -> str | list[str]:
    """Return the word that names a table, or the list of several files.

    Raises:
        InputError: where one of several words is no file.
    """
    words = ["-" if token.value == STANDARD_INPUT else token.value for token in tokens]
    if len(words) == 1:
        return words[0]
    for word in words:
        if not (has_magic(word) or Path(word).exists()):
            from polycera.errors import InputError, shorten

            raise InputError(
                f"There is no file {shorten(word)!r}. Write --target before each column to predict."
            )
    return words


Source = Annotated[
    str | list[str] | None,
    # n_tokens: the parser would give a text one word alone.
    Parameter(converter=_source, negative="", consume_multiple=True, n_tokens=-1),
]
"""A table: a path, an address, `-`; or several files that are one table."""
