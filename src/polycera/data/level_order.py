"""Bring the levels of an ordinal target into their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from polycera.data.cells.scales import known_order
from polycera.data.table import Table
from polycera.errors import InputError, listing, shorten


def in_order(
    table: Table, name: str, levels: list[Any], order: Iterable[Any] | None = None
) -> tuple[list[Any], str]:
    """Return the levels from the lowest to the highest, and where the order comes from.

    The order is the one that was given; else that of an ordered categorical column; else that of
    a well-known scale; else that of numbers, or of the alphabet, which is a guess.

    Args:
        table: the rows.
        name: of the target.
        levels: its labels, sorted.
        order: the levels in their order, as the user gave them; texts stand for numbers too.

    Raises:
        InputError: where a given order names a level twice, or lacks one.
    """
    if order is not None:
        return _as_given(name, levels, list(order)), "in the given order"
    declared = [level for level in table.reading.orders.get(name, ()) if level in levels]
    if len(declared) == len(levels):
        return declared, "in the order of the column's categories"
    if (known := known_order(levels)) is not None:
        return known, f"in the order of a well-known scale ({listing(known)})"
    if any(isinstance(level, str) for level in levels):
        return levels, (
            f"Warning: no order is known for {listing(levels, 3)}, so that of the alphabet is "
            f"used; to give another: order= (--order {shorten(name)}=LOWEST,...,HIGHEST)"
        )
    return levels, ""


def _as_given(name: str, levels: list[Any], order: list[Any]) -> list[Any]:
    """Return the levels in a given order, of the type in which they came."""
    by_text = {str(level): level for level in levels}
    ordered = [level if level in levels else by_text.get(str(level), level) for level in order]
    if len(set(map(str, order))) < len(order):
        raise InputError(f"The order of {shorten(name)!r} names a level twice: {listing(order)}.")
    if lacking := [level for level in levels if level not in ordered]:
        raise InputError(
            f"The order of {shorten(name)!r} lacks {listing(lacking)}; its levels are "
            f"{listing(levels)}."
        )
    return ordered


def check_orders(orders: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    """Raise where an order is given for a target that is not ordinal.

    Args:
        orders: target -> its levels.
        kinds: target -> its kind.
    """
    for name in orders:
        if kinds.get(name) != "ordinal":
            what = f"is {kinds[name]}" if name in kinds else "is no target"
            raise InputError(
                f"An order is given for {shorten(name)!r}, which {what}: only ordinal targets have "
                f"one; leave its kind out, or declare it (--kind {shorten(name)}=ordinal)."
            )
