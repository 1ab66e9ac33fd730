"""Read a table and turn it into the arrays of a training: tasks, features, parts and warnings."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polycera import data
from polycera.data import (
    Encoder,
    Schema,
    Split,
    Table,
    column_skill,
    memory,
    outliers,
    sources,
    suspicious_cells,
)
from polycera.data.cells import CellFormat
from polycera.data.name_patterns import is_pattern
from polycera.data.reading import CellWishes
from polycera.data.table import LeaveOut, Unread
from polycera.errors import InputError, shorten
from polycera.runs import Folder
from polycera.runs.spec import Data, Parts
from polycera.tabular import column_choice, row_weights
from polycera.tabular.fingerprints import fingerprints
from polycera.tasks import Layout, Task, task_from_config
from polycera.tasks.keras_losses import check_labels
from polycera.tasks.layout import Encoded
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

if TYPE_CHECKING:
    from polycera.tabular.streamed_table import Stream

FEWEST_KINDS = 3
"""Minimum number of different rows that can be divided into three parts."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Holds what is declared of a table beside the options that a spec stores.

    Attributes:
        kinds: target, or pattern of targets -> kind, where the inferred one is wrong.
        exclude: columns to leave out; patterns too.
        pinned: whether the options are those of a spec: columns that it does not name are left out.
        seed: of the split.
        wishes: what the user says of cells that have two readings.
        old: whether cells are read as runs of 0.1.0 did.
        orders: target -> its levels, from the lowest to the highest.
    """

    kinds: Mapping[str, str] | None = None
    exclude: Iterable[str] = ()
    pinned: bool = False
    seed: int = 0
    wishes: CellWishes | None = None
    old: bool = False
    orders: Mapping[str, Iterable[Any]] | None = None

    def __post_init__(self) -> None:
        """Keep the excluded columns as a tuple: an iterator could be read only once."""
        names = (self.exclude,) if isinstance(self.exclude, str) else tuple(self.exclude)
        object.__setattr__(self, "exclude", names)


NOTHING = Declared()
"""What is declared where nothing is."""


@dataclass(frozen=True, kw_only=True)
class UnderstoodTable:
    """Holds a table, what its columns mean and how its rows are divided; nothing is encoded yet.

    Attributes:
        table: as it was read.
        tasks: what is predicted.
        schema: what each other column is.
        parts: which rows train, validate and test.
        reasons: task name -> why it is of its kind.
        warnings: a sentence each, those on leaks among them.
        leaks: a sentence for each input that may give a target away.
        leaking: these inputs, each with its target.
        copies: for each row the number of its kind, where some rows are equal in all columns that
            are used; or None.
        labels: task name -> encoded labels [rows, width]; NaN where missing, and for a class in a
            row of no part.
        sample_weights: task name -> sample weights [rows]; None where all rows count the same.
        ids: columns that are carried into the predictions.
        row_numbers: number in the source of each row; None where all rows were kept.
        said: a sentence on each thing that was decided about the rows.
    """

    table: Table
    tasks: list[Task]
    schema: Schema
    parts: Split
    reasons: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    leaking: frozenset[tuple[str, str]] = frozenset()
    copies: Any = None
    labels: dict[TaskName, Array] = field(default_factory=dict)
    sample_weights: dict[TaskName, Array] | None = None
    ids: list[str] = field(default_factory=list)
    row_numbers: Any = None
    said: list[str] = field(default_factory=list)

    @property
    def named_parts(self) -> dict[str, Any]:
        """Return the indices of the rows of each part, by its name."""
        return {
            "train": self.parts.train,
            "validation": self.parts.validation,
            "test": self.parts.test,
        }


@dataclass(frozen=True, kw_only=True)
class PreparedTable(UnderstoodTable):
    """Holds a table that is ready for training.

    Attributes:
        encoder: fitted to the training rows.
        stream: the training rows of a table that is larger than memory; `table` and `parts` then
            have the rows that are held in memory, among them a sample of the training rows. None
            for a table in memory.
    """

    encoder: Encoder
    stream: Stream | None = None

    @property
    def numbers_of_rows(self) -> dict[str, int]:
        """Return the number of rows of each part, those not held in memory included."""
        counts = {name: len(indices) for name, indices in self.named_parts.items()}
        return counts if self.stream is None else counts | {"train": self.stream.rows}

    def numbered(self, indices: Any) -> np.ndarray:
        """Return the numbers in the whole table of the rows at these indices."""
        indices = np.asarray(indices)
        if self.row_numbers is not None:
            return np.asarray(self.row_numbers[indices])
        return indices if self.stream is None else self.stream.positions[indices]

    def rows(self, indices: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Return features [n, width] and targets by name of these rows."""
        positions = self._place[np.asarray(indices, "int64")]
        if (positions < 0).any():  # rows of no part are not among the encoded ones
            table = self.table.take(indices)
            return self.encoder.transform(table), targets_of(table, self.tasks)
        features, targets = self._encoded
        return features[positions], {
            name: None if y is None else y[positions] for name, y in targets.items()
        }

    def encoded_rows(self, indices: Any) -> tuple[np.ndarray, Encoded]:
        """Return features [n, width] and encoded labels by name of these rows, all of some part.

        Raises:
            InputError: for labels for which a loss of their task is not defined.
        """
        features = self._encoded[0][self._place[np.asarray(indices, "int64")]]
        return features, Encoded({name: y[indices] for name, y in self._checked_labels.items()})

    def resolved(self, tasks: Iterable[Task]) -> list[Task]:
        """Return tasks of this table with numbers for class weights "balanced"."""
        return row_weights.resolved(tasks, self.labels, self.parts.train, self.sample_weights)

    def weights_of(self, indices: Any) -> row_weights.RowWeights:
        """Return sample and class weights of these rows, all of some part."""
        encoded = Encoded({task.name: self.labels[task.name][indices] for task in self.tasks})
        return row_weights.of_rows(self.tasks, self.sample_weights, indices, encoded)

    @cached_property
    def _checked_labels(self) -> Encoded:
        """Return the labels of all tasks in the order of their layout, checked once."""
        layout = Layout.of(self.tasks)
        for name, task in layout.tasks.items():
            check_labels(task, self.labels[name])
        return Encoded({name: self.labels[name] for name in layout.tasks})

    @cached_property
    def _encoded(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Return features and targets of the rows of all parts, computed once."""
        table = self.table.take(self._used)
        return self.encoder.transform(table), targets_of(table, self.tasks)

    @cached_property
    def _used(self) -> Any:
        """Return the indices of the rows of all parts, ascending; rows of no part are left out.

        A split column may leave rows without a part.
        """
        return np.sort(np.concatenate(list(self.named_parts.values())))

    @cached_property
    def _place(self) -> Any:
        """Return for each row of the table its position in `_used`; -1 for rows of no part."""
        positions = np.full(self.table.rows, -1)
        positions[self._used] = np.arange(len(self._used))
        return positions

    @property
    def digest(self) -> str:
        """Return a checksum of the encoded rows of all parts and their labels.

        A table in which one value is different has a different checksum.
        """
        config = self.encoder.to_config()
        # Left out, because older runs do not have them and no feature depends on them: their
        # checksums stay valid.
        for name in ("low", "high"):
            config["numbers"].pop(name, None)
        checksum = hashlib.sha256(repr(config).encode())
        for indices in self.named_parts.values():
            checksum.update(np.ascontiguousarray(indices, "int64").data)
        features, targets = self._encoded
        checksum.update(np.ascontiguousarray(features).data)
        for name, labels in targets.items():
            checksum.update(
                repr((name, None if labels is None else np.asarray(labels).tolist())).encode()
            )
        if self.stream is not None:
            checksum.update(self.stream.digest.encode())
        for name, weights in (self.sample_weights or {}).items():
            checksum.update(repr((name, weights[self._used].tolist())).encode())
        return checksum.hexdigest()

    @property
    def fingerprints(self) -> dict[str, np.ndarray]:
        """Return part -> a number for each of its rows, by which `known_rows` recognises it."""
        numbers = fingerprints(self._encoded[0])
        return {name: numbers[self._place[indices]] for name, indices in self.named_parts.items()}

    @property
    def learned_from(self) -> Any:
        """Return the indices of the training and validation rows, ascending."""
        return np.sort(np.concatenate([self.parts.train, self.parts.validation]))

    @property
    def held_out(self) -> tuple[str, Any]:
        """Return name and rows of the part whose metrics are reported.

        This is the test part. Without test rows it is the validation part, and without these the
        training part.
        """
        if len(self.parts.test):
            return "test", self.parts.test
        return (
            ("validation", self.parts.validation)
            if len(self.parts.validation)
            else ("train", self.parts.train)
        )


def targets_of(table: Table, tasks: Iterable[Task]) -> dict[str, Any]:
    """Return the labels of each task that the table has; None for a task that it lacks."""
    targets: dict[str, Any] = {}
    for task in tasks:
        has_columns = all(name in table for name in data.columns_of(task.name, task))
        targets[task.name] = data.labels(table, task) if has_columns else None
    return targets


def tasks_from(configs: Iterable[Mapping[str, Any]]) -> list[Task]:
    """Return the tasks of a spec.

    Raises:
        InputError: for a joint term, which only `pc.Model` takes; for an entry that is not a task.
    """
    tasks = []
    for config in configs:
        if config.get("kind") == "joint":
            raise InputError(
                f"The spec has a joint term {shorten(config.get('name'))!r}; only pc.Model takes "
                "those: take it out."
            )
        task = task_from_config(dict(config))
        assert isinstance(task, Task)
        tasks.append(task)
    return tasks


def prepare(
    source: Any,
    targets: Any,
    options: Data,
    declared: Declared = NOTHING,
    *,
    progress: bool = False,
) -> PreparedTable:
    """Read a table, infer its columns, divide its rows and encode them.

    Args:
        source: whatever `polycera.data.read` takes.
        targets: whatever `polycera.data.tasks_for` takes.
        options: encoding, roles that are declared, and the parts.
        declared: what else is declared.
        progress: whether to draw a line while a table that is larger than memory is read.

    Raises:
        UnknownName, InputError: with one sentence on what is wrong with the table.
    """
    return _with_all_labels(_read(source, targets, options, declared, progress))


def read_cells(
    source: Any,
    options: Data,
    *,
    as_text: Iterable[str] = (),
    leave_out: LeaveOut | None = None,
    wishes: CellWishes | None = None,
    old: bool = False,
) -> Table:
    """Read a table, its cells as the spec says.

    Args:
        source: whatever `polycera.data.read` takes.
        options: encoding, words for missing, formats and roles.
        as_text: columns to leave as text, beside those of the role "category" and ids.
        leave_out: as for `polycera.data.read`.
        wishes: what the user says of cells that have two readings.
        old: read cells as runs of 0.1.0 did.

    Raises:
        InputError: with one sentence on what is wrong with the table.
    """
    # Patterns among them are for the reader, who knows the names.
    categories = [name for name, role in options.columns.items() if role == "category"]
    return data.read(
        source,
        encoding=options.encoding,
        sql=options.sql,
        sheet=options.sheet,
        formats=formats_of(options, ()),
        as_text={*categories, *options.id, *as_text},
        as_written=options.tags,
        missing=options.missing,
        leave_out=leave_out,
        wishes=wishes,
        old=old,
    )


def formats_of(options: Data, as_text: Iterable[str]) -> dict[str, CellFormat]:
    """Return how the cells of columns are written, where the spec or a role says so."""
    categories = [name for name, role in options.columns.items() if role == "category"]
    texts = {name: CellFormat("text") for name in (*categories, *as_text)}
    return texts | {
        name: CellFormat.from_config(config, name) for name, config in (options.cells or {}).items()
    }


def _read(
    source: Any,
    targets: Any,
    options: Data,
    declared: Declared,
    progress: bool = False,
    also_read: Collection[str] = (),
) -> PreparedTable:
    """Return what `prepare` does, without those labels of classes that need not be checked."""
    if targets is None:
        targets = ()  # refused: no target was named
    if isinstance(targets, Iterator):
        targets = list(targets)  # it could be read only once
    streamed = prepare_streamed(source, targets, options, declared, progress=progress)
    if streamed is not None:
        return streamed
    understood = understand(source, targets, options, declared, also_read=also_read)
    encoder = Encoder.fit(understood.table.take(understood.parts.train), understood.schema)
    return PreparedTable(**vars(understood), encoder=encoder)


def prepare_streamed(
    source: Any, targets: Any, options: Data, declared: Declared, *, progress: bool = False
) -> PreparedTable | None:
    """Return what `prepare` does for a table that is larger than memory; None for any other.

    Args:
        source, options, declared, progress: as for `prepare`.
        targets: as for `prepare`; None for no target: all columns are inputs.

    Raises:
        UnknownName, InputError: with one sentence on what is wrong with the table.
    """
    ignored = (name for name, role in options.columns.items() if role == "ignore")
    left_out = [*declared.exclude, *ignored]
    # The rows of a statement are made in memory.
    rows = None if options.sql else memory.stream_of(source, options.memory, left_out)
    if rows is None:
        return None
    return _streamed(rows, targets, options, declared, progress, left_out)


def _streamed(
    rows: Any,
    targets: Any,
    options: Data,
    declared: Declared,
    progress: bool,
    left_out: Iterable[str],
) -> PreparedTable:
    """Return what `prepare` does for a table that is larger than memory.

    Raises:
        InputError: for what is only done to tables in memory.
    """
    # Most tables are in memory, and do not wait for what reads the others.
    from polycera.tabular import row_progress, streamed_table

    for name, value in (("tags", options.tags), ("where", options.where)):
        if value:
            raise InputError(
                f"{rows.label} does not fit in memory, and {name}= (--{name}) takes a table that "
                "does: select the rows with sql= (--sql), or raise memory= (--memory)."
            )
    if options.sample_weight is not None:
        raise InputError(
            f"{shorten(rows.label, 80)} has {rows.rows:,} rows, more than fit in memory "
            f"({options.memory}), where sample weights are kept: raise memory= (--memory), "
            "give fewer rows, or leave sample_weight out."
        )
    names = list(dict.fromkeys([*rows.kinds, *(n for n in left_out if not is_pattern(n))]))
    target_columns = []
    if targets is not None:
        targets = data.named_targets(targets, names, declared.kinds)
        target_columns = data.target_columns_of(targets)
    chosen = (declared.exclude, declared.pinned)
    unread = column_choice.unread(options, names, target_columns, *chosen)
    roles = dict.fromkeys(unread, "ignore") | dict(column_choice.roles(options, names, *chosen))
    rows.understand(given=formats_of(options, ()), missing=options.missing, wishes=declared.wishes)
    with row_progress.showing("reading", rows.rows, progress) as rows_done:
        fields = streamed_table.prepare(
            rows, targets, options, roles, declared.seed, rows_done, declared.orders
        )
    return PreparedTable(**fields, ids=column_choice.ids(options, names))


def understand(
    source: Any,
    targets: Any,
    options: Data,
    declared: Declared = NOTHING,
    *,
    also_read: Collection[str] = (),
) -> UnderstoodTable:
    """Read a table, infer what its columns mean, and divide its rows.

    Args:
        source: whatever `polycera.data.read` takes.
        targets: whatever `polycera.data.named_targets` takes; None for no target: all columns are
            inputs.
        options: encoding, roles that are declared, the rows and the parts.
        declared: what else is declared.
        also_read: columns to read even where nothing is learned from them.

    Raises:
        UnknownName, InputError: with one sentence on what is wrong with the table.
    """
    if isinstance(targets, Iterator):
        targets = list(targets)  # it could be read only once
    chosen = (declared.exclude, declared.pinned)

    def leave_out(names: list[str]) -> Mapping[str, Unread]:
        """Return the columns that are not read."""
        wanted = () if targets is None else data.named_targets(targets, names)
        target_columns = data.target_columns_of(wanted)
        needed = {*target_columns, *also_read}
        return column_choice.unread(options, names, needed, *chosen)

    table = read_cells(
        source, options, leave_out=leave_out, wishes=declared.wishes, old=declared.old
    )
    for name in (options.cells or {}) if declared.wishes is not None else ():
        table[name]  # raises UnknownName
    _check_time(table, options)
    said: list[str] = []
    row_numbers = None
    if options.where is not None:
        row_numbers = data.rows_where(table, options.where)
        said.append(
            f"{len(row_numbers):,} of {table.rows:,} rows meet the condition "
            f"{shorten(options.where, 80)}."
        )
        table = table.take(row_numbers)
    tasks: list[Task] = []
    reasons: dict[str, str] = {}
    labels: dict[TaskName, Array] = {}
    if targets is not None:
        targets = data.named_targets(targets, table.source_names, declared.kinds)
        table, targets, sentences = data.with_tag_targets(table, targets, options.tags)
        said += sentences
        table = table.labelled(data.target_columns_of(targets))
        tasks, reasons = data.tasks_for(table, targets, labels, declared.orders)
    target_columns = [column for task in tasks for column in data.columns_of(task.name, task)]
    roles = column_choice.roles(options, table.source_names, *chosen)
    schema = data.infer(table, target_columns, roles)
    sample_weights = row_weights.read(table, tasks, options.sample_weight)
    # Computed on the whole table, because the warnings name its row numbers.
    outlier_warnings = data.outlying(table, schema.names("number"))
    used_columns = [
        *(column.name for column in schema.columns if column.used),
        *(n for n in target_columns if n in table),
    ]
    # Rows of two groups, or of two moments, are no copies of each other, however equal the rest.
    compared = dict.fromkeys([*used_columns, options.parts.groups, options.parts.time])
    copies = data.copies(table, [name for name in compared if name is not None])
    parts = _divide(table, tasks, options.parts, declared.seed, copies)
    # Numbers now, because outliers are found among them below.
    labels |= {
        task.name: task.encode(np.asarray(data.labels(table, task)))
        for task in tasks
        if task.name not in labels and not isinstance(task, ClassTask)
    }
    leaks = data.leaks(
        table,
        schema,
        tasks,
        parts.train,
        column_skill.together(table, options.parts.groups, options.parts.time, copies),
        declared.seed,
        labels,
    )
    warnings = [
        *table.reading.said,
        *(
            f"Target {shorten(name)!r}: {reason}"
            for name, reason in reasons.items()
            if "Warning: no order" in reason
        ),
        *(
            f"Target {shorten(name)!r} is text. {table.reading.remarks[name].text}"
            for name in target_columns
            if name in table.reading.remarks and table.reading.remarks[name].nearly
        ),
        *schema.notices,
        *suspicious_cells.sentences(table, [*schema.names("number"), *target_columns]),
        *leaks.sentences,
        *outlier_warnings,
        *_outlying_labels(labels, tasks),
    ]
    if copies is not None:
        warnings.append(_copied(copies, parts))
    return UnderstoodTable(
        table=table,
        tasks=tasks,
        schema=schema,
        parts=parts,
        reasons=reasons,
        warnings=warnings,
        leaks=leaks.sentences,
        leaking=leaks.pairs,
        copies=copies,
        labels=labels,
        sample_weights=sample_weights,
        ids=column_choice.ids(options, table.source_names),
        row_numbers=row_numbers,
        said=said,
    )


def _check_time(table: Table, options: Data) -> None:
    """Raise where the column that orders the rows holds dates that were not understood."""
    name = options.parts.time
    remark = table.reading.remarks.get(name) if name is not None else None
    if remark is not None and name not in options.columns:
        sentence = remark.text[0].upper() + remark.text[1:]
        raise InputError(f"The rows cannot be ordered by {shorten(name)!r}. {sentence}")


def _with_all_labels(prepared: PreparedTable) -> PreparedTable:
    """Encode the labels of those tasks that have none yet, and return the table."""
    # In place: a copy would encode the features again.
    for task in prepared.tasks:
        if task.name not in prepared.labels:
            prepared.labels[task.name] = _encode_classes(prepared.table, task, prepared._used)
    prepared.tasks[:] = prepared.resolved(prepared.tasks)
    return prepared


def _encode_classes(table: Table, task: Task, used: np.ndarray) -> Array:
    """Return the encoded labels [rows, width] of a task of classes.

    Rows of no part may have classes that the task does not know: their labels become NaN.
    """
    values = np.asarray(data.labels(table, task))
    encoded = np.full((table.rows, task.width), np.nan)
    encoded[used] = task.encode(values[used])
    return encoded


def _copied(copies: np.ndarray, parts: Split) -> str:
    """Return the warning about rows that are copies of others."""
    count = int(len(copies) - (copies.max() + 1))
    subject = "1 row is a copy of another" if count == 1 else f"{count} rows are copies of others"
    earlier, seen = parts.train, 0
    for later in (parts.validation, parts.test):
        seen += int(np.isin(copies[later], copies[earlier]).sum())
        earlier = np.concatenate([earlier, later])
    if seen:
        return (
            f"{subject} in all columns that are used, and {seen} of the validation and test rows "
            "have a copy in an earlier part: the metrics are too optimistic; put copies into one "
            "part."
        )
    return (
        f"{subject} in all columns that are used: copies stay in one part, so that no test row was "
        "trained on."
    )


def _outlying_labels(labels: Mapping[TaskName, Array], tasks: Iterable[Task]) -> list[str]:
    """Return a sentence for each target in which a few labels dominate the scale."""
    sentences = []
    for task in tasks:
        if task.kind in ("regression", "quantile", "count"):
            values = labels[task.name][:, 0]
            if (notice := outliers.notice("Target", task.name, values)) is not None:
                sentences.append(
                    f"{notice}: its scale and its errors depend on that; check it, or leave it "
                    "empty."
                )
    return sentences


def prepared_again(
    run: Folder, source: Any = None, *, progress: bool = False, also_read: Collection[str] = ()
) -> PreparedTable:
    """Return the table of a run, read again and divided as before.

    Args:
        run: its spec says how to read and divide the table.
        source: the table, where the file was moved, or where the training began with a data frame.
        progress: whether to draw a line while a table that is larger than memory is read.
        also_read: columns to read even where the run did not learn from them.

    Raises:
        InputError: where there is no table, or it is not the one with which the run began.
    """
    spec = run.spec
    table = spec.data.source if source is None else source
    if table is None and (spec.data.sql is None or sources.names_source(spec.data.sql)):
        raise InputError(
            f"The run {shorten(run.path)!r} was started with a data frame: pass it again, as "
            "source=."
        )
    prepared = _read(
        table,
        tasks_from(spec.tasks),
        spec.data,
        Declared(pinned=True, seed=spec.seed, old=spec.data.cells is None),
        progress,
        also_read,
    )
    # Before the labels are encoded: classes that the run does not know are no fault of a table, if
    # it is another table.
    if prepared.digest != run.schema["rows"]:
        raise InputError(
            f"The table {shorten(table) if isinstance(table, str | Path) else 'given'} is not the "
            f"one with which the run {shorten(run.path)!r} was started: its columns or their "
            "values have changed."
        )
    return _with_all_labels(prepared)


def _divide(table: Table, tasks: list[Task], parts: Parts, seed: int, copies: Any = None) -> Split:
    """Return the parts of the rows, as the options of the split say."""
    strata = data.strata(table, [task for task in tasks if task.name in table])
    # Copies have the same group and the same time, so they need care in a random split alone.
    if (
        (parts.column, parts.groups, parts.time) == (None, None, None)
        and copies is not None
        and len(first_rows := np.unique(copies, return_index=True)[1]) >= FEWEST_KINDS
    ):
        # Each kind of row is drawn once, and its copies go to the same part: otherwise a test row
        # could have a copy among the training rows.
        kinds = data.split(
            len(first_rows),
            seed=seed,
            validation=parts.validation,
            test=parts.test,
            stratify=None if strata is None else strata[first_rows],
        )
        return kinds.of_kinds(copies)
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
