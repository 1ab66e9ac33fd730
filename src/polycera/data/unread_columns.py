"""Choose the columns of a source that are not read, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from polycera.data.table import LeaveOut, Unread
from polycera.errors import InputError, shorten


def left_out(
    names: list[str], leave_out: LeaveOut | None, what_nests: Callable[[str], str | None]
) -> dict[str, Unread]:
    """Return the columns that are not read: those of `leave_out`, then those of nested values.

    Args:
        names: the columns of the source, in order.
        leave_out: see `polycera.data.read`.
        what_nests: returns what the cells of a column are, where no table can hold them.

    Raises:
        InputError: where no column is left.
    """
    places = {name: place for place, name in enumerate(names)}
    asked = leave_out(names) if leave_out is not None else {}
    unread = {name: replace(asked[name], place=places[name]) for name in names if name in asked}
    for name in names:
        if name not in unread and (nested := what_nests(name)) is not None:
            unread[name] = Unread(places[name], f"its cells are {nested}.", notable=True)
    if len(unread) == len(names) > 0:
        reasons = "; ".join(f"{shorten(name)!r}: {unread[name].reason[:-1]}" for name in names[:3])
        raise InputError(
            f"No column is left to read, and at least one of numbers, text, booleans or dates is "
            f"expected; left out are {reasons}."
        )
    return unread
