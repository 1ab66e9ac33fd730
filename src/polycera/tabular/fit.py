"""From a table to a run folder, in one call."""

from __future__ import annotations

import dataclasses
import inspect
import platform
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import msgspec

from polycera.errors import InputError, PolyceraError, UnknownName, listing, shorten
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
    to_yaml,
)
from polycera.runs.checkpoints import Checkpoints
from polycera.runs.save_interval import SaveInterval
from polycera.storage import atomic, lock, paths
from polycera.tabular import existing_run, known_rows, prediction_columns
from polycera.tabular.interactive import somebody_watches
from polycera.tabular.loss_weights import with_weights
from polycera.tabular.option_checks import check_options
from polycera.tabular.prepare import PreparedTable, prepare, prepared_again, tasks_from
from polycera.tabular.presets import preset as with_preset
from polycera.tabular.run import Run
from polycera.tabular.run_frames import library_of
from polycera.tasks import Layout

BESIDE_A_SPEC = {"source", "out", "spec", "checkpoint_every", "resume", "progress", "say"}
"""Arguments of `fit` that no spec holds."""


def fit(
    source: Any = None,
    targets: Any = None,
    *,
    weights: Mapping[str, float] | None = None,
    out: str | Path | None = None,
    spec: str | Path | Spec | None = None,
    columns: Mapping[str, str] | None = None,
    exclude: Iterable[str] = (),
    validation: float = 0.15,
    test: float = 0.15,
    split: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    joint: Mapping[str, float] | None = None,
    threshold: Literal["f1", "balanced_accuracy", "accuracy", "none"] | None = None,
    encoding: str = "utf-8",
    seed: int = 0,
    preset: Literal["fast"] | None = None,
    network: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    checkpoint_every: str = "1 minute",
    resume: bool = False,
    progress: bool | None = None,
    say: Any = None,
) -> Run:
    """Train one network for all targets of a table; leave a run folder.

    Kinds of targets and roles of columns are inferred; each can be declared. Features are encoded
    by what the training rows show. Training stops on the mean skill of all tasks over the
    validation rows and keeps the best weights. Two calls with one seed give equal numbers on one
    machine.

    The folder is there from the first step on. A training that is cut off goes on with `pc.resume`.

    Args:
        source: path of a .csv or .parquet file; a pandas, polars or pyarrow frame; a dict of
            columns.
        targets: column names; or a dict of name to kind (`"count"`) or task; or tasks.
        weights: task -> factor in the total loss, where it is not the task's own (1); `task/term`
            -> factor of one of its loss terms, which a loss becomes by being named: {"price/mse":
            0.8, "price/mae": 0.2}.
        out: the run folder; default `runs/<name of the file>-<number>`.
        spec: a spec (or its path) as a run leaves it, perhaps edited: repeats that training;
            `source` may replace its file; the arguments that a spec holds stay out.
        columns: name -> role, where the inferred one is wrong: number, category, boolean, date,
            ignore, ...
        exclude: columns to leave out.
        validation, test: shares of the rows.
        split: a column that names each row's part (train, validation, test).
        groups: a column whose groups are never divided.
        time: a column by whose order the last rows are the test.
        joint: task -> weight in the score by which training stops; default: all alike.
        threshold: the metric by which it is chosen, on the validation rows, from which probability
            on yes is said of a binary task or a label; default `f1`; `none`: above one half.
        encoding: of a text file.
        seed: of the split, the first weights, the order of rows, dropout.
        preset: `fast`: a smaller network and fewer steps, for a first look; what `network` and
            `training` name goes before it. What it costs is in docs/accuracy.md.
        network: `width`, `depth`, `dropout`, `members`, `folds`, `bins`, `numbers`, `landmarks`;
            what is left out is chosen by the table, see `polycera.runs.spec.Network`.
        training: `learning_rate`, `weight_decay`, `batch_size`, `max_steps`, `patience_steps`,
            `weighting`, `balancing`, `gradients`, `preference`, `guard`, `threshold`.
        checkpoint_every: how often all that it takes to go on is saved: "5 minutes", "200 batches",
            "1 epoch".
        resume: whether `out` may be there already: a training that was cut off goes on, one that
            has ended is returned as it is; the same call can be made again after anything. Another
            spec or other data are refused.
        progress: whether to draw a bar; default: on a terminal and in a notebook.
        say: called with each sentence about what was inferred; default: nothing is said but
            warnings.

    Returns:
        the run: `run.metrics`, `run.predict(...)`, `run.path`.

    Raises:
        UnknownName, InputError: one sentence for whatever is wrong; nothing is left behind. With
            `resume`, where the run in `out` was begun with another spec or other data, naming what
            differs.
        PolyceraError: where the disk does not take the run, or the training came apart.
        Interrupted, Terminated: after Ctrl-C, SIGTERM or SIGHUP; a checkpoint was saved, and the
            message says how to go on.

    Examples:
        >>> import polycera as pc
        >>> run = pc.fit("customers.csv", targets=["churn", "revenue_loss"])     # doctest: +SKIP
        >>> run.metrics["test"]["churn"]["auc"]["value"]                         # doctest: +SKIP
        0.71
    """
    given = dict(locals())
    if spec is None:
        # none may bring landmarks where there are groups
        if groups is not None and preset is not None:
            network = {"landmarks": 0, **(network or {})}
        network, training = with_preset(preset, network, training)
        parts = Parts(validation=validation, test=test, column=split, groups=groups, time=time)
        path = str(source) if isinstance(source, str | Path) else None
        chosen = {} if threshold is None else {"threshold": threshold}
        plan = Spec(
            tasks=[],
            data=Data(source=path, encoding=encoding, columns=dict(columns or {}), parts=parts),
            network=_options(Network, network, "network"),
            training=_options(
                Training, {**(training or {}), "joint": dict(joint or {}), **chosen}, "training"
            ),
            seed=seed,
        )
        wanted = targets
    else:
        _refuse_beside_a_spec(given)
        plan = spec if isinstance(spec, Spec) else read_spec(spec)
        wanted = tasks_from(plan.tasks)
        source = plan.data.source if source is None else source
    if source is None:
        raise InputError("No table: pass a path, a data frame or a dict of columns.")
    plan = checked(plan)
    SaveInterval.of(checkpoint_every)

    if resume and out is None:
        raise InputError("To resume, name the run folder: out=... (--out RUN).")
    given_out = None if out is None else _place(out)

    def destination() -> Path:  # asked anew where another training has taken the number meanwhile
        return given_out if given_out is not None else next_name(Path("runs"), _stem(source))

    begun = _begun(destination()) if resume else None
    if begun is None:
        _check_free(destination(), resume)
    prepared = prepare(source, wanted, plan.data, exclude=exclude, seed=plan.seed)
    prepared = dataclasses.replace(prepared, tasks=with_weights(prepared.tasks, weights or {}))
    prediction_columns.check_names(Layout.of(prepared.tasks))
    check_options(plan.training, prepared.tasks)
    # Only now: these import Keras, and a mistake is found before that.
    from polycera.layers import backend
    from polycera.layers.devices import check_devices
    from polycera.tabular.train_run import train_run

    backend.check_process()
    check_devices()
    plan = _completed(plan, prepared)
    bar = somebody_watches() if progress is None else progress
    if begun is not None:
        existing_run.check_same(begun, plan, prepared)
        return _going_on(begun, prepared, bar, checkpoint_every, say)
    _announce(prepared, plan, say)
    with atomic.new_parents(destination()):
        place = _new_run(destination, plan, prepared, given_out is not None, resume)
        trained = train_run(Run(place), prepared, bar, checkpoint_every, say)
        trained.library = library_of(source)
        return trained


def _place(out: str | Path) -> Path:
    """The run folder as the system will find it: what is left of `a/../b` once `a` was made for it and removed."""
    place = paths.checked(out, "The run folder")
    return place.resolve() if ".." in place.parts and not place.exists() else place


def _check_free(place: Path, resume: bool) -> None:
    """Refuse a folder that is there, and say how to go on where it is a training that was cut off."""
    try:
        atomic.check_free(place, over_empty=resume)
    except atomic.Taken as error:
        hint = existing_run.how_to_go_on(place)
        raise (InputError(f"{str(error).rstrip('.')}{hint}.") if hint else error) from None


def _begun(place: Path) -> Run | None:
    """The run in a folder, begun or ended; None where nothing is there that a training left."""
    if not paths.listed(place) and not place.is_file():
        return None
    if existing_run.holds_nothing(place):
        lock.check(place / folder.CHECKPOINTS)
        atomic.discard(place)
        return None
    return Run(place)


def _new_run(
    destination: Any, plan: Spec, prepared: PreparedTable, named: bool, resume: bool
) -> Path:
    """Make the folder; where no name was given and another training takes it meanwhile, with the next number."""
    while True:
        place: Path = destination()
        try:
            with atomic.new_folder(place, over_empty=resume) as draft:
                _begin(draft, plan, prepared)
            return place
        except atomic.Taken:
            if named:
                raise


def _going_on(begun: Run, prepared: PreparedTable, bar: bool, every: str, say: Any) -> Run:
    """Bring a run to its end; one that has ended is left as it is."""
    if _ended(begun, say):
        return begun
    lock.check(begun.path / folder.CHECKPOINTS)
    _warn_of_versions(begun)
    if say is not None:
        say(f"The run {str(begun.path)!r} was cut off; it goes on.")
    from polycera.tabular.train_run import train_run

    return train_run(begun, prepared, bar, every, say, fresh=False)


def _ended(begun: Run, say: Any) -> bool:
    """Return whether a run has ended; one that has is tidied, and it is said that there is nothing to resume."""
    if not begun.finished:
        return False
    _tidy(begun.path)
    if say is not None:
        say(f"The run {str(begun.path)!r} has ended; there is nothing to resume.")
    return True


def _tidy(run: Path) -> None:
    """Take away what is left of a training that was killed between its manifest and its last breath."""
    checkpoints = run / folder.CHECKPOINTS
    with suppress(PolyceraError):  # the run may be read-only, or in the hands of who trained it
        if checkpoints.is_dir() or any(atomic.is_half(path) for path in paths.listed(run)):
            with lock.held(checkpoints):
                Checkpoints(checkpoints).clear()
                for each in (run, run / folder.EPOCHS):
                    atomic.sweep(each)
            atomic.remove(checkpoints)


def resume(
    run: str | Path,
    source: Any = None,
    *,
    checkpoint_every: str = "1 minute",
    progress: bool | None = None,
    say: Any = None,
) -> Run:
    """Go on with a training that was cut off, from its last checkpoint, to the same bits as if nothing had happened.

    Args:
        run: its folder.
        source: the table, where it is no longer where the run found it, or was a data frame.
        checkpoint_every, progress, say: as for `fit`.

    Returns:
        the run, as `fit` does. One that has ended is opened and left as it is.

    Raises:
        InputError: where there is no run, or the table is not the one with which it began.
        PolyceraError: where another process trains into the folder.

    Examples:
        >>> import polycera as pc
        >>> run = pc.resume("runs/customers-1")              # doctest: +SKIP
    """
    SaveInterval.of(checkpoint_every)
    begun = Run(run)
    if _ended(begun, say):
        return begun
    lock.check(begun.path / folder.CHECKPOINTS)
    prepared = prepared_again(begun, source)
    from polycera.layers import backend
    from polycera.layers.devices import check_devices
    from polycera.tabular.train_run import train_run

    backend.check_process()
    check_devices()
    _warn_of_versions(begun)
    bar = somebody_watches() if progress is None else progress
    return train_run(begun, prepared, bar, checkpoint_every, say, fresh=False)


def _warn_of_versions(begun: Run) -> None:
    now = versions()
    other = [
        f"{name} {old} (now {now.get(name, 'none')})"
        for name, old in begun.versions.items()
        if now.get(name) != old
    ]
    if other:
        warnings.warn(
            f"The run began with {', '.join(other)}: it goes on, but not to the same bits.",
            stacklevel=3,
        )


def _begin(draft: Path, plan: Spec, prepared: PreparedTable) -> None:
    """Everything that is known before the first step."""
    atomic.write(draft / folder.SPEC, to_yaml(plan))
    atomic.write(draft / folder.SCHEMA, manifest.page(_schema(prepared)))
    atomic.write(draft / folder.VERSIONS, manifest.page(versions()))
    known_rows.write(draft / folder.ROWS, prepared)
    manifest.seal(draft, [folder.SPEC, folder.SCHEMA, folder.VERSIONS, folder.ROWS])


def _schema(prepared: PreparedTable) -> dict[str, Any]:
    own = prepared.schema.to_config()
    return {
        **own,
        "encoder": prepared.encoder.to_config(),
        "rows": prepared.digest,
        "warnings": prepared.warnings,
    }


def _refuse_beside_a_spec(given: Mapping[str, Any]) -> None:
    """A spec says all of this itself; an argument beside it would have to be ignored in silence."""
    defaults = {name: one.default for name, one in inspect.signature(fit).parameters.items()}
    given = {name: given[name] for name in given.keys() - BESIDE_A_SPEC}
    beside = [
        name for name, value in given.items() if value is not None and value != defaults[name]
    ]
    if beside := [
        name
        for name in beside
        if not isinstance(given[name], Mapping | list | tuple) or given[name]
    ]:
        raise InputError(
            f"A spec holds {listing(beside)} itself: write them into the spec, or leave the spec out."
        )


def _options(kind: type[Any], values: Mapping[str, Any] | None, what: str) -> Any:
    """A part of the spec from keyword arguments."""
    known = kind.__struct_fields__
    for name in values or {}:
        if name not in known:
            raise UnknownName(f"option of {what}", name, known)
    written = {
        n: v.to_config() if isinstance(v, MethodBase) else v for n, v in (values or {}).items()
    }
    return kind(**written)  # `checked` looks at the values


def _stem(source: Any) -> str:
    return Path(source).name.split(".")[0] if isinstance(source, str | Path) else "table"


def _completed(plan: Spec, prepared: PreparedTable) -> Spec:
    """The spec with all that was inferred written into it, so that it can be read, edited and passed back."""
    from polycera.tabular import recipe

    roles = {column.name: column.role for column in prepared.schema.columns}
    return msgspec.structs.replace(
        plan,
        tasks=[task.to_config() for task in prepared.tasks],
        data=msgspec.structs.replace(plan.data, columns=roles),
        network=recipe.completed(plan, prepared.encoder, prepared.parts, prepared.copies),
    )


def _announce(prepared: PreparedTable, plan: Spec, say: Any) -> None:
    from polycera.tabular import recipe

    if say is not None:
        for task in prepared.tasks:
            say(f"Target {shorten(task.name)!r} ({task.kind}): {prepared.reasons[task.name]}")
        rows = ", ".join(f"{len(part)} {name}" for name, part in prepared.named_parts.items())
        if (folds := plan.network.folds or 1) > 1:
            rows = f"{len(prepared.learned_from)} train and validate in {folds} folds, {len(prepared.parts.test)} test"
        say(
            f"Columns used: {len(prepared.encoder.columns)}, features: {prepared.encoder.width}; rows: {rows}."
        )
        if plan.data.parts.groups is not None and len(prepared.learned_from) <= recipe.SMALL:
            say(
                f"Kernel ridge takes no part: it would be validated row by row, and rows of one "
                f"{shorten(repr(plan.data.parts.groups))} answer for each other."
            )
    for sentence in prepared.warnings:
        say(sentence) if say is not None else warnings.warn(sentence, stacklevel=3)


def versions() -> dict[str, str]:
    """What the run was made with."""
    import keras

    backend = keras.backend.backend()
    found = {"python": platform.python_version(), "backend": backend}
    for package in ("polycera", "keras", backend, "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
