"""Choose which columns of a source are read, and their roles, from what the user declared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from polycera.data.name_patterns import all_matching, spread
from polycera.data.schema import USED
from polycera.data.table import Unread, joined_name
from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.runs.spec import Data
from polycera.tabular import row_weights

NOT_NAMED = "the spec that is repeated does not name it."
"""Reason for leaving out a column that a spec does not have."""


def unread(
    options: Data,
    names: Sequence[str],
    targets: Collection[str],
    exclude: Iterable[str] = (),
    pinned: bool = False,
) -> dict[str, Unread]:
    """Return the columns that are not to be read, each with its reason.

    Args:
        options: roles that are declared, and the columns with other purposes.
        names: the columns of the source.
        targets: the columns that hold labels, where they are known, and others to read in any case.
        exclude: names and patterns of columns to leave out.
        pinned: whether the options are those of a spec, whose columns are all that is learned from.

    Raises:
        UnknownName: for a column to leave out that does not exist.
        InputError: where a spec learns from a column that does not exist.
    """
    needed = {*targets, *_helpers(options), *ids(options, names), *options.tags}
    needed |= {*row_weights.columns_of(options.sample_weight)}
    chosen = dict.fromkeys(all_matching(map(joined_name, exclude), names), Unread())
    roles = _declared(options, names, pinned)
    chosen |= {name: Unread() for name, role in roles.items() if role == "ignore"}
    if pinned and options.columns:
        for name in names:
            if name not in options.columns:
                chosen.setdefault(name, Unread(reason=NOT_NAMED, notable=True))
    return {name: why for name, why in chosen.items() if name not in needed}


def roles(
    options: Data, names: Sequence[str], exclude: Iterable[str] = (), pinned: bool = False
) -> Mapping[str, str]:
    """Return the declared role of each column, with those that the split and `exclude` imply.

    Args:
        options, names, exclude, pinned: as for `unread`.

    Raises:
        UnknownName: for a column that does not exist.
        InputError: where the column that names the parts has a role already.
    """
    excluded = all_matching(map(joined_name, exclude), names)
    declared = _declared(options, names, pinned) | dict.fromkeys(excluded, "ignore")
    declared |= dict.fromkeys(ids(options, names), "id")
    for name, role in _helpers(options).items():
        if declared.setdefault(name, role) != role and role == "ignore":
            raise InputError(
                f"Column {name!r} names the parts, so it cannot be a {declared[name]} as well."
            )
    for name in row_weights.columns_of(options.sample_weight):
        if declared.setdefault(name, "weight") not in ("weight", "ignore"):
            raise InputError(
                f"Column {shorten(name)!r} holds sample weights, so it cannot be a "
                f"{declared[name]} as well."
            )
    return declared


def ids(options: Data, names: Sequence[str]) -> list[str]:
    """Return the columns that are carried into the predictions; UnknownName for one too many."""
    return all_matching(map(joined_name, options.id), names)


def _helpers(options: Data) -> dict[str, str]:
    """Return the columns by which rows are divided, with their roles."""
    roles = {
        options.parts.column: "ignore",
        options.parts.groups: "group",
        options.parts.time: "time",
    }
    return {name: role for name, role in roles.items() if name is not None}


def _declared(options: Data, names: Sequence[str], pinned: bool) -> dict[str, str]:
    """Return column -> declared role.

    Raises:
        UnknownName: for a column that does not exist.
        InputError: where a spec learns from a column that does not exist.
    """
    if not pinned:
        return spread({joined_name(name): role for name, role in options.columns.items()}, names)
    missing = [name for name, role in options.columns.items() if name not in names and role in USED]
    if missing:
        nearest = str(UnknownName("column", missing[0], names)).partition(";")[2].strip()
        raise InputError(
            f"The spec learns from {listing(map(shorten, missing))}, which the table does not "
            f"have; {nearest}"
        )
    return {name: role for name, role in options.columns.items() if name in names}
