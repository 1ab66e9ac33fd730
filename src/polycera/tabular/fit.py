"""Train one network from a table and write its run folder, in one call."""

from __future__ import annotations

import dataclasses
import inspect
import platform
import shlex
import sys
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import msgspec

from polycera import data, renamed
from polycera.data import sources
from polycera.errors import InputError, PolyceraError, Taken, UnknownName, listing, shorten
from polycera.method_base import MethodBase
from polycera.runs import (
    Data,
    Network,
    Parts,
    Spec,
    Training,
    checked,
    folder,
    manifest,
    next_name,
    read_spec,
    timing,
    to_yaml,
)
from polycera.runs import mirror as mirrors
from polycera.runs.checkpoints import Checkpoints
from polycera.runs.mirror import Mirror
from polycera.runs.save_interval import SaveInterval
from polycera.runs.table_counts import DATA
from polycera.storage import atomic, lock, paths
from polycera.tabular import existing_run, known_rows, prediction_columns, row_weights
from polycera.tabular.cell_options import cell_options
from polycera.tabular.count_table import count_table
from polycera.tabular.headline import with_metric
from polycera.tabular.interactive import somebody_watches
from polycera.tabular.loss_weights import with_weights
from polycera.tabular.option_checks import check_options
from polycera.tabular.prepare import Declared, PreparedTable, prepare, prepared_again, tasks_from
from polycera.tabular.presets import preset as with_preset
from polycera.tabular.run import Run
from polycera.tabular.run_frames import library_of
from polycera.tasks import Layout

BESIDE_A_SPEC = {"source", "out", "spec", "checkpoint_every", "resume", "progress", "say"}
"""Arguments of `fit` that may be passed beside a spec, because no spec stores them."""


@renamed.arguments(weights="loss_weights", joint="score_weights")
@mirrors.named
def fit(
    source: Any = None,
    targets: Any = None,
    *,
    kinds: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    metric: Mapping[str, str] | None = None,
    loss_weights: Mapping[str, float] | None = None,
    out: str | Path | None = None,
    spec: str | Path | Spec | None = None,
    columns: Mapping[str, str] | None = None,
    sample_weight: str | Mapping[str, str] | None = None,
    class_weight: Mapping[str, Any] | None = None,
    exclude: str | Iterable[str] = (),
    id: str | Iterable[str] = (),
    where: str | None = None,
    validation: float = 0.15,
    test: float = 0.15,
    split: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    score_weights: Mapping[str, float] | None = None,
    threshold: Literal["f1", "balanced_accuracy", "accuracy", "none"] | None = None,
    encoding: str | None = None,
    memory: str = "1 GB",
    missing: Iterable[str] | Mapping[str, Iterable[str]] = (),
    date_format: Mapping[str, str] | None = None,
    number_format: Mapping[str, str] | None = None,
    order: Mapping[str, Iterable[Any]] | None = None,
    sql: str | None = None,
    sheet: str | None = None,
    seed: int = 0,
    preset: Literal["fast"] | None = None,
    network: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    checkpoint_every: str = "1 minute",
    resume: bool = False,
    progress: bool | None = None,
    say: Any = None,
) -> Run:
    """Train one network for all targets of a table and write a run folder.

    Kinds of targets and roles of columns are inferred; each can be declared. The encoding of the
    features is fitted to the training rows. Training stops on the mean skill of all tasks on the
    validation rows and keeps the best weights. Two calls with one seed give equal numbers on one
    machine.

    The folder exists from the first step on. `pc.resume` continues a training that was interrupted.

    Args:
        source: path of a file of text (.csv, .tsv, .txt, .jsonl; also .gz, .zst) or of a Parquet
            file; a folder, a pattern or a list of such files, which are one table; path of an Excel
            workbook, an SQLite or DuckDB
            file (file.db?table=NAME); postgresql://user@host/database?table=NAME; "-", standard
            input; a DuckDB relation; a pandas, polars or pyarrow frame; a dict of columns. None
            with `sql` that names files itself.
        targets: column names; or a dict of name to kind (`"count"`) or task; or tasks. A pattern
            such as `"label_*"` is one task for each matching column, where no column has that very
            name. An integer is the position of a column, from 0, or from the end where it is
            negative; a tuple is a column of a pandas MultiIndex, whose parts are joined by `_`.
        kinds: target -> kind, where the inferred one is wrong; here and for all names of columns
            below patterns are taken too, and an exact name goes before a pattern.
        tags: target -> the sign between several labels in one cell: {"mood": "|"}. The target is
            multilabel; a row without tags has none of the labels.
        metric: task -> the metric by which it counts in the joint score and which is shown first:
            {"churn": "average_precision"}.
        loss_weights: task -> factor of its loss, where it is not the task's own (1); `task/term`
            -> factor of one of its loss terms. Naming a loss of the task's kind makes it a loss
            term: {"price/mse": 0.8, "price/mae": 0.2}.
        out: the run folder; default `runs/<name of the file>-<number>`. It may be in a remote
            store (s3://bucket/customers-1): each checkpoint is copied there, the manifest last.
        spec: a spec (or its path) as a run writes it, perhaps edited: repeats that training.
            `source` may replace its file; arguments that a spec holds must not be passed.
        columns: name -> role, where the inferred one is wrong: number, category, boolean, date,
            ignore, ...
        sample_weight: a column of weights of the rows, or task -> its column; never an input.
            Weights are finite numbers of 0 or more, and only their ratios matter. They weigh what
            is fitted and what is measured: docs/row-weights.md.
        class_weight: task -> "balanced", or {label: weight}: factors of the loss of the rows of a
            class. Metrics do not use them.
        exclude: columns to leave out, before their cells are looked at.
        id: columns that are carried into the predictions and never learned from.
        where: a condition in SQL for the rows of this training, over the columns as they are
            understood: "date < '2024-01-01'". `predict` does not apply it.
        validation, test: shares of the rows.
        split: a column that names each row's part (train, validation, test). Validation rows that
            it names are the only ones.
        groups: a column whose groups are never divided: no row is validated by what was trained on
            another row of its group.
        time: a column by which rows are ordered; the last rows are the test rows, those before them
            validate, and train once all is chosen. With groups, a group is as late as its latest
            row.
        score_weights: task -> weight in the joint score that stops the training; default: all
            equal.
        threshold: metric used to choose the decision thresholds of binary tasks and labels on the
            validation rows; default `f1`; `none`: the threshold is 0.5.
        encoding: of a text file, which must fit it; default: what the file shows.
        memory: largest size of a table that is read into memory (rows x columns, 8 bytes a number,
            64 a text). The training rows of a larger Parquet table are read from disk while the
            network trains.
        missing: further words for missing values, such as "-999"; or column -> the words of that
            column, in place of the usual ones.
        date_format: column -> order of its dates where they have two readings, as "%d/%m/%Y".
        number_format: column -> a number as it is written there where the signs have two readings,
            such as "1.234,5".
        order: target -> its levels, from the lowest to the highest; the target is then ordinal.
        sql: one SELECT statement whose rows are the table: "select *, price * rooms as total from
            source where rooms > 1". The rows of the source are `source` in it. Of a database
            without ?table= it is the database's own SQL.
        sheet: name of a workbook's sheet; default: the first.
        seed: of the split, the initial weights, the order of rows, dropout.
        preset: `fast`: a smaller network and fewer steps, for a first look. Options in `network`
            and `training` take precedence. docs/accuracy.md has its cost in accuracy.
        network: `width`, `depth`, `dropout`, `members`, `folds`, `bins`, `numbers`, `landmarks`;
            options left out are chosen from the table, see `polycera.runs.spec.Network`.
        training: `learning_rate`, `weight_decay`, `batch_size`, `max_steps`, `patience_steps`,
            `weighting`, `balancing`, `gradients`, `preference`, `guard`, `score_weights`,
            `threshold`.
        checkpoint_every: how often to save a checkpoint: "5 minutes", "200 batches", "1 epoch".
        resume: whether `out` may exist already. An interrupted training continues; a finished one
            is returned as it is. So the same call can always be repeated. A different spec or
            different data raise an error.
        progress: whether to draw a bar; default: on a terminal and in a notebook.
        say: called with each sentence about what was inferred; default: only warnings are shown.

    Returns:
        the run: `run.metrics`, `run.predict(...)`, `run.path`.

    Raises:
        UnknownName, InputError: with one sentence on what is wrong; nothing is left on disk. With
            `resume`, also where the run in `out` has another spec or other data; the error names
            the differences.
        PolyceraError: where the run cannot be written to disk, or the training diverged.
        Interrupted, Terminated: after Ctrl-C, SIGTERM or SIGHUP. A checkpoint was saved, and the
            message has the command that resumes the training.

    Examples:
        >>> import polycera as pc
        >>> run = pc.fit("customers.csv", targets=["churn", "revenue_loss"])  # doctest: +SKIP
        >>> run.metrics["test"]["churn"]["auc"]["value"]  # doctest: +SKIP
        0.71
    """
    given = dict(locals())
    cells, wishes = cell_options(missing, date_format, number_format)
    if spec is None:
        network, training = with_preset(preset, network, training)
        ids = [id] if isinstance(id, str) else list(id)
        parts = Parts(validation=validation, test=test, column=split, groups=groups, time=time)
        training = _with_arguments(training, score_weights=score_weights, threshold=threshold)
        full_spec = Spec(
            tasks=[],
            data=Data(
                source=sources.stored(source),
                sql=sql,
                sheet=sheet,
                encoding=encoding,
                columns=data.by_name(columns or {}),
                sample_weight=_plain_columns(sample_weight),
                parts=parts,
                memory=memory,
                **cells,
                id=[data.joined_name(name) for name in ids],
                tags=data.by_name(tags or {}),
                where=where,
            ),
            network=_options(Network, network, "network"),
            training=_options(Training, training, "training"),
            seed=seed,
        )
        requested_targets = targets
    else:
        _refuse_beside_a_spec(given)
        full_spec = spec if isinstance(spec, Spec) else read_spec(spec)
        requested_targets = tasks_from(full_spec.tasks)
        source = full_spec.data.source if source is None else source
    if source is None and full_spec.data.sql is None:
        raise InputError("No table: pass a path, a data frame or a dict of columns.")
    full_spec = checked(full_spec)
    SaveInterval.of(checkpoint_every)

    if resume and out is None:
        raise InputError("To resume, name the run folder: out=... (--out RUN).")
    mirror = Mirror.of(out)
    local_out = out if mirror is None else mirror.folder
    out_path = None if local_out is None else _run_path(local_out)

    def destination() -> Path:
        """Return the run folder; a later call may give the next number.

        Another training may have taken the number in the meantime.
        """
        return out_path if out_path is not None else next_name(Path("runs"), _stem(source))

    existing = _begun(destination()) if resume else None
    if existing is None:
        _check_free(destination(), resume)
    draw_progress = somebody_watches() if progress is None else progress
    prepared = prepare(
        source,
        requested_targets,
        full_spec.data,
        Declared(
            kinds=data.by_name(kinds or {}),
            exclude=exclude,
            pinned=spec is not None,
            seed=full_spec.seed,
            wishes=wishes,
            orders=order,
            # A run of 0.1.0 is resumed on the cells as it read them.
            old=existing is not None and existing.spec.data.cells is None,
        ),
        progress=draw_progress,
    )
    tasks = with_metric(prepared.tasks, metric or {})
    tasks = with_weights(tasks, loss_weights or {})
    tasks = prepared.resolved(row_weights.with_class_weights(tasks, class_weight or {}))
    prepared = dataclasses.replace(prepared, tasks=tasks)
    prediction_columns.check_names(Layout.of(prepared.tasks), prepared.ids, full_spec.data.tags)
    check_options(full_spec.training, prepared.tasks)
    # Imported only now, because these import Keras, which takes seconds: errors come before that.
    from polycera.layers import backend
    from polycera.layers.devices import check_devices
    from polycera.tabular.train_run import train_run

    backend.check_process()
    check_devices()
    full_spec = _completed(full_spec, prepared)
    if existing is not None:
        existing_run.check_same(existing, full_spec, prepared)
        return _going_on(existing, prepared, draw_progress, checkpoint_every, say, mirror)
    _announce(prepared, full_spec, say)
    with atomic.new_parents(destination()):
        run_path = _new_run(destination, full_spec, prepared, source, out_path is not None, resume)
        trained = train_run(
            Run(run_path), prepared, draw_progress, checkpoint_every, say, mirror=mirror
        )
        trained.library = library_of(source)
        return trained


def _run_path(out: str | Path) -> Path:
    """Return the run folder as an absolute path where it contains `..` and does not exist yet.

    The missing parent `a` of `a/../b` is created for the run and removed again, so `a/../b` itself
    would not be found later.
    """
    run_path = paths.checked(out, "The run folder")
    return run_path.resolve() if ".." in run_path.parts and not run_path.exists() else run_path


def _check_free(place: Path, resume: bool) -> None:
    """Raise an error where the folder exists; for an interrupted training, say how to resume it."""
    try:
        atomic.check_free(place, over_empty=resume)
    except Taken as error:
        hint = existing_run.how_to_resume(place)
        raise (InputError(f"{str(error).rstrip('.')}{hint}.") if hint else error) from None


def _begun(place: Path) -> Run | None:
    """Return the run in a folder, finished or not; None where no training has left a run."""
    if not paths.listed(place) and not place.is_file():
        return None
    if existing_run.holds_nothing(place):
        # A training that was killed before it wrote its spec left nothing worth keeping. The lock
        # shows whether that training is still alive.
        lock.check(place / folder.CHECKPOINTS)
        atomic.discard(place)
        return None
    return Run(place)


def _new_run(
    destination: Any, spec: Spec, prepared: PreparedTable, source: Any, named: bool, resume: bool
) -> Path:
    """Create the run folder and return its path.

    Where no name was given and another training takes the number in the meantime, the next number
    is used.
    """
    while True:
        run_path: Path = destination()
        try:
            with atomic.new_folder(run_path, over_empty=resume) as draft:
                _begin(draft, spec, prepared, source)
            return run_path
        except Taken:
            if named:
                raise


def _going_on(
    begun: Run, prepared: PreparedTable, bar: bool, every: str, say: Any, mirror: Mirror | None
) -> Run:
    """Resume a run and train it to its end; return a finished run unchanged."""
    if _ended(begun, say):
        return begun
    lock.check(begun.path / folder.CHECKPOINTS)
    _warn_of_versions(begun)
    if say is not None:
        say(f"The run {begun.address!r} was interrupted; it is resumed.")
    from polycera.tabular.train_run import train_run

    return train_run(begun, prepared, bar, every, say, fresh=False, mirror=mirror)


def _ended(begun: Run, say: Any) -> bool:
    """Return whether a run has ended; tidy a finished run and report that nothing is to resume."""
    if not begun.finished:
        return False
    _tidy(begun.path)
    if say is not None:
        say(f"The run {begun.address!r} has ended; there is nothing to resume.")
    return True


def _tidy(run: Path) -> None:
    """Remove the temporary files of a training that was killed after it wrote its manifest."""
    checkpoints = run / folder.CHECKPOINTS
    # The run may be read-only, or locked by the process that trains it: tidying can wait.
    with suppress(PolyceraError):
        if checkpoints.is_dir() or any(atomic.is_half(path) for path in paths.listed(run)):
            with lock.acquired(checkpoints):
                Checkpoints(checkpoints).clear()
                for directory in (run, run / folder.EPOCHS):
                    atomic.sweep(directory)
            atomic.remove(checkpoints)


@mirrors.named
def resume(
    run: str | Path,
    source: Any = None,
    *,
    checkpoint_every: str = "1 minute",
    progress: bool | None = None,
    say: Any = None,
) -> Run:
    """Continue an interrupted training from its last checkpoint, with bit-identical results.

    Args:
        run: its folder, or its address in a remote store.
        source: the table, where the file was moved, or where the training began with a data frame.
        checkpoint_every, progress, say: as for `fit`.

    Returns:
        the run, as `fit` does. A finished run is opened and left as it is.

    Raises:
        InputError: where there is no run, or the table is not the one with which it began.
        PolyceraError: where another process trains into the folder.

    Examples:
        >>> import polycera as pc
        >>> run = pc.resume("runs/customers-1")  # doctest: +SKIP
    """
    SaveInterval.of(checkpoint_every)
    mirror = Mirror.of(run)
    existing = Run(run if mirror is None else mirror.folder)
    if _ended(existing, say):
        return existing
    lock.check(existing.path / folder.CHECKPOINTS)
    draw_progress = somebody_watches() if progress is None else progress
    prepared = prepared_again(existing, source, progress=draw_progress)
    from polycera.layers import backend
    from polycera.layers.devices import check_devices
    from polycera.tabular.train_run import train_run

    backend.check_process()
    check_devices()
    _warn_of_versions(existing)
    return train_run(
        existing, prepared, draw_progress, checkpoint_every, say, fresh=False, mirror=mirror
    )


def _warn_of_versions(begun: Run) -> None:
    """Warn where packages have changed since the run began: results will not be bit-identical."""
    current = versions()
    changed = [
        f"{name} {old} (now {current.get(name, 'none')})"
        for name, old in begun.versions.items()
        if current.get(name) != old
    ]
    if changed:
        warnings.warn(
            f"The run was started with {', '.join(changed)}: it is resumed, but its results will "
            "not be the same to the last bit.",
            stacklevel=3,
        )


def _begin(draft: Path, spec: Spec, prepared: PreparedTable, source: Any) -> None:
    """Write everything that is known before the first step, and the manifest of these files."""
    atomic.write(draft / folder.SPEC, to_yaml(spec))
    atomic.write(draft / folder.SCHEMA, manifest.page(_schema(prepared)))
    known_rows.write(draft / folder.ROWS, prepared)
    written = [folder.SPEC, folder.SCHEMA, folder.ROWS]
    counts = count_table(prepared)
    # A table of very many columns can be too large for this file; the run is worth more.
    with suppress(PolyceraError):
        if counts is not None:
            atomic.write(draft / DATA, manifest.page(counts))
            written.append(DATA)
    # Last, because the manifest holds the checksums of the files above.
    manifest.add(draft, written)
    timing.write(
        draft,
        timing.Timing(
            versions(), manifest.identity(draft), command_of_process(), timing.changed_at(source)
        ),
    )


def command_of_process() -> str | None:
    """Return the command line of this process where it is the command `polycera`, else None."""
    program = Path(sys.argv[0]) if sys.argv else Path()
    is_command = program.stem == "polycera" or program.parts[-2:] == ("polycera", "__main__.py")
    return shlex.join(["polycera", *sys.argv[1:]]) if is_command else None


def _schema(prepared: PreparedTable) -> dict[str, Any]:
    """Return the content of the schema file: columns, encoder, checksum of the rows, warnings."""
    schema_config = prepared.schema.to_config()
    return {
        **schema_config,
        "encoder": prepared.encoder.to_config(),
        "rows": prepared.digest,
        "warnings": prepared.warnings,
    }


def _refuse_beside_a_spec(given: Mapping[str, Any]) -> None:
    """Raise InputError for arguments that the spec holds: they would be ignored silently."""
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(fit).parameters.items()
    }
    given = {name: given[name] for name in given.keys() - BESIDE_A_SPEC}
    conflicting = [
        name for name, value in given.items() if value is not None and value != defaults[name]
    ]
    if conflicting := [
        name
        for name in conflicting
        if not isinstance(given[name], Mapping | list | tuple) or given[name]
    ]:
        raise InputError(
            f"A spec holds {listing(conflicting)} itself: write them into the spec, or leave the "
            "spec out."
        )


def _with_arguments(training: Mapping[str, Any] | None, **arguments: Any) -> dict[str, Any]:
    """Return the options of the training with those that `fit` takes as arguments too.

    Raises:
        InputError: for an option that is passed in both ways.
    """
    options = renamed.options("training", training or {}, {"joint": "score_weights"}, stacklevel=7)
    for name, value in arguments.items():
        if value is None:
            continue
        if name in options:
            raise InputError(f"Pass {name} once: as {name}= or in training=, not both.")
        options[name] = dict(value) if isinstance(value, Mapping) else value
    return options


def _plain_columns(chosen: Any) -> Any:
    """Return the columns of the sample weights as a spec holds them; `checked` validates them."""
    return dict(chosen) if isinstance(chosen, Mapping) else chosen


def _options(kind: type[Any], values: Mapping[str, Any] | None, what: str) -> Any:
    """Return a part of the spec built from keyword arguments.

    Raises:
        UnknownName: for an option that this part does not have.
    """
    known = kind.__struct_fields__
    for name in values or {}:
        if name not in known:
            raise UnknownName(f"option of {what}", name, known)
    plain_options = {
        option: value.to_config() if isinstance(value, MethodBase) else value
        for option, value in (values or {}).items()
    }
    return kind(**plain_options)  # `checked` validates the values later


def _stem(source: Any) -> str:
    """Return the name of the file without extensions, or `table` for a table in memory."""
    if sources.is_list(source):
        source = source[0]
    if not isinstance(source, str | Path):
        return "table"
    name, _, table = str(source).partition("?table=")
    return table or Path(name).name.strip("-*").split(".")[0] or "table"


def _completed(spec: Spec, prepared: PreparedTable) -> Spec:
    """Return the spec with everything that was inferred, so that it can be edited and reused."""
    from polycera.tabular import recipe

    reading = prepared.table.reading
    inferred_roles = {column.name: column.role for column in prepared.schema.columns}
    return msgspec.structs.replace(
        spec,
        tasks=[task.to_config() for task in prepared.tasks],
        data=msgspec.structs.replace(
            spec.data,
            columns=inferred_roles,
            id=prepared.ids,
            # UTF-8 that a file showed by itself was no choice, so that a later file may differ.
            encoding=spec.data.encoding
            or (None if reading.encoding == "utf-8" else reading.encoding),
            cells=None if reading.old else {n: f.to_config() for n, f in reading.pinned.items()},
        ),
        network=recipe.completed(
            spec, prepared.encoder, prepared.parts, streams=prepared.stream is not None
        ),
    )


def _announce(prepared: PreparedTable, spec: Spec, say: Any) -> None:
    """Report what was inferred through `say`; without it, show only the warnings."""
    from polycera.tabular import streamed_table

    if say is not None:
        for task in prepared.tasks:
            say(f"Target {shorten(task.name)!r} ({task.kind}): {prepared.reasons[task.name]}")
        if prepared.stream is not None:
            for sentence in streamed_table.said(prepared.stream, spec.training):
                say(sentence)
        rows = ", ".join(f"{count} {name}" for name, count in prepared.numbers_of_rows.items())
        if (folds := spec.network.folds or 1) > 1:
            rows = (
                f"{len(prepared.learned_from)} train and validate in {folds} folds, "
                f"{len(prepared.parts.test)} test"
            )
        for sentence in prepared.said:
            say(sentence)
        say(
            f"Columns used: {len(prepared.encoder.columns)}, features: {prepared.encoder.width}; "
            f"rows: {rows}."
        )
    for sentence in prepared.warnings:
        say(sentence) if say is not None else warnings.warn(sentence, stacklevel=5)


def versions() -> dict[str, str]:
    """Return the versions of Python, the backend and the packages that this process uses."""
    import keras

    backend = keras.backend.backend()
    package_versions = {"python": platform.python_version(), "backend": backend}
    for package in ("polycera", "keras", backend, "numpy"):
        try:
            package_versions[package] = version(package)
        except PackageNotFoundError:
            package_versions[package] = "unknown"
    return package_versions
