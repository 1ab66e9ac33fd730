"""Count what a table lacks: values of each column, labels of each task; and the rows of classes."""

from __future__ import annotations

import numpy as np

from polycera import evaluation
from polycera.data.column import is_missing, kind_of
from polycera.runs.table_counts import TableCounts
from polycera.tabular.prepare import PreparedTable
from polycera.tasks.task import ClassTask


def count_table(prepared: PreparedTable) -> TableCounts | None:
    """Return the counts; None for a table that is larger than memory.

    Of such a table only some rows are at hand.
    """
    if prepared.stream is not None:
        return None
    table = prepared.table
    inputs = [column.name for column in prepared.schema.columns if column.name in table.names]
    missing = {name: int(is_missing(table[name]).sum()) for name in inputs}
    texts = [name for name in inputs if kind_of(table[name]) == "text"]
    labels_missing: dict[str, dict[str, int]] = {}
    classes: dict[str, dict[str, int]] = {}
    for task in prepared.tasks:
        labels = prepared.labels[task.name]
        unlabelled = np.asarray(np.isnan(labels).all(axis=1))
        of_parts = {
            part: int(unlabelled[rows].sum()) for part, rows in prepared.named_parts.items()
        }
        labels_missing[task.name] = {"all": int(unlabelled.sum()), **of_parts}
        if isinstance(task, ClassTask) and not getattr(task, "soft", False):
            names = [str(label) for label in task.known_classes()]
            codes = labels[~np.isnan(labels[:, 0]), 0].astype(int)
            counts = np.bincount(codes, minlength=len(names))
            classes[task.name] = dict(zip(names, counts.tolist(), strict=True))
        elif names := evaluation.labels_of(task):
            ones = np.nansum(labels, axis=0).astype(int)
            classes[task.name] = dict(zip(names, ones.tolist(), strict=True))
    return TableCounts(
        rows=table.rows,
        missing=missing,
        levels={name: len(set(table[name].tolist()) - {None}) for name in texts},
        labels_missing=labels_missing,
        classes=classes,
        leaks=list(prepared.leaks),
    )
