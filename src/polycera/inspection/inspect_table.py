"""Inspect a table: what `fit` would make of it, without training."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from polycera import data
from polycera.data import Encoder, Table, sources
from polycera.data.column import is_missing
from polycera.data.level_codes import LevelCodes
from polycera.data.schema import Column
from polycera.errors import InputError, shorten
from polycera.inspection.between_targets import correlations
from polycera.inspection.result import MANY_LEVELS, InspectedColumn, InspectedTarget, Inspection
from polycera.runs.spec import Data, Parts, Spec, checked
from polycera.tabular.cell_options import cell_options
from polycera.tabular.prepare import Declared, UnderstoodTable, prepare_streamed, understand
from polycera.tasks import Multiclass, Multilabel, Task
from polycera.tasks.task import ClassTask

ENCODED = 50_000
"""Most training rows that are encoded to see whether `fit` would take the table."""


def inspect(
    source: Any,
    targets: Any = None,
    *,
    kinds: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    sample_weight: str | Mapping[str, str] | None = None,
    exclude: str | Iterable[str] = (),
    id: str | Iterable[str] = (),
    where: str | None = None,
    validation: float = 0.15,
    test: float = 0.15,
    split: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    encoding: str | None = None,
    memory: str = "1 GB",
    missing: Iterable[str] | Mapping[str, Iterable[str]] = (),
    date_format: Mapping[str, str] | None = None,
    number_format: Mapping[str, str] | None = None,
    order: Mapping[str, Iterable[Any]] | None = None,
    sql: str | None = None,
    sheet: str | None = None,
    seed: int = 0,
) -> Inspection:
    """Show what `pc.fit` would make of a table, without training and without importing Keras.

    The table is read by the code that reads it for a training, so what is shown is what `pc.fit`
    does with the same arguments.

    Args:
        source: whatever `pc.fit` takes; None with `sql` that names files itself.
        targets: as `pc.fit` takes them; default: no target, all columns are inputs.
        kinds, tags, id, where: as `pc.fit` takes them.
        columns: name -> role, where the inferred one is wrong.
        exclude: columns to leave out.
        sample_weight: a column of weights of the rows, or task -> its column; never an input.
        validation, test: shares of the rows.
        split: a column that names each row's part (train, validation, test).
        groups: a column whose groups are never divided.
        time: a column by which rows are ordered; the last rows are the test rows.
        encoding: of a text file; default: what the file shows.
        memory: largest size of a table that is read into memory. Of a larger Parquet table the rows
            are counted in one pass; copies, leaks and correlations are then looked for in a sample.
        missing: further words for missing values, such as "-999"; or column -> the words of that
            column, in place of the usual ones.
        date_format: column -> order of its dates where they have two readings, as "%d/%m/%Y".
        number_format: column -> a number as it is written there where the signs have two readings,
            such as "1.234,5".
        order: ordinal target -> its levels, from the lowest to the highest.
        sql, sheet: as for `pc.fit`.
        seed: of the split.

    Returns:
        what was found: `columns`, `targets`, `left_out`, `said`, `parts`, `copies`, `correlations`,
        `leaks`; it prints itself, in notebooks as tables, and `to_dict()` has it as plain values.

    Raises:
        UnknownName, InputError: with one sentence on what is wrong, as `pc.fit`.

    Examples:
        >>> import polycera as pc
        >>> table = {"rooms": [2, 3, 3, None], "town": list("abab"), "rent": [9.5, 8.0, 7.5, 3.2]}
        >>> found = pc.inspect(table, "rent")
        >>> found.columns["rooms"].role, found.columns["rooms"].missing
        ('number', 1)
        >>> found.targets["rent"].kind, found.targets["rent"].mean
        ('regression', 7.05)
    """
    parts = Parts(validation=validation, test=test, column=split, groups=groups, time=time)
    cells, wishes = cell_options(missing, date_format, number_format)
    options = Data(
        encoding=encoding,
        memory=memory,
        sql=sql,
        sheet=sheet,
        columns=data.by_name(columns or {}),
        sample_weight=dict(sample_weight) if isinstance(sample_weight, Mapping) else sample_weight,
        parts=parts,
        id=[id] if isinstance(id, str) else [data.joined_name(name) for name in id],
        tags=data.by_name(tags or {}),
        where=where,
        **cells,
    )
    checked(Spec(tasks=[], data=options, seed=seed))
    if targets is not None and isinstance(targets, Iterable) and not targets:
        targets = None
    declared = Declared(
        kinds=data.by_name(kinds or {}),
        exclude=exclude,
        seed=seed,
        wishes=wishes,
        orders=order,
    )
    streamed = prepare_streamed(source, targets, options, declared)
    if streamed is not None:
        # Few tables are larger than memory, and the others do not wait for this import.
        from polycera.inspection.inspect_streamed import of_stream

        return of_stream(streamed, _label(source, sql), lambda task: _target(task, streamed))
    understood = understand(source, targets, options, declared)
    table, tasks, schema = understood.table, understood.tasks, understood.schema
    inputs = {column.name: _column(column, table) for column in schema.columns}
    left_out = {name: column.reason for name, column in inputs.items() if not column.used}
    return Inspection(
        source=_label(source, sql),
        rows=table.rows,
        columns=inputs,
        targets={task.name: _target(task, understood) for task in tasks},
        left_out=left_out,
        parts={name: len(rows) for name, rows in understood.named_parts.items()} if tasks else {},
        copies=_copies(understood, parts),
        correlations=correlations(table, tasks),
        leaks=understood.leaks,
        said=[*understood.said, *understood.warnings],
        refused=_refused(understood),
    )


def _label(source: Any, sql: str | None) -> str:
    """Return what to call a table: its path, its type, or the SQL that gives it."""
    if source is None and sql is not None:
        return sql
    if sources.is_list(source):
        return ", ".join(map(str, source))
    return str(source) if isinstance(source, str | os.PathLike) else type(source).__name__


def _column(column: Column, table: Table) -> InspectedColumn:
    """Return what is known of a column that is not a target."""
    if column.name in table.unread:
        return InspectedColumn(column.role, column.reason, used=False, missing=None)
    values = table[column.name]
    low, high = _range(values)
    levels = table.distinct(column.name) if column.role in ("category", "boolean") else None
    return InspectedColumn(
        role=column.role,
        reason=column.reason,
        used=column.used,
        missing=table.missing(column.name),
        min=low,
        max=high,
        levels=None if levels is None else levels[:MANY_LEVELS],
        distinct=None if levels is None else len(levels),
    )


def _range(values: np.ndarray) -> tuple[float | str | None, float | str | None]:
    """Return the smallest and largest number, or date in ISO format, of a column; else None."""
    if values.dtype.kind not in "fM" or is_missing(values).all():
        return None, None
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)  # missing values are passed over
    return (float(low), float(high)) if values.dtype.kind == "f" else (_iso(low), _iso(high))


def _iso(moment: np.datetime64) -> str:
    """Return a date in ISO format, to the second where it has no fraction."""
    return str(moment).removesuffix(".000000")


def _target(task: Task, understood: UnderstoodTable) -> InspectedTarget:
    """Return what is known of a target."""
    table, values = understood.table, data.labels(understood.table, task)
    reason = understood.reasons[task.name]
    if isinstance(task, Multilabel) or (isinstance(task, Multiclass) and task.soft):
        missing = np.isnan(values)
        labels = task.labels if isinstance(task, Multilabel) else task.known_classes()
        shares = np.where(missing, 0.0, values).sum(axis=0) / np.maximum((~missing).sum(axis=0), 1)
        return InspectedTarget(
            task.kind, reason, int(missing.all(axis=1).sum()), list(labels), shares.tolist()
        )
    if isinstance(task, ClassTask):
        if values.dtype.kind == "O":
            codes = table.codes(task.name) if values is table[task.name] else LevelCodes.of(values)
            levels, rows_of, missed = codes.levels, codes.counts[:-1], codes.missing
        else:
            present = values[~is_missing(values)]
            found, rows_of = np.unique(present, return_counts=True)
            levels, missed = found.tolist(), len(values) - len(present)
        # Each different label is encoded once.
        known = np.empty(len(levels), dtype=object)
        known[:] = list(levels)
        encoded = task.encode(known)[:, 0].astype(np.int64)
        classes = task.known_classes()
        counts = np.bincount(encoded, rows_of, minlength=len(classes))
        shares = counts / max(counts.sum(), 1)
        return InspectedTarget(task.kind, reason, missed, list(classes), shares.tolist())
    missing = is_missing(values)
    present = values[~missing]
    return InspectedTarget(
        task.kind,
        reason,
        int(missing.sum()),
        mean=float(present.mean()),
        min=float(present.min()),
        max=float(present.max()),
    )


def _copies(understood: UnderstoodTable, parts: Parts) -> int:
    """Return how many rows are copies of another in all columns that are used."""
    kinds = understood.copies
    # A split that is declared does not look for copies.
    if kinds is None and (parts.column, parts.groups, parts.time) != (None, None, None):
        targets = [name for task in understood.tasks for name in data.columns_of(task.name, task)]
        kinds = data.copies(understood.table, [*understood.schema.used, *targets])
    return 0 if kinds is None else understood.table.rows - int(kinds.max() + 1)


def _refused(understood: UnderstoodTable) -> str | None:
    """Return the sentence with which a training would refuse the table; None without one."""
    rows = understood.parts.train
    if len(rows) > ENCODED:
        rows = rows[np.linspace(0, len(rows) - 1, ENCODED).astype(np.int64)]
    try:
        Encoder.fit(understood.table.take(rows), understood.schema)
    except InputError as error:
        return shorten(error, 500)
    return None
