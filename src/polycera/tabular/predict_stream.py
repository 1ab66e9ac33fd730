"""Predict the rows of a table a stretch at a time, so that memory does not grow with the table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polycera.data import Encoder, Table
from polycera.data.streaming.parquet_rows import ParquetRows
from polycera.storage import table_stream
from polycera.tabular.prediction_columns import ids_of

STRETCH = 65_536
"""Most rows that are predicted at a time."""

Columns = Mapping[str, Sequence[Any]]
"""Name -> values of some rows."""


def predict_to(
    rows: ParquetRows,
    encoder: Encoder,
    predict: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    output: Path,
    *,
    carry: Sequence[str] = (),
    change: Callable[[Columns], Columns] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Predict all rows in their order and write the predictions; return sentences on the table.

    Args:
        rows: the table, its cells understood.
        encoder: of the run.
        predict: function from features [n, width] to named columns [n].
        output: a .csv or .parquet file, or a folder for Parquet files.
        carry: columns of the table to write before the predictions.
        change: applied to the columns before they are written.
        progress: called with the number of rows predicted so far.

    Returns:
        what `Encoder.check` says of the table, of each kind the first sentence.

    Raises:
        InputError: for a column that is missing, and for a cell of another kind.
    """
    needed = [name for name in rows.names if name in {*encoder.columns, *carry}]
    rows.encode_texts(encoder.columns)
    notices: dict[str, str] = {}
    with table_stream.writing(output) as append:
        for stretch in rows.stretches(STRETCH):
            columns, _ = rows.read(stretch, needed)
            table = Table(columns)
            features = encoder.transform(table)
            for notice in encoder.check(table.without(set(carry) - set(encoder.columns))):
                # Counts and examples differ from stretch to stretch: they do not tell notices
                # apart.
                first = f"rows {stretch.position} to {stretch.position + stretch.rows - 1}"
                key = re.sub(r"\d+|\(.*\)", "", notice)
                notices.setdefault(key, f"In {first}, and perhaps later: {notice}")
            written: Columns = {
                name: values.tolist() for name, values in ids_of(table, carry).items()
            } | {name: values.tolist() for name, values in predict(features).items()}
            append(written if change is None else change(written))
            if progress is not None:
                progress(stretch.position + stretch.rows)
    return list(notices.values())
