"""Decide what each column is used for: its role, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from polycera.data import roles
from polycera.data.coerce import as_kind
from polycera.data.column import Kind, kind_of
from polycera.data.table import Table, Unread
from polycera.errors import InputError, UnknownName, listing, shorten

Role: TypeAlias = Literal[
    "number",
    "category",
    "boolean",
    "date",
    "id",
    "constant",
    "text",
    "group",
    "time",
    "weight",
    "ignore",
]
"""What a column is used for."""
ROLES: tuple[str, ...] = get_args(Role)
"""All roles."""
USED = ("number", "category", "boolean", "date")
"""Roles that reach the network."""


@dataclass(frozen=True)
class Column:
    """Describes one column that is not a target.

    Attributes:
        name: as in the table.
        role: what it is used for; only number, category, boolean and date reach the network.
        kind: what its cells hold: number, text, boolean or date; `unread` where nobody looked.
        reason: one sentence on why it has the role.
        notable: whether to tell the user, because the column is left out or holds something
            strange.
    """

    name: str
    role: str
    kind: Kind | Literal["unread"]
    reason: str
    notable: bool = False

    @property
    def used(self) -> bool:
        """Return whether the network uses the column."""
        return self.role in USED

    def __str__(self) -> str:
        state = "" if self.used else ", left out"
        return f"Column {shorten(self.name)!r} ({self.role}{state}): {self.reason}"


@dataclass(frozen=True)
class Schema:
    """Holds the columns that are not targets, in the table's order."""

    columns: tuple[Column, ...]

    @property
    def used(self) -> list[str]:
        """Return the names of the columns that the network uses."""
        return [column.name for column in self.columns if column.used]

    @property
    def as_text(self) -> list[str]:
        """Return the names of the columns to read as text, so that '01' does not become 1."""
        return [
            column.name
            for column in self.columns
            if (column.role, column.kind) == ("category", "text")
        ]

    @property
    def notices(self) -> list[str]:
        """Return a sentence for each column that the user should know about."""
        return [str(column) for column in self.columns if column.notable]

    def names(self, role: str) -> list[str]:
        """Return the names of the columns in a role; UnknownName for a role that does not exist."""
        _check_role(role)
        return [column.name for column in self.columns if column.role == role]

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise UnknownName("column", name, [column.name for column in self.columns])

    def to_config(self) -> dict[str, Any]:
        """Return the schema as JSON values."""
        return {"columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Schema:
        """Return the schema that `to_config` wrote; UnknownName for a role that does not exist."""
        columns = tuple(Column(**column) for column in config["columns"])
        for column in columns:
            _check_role(column.role)
        return cls(columns)


def infer(
    table: Table, targets: Iterable[str] = (), overrides: Mapping[str, str] | None = None
) -> Schema:
    """Return the schema of a table: a role for every column that is not a target, with a reason.

    Args:
        table: the rows.
        targets: names of the columns to predict; they get no role.
        overrides: column -> role, where the user knows better.

    Raises:
        UnknownName: for a target, column or role that does not exist.
        InputError: for a target with a role, and for a column that cannot have the declared role
            (with the row and the value).

    Examples:
        >>> infer(
        ...     Table({"town": ["Oslo", "Bergen", "Oslo"], "rent": [9.0, 8.0, 7.0]}), ["rent"]
        ... ).used
        ['town']
    """
    declared = dict(overrides or {})
    target_names = list(targets)
    for name in [*target_names, *declared]:
        if name not in table.unread:
            table[name]  # raises UnknownName
    if both := sorted(set(target_names) & set(declared)):
        raise InputError(
            f"Targets have no role as inputs, but these were given one: {listing(both)}."
        )
    return Schema(
        tuple(
            _unread(name, table.unread[name], declared.get(name))
            if name in table.unread
            else _column(table, name, declared.get(name))
            for name in table.source_names
            if name not in target_names
        )
    )


def _column(table: Table, name: str, declared: str | None) -> Column:
    values = table[name]
    if declared is None:
        remark = table.reading.remarks.get(name)
        role, reason, notable = roles.of(name, values, remark, table.known_codes(name))
        return Column(name, role, kind_of(values), reason, notable)
    _check_role(declared)
    if declared in ("number", "boolean", "date"):
        as_kind(values, declared, name)  # type: ignore[arg-type]
    if declared == "category" and (count := roles.different_numbers(values)):
        reason = f"declared so, though its cells are {count:,} different numbers."
        return Column(name, declared, kind_of(values), reason, notable=True)
    return Column(name, declared, kind_of(values), "declared so.")


def _unread(name: str, unread: Unread, declared: str | None) -> Column:
    """Return the description of a column that was not read.

    Raises:
        InputError: where it was declared to be used.
    """
    if declared in USED:
        raise InputError(
            f"Column {shorten(name)!r} cannot be a {declared}: {unread.reason} Spread it over "
            "several columns, or leave it out."
        )
    return Column(name, "ignore", "unread", unread.reason, unread.notable)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise UnknownName("role", role, ROLES)
