"""What each column is to the network: its role, and the reason for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from polycera.data import roles
from polycera.data.coerce import as_kind
from polycera.data.column import Kind, Values, kind_of
from polycera.data.table import Table
from polycera.errors import InputError, UnknownName, listing, shorten

Role: TypeAlias = Literal[
    "number", "category", "boolean", "date", "id", "constant", "text", "group", "time", "ignore"
]
ROLES: tuple[str, ...] = get_args(Role)
USED = ("number", "category", "boolean", "date")


@dataclass(frozen=True)
class Column:
    """One column that is no target.

    Attributes:
        name: as in the table.
        role: what it is used for; only number, category, boolean and date reach the network.
        kind: what its cells hold: number, text, boolean or date.
        reason: one sentence that says why it has the role.
        notable: whether the user should be told, because the column is left out or holds something
            strange.
    """

    name: str
    role: str
    kind: Kind
    reason: str
    notable: bool = False

    @property
    def used(self) -> bool:
        """Whether the network sees the column."""
        return self.role in USED

    def __str__(self) -> str:
        state = "" if self.used else ", left out"
        return f"Column {shorten(self.name)!r} ({self.role}{state}): {self.reason}"


@dataclass(frozen=True)
class Schema:
    """The columns that are no targets, in the table's order."""

    columns: tuple[Column, ...]

    @property
    def used(self) -> list[str]:
        """Names of the columns that the network sees."""
        return [column.name for column in self.columns if column.used]

    @property
    def as_text(self) -> list[str]:
        """Names of the columns to read as they are written, so that '01' does not come back as 1."""
        return [
            column.name
            for column in self.columns
            if (column.role, column.kind) == ("category", "text")
        ]

    @property
    def notices(self) -> list[str]:
        """One sentence for each column that the user should hear about."""
        return [str(column) for column in self.columns if column.notable]

    def names(self, role: str) -> list[str]:
        """Names of the columns in a role; UnknownName for a role that does not exist."""
        _check_role(role)
        return [column.name for column in self.columns if column.role == role]

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise UnknownName("column", name, [column.name for column in self.columns])

    def to_config(self) -> dict[str, Any]:
        """The schema as JSON values."""
        return {"columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Schema:
        """The schema that `to_config` wrote down; UnknownName for a role that does not exist."""
        columns = tuple(Column(**column) for column in config["columns"])
        for column in columns:
            _check_role(column.role)
        return cls(columns)


def infer(
    table: Table, targets: Iterable[str] = (), overrides: Mapping[str, str] | None = None
) -> Schema:
    """Gives every column that is no target a role, with a reason.

    Args:
        table: the rows.
        targets: names of the columns to predict; they get no role.
        overrides: column to role, where the user knows better.

    Raises:
        UnknownName: for a target, column or role that does not exist.
        InputError: for a target with a role, and for a column that cannot be what it is declared to
            be (naming the row and the value).

    Example:
        >>> infer(Table({"town": ["Oslo", "Bergen", "Oslo"], "rent": [9.0, 8.0, 7.0]}), ["rent"]).used
        ['town']
    """
    declared = dict(overrides or {})
    goals = list(targets)
    for name in [*goals, *declared]:
        table[name]
    if both := sorted(set(goals) & set(declared)):
        raise InputError(
            f"Targets have no role as inputs, and these were given one: {listing(both)}."
        )
    return Schema(
        tuple(
            _column(name, table[name], declared.get(name))
            for name in table.names
            if name not in goals
        )
    )


def _column(name: str, values: Values, declared: str | None) -> Column:
    if declared is None:
        role, reason, notable = roles.of(name, values)
        return Column(name, role, kind_of(values), reason, notable)
    _check_role(declared)
    if declared in ("number", "boolean", "date"):
        as_kind(values, declared, name)  # type: ignore[arg-type]
    return Column(name, declared, kind_of(values), "declared so.")


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise UnknownName("role", role, ROLES)
