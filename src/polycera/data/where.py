"""Keep the rows that meet a condition in SQL, on the columns as they are understood."""

from __future__ import annotations

from typing import Any

import numpy as np

from polycera.data.table import Table
from polycera.errors import InputError, listing, shorten


def rows_where(table: Table, condition: str) -> np.ndarray:
    """Return the indices [k] of the rows that meet a condition, ascending.

    A row in which the condition is unknown, because a cell is missing, does not meet it.

    Args:
        table: the rows; a column goes by its name, in double quotes where the name is no word.
        condition: one expression of DuckDB's SQL that is true or false in each row.

    Raises:
        InputError: for anything but one such expression, a column that is not there, and where no
            row is left.

    Examples:
        >>> rows_where(Table({"age": [20.0, None, 40.0]}), "age > 30")
        array([2])
    """
    import duckdb  # not at the start, because few tables have a condition

    if not isinstance(condition, str):
        raise InputError(f"where= is a condition in SQL, got a {type(condition).__name__}.")
    _check_case(table)
    # No file can be read from within the condition: it stands in specs that others wrote.
    with duckdb.connect(":memory:", config={"enable_external_access": "false"}) as connection:
        connection.execute("SET threads = 1")
        connection.register("rows", {name: table[name] for name in table.names})
        try:
            expression = duckdb.SQLExpression(condition)
            answers = connection.table("rows").select(expression)
            is_condition = [str(kind) for kind in answers.types] == ["BOOLEAN"]
            values = next(iter(answers.fetchnumpy().values()))
        except duckdb.Error as error:
            raise _refused(condition, _reason(error), table) from None
    if not is_condition or len(values) != table.rows:
        raise _refused(condition, "it is not true or false in each row", table)
    kept = np.flatnonzero(np.ma.filled(values, False))
    if not len(kept):
        raise InputError(
            f"No row of {table.rows:,} meets the condition {shorten(condition, 80)!r} (--where)."
        )
    return kept


def _check_case(table: Table) -> None:
    """Raise where two names differ only in upper and lower case, which SQL does not tell apart."""
    first: dict[str, str] = {}
    for name in table.names:
        other = first.setdefault(name.lower(), name)
        if other != name:
            raise InputError(
                f"A condition in SQL (--where) cannot tell the columns {shorten(other)!r} and "
                f"{shorten(name)!r} apart: rename one, or leave it out with --exclude."
            )


def _reason(error: Any) -> str:
    """Return DuckDB's message as one short phrase."""
    text = str(error).split("\n")[0].split(": ", 1)[-1].strip().rstrip(".!")
    return shorten(text[:1].lower() + text[1:], 120)


def _refused(condition: str, reason: str, table: Table) -> InputError:
    """Return the error on a condition that cannot be used."""
    return InputError(
        f"The condition {shorten(condition, 80)!r} (--where) cannot be used: {reason}; expected "
        f"is one condition such as age > 30, over the columns {listing(table.names)}."
    )
