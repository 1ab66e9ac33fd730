"""Bring the options about cells into the form in which a spec and a reader take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from polycera.data.cells import CellFormat
from polycera.data.cells.formats import check_date_format
from polycera.data.reading import CellWishes
from polycera.errors import InputError, shorten


def cell_options(
    missing: Iterable[Any] | Mapping[str, Iterable[Any]] | None,
    date_format: Mapping[str, str] | None,
    number_format: Mapping[str, str] | None,
) -> tuple[dict[str, Any], CellWishes]:
    """Return what the spec keeps (`missing` and `cells` of `Data`), and what the reader needs.

    Args:
        missing: further words for missing values; or column -> the words of that column, in place
            of the usual ones.
        date_format: column -> order of its dates, such as "%d/%m/%Y".
        number_format: column -> a number as it is written there, such as "1.234,5".

    Raises:
        InputError: for a format that is not valid, and for a single text in place of a list.
    """
    formats = {}
    for name, format in (date_format or {}).items():
        check_date_format(name, format)
        formats[name] = CellFormat("date", date=format).to_config()
    of_columns: dict[str, tuple[str, ...]] = {}
    everywhere: list[str] = []
    if isinstance(missing, Mapping):
        for name, words in missing.items():
            of_columns[name] = _words(words, f"missing={{{name!r}: ...}}")
    else:
        everywhere = list(_words(missing or (), "missing="))
    return (
        {"missing": everywhere, "cells": formats},
        CellWishes(dict(number_format or {}), of_columns),
    )


def _words(words: Iterable[Any], option: str) -> tuple[str, ...]:
    if isinstance(words, str):
        raise InputError(f"{option} takes a list of words, got the text {shorten(repr(words))}.")
    return tuple(str(word).strip() for word in words)
