"""Read a column of few different texts as codes, whose meaning is found once for each text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polycera.data.column import Values

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class TextCodes:
    """Holds the different cells of a column of text.

    Attributes:
        sql: SQL of the code of a cell; null where there is none.
        texts: [cells + 1], the text of each code, None where the cell means a missing value; the
            last one is None, for rows without a cell.
        counts: [cells + 1], number of rows of each code in the whole table.
    """

    sql: str
    texts: Values
    counts: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        connection: duckdb.DuckDBPyConnection,
        column: str,
        text: str,
        rest: str,
        number: int,
    ) -> TextCodes:
        """Return the codes of a column; makes a type of DuckDB of the different cells.

        Args:
            connection: the connection in which the codes will be read.
            column: the column, quoted.
            text: SQL of the text that a cell of the column stands for.
            rest: the query of all rows, from its `from` on.
            number: of the column, for the name of the type.
        """
        kind = f'"cells {number}"'
        count = column[:-1] + ' count"'  # differs from the column's name, whatever that is
        # Counted first and read afterwards: else the text of each row would be worked out.
        found = (
            connection.cursor()
            .execute(
                f"with different as materialized (select {column}, count(*) as {count} {rest} "
                f"group by {column}) select {column}::varchar, {text}, {count} from different "
                "order by 1"
            )
            .fetchall()
        )
        cells = [cell for cell, _, _ in found if cell is not None]
        if cells:
            connection.cursor().execute(f"create type {kind} as enum (select unnest($1))", [cells])
        meanings = {cell: meaning for cell, meaning, _ in found}
        counts = {cell: count for cell, _, count in found}
        texts = np.empty(len(cells) + 1, dtype=object)
        texts[:-1] = [meanings[cell] for cell in cells]
        return cls(
            f"enum_code(try_cast({column}::varchar as {kind}))" if cells else "null::integer",
            texts,
            np.array([*(counts[cell] for cell in cells), counts.get(None, 0)], "int64"),
        )

    def indices(self, codes: Any) -> NDArray[np.intp]:
        """Return fetched codes [n] as indices of `texts`."""
        return np.ma.filled(codes.astype(np.intp), len(self.texts) - 1)

    @property
    def without_text(self) -> NDArray[np.bool_]:
        """Return which codes stand for a missing value, [cells + 1]."""
        return np.array([text is None for text in self.texts], bool)

    def totals(self, counts: NDArray[np.int64]) -> dict[str, int]:
        """Return text -> number of rows, from numbers of rows by code [cells + 1]."""
        totals: dict[str, int] = {}
        for text, count in zip(self.texts.tolist(), counts.tolist(), strict=True):
            if text is not None and count:
                totals[text] = totals.get(text, 0) + count
        return totals
