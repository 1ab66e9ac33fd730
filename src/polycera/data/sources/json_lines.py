"""Read JSON lines, or a file that is one JSON list of objects; several files as one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

from polycera.data.sources import connections, described, parquet
from polycera.data.sources.rows import SourceRows

ENDINGS = (".jsonl", ".ndjson", ".json")
GUESSED = ("DATE", "TIMESTAMP", "TIME", "UUID", "TIMESTAMP WITH TIME ZONE")
"""Types that DuckDB guesses for texts; JSON has none of them, so the texts are kept."""


def read(
    paths: Sequence[Path],
    label: str,
    *,
    partitioned: bool = False,
    exclude: Collection[str] = (),
) -> SourceRows:
    """Read files of JSON objects, one a row; a key that an object has not is missing in it.

    Args:
        paths: the files, plain, .gz or .zst.
        label: what errors call them.
        partitioned: whether folders such as year=2024 give columns.
        exclude: keys that are not read.

    Raises:
        InputError: for a file that is no JSON, or has no object.
    """
    connection = connections.connect()
    # All objects are looked at before their types are decided, not the first thousands.
    options = (
        f"sample_size = -1, maximum_sample_files = {2**31 - 1}, maximum_object_size = 67108864, "
    )
    partitions = parquet.partitions_of(paths[0]) if partitioned else []
    options += f"hive_partitioning = {bool(partitions)}, hive_types_autocast = false"
    source = f"[{', '.join(connections.text(str(path)) for path in paths)}]"
    with connections.one_sentence(f"{label} is no readable JSON"):
        found = connection.execute(f"describe from read_json({source}, {options})").fetchall()
        columns = ", ".join(
            f"{connections.text(name)}: {connections.text('VARCHAR' if kind in GUESSED else kind)}"
            for name, kind, *_ in found
            if name not in {*exclude, *partitions}
        )
        given = f"{options}, columns = {{{columns}}}" if columns else options
        query = f"select * from read_json({source}, {given})"
        query = parquet.with_partition_types(connection, query, partitions)
        rows = described.view(connection, query, label, exclude=exclude, keep="table")
    described.check_rows(rows)
    left_out = tuple(name for name, *_ in found if name in set(exclude))
    return dataclasses.replace(rows, left_out=left_out)
