"""Read options of the form NAME=VALUE."""

from __future__ import annotations

from typing import Any


def pairs(options: list[str] | None, flag: str, *, first: bool = False) -> dict[str, str]:
    """Return options NAME=VALUE as name -> value.

    Args:
        options: as they were written.
        flag: the option, for errors.
        first: whether the first sign `=` ends the name, and not the last.
    """
    from polycera.errors import InputError

    values = {}
    for option in options or []:
        name, equals, value = option.partition("=") if first else option.rpartition("=")
        if not equals or not name:
            raise InputError(f"{flag} takes NAME=VALUE, got {option!r}.")
        values[name] = value
    return values


def numbers(options: list[str] | None, flag: str) -> dict[str, float]:
    """Return options NAME=NUMBER as name -> number."""
    from polycera.errors import InputError

    texts = pairs(options, flag)
    try:
        return {name: float(value) for name, value in texts.items()}
    except ValueError:
        raise InputError(f"{flag} takes NAME=NUMBER, got {options}.") from None


def orders(options: list[str] | None) -> dict[str, list[str]]:
    """Return options TARGET=LEVEL,LEVEL as target -> levels."""
    return {name: _listed(text) for name, text in _first_pairs(options, "--order").items()}


def missing_words(options: list[str] | None) -> list[str] | dict[str, list[str]]:
    """Return options WORD as words, or options COLUMN=WORD,WORD as column -> words."""
    from polycera.errors import InputError

    given = options or []
    if not any("=" in option for option in given):
        return list(given)
    if not all("=" in option for option in given):
        raise InputError("--missing takes words, or COLUMN=WORD,WORD for each column, not both.")
    return {name: _listed(text) for name, text in _first_pairs(given, "--missing").items()}


def _first_pairs(options: list[str] | None, flag: str) -> dict[str, str]:
    """Return options NAME=VALUE as name -> value; the value may hold further equals signs."""
    from polycera.errors import InputError

    values = {}
    for option in options or []:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise InputError(f"{flag} takes NAME=VALUE,VALUE, got {option!r}.")
        values[name] = value
    return values


def _listed(text: str) -> list[str]:
    """Return the words between commas."""
    words = [word.strip() for word in text.split(",")]
    return [word for word in words if word]


def columns_by_task(options: list[str] | None, flag: str) -> str | dict[str, str] | None:
    """Return a column for all tasks, or task -> column; None without options.

    Raises:
        InputError: for a column for all tasks beside others.
    """
    from polycera.errors import InputError

    if not options:
        return None
    if len(options) == 1 and "=" not in options[0]:
        return options[0]
    if common := [option for option in options if "=" not in option]:
        raise InputError(
            f"{flag} takes one COLUMN for all tasks, or TASK=COLUMN for each task; got "
            f"{common[0]!r} beside others."
        )
    return pairs(options, flag)


def class_weights(options: list[str] | None, flag: str) -> dict[str, Any]:
    """Return task -> "balanced", or label -> number, from TASK=balanced or TASK=LABEL:NUMBER,...

    Raises:
        InputError: for anything else.
    """
    from polycera.errors import InputError

    weights: dict[str, Any] = {}
    for option in options or []:
        task, equals, value = option.partition("=")
        if not equals or not task or not value:
            raise InputError(
                f"{flag} takes TASK=balanced or TASK=LABEL:NUMBER,LABEL:NUMBER, got {option!r}."
            )
        weights[task] = value if ":" not in value else _numbers_by_label(value, option, flag)
    return weights


def _numbers_by_label(text: str, option: str, flag: str) -> dict[str, float]:
    """Return label -> number from LABEL:NUMBER,LABEL:NUMBER."""
    from polycera.errors import InputError

    numbers_by_label = {}
    for part in text.split(","):
        label, colon, number = part.rpartition(":")
        try:
            numbers_by_label[label] = float(number)
        except ValueError:
            colon = ""
        if not colon or not label:
            raise InputError(
                f"{flag} takes TASK=balanced or TASK=LABEL:NUMBER,LABEL:NUMBER, got {option!r}."
            )
    return numbers_by_label
