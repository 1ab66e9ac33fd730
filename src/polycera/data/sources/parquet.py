"""Open Parquet: a file, a folder of files, a pattern; partitions by folders are columns."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from polycera.data.sources import connections, described
from polycera.data.sources.rows import SourceRows
from polycera.errors import InputError, listing, shorten

if TYPE_CHECKING:
    import duckdb

ENDINGS = (".parquet", ".pq")
PARTITION = re.compile(r"/([^/=]+)=[^/]*(?=/)")
"""A folder that gives a column a value, such as year=2024 (a hive partition)."""
PARTITION_TYPES = {
    "BIGINT": r"-?(0|[1-9]\d{0,17})",  # 007 stays text
    "DATE": r"\d{4}-\d\d-\d\d",
    "TIMESTAMP": r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?",
}
"""Types that the values of a partition may have, beside text, and how all of them are written."""


def partitions_of(file: Path | str) -> list[str]:
    """Return the columns that the folders of a file give, such as year=2024.

    Examples:
        >>> partitions_of("sales/year=2024/month=1/a.parquet")
        ['year', 'month']
    """
    return list(dict.fromkeys(PARTITION.findall(str(file).replace("\\", "/"))))


def files_in(folder: Path, label: str) -> list[Path]:
    """Return the Parquet files in a folder and below it, sorted; hidden ones are left out.

    Raises:
        InputError: where there is none.
    """
    try:
        found = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in ENDINGS
            and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        )
    except OSError as error:
        raise InputError(f"{label} cannot be opened: {error.strerror}.") from None
    if not found:
        raise InputError(
            f"{label} holds no .parquet file; a folder is read as one table of the Parquet files "
            "in it: name the file that you mean."
        )
    return found


def read(
    paths: Sequence[Path | str],
    label: str,
    *,
    partitioned: bool = False,
    exclude: Collection[str] = (),
    keep: Literal["view", "table"] = "view",
) -> SourceRows:
    """Return a view of the rows of Parquet files, one file after the other.

    Nothing but the files' footers is read yet. All files must have the same columns.

    Args:
        paths: the files.
        label: what errors call them.
        partitioned: whether folders such as year=2024 give columns.
        exclude: columns that are not read.
        keep: "table" where the files are about to be removed.

    Raises:
        InputError: for a file that is no Parquet or has other columns, and where there is no row.
    """
    connection = connections.connect()
    names = [str(path) for path in paths]
    with connections.one_sentence(f"{label} is no readable Parquet file"):
        _check_alike(connection, names, label)
        partitions = partitions_of(names[0]) if partitioned else []
        listed = ", ".join(map(connections.text, names))
        options = "hive_partitioning = true, hive_types_autocast = false"
        options = options if partitions else "hive_partitioning = false"
        options += ", union_by_name = true" if len(names) > 1 else ""
        query = f"select * from read_parquet([{listed}], {options})"
        query = with_partition_types(connection, query, partitions)
        levels = _categorical(connection, names)
        rows = described.view(
            connection, query, label, exclude=exclude, categorical=levels, keep=keep
        )
    described.check_rows(rows)
    return rows


def _check_alike(connection: duckdb.DuckDBPyConnection, names: list[str], label: str) -> None:
    """Raise where the files do not have the same columns."""
    if len(names) < 2:
        return
    sets = connection.execute(
        "select columns, min(file_name) as file from (select file_name, "
        "list(path_in_schema order by path_in_schema) as columns from (select distinct file_name, "
        "path_in_schema from parquet_metadata($1)) group by file_name) group by columns "
        "order by file",
        [names],
    ).fetchall()
    if len(sets) > 1:
        (first, first_file), (second, second_file) = sets[:2]
        missing = sorted(set(first) ^ set(second))
        raise InputError(
            f"{label} is not one table: {shorten(first_file)!r} and {shorten(second_file)!r} do "
            f"not have the same columns; they differ in {listing(missing, 5)}."
        )


def with_partition_types(
    connection: duckdb.DuckDBPyConnection, query: str, partitions: Collection[str]
) -> str:
    """Return the query with columns that folders give as numbers or dates, where all are."""
    found = {}
    for name in partitions:
        column = connections.quoted(name)
        tests = ", ".join(
            f"bool_and(regexp_full_match({column}, {connections.text(pattern)}))"
            for pattern in PARTITION_TYPES.values()
        )
        answers: Any = connection.execute(f"select {tests} from ({query})").fetchone()
        fits = [kind for kind, fit in zip(PARTITION_TYPES, answers, strict=True) if fit]
        if fits:
            found[name] = fits[0]
    if not found:
        return query
    casts = ", ".join(
        f"cast({connections.quoted(name)} as {kind}) as {connections.quoted(name)}"
        for name, kind in found.items()
    )
    return f"select * replace ({casts}) from ({query})"


def _categorical(connection: duckdb.DuckDBPyConnection, names: list[str]) -> frozenset[str]:
    """Return the columns that pandas wrote as categorical."""
    answer = connection.execute(
        "select decode(value) from parquet_kv_metadata($1) where decode(key) = 'pandas' limit 1",
        [names[0]],
    ).fetchone()
    try:
        columns = json.loads(answer[0])["columns"] if answer else []
        return frozenset(
            str(column["name"]) for column in columns if column["pandas_type"] == "categorical"
        )
    except (ValueError, KeyError, TypeError):  # a note of somebody else's
        return frozenset()
