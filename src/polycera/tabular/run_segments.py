"""Measure the predictions of a run segment by segment.

Nothing here imports Keras before the table and the columns have been checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from polycera import data, evaluation
from polycera.data import ColumnSegments, Table
from polycera.errors import InputError, listing, shorten
from polycera.evaluation import RawRows, Segmentation
from polycera.runs import Folder
from polycera.runs.segment_scores import Segments
from polycera.tabular import row_weights
from polycera.tabular.prepare import prepared_again
from polycera.tasks import Layout
from polycera.tasks.layout import Encoded
from polycera.typing import Array, TaskName

if TYPE_CHECKING:
    from polycera.model.model import Model

FEW = evaluation.FEW_ROWS
"""Rows below which a segment is not compared."""


class LabelledRows(NamedTuple):
    """Holds rows that are measured by segment.

    Attributes:
        on: the name of the rows.
        table: the rows with all columns of their table.
        features: [n, width].
        targets: task -> labels; None for a task without labels.
        sample_weights: task -> sample weights [n]; None where all rows count the same.
    """

    on: str
    table: Table
    features: Array
    targets: Mapping[TaskName, Any]
    sample_weights: Mapping[TaskName, Array] | None


def columns_of(by: Any) -> list[str]:
    """Return the names of the columns in `by`.

    Raises:
        InputError: for no name, or one that is given twice.
    """
    names = [by] if isinstance(by, str) else list(by)
    if not names or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"by= takes the name of a column, or a list of names, got {shorten(repr(by))}."
        )
    if len(set(names)) < len(names):
        raise InputError(f"by= names a column twice: {listing(names)}; name each once.")
    return names


def own_test_rows(run: Folder, by: Sequence[str]) -> LabelledRows:
    """Return the run's test rows from the table that it was trained on, read again.

    Args:
        run: its spec says where the table is.
        by: columns that divide the rows; the run need not have learned from them.

    Raises:
        InputError: where the run has no test rows, or the table is gone or was changed.
    """
    try:
        prepared = prepared_again(run, also_read=by)
    except InputError as error:
        raise InputError(
            f"The table of the run {shorten(run.path)!r} is read again to divide its test rows; "
            f"name a table with labels instead. {error}"
        ) from None
    rows = prepared.parts.test
    if not len(rows):
        raise InputError(
            f"The run {shorten(run.path)!r} has no test rows, which its network has not learned "
            "from; name a table with other rows."
        )
    features, encoded = prepared.encoded_rows(rows)
    weights = prepared.sample_weights
    if weights is not None:
        weights = {name: values[rows] for name, values in weights.items()}
    return LabelledRows("test rows", prepared.table.take(rows), features, encoded, weights)


def divided(table: Table, by: Sequence[str]) -> dict[str, ColumnSegments]:
    """Return the segments of each column.

    Raises:
        UnknownName: for a column that the table does not have.
    """
    return {name: data.segments(table[name], name) for name in by}


def measured(
    model: Model,
    rows: LabelledRows,
    encoded: Encoded,
    raw: Array,
    thresholds: Mapping[TaskName, Array],
    segments: Mapping[str, ColumnSegments],
    seed: int,
) -> Segments:
    """Return every metric of each task by segment, the worst segments first.

    Args:
        model: knows losses and target scaling.
        rows: the rows.
        encoded: their labels, encoded.
        raw: raw outputs [n, output columns] for them.
        thresholds: task -> decision thresholds [labels].
        segments: column -> how it divides the rows.
        seed: of the random blocks of rows.
    """
    from polycera.evaluation.decided_rows import decided_rows
    from polycera.model import scores
    from polycera.model.targets import pack

    layout, scaling = model.layout, model.units
    labelled = [name for name, y in encoded.items() if not np.isnan(y).all()]
    weights = row_weights.normalised(layout, rows.sample_weights, encoded)
    y = pack(layout, encoded, scaling)
    views = [_of_tasks(RawRows(layout, y, raw, scaling.prior, scaling.scale, weights), labelled)]
    predicted = scores.predictions(layout, raw, scaling)
    decided = decided_rows(layout, encoded, predicted, thresholds, scaling.prior, labelled, weights)
    segment_scores, tests = evaluation.segment_scores(
        views if decided is None else [*views, decided],
        [Segmentation(name, found.names, found.codes) for name, found in segments.items()],
        seed,
    )
    found = Segments(
        on=rows.on,
        rows=len(raw),
        tests=tests,
        rate=evaluation.RATE,
        seed=seed,
        said=[column.said for column in segments.values() if column.said],
        scores=segment_scores,
    )
    found.said += _said(found)
    if weights is not None:
        found.said.append(
            "Rows count by their sample weights; intervals and tests take the effective number of "
            "rows (Kish 1965)."
        )
    return found


def _of_tasks(rows: RawRows, names: Sequence[TaskName]) -> RawRows:
    """Return the rows with these tasks alone."""
    layout = rows.layout
    places = [i for i, name in enumerate(layout.tasks) if name in set(names)]
    if len(places) == len(layout.tasks):
        return rows
    kept = Layout.of([layout.tasks[name] for name in layout.tasks if name in set(names)])
    outputs = np.concatenate([np.r_[layout.raw_columns[name]] for name in kept.tasks])
    labels = np.concatenate([np.r_[layout.target_columns[name]] for name in kept.tasks])
    return RawRows(
        kept,
        rows.y[:, labels],
        rows.raw[:, outputs],
        rows.prior[outputs],
        rows.scale[places],
        None if rows.weights is None else rows.weights[:, places],
    )


def _said(found: Segments) -> list[str]:
    """Return sentences on the intervals and the tests."""
    few_of_class = evaluation.FEW_OF_CLASS
    marked = sum(score.verdict in ("worse", "better") for score in found.scores)
    return [
        "95 % intervals: Wilson's for metrics that are a share of rows (accuracy, precision, "
        "recall, F1 of a binary task, coverage), else Student's t with the jackknife over at most "
        f"{evaluation.BLOCKS} random blocks of rows (seed {found.seed}).",
        f"{marked} of {found.tests} comparisons are marked worse or better: the whole interval is, "
        f"and of such marks at most {found.rate:.0%} are expected to be false (Benjamini and "
        "Hochberg 1995, over all segments, tasks and metrics).",
        f"too few: under {FEW} labelled rows, under {few_of_class} of a second class, or a metric "
        "that is undefined.",
    ]
