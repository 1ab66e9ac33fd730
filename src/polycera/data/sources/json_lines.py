"""Read JSON lines, or a file that is one JSON list of objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

from polycera.data.sources import connections, described
from polycera.data.sources.rows import SourceRows

ENDINGS = (".jsonl", ".ndjson", ".json")
GUESSED = ("DATE", "TIMESTAMP", "TIME", "UUID", "TIMESTAMP WITH TIME ZONE")
"""Types that DuckDB guesses for texts; JSON has none of them, so the texts are kept."""


def read(
    path: Path, label: str, *, packed: str | None = None, exclude: Collection[str] = ()
) -> SourceRows:
    """Read a file of JSON objects, one a row; a key that an object has not is missing in it.

    Args:
        path: path of the file.
        label: what errors call it.
        packed: "gzip" or "zstd" where it is packed.
        exclude: keys that are not read.

    Raises:
        InputError: for a file that is no JSON, or has no object.
    """
    connection = connections.connect()
    # All objects are looked at before their types are decided, not the first thousands.
    options = (
        f"sample_size = -1, compression = {connections.text(packed or 'none')}, "
        "maximum_object_size = 67108864"
    )
    source = connections.text(str(path))
    with connections.one_sentence(f"{label} is no readable JSON"):
        found = connection.execute(f"describe from read_json({source}, {options})").fetchall()
        columns = ", ".join(
            f"{connections.text(name)}: {connections.text('VARCHAR' if kind in GUESSED else kind)}"
            for name, kind, *_ in found
            if name not in set(exclude)
        )
        given = f"{options}, columns = {{{columns}}}" if columns else options
        rows = described.view(
            connection,
            f"select * from read_json({source}, {given})",
            label,
            # Where all keys are excluded, this is said below.
            exclude=() if columns else exclude,
            keep="table",
        )
    described.check_rows(rows)
    left_out = tuple(name for name, *_ in found if name in set(exclude))
    return dataclasses.replace(rows, left_out=left_out)
