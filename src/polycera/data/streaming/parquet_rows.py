"""Read stretches of the rows of Parquet files, however many rows there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from polycera.data.cells.fetch import check_fit, expression, kinds_in
from polycera.data.cells.formats import CellFormat
from polycera.data.cells.understand import understand
from polycera.data.column import Kind, Values
from polycera.data.reading import CellWishes, Reading
from polycera.data.sources import connections, parquet
from polycera.data.sources.connections import quoted, text
from polycera.data.streaming.text_codes import TextCodes
from polycera.errors import InputError, UnknownName, listing, shorten

WORKING_MEMORY = "256MB"
"""Memory that DuckDB may use; beyond it, it spills to a temporary folder."""
FOLDERS = "hive_partitioning = true"
"""Option of DuckDB by which folders such as year=2024 are columns."""
NUMBER_BYTES = 8
"""Bytes of a number, boolean or date in memory."""
TEXT_BYTES = 64
"""Bytes of a text in memory, of some ten characters, with its place in the column."""
FEW = 100_000
"""Most different texts of a column that is read as codes."""
PLACE = "{position}"
"""Stands in SQL for the position of a row, which depends on the file."""
POSITION = "file_row_number"
"""Name that DuckDB gives to the number of a row in its Parquet file."""


@dataclass(frozen=True)
class Stretch:
    """Describes consecutive rows of one file, which are read together.

    Attributes:
        file: index of the file.
        first: number of the first row in its file.
        rows: number of rows.
        position: number of the first row in the whole table.
    """

    file: int
    first: int
    rows: int
    position: int


class ParquetRows:
    """Reads rows of one or several Parquet files as one table, a stretch at a time.

    Rows have positions: the rows of the first file from 0, then those of the second, and so on.

    Args:
        files: the files, in order.
        label: what errors call the table.
        leave_out: columns that will not be read.

    Attributes:
        kinds: column -> what it holds, in the order of the first file.
        rows: number of rows of all files.
        bytes_per_row: memory that a row takes, by the types of the columns.
        reading: how cells of text are written; see `understand`.
        codes: column of few different texts -> how its cells are read; see `encode_texts`.

    Raises:
        InputError: for a file that is no Parquet, that has no rows, or has other columns than the
            first.
    """

    def __init__(self, files: Sequence[Path], label: str, leave_out: Iterable[str] = ()) -> None:
        self.label = label
        self.files = [str(file) for file in files]
        self._connection = connections.connect()
        self._connection.execute(f"set memory_limit = '{WORKING_MEMORY}'")
        # The footers of the files are read once, not once for each stretch.
        self._connection.execute("set parquet_metadata_cache = true")
        self._sql: dict[str, str] = {}
        self.left_out, self.reading = set(leave_out), Reading()
        self.kinds: dict[str, Kind] = {}
        self.codes: dict[str, TextCodes] = {}
        self._distinct: dict[str, int] = {}
        self._groups = self._row_groups()
        self._describe()
        sizes = [TEXT_BYTES if kind == "text" else NUMBER_BYTES for kind in self.kinds.values()]
        self.bytes_per_row = sum(sizes)
        self.rows = sum(rows for groups in self._groups for rows in groups)
        if self.rows == 0:
            raise InputError(f"{label} has 0 rows; at least one is expected.")

    @property
    def names(self) -> list[str]:
        """Return the names of the columns, in order."""
        return list(self.kinds)

    def understand(
        self,
        *,
        given: Mapping[str, CellFormat] | None = None,
        missing: Iterable[str] = (),
        wishes: CellWishes | None = None,
        leave_out: Iterable[str] = (),
        check: bool = False,
    ) -> None:
        """Find out how the cells of text are written, by counts over all rows.

        Args:
            given, missing, wishes: as for `polycera.data.cells.understand`.
            leave_out: columns that are not read.
            check: whether each cell must fit a given format; one that does not is missing without.

        Raises:
            InputError: for a column of lists or structures that is not left out, and for a cell
                that does not fit.
        """
        left_out = {*leave_out, *self.left_out} & {*self.kinds}
        partitioned = bool(parquet.PARTITION.search(self.files[0]))
        rows = parquet.read(self.files, self.label, partitioned=partitioned, exclude=left_out)
        rows.connection.execute(f"set memory_limit = '{WORKING_MEMORY}'")
        known = {name: format for name, format in (given or {}).items() if name in rows.types}
        self.reading = understand(rows, given=known, missing=missing, wishes=wishes)
        if check:
            check_fit(rows, self.reading, list(known))
        for name, kind in kinds_in(rows, self.reading).items():
            self.kinds[name] = kind
            self._sql[name] = expression(rows, self.reading, name, kind)

    def sql(self, name: str) -> str:
        """Return the SQL of a column's values; UnknownName for a column that does not exist."""
        if name not in self._sql:
            raise UnknownName("column", name, self._sql)
        return self._sql[name]

    def stretches(self, most: int) -> list[Stretch]:
        """Return all rows as stretches of at most that many rows, none across two row groups."""
        stretches, position = [], 0
        for file, groups in enumerate(self._groups):
            first = 0
            for rows in groups:
                pieces = max(1, -(-rows // most))
                ends = [rows * piece // pieces for piece in range(pieces + 1)]
                stretches += [
                    Stretch(file, first + start, end - start, position + start)
                    for start, end in pairwise(ends)
                    if end > start
                ]
                first, position = first + rows, position + rows
        return stretches

    def distinct(self, names: Iterable[str]) -> dict[str, int]:
        """Return the estimated numbers of different values of columns (HyperLogLog).

        Cells of text are compared as they are written.
        """
        chosen = list(dict.fromkeys(names))
        unknown = [name for name in chosen if name not in self._distinct]
        if unknown:
            columns = [
                quoted(name) if self.kinds[name] == "text" else self.sql(name) for name in unknown
            ]
            counts = self.fetch_all([f"approx_count_distinct({column})" for column in columns])
            found = zip(unknown, counts, strict=True)
            self._distinct |= {name: int(count[0]) for name, count in found}
        return {name: self._distinct[name] for name in chosen}

    def encode_texts(self, names: Iterable[str]) -> None:
        """Read columns of few different texts as codes from now on.

        A text is then made once for each level, not once for each row, and what a cell means is
        looked up, not worked out for each row again.
        """
        texts = [name for name in names if self.kinds[name] == "text" and name not in self.codes]
        estimates = self.distinct(texts)
        for name in texts:
            if estimates[name] > FEW:
                continue
            with connections.one_sentence(f"{self.label} cannot be read"):
                self.codes[name] = TextCodes.of(
                    self._connection,
                    quoted(name),
                    self.sql(name),
                    f"from {self._all_files()}",
                    number=len(self.codes),
                )

    def read(
        self, stretch: Stretch, names: Iterable[str], more: Sequence[str] = ()
    ) -> tuple[dict[str, Values], list[Values]]:
        """Return the columns of a stretch, and what further SQL gives for its rows.

        Args:
            stretch: one of `stretches`.
            names: the columns to read.
            more: SQL of whole numbers; `PLACE` in it stands for the position of a row.

        Returns:
            name -> canonical column [rows]; the further values [rows] each.
        """
        columns, further = self.read_coded(stretch, names, more)
        return {name: self.decoded(name, values) for name, values in columns.items()}, further

    def decoded(self, name: str, values: Values) -> Values:
        """Return a column of `read_coded` as a canonical column [rows]."""
        return self.codes[name].texts[values] if name in self.codes else values

    def read_coded(
        self, stretch: Stretch, names: Iterable[str], more: Sequence[str] = ()
    ) -> tuple[dict[str, Values], list[Values]]:
        """Return what `read` does, but columns in `codes` as indices of their `texts` [rows]."""
        chosen = list(names)
        position = self.position(stretch.file)
        further = [sql.replace(PLACE, position) for sql in more]
        first, end = stretch.first, stretch.first + stretch.rows
        columns_sql = [
            self.codes[name].sql if name in self.codes else self.sql(name) for name in chosen
        ]
        fetched = self.fetch(
            [*columns_sql, *further, POSITION],
            f"{self._from(stretch.file)} where {POSITION} >= {first} and {POSITION} < {end}",
        )
        order = np.asarray(fetched.pop())
        if len(order) != stretch.rows:
            raise InputError(f"{self.label} was changed while it was read.")
        if not (np.diff(order) > 0).all():
            places = np.argsort(order, kind="stable")
            fetched = [values[places] for values in fetched]
        columns = {
            name: (
                self.codes[name].indices(values)
                if name in self.codes
                else _canonical(values, self.kinds[name])
            )
            for name, values in zip(chosen, fetched, strict=False)
        }
        return columns, [np.ma.filled(values) for values in fetched[len(chosen) :]]

    def fetch(self, expressions: Sequence[str], rest: str) -> list[Any]:
        """Return the columns of a query as NumPy arrays, masked where values are missing.

        Args:
            expressions: what is selected.
            rest: the query from its `from` on.
        """
        # Numbered names: a column may be called anything.
        selected = ", ".join(f"{sql} as c{index}" for index, sql in enumerate(expressions))
        with connections.one_sentence(f"{self.label} cannot be read"):
            # A cursor, because several threads read.
            fetched = self._connection.cursor().execute(f"select {selected} {rest}").fetchnumpy()
        return [fetched[f"c{index}"] for index in range(len(expressions))]

    def fetch_by_file(
        self, expressions: Sequence[str], rest: str = "", where: str = "true"
    ) -> list[list[Any]]:
        """Return the result of a query for each file; `PLACE` stands for a row's position."""
        results = []
        for file in range(len(self.files)):
            position = self.position(file)
            selected = [sql.replace(PLACE, position) for sql in expressions]
            condition = where.replace(PLACE, position)
            results.append(self.fetch(selected, f"{self._from(file)} where {condition} {rest}"))
        return results

    def fetch_all(self, expressions: Sequence[str], rest: str = "") -> list[Any]:
        """Return the result of a query over all files together."""
        return self.fetch(expressions, f"from {self._all_files()} {rest}")

    def position(self, file: int) -> str:
        """Return the SQL of the position of a row of a file."""
        offset = sum(rows for groups in self._groups[:file] for rows in groups)
        return f"({POSITION} + {offset})"

    def _all_files(self) -> str:
        files = ", ".join(text(file) for file in self.files)
        return f"read_parquet([{files}], union_by_name = true, {FOLDERS})"

    def _from(self, file: int) -> str:
        return f"from read_parquet({text(self.files[file])}, file_row_number = true, {FOLDERS})"

    def _row_groups(self) -> list[list[int]]:
        """Return the number of rows of each row group of each file."""
        groups = []
        for file in self.files:
            numbers, rows = self.fetch(
                ["row_group_id", "row_group_num_rows"],
                f"from parquet_metadata({text(file)}) where column_id = 0 order by 1",
            )
            groups.append([int(count) for _, count in zip(numbers, rows, strict=True)])
        return groups

    def _describe(self) -> None:
        """Set the kinds of the columns by their types.

        Raises:
            InputError: for a file whose columns differ from those of the first.
        """
        for index, file in enumerate(self.files):
            query = f"describe select * from read_parquet({text(file)}, {FOLDERS})"
            described = self._connection.cursor().execute(query).fetchall()
            kinds = {name: _kind(type_) for name, type_, *_ in described}
            if index == 0:
                self.kinds = kinds
                self._sql = {name: quoted(name) for name in kinds}
            elif kinds != self.kinds:
                differing = sorted(
                    name
                    for name in {*kinds, *self.kinds}
                    if kinds.get(name) != self.kinds.get(name)
                )
                other, first = (shorten(Path(path).name) for path in (file, self.files[0]))
                raise InputError(
                    f"The files of {self.label} have different columns: {other!r} differs from "
                    f"{first!r} in {listing(differing, 3)}. Give files of one table."
                )


def files_of(source: Any) -> list[Path]:
    """Return the Parquet files that a path names: one file, those of a folder, or of a pattern.

    It is empty where the source is anything else.
    """
    if not isinstance(source, str | Path):
        return []
    path = Path(source)
    try:
        if path.is_dir():
            return parquet.files_in(path, f"Folder {shorten(source)!r}")
        if path.is_file():
            return [path] if path.suffix.lower() in parquet.ENDINGS else []
        if path.suffix.lower() in parquet.ENDINGS and any(sign in str(path) for sign in "*?["):
            root = Path(path.anchor) if path.is_absolute() else Path()
            pattern = str(path.relative_to(root)) if path.is_absolute() else str(path)
            return sorted(file for file in root.glob(pattern) if file.is_file())
    except (OSError, InputError):
        # A name too long, a folder that may not be entered or holds no Parquet: whoever reads
        # the source says so.
        pass
    return []


def _kind(type_: str) -> Kind:
    """Return what a column of a type of DuckDB holds, before its cells are looked into."""
    base = type_.split("(")[0]
    if base == "BOOLEAN":
        return "boolean"
    if base in _NUMBERS:
        return "number"
    return "date" if base.startswith("TIMESTAMP") or base == "DATE" else "text"


_NUMBERS = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "INTERVAL"),
}
"""Types of numbers."""


def _canonical(values: Any, kind: Kind) -> Values:
    """Return a fetched column as `data.column.canonical` has it, also where all is missing."""
    data, missing = np.ma.getdata(values), np.ma.getmask(values)
    match kind:
        case "number":
            numbers = data.astype(np.float64, copy=False)
            # Most columns have no missing value, and are not copied then.
            return np.where(missing, np.nan, numbers) if missing.any() else numbers
        case "date":
            dates = data.astype("datetime64[us]")
            dates[missing] = np.datetime64("NaT")
            return dates
    objects = data.astype(object)
    objects[missing] = None
    return objects
