"""Read options of the form NAME=VALUE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def targets(names: list[str], kinds: Mapping[str, str]) -> list[Any]:
    """Return targets for `pc.fit`: names, with kinds where they are given."""
    from polycera.errors import UnknownName

    for name in kinds:
        if name not in names:
            raise UnknownName("target", name, names)
    return [{name: kinds[name]} if name in kinds else name for name in names]


def pairs(options: list[str] | None, flag: str) -> dict[str, str]:
    """Return options NAME=VALUE as name -> value."""
    from polycera.errors import InputError

    values = {}
    for option in options or []:
        name, equals, value = option.rpartition("=")
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
