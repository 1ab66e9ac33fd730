"""Prepare a table that is larger than memory: one pass of statistics, a sample, and a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from polycera import data
from polycera.data import Encoder, Schema, Split, Table, column_skill, memory
from polycera.data.column import Kind
from polycera.data.streaming import row_parts, schema_of_survey
from polycera.data.streaming.parquet_rows import ParquetRows
from polycera.data.streaming.survey import Survey, survey
from polycera.errors import InputError, shorten
from polycera.runs.spec import Data, Training
from polycera.tabular.step_plan import EPOCH_ROWS, StepPlan
from polycera.tasks import Task

STRETCH_SHARE = 8
"""A stretch of rows takes at most this fraction of the memory for a table.

Most row groups are smaller: each is one stretch and is decoded once in a pass.
"""
BLOCK_SHARE = 4
"""A block of stretches, whose rows are shuffled together, takes about this fraction."""
STRETCH_ROWS = (2_048, 1_048_576)
"""Fewest and most rows of a stretch."""
FEWEST_STRETCHES = 4
"""Fewest stretches of a block: rows of as many places are mixed."""
LEVELS = 1_000
"""Most different numbers of a target whose values are counted."""


@dataclass(frozen=True)
class Stream:
    """Holds the training rows of a table that is larger than memory.

    Attributes:
        found: what the pass over the table has counted.
        encoder: turns rows into features.
        tasks: what is predicted.
        columns: columns that training reads.
        block: stretches whose rows are shuffled together.
    """

    found: Survey
    encoder: Encoder
    tasks: list[Task]
    columns: list[str]
    block: int

    @property
    def counts(self) -> np.ndarray:
        """Return the number of training rows of each stretch."""
        return self.found.train_rows

    @property
    def rows(self) -> int:
        """Return the number of training rows."""
        return int(self.counts.sum())

    @cached_property
    def digest(self) -> str:
        """Return a checksum of what was counted in the table."""
        return self.found.digest(self.columns)

    @property
    def positions(self) -> np.ndarray:
        """Return the position in the whole table of each row that is held in memory."""
        return self.found.positions

    def read(self, stretches: Sequence[int]) -> Table:
        """Return the training rows of these stretches, in order."""
        found, filled = self.found, 0
        count = int(self.counts[list(stretches)].sum())
        together: dict[str, np.ndarray] = {}
        for index in stretches:
            stretch = found.stretches[index]
            columns, further = found.rows.read(stretch, self.columns, found.parts.more)
            place = np.arange(stretch.position, stretch.position + stretch.rows)
            part = found.parts.codes(place, further) % row_parts.HELD
            train = np.flatnonzero(part == row_parts.TRAIN)
            end = filled + len(train)
            for name in self.columns:
                # Written into one array, so that no stretch is in memory twice.
                if name not in together:
                    together[name] = np.empty(count, columns[name].dtype)
                together[name][filled:end] = columns.pop(name)[train]
            filled = end
        return Table(together)

    def encoded(self, table: Table) -> tuple[np.ndarray, dict[str, Any]]:
        """Return features [n, width] and targets by name of some training rows."""
        targets = {task.name: data.labels(table, task) for task in self.tasks}
        return self.encoder.transform(table), targets


def prepare(
    rows: ParquetRows,
    targets: Any,
    options: Data,
    roles: Mapping[str, str],
    seed: int,
    progress: Callable[[int], None] | None = None,
    orders: Mapping[str, Iterable[Any]] | None = None,
) -> dict[str, Any]:
    """Return the fields of a `PreparedTable` for a table that is larger than memory.

    The rows in memory are all validation and test rows and a sample of the training rows. Roles,
    tasks and the encoder are those of the whole table; leaks and outliers are looked for in the
    rows in memory.

    Args:
        rows: the table.
        targets: whatever `polycera.data.tasks_for` takes; None for no target.
        options: roles that are declared, the parts, and the memory.
        roles: declared role of each column, with those that the parts imply.
        seed: of the parts.
        progress: called with the number of rows read so far.
        orders: ordinal target -> its levels, from the lowest to the highest.

    Raises:
        UnknownName, InputError: with one sentence on what is wrong with the table.
    """
    if targets is not None and not isinstance(targets, str | Task | Mapping):
        targets = list(targets)
    target_columns = [] if targets is None else data.target_columns_of(targets)
    schema_of_survey.check_declared(rows, target_columns, roles)
    parts = options.parts
    limit = memory.size_of(options.memory)
    divided = row_parts.parts_of(
        rows,
        seed=seed,
        validation=parts.validation,
        test=parts.test,
        column=parts.column,
        groups=parts.groups,
        time=parts.time,
        most=_most_held(rows, limit),
    )
    stretch_bytes, fewest, most = limit // STRETCH_SHARE, *STRETCH_ROWS
    stretches = rows.stretches(int(np.clip(stretch_bytes // rows.bytes_per_row, fewest, most)))
    kinds = _kinds(rows, roles, targets)
    found = survey(rows, divided, stretches, kinds, _counted(rows, target_columns, roles), progress)
    _check_parts(found)
    tasks, reasons = ([], {}) if targets is None else _tasks(found, targets, target_columns, orders)
    for task in tasks:
        if task.kind == "regression" and task.name not in found.levels:
            reasons[task.name] += " (Counted in the rows in memory.)"
    schema = schema_of_survey.infer(found, target_columns, roles)
    encoder = schema_of_survey.fit(found, schema)
    used = [*encoder.columns, *target_columns]
    block_rows = limit // BLOCK_SHARE // rows.bytes_per_row
    average = rows.rows / len(stretches)
    stream = Stream(
        found, encoder, tasks, used, max(FEWEST_STRETCHES, int(block_rows // max(average, 1)))
    )
    held = found.held
    labels = {task.name: task.encode(np.asarray(data.labels(held, task))) for task in tasks}
    numeric = [task.name for task in tasks if task.kind in ("regression", "quantile", "count")]
    read = Schema(tuple(column for column in schema.columns if column.name in held))
    divided_rows = Split(*(np.flatnonzero(found.codes == code) for code in range(3)))
    together = column_skill.together(held, parts.groups, parts.time)
    leaks = data.leaks(held, read, tasks, divided_rows.train, together, seed, labels)
    warnings = [
        *rows.reading.said,
        *schema.notices,
        *leaks.sentences,
        *schema_of_survey.outlying(found, schema.names("number")),
        *schema_of_survey.outlying(found, numeric, "Target"),
    ]
    return dict(
        table=held,
        tasks=tasks,
        schema=schema,
        encoder=encoder,
        parts=divided_rows,
        reasons=reasons,
        warnings=warnings,
        leaks=leaks.sentences,
        leaking=leaks.pairs,
        labels=labels,
        stream=stream,
    )


def _tasks(
    found: Survey,
    targets: Any,
    columns: Iterable[str],
    orders: Mapping[str, Iterable[Any]] | None,
) -> tuple[list[Task], dict[str, str]]:
    """Return the tasks, and the reasons for their kinds."""
    sample = schema_of_survey.representative(found, columns)
    try:
        return data.tasks_for(sample, targets, orders=orders)
    except InputError as error:
        raise InputError(f"{error} (Rows are counted among those in memory.)") from None


def said(stream: Stream, training: Training) -> list[str]:
    """Return sentences on how a table that is larger than memory is trained on."""
    found = stream.found
    train, held = found.part_rows[0], int((found.codes == row_parts.TRAIN).sum())
    return [
        f"{found.rows.label} has {found.rows.rows:,} rows and does not fit in memory: its training "
        f"rows are read from disk, in {len(found.stretches):,} stretches, of which {stream.block} "
        "at a time are shuffled together.",
        *found.parts.said,
        f"Quantiles, outliers and leaks are looked for in {held:,} of the {train:,} training rows.",
        *seen(train, StepPlan.of(train, training, EPOCH_ROWS)),
    ]


def seen(rows: int, steps: StepPlan) -> list[str]:
    """Return a sentence where a training ends before it has seen each of these training rows."""
    batches = rows // steps.batch_size
    in_epoch = steps.steps or batches
    if steps.epochs * in_epoch >= batches:
        return []
    most = steps.epochs * in_epoch
    # Trainings have whole epochs.
    needed = -(-batches // in_epoch) * in_epoch
    return [
        f"The training sees at most {most * steps.batch_size:,} of the {rows:,} training rows, in "
        f"{most:,} steps of {steps.batch_size:,} rows; with max_steps={needed} "
        f"(--max-steps {needed}) it may see each of them."
    ]


def _most_held(rows: ParquetRows, limit: int) -> int:
    """Return how many rows of each part are held in memory."""
    # A tenth of the memory for each: features and predictions of these rows take space too.
    return int(np.clip(limit // 10 // rows.bytes_per_row, 1_000, row_parts.MOST))


def _kinds(rows: ParquetRows, roles: Mapping[str, str], targets: Any) -> dict[str, Kind]:
    """Return as which kind each column is counted: its own, or that of its declared role."""
    declared: dict[str, Kind] = {"number": "number", "boolean": "boolean", "date": "date"}
    kinds = {name: declared.get(roles.get(name, ""), kind) for name, kind in rows.kinds.items()}
    return {name: kind for name, kind in kinds.items() if roles.get(name) != "ignore"}


def _counted(
    rows: ParquetRows, target_columns: Iterable[str], roles: Mapping[str, str]
) -> list[str]:
    """Return the columns of numbers, booleans and dates that are counted by level.

    These are targets of few different values, which may be classes, and declared categories.
    """
    categories = [name for name, role in roles.items() if role == "category"]
    targets = [name for name in target_columns if rows.kinds[name] != "text"]
    few = [name for name, count in rows.distinct(targets).items() if count <= LEVELS]
    return list(dict.fromkeys([*categories, *few]))


def _check_parts(found: Survey) -> None:
    """Raise where no row is left to train on."""
    if not found.part_rows[0]:
        raise InputError(
            f"{shorten(found.rows.label, 80)} has no row left to train on: choose smaller shares "
            "of validation and test, or other groups."
        )
