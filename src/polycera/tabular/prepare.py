"""From a table to the arrays of a training: tasks, features, parts, and what the user should know about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from polycera import data
from polycera.data import Encoder, Schema, Split, Table, outliers
from polycera.errors import InputError, shorten
from polycera.runs import Folder
from polycera.runs.spec import Data, Parts
from polycera.tabular.fingerprints import fingerprints
from polycera.tasks import Task, task_from_config

FEWEST_KINDS = 3
"""Kinds of rows that it takes to divide them into three parts."""


@dataclass(frozen=True)
class PreparedTable:
    """A table, ready to be learned from.

    Attributes:
        table: as it was read.
        tasks: what is predicted.
        schema: what each other column is.
        encoder: fitted to the training rows.
        parts: which rows train, validate and test.
        reasons: task name -> why it is of its kind.
        warnings: a sentence each.
        copies: one number for each kind of row, where some rows are equal in all that is learned
            from; or None.
    """

    table: Table
    tasks: list[Task]
    schema: Schema
    encoder: Encoder
    parts: Split
    reasons: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    copies: Any = None

    def rows(self, indices: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Features [n, width] and targets by name of these rows."""
        own = self._place[np.asarray(indices, "int64")]
        if (own < 0).any():  # rows of no part, which nobody has encoded
            table = self.table.take(indices)
            return self.encoder.transform(table), targets_of(table, self.tasks)
        features, targets = self._encoded
        return features[own], {name: None if y is None else y[own] for name, y in targets.items()}

    @cached_property
    def _encoded(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Features and targets of the rows of all parts, made once."""
        table = self.table.take(self._used)
        return self.encoder.transform(table), targets_of(table, self.tasks)

    @cached_property
    def _used(self) -> Any:
        """Indices of the rows of all parts, ascending; a split column may leave rows out."""
        return np.sort(np.concatenate(list(self.named_parts.values())))

    @cached_property
    def _place(self) -> Any:
        """Where each row of the table stands among those; -1 for the others."""
        found = np.full(self.table.rows, -1)
        found[self._used] = np.arange(len(self._used))
        return found

    @property
    def digest(self) -> str:
        """Of the rows of all parts, as they are learned from: a table with another value has another."""
        config = self.encoder.to_config()
        # which runs of older versions do not have, and which change no feature
        for name in ("low", "high"):
            config["numbers"].pop(name, None)
        found = hashlib.sha256(repr(config).encode())
        for indices in self.named_parts.values():
            found.update(np.ascontiguousarray(indices, "int64").data)
        features, targets = self._encoded
        found.update(np.ascontiguousarray(features).data)
        for name, labels in targets.items():
            found.update(
                repr((name, None if labels is None else np.asarray(labels).tolist())).encode()
            )
        return found.hexdigest()

    @property
    def fingerprints(self) -> dict[str, np.ndarray]:
        """Part -> a number for each of its rows, by which it is known again."""
        numbers = fingerprints(self._encoded[0])
        return {name: numbers[self._place[indices]] for name, indices in self.named_parts.items()}

    @property
    def named_parts(self) -> dict[str, Any]:
        """Indices of the rows of each part, by its name."""
        return {
            "train": self.parts.train,
            "validation": self.parts.validation,
            "test": self.parts.test,
        }

    @property
    def learned_from(self) -> Any:
        """Indices of the rows that train or validate, ascending."""
        return np.sort(np.concatenate([self.parts.train, self.parts.validation]))

    @property
    def held_out(self) -> tuple[str, Any]:
        """The part that says how good the network is: test, or validation where there is no test."""
        if len(self.parts.test):
            return "test", self.parts.test
        return (
            ("validation", self.parts.validation)
            if len(self.parts.validation)
            else ("train", self.parts.train)
        )


def targets_of(table: Table, tasks: Iterable[Task]) -> dict[str, Any]:
    """Labels of each task that the table has; None for one that it lacks."""
    found: dict[str, Any] = {}
    for task in tasks:
        there = all(name in table for name in data.columns_of(task.name, task))
        found[task.name] = data.labels(table, task) if there else None
    return found


def tasks_from(configs: Iterable[Mapping[str, Any]]) -> list[Task]:
    """The tasks of a spec.

    Raises:
        InputError: for a joint term, which only `pc.Model` takes; for what no task is.
    """
    found = []
    for config in configs:
        if config.get("kind") == "joint":
            raise InputError(
                f"The spec has a joint term {shorten(config.get('name'))!r}; only pc.Model takes those: take it out."
            )
        task = task_from_config(dict(config))
        assert isinstance(task, Task)
        found.append(task)
    return found


def prepare(
    source: Any, targets: Any, wanted: Data, *, exclude: Iterable[str] = (), seed: int = 0
) -> PreparedTable:
    """Read, infer, split and encode.

    Args:
        source: whatever `polycera.data.read` takes.
        targets: whatever `polycera.data.tasks_for` takes.
        wanted: encoding, roles that are declared, and the parts.
        exclude: columns to leave out.
        seed: of the split.

    Raises:
        UnknownName, InputError: one sentence for whatever is wrong with the table.
    """
    text = [name for name, role in wanted.columns.items() if role == "category"]
    table = data.read(source, encoding=wanted.encoding, as_text=text)
    if targets is not None and not isinstance(targets, str | Task | Mapping):
        targets = list(targets)  # which may be read once only
    table = table.labelled(data.columns_asked_for(targets))
    tasks, reasons = data.tasks_for(table, targets)
    names = [column for task in tasks for column in data.columns_of(task.name, task)]
    schema = data.infer(table, names, _roles(wanted, exclude))
    # of the whole table, whose rows are named
    outlying = data.outlying(table, schema.names("number"))
    drawn = (
        wanted.parts.column is None and wanted.parts.groups is None and wanted.parts.time is None
    )
    columns = [
        *(column.name for column in schema.columns if column.used),
        *(n for n in names if n in table),
    ]
    copies = data.copies(table, columns) if drawn else None
    parts = _divide(table, tasks, wanted.parts, seed, copies)
    encoder = Encoder.fit(table.take(parts.train), schema)
    warnings = [
        *schema.notices,
        *data.leaks(table, schema, tasks),
        *outlying,
        *_outlying_labels(table, tasks),
    ]
    if copies is not None:
        warnings.append(_copied(copies))
    return PreparedTable(table, tasks, schema, encoder, parts, reasons, warnings, copies)


def _copied(copies: np.ndarray) -> str:
    """Return the sentence on rows that are copies of others."""
    many = int(len(copies) - (copies.max() + 1))
    which = "1 row is a copy of another" if many == 1 else f"{many} rows are copies of others"
    return f"{which} in all columns that are used: copies stay in one part, so that no test row was trained on."


def _outlying_labels(table: Table, tasks: Iterable[Task]) -> list[str]:
    """Return a sentence for each target in which a few labels decide the scale."""
    found = []
    for task in tasks:
        if task.kind in ("regression", "quantile", "count") and task.name in table:
            values = task.encode(data.labels(table, task))[:, 0]
            if (far := outliers.notice("Target", task.name, values)) is not None:
                found.append(
                    f"{far}: its scale and its errors hang on that; check it, or leave it empty."
                )
    return found


def prepared_again(run: Folder, source: Any = None) -> PreparedTable:
    """The table of a run, read again and divided as it was.

    Args:
        run: whose spec says what to do with it.
        source: the table, where it is no longer where the run found it.

    Raises:
        InputError: where there is none, or it is not the one with which the run began.
    """
    plan = run.spec
    table = plan.data.source if source is None else source
    if table is None:
        raise InputError(
            f"The run {shorten(run.path)!r} began with a data frame: pass it again, as source=."
        )
    prepared = prepare(table, tasks_from(plan.tasks), plan.data, seed=plan.seed)
    if prepared.digest != run.schema["rows"]:
        raise InputError(
            f"The table {shorten(table) if isinstance(table, str | Path) else 'given'} is not the one with which the "
            f"run {shorten(run.path)!r} began: its columns, or what is in them, have changed."
        )
    return prepared


def _roles(wanted: Data, exclude: Iterable[str]) -> Mapping[str, str]:
    roles = dict(wanted.columns) | dict.fromkeys(exclude, "ignore")
    helpers = {
        wanted.parts.column: "ignore",
        wanted.parts.groups: "group",
        wanted.parts.time: "time",
    }
    for name, role in helpers.items():
        if name is not None and roles.setdefault(name, role) != role and role == "ignore":
            raise InputError(
                f"Column {name!r} names the parts, so it cannot be a {roles[name]} as well."
            )
    return roles


def _divide(table: Table, tasks: list[Task], parts: Parts, seed: int, copies: Any = None) -> Split:
    strata = data.strata(table, [task for task in tasks if task.name in table])
    if copies is not None and len(first := np.unique(copies, return_index=True)[1]) >= FEWEST_KINDS:
        # Each kind of row is drawn once, and its copies go where it goes.
        once = data.split(
            len(first),
            seed=seed,
            validation=parts.validation,
            test=parts.test,
            stratify=None if strata is None else strata[first],
        )
        return once.of_kinds(copies)
    groups = None if parts.groups is None else table[parts.groups]
    time = None if parts.time is None else table[parts.time]
    if parts.column is not None:
        return data.from_column(
            table[parts.column],
            seed=seed,
            validation=parts.validation,
            stratify=strata,
            groups=groups,
            time=time,
        )
    return data.split(
        table.rows,
        seed=seed,
        validation=parts.validation,
        test=parts.test,
        stratify=strata,
        groups=groups,
        time=time,
    )
