"""From a table to a run folder, in one call."""

from __future__ import annotations

import dataclasses
import inspect
import platform
import sys
import warnings
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import keras
import msgspec
import numpy as np

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.monitoring import Gradients, JointScore
from polycera.monitoring.progress import Progress
from polycera.runs import Data, Network, Parts, Spec, Training, atomic, checked, folder, next_name, read_spec, to_yaml
from polycera.runs import columns as files
from polycera.tasks import Layout, Task, task_from_config
from polycera.training import answers, recipe
from polycera.training.model import Model
from polycera.training.run import Run, as_values
from polycera.training.table import Prepared, prepare


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
    encoding: str = "utf-8",
    seed: int = 0,
    network: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    say: Any = None,
) -> Run:
    """Train one network for all targets of a table; leave a run folder.

    Kinds of targets and roles of columns are inferred; each can be declared. Features are encoded by what the
    training rows show. Training stops on the mean skill of all tasks over the validation rows and keeps the best
    weights. Two calls with one seed give equal numbers on one machine.

    Args:
        source: path of a .csv or .parquet file; a pandas, polars or pyarrow frame; a dict of columns.
        targets: column names; or a dict of name to kind (`"count"`) or task; or tasks.
        weights: task -> factor in the total loss, where it is not the task's own (1).
        out: the run folder; default `runs/<name of the file>-<number>`.
        spec: a spec (or its path) as a run leaves it, perhaps edited: repeats that training; `source` may replace
            its file; the arguments that a spec holds stay out.
        columns: name -> role, where the inferred one is wrong: number, category, boolean, date, ignore, ...
        exclude: columns to leave out.
        validation, test: shares of the rows.
        split: a column that names each row's part (train, validation, test).
        groups: a column whose groups are never divided.
        time: a column by whose order the last rows are the test.
        joint: task -> weight in the score by which training stops; default: all alike.
        encoding: of a text file.
        seed: of the split, the first weights, the order of rows, dropout.
        network: `width`, `depth`, `dropout` of the trunk.
        training: `learning_rate`, `weight_decay`, `batch_size`, `max_steps`, `patience_steps`,
            `weighting`, `balancing`, `gradients`, `preference`.
        progress: whether to draw a bar; default: on a terminal.
        say: called with each sentence about what was inferred; default: nothing is said but warnings.

    Returns:
        the run: `run.metrics`, `run.predict(...)`, `run.path`.

    Raises:
        UnknownName, InputError: one sentence for whatever is wrong; nothing is left behind.

    Examples:
        >>> import polycera as pc
        >>> run = pc.fit("customers.csv", targets=["churn", "revenue_loss"])     # doctest: +SKIP
        >>> run.metrics["test"]["churn"]["auc"]["value"]                         # doctest: +SKIP
        0.71
    """
    given = dict(locals())
    if spec is None:
        parts = Parts(validation=validation, test=test, column=split, groups=groups, time=time)
        path = str(source) if isinstance(source, str | Path) else None
        plan = Spec(
            tasks=[],
            data=Data(source=path, encoding=encoding, columns=dict(columns or {}), parts=parts),
            network=_options(Network, network, "network"),
            training=_options(Training, {**(training or {}), "joint": dict(joint or {})}, "training"),
            seed=seed,
        )
        wanted = targets
    else:
        _refuse_beside_a_spec(given)
        plan = spec if isinstance(spec, Spec) else read_spec(spec)
        wanted = [_task(config) for config in plan.tasks]
        source = plan.data.source if source is None else source
    if source is None:
        raise InputError("No table: pass a path, a data frame or a dict of columns.")
    plan = checked(plan)

    def destination() -> Path:  # asked twice: another training may have taken the number meanwhile
        return Path(out) if out is not None else next_name(Path("runs"), _stem(source))

    atomic.check_free(destination())
    prepared = prepare(source, wanted, plan.data, exclude=exclude, seed=plan.seed)
    prepared = dataclasses.replace(prepared, tasks=_weighted(prepared.tasks, weights or {}))
    answers.check_names(Layout.of(prepared.tasks))
    plan = _completed(plan, prepared)
    _announce(prepared, say)
    trained = _trained(plan, prepared, sys.stdout.isatty() if progress is None else progress)
    place = destination()
    with atomic.new_folder(place) as draft:
        _write(draft, plan, prepared, trained)
    run = Run(place)
    run.model = trained.model
    return run


def _refuse_beside_a_spec(given: Mapping[str, Any]) -> None:
    """A spec says all of this itself; an argument beside it would have to be ignored in silence."""
    defaults = {name: one.default for name, one in inspect.signature(fit).parameters.items()}
    given = {name: given[name] for name in given.keys() - {"source", "out", "spec", "progress", "say"}}
    beside = [name for name, value in given.items() if value is not None and value != defaults[name]]
    if beside := [name for name in beside if not isinstance(given[name], Mapping | list | tuple) or given[name]]:
        raise InputError(f"A spec holds {listing(beside)} itself: write them into the spec, or leave the spec out.")


def _task(config: Mapping[str, Any]) -> Task:
    if config.get("kind") == "joint":
        raise InputError(
            f"The spec has a joint term {shorten(config.get('name'))!r}, and only pc.Model takes those: take it out."
        )
    task = task_from_config(dict(config))
    assert isinstance(task, Task)
    return task


def _weighted(tasks: list[Task], weights: Mapping[str, float]) -> list[Task]:
    names = [task.name for task in tasks]
    for name in weights:
        if name not in names:
            raise UnknownName("target", name, names)
    return [task.replace(weight=weights[task.name]) if task.name in weights else task for task in tasks]


def _options(kind: type[Any], values: Mapping[str, Any] | None, what: str) -> Any:
    """A part of the spec from keyword arguments."""
    known = kind.__struct_fields__
    for name in values or {}:
        if name not in known:
            raise UnknownName(f"option of {what}", name, known)
    return kind(**(values or {}))  # `checked` looks at the values


def _stem(source: Any) -> str:
    return Path(source).name.split(".")[0] if isinstance(source, str | Path) else "table"


def _completed(plan: Spec, prepared: Prepared) -> Spec:
    """The spec with all that was inferred written into it, so that it can be read, edited and passed back."""
    roles = {column.name: column.role for column in prepared.schema.columns}
    return msgspec.structs.replace(
        plan,
        tasks=[task.to_config() for task in prepared.tasks],
        data=msgspec.structs.replace(plan.data, columns=roles),
    )


def _announce(prepared: Prepared, say: Any) -> None:
    if say is not None:
        for task in prepared.tasks:
            say(f"Target {shorten(task.name)!r} ({task.kind}): {prepared.reasons[task.name]}")
        rows = ", ".join(f"{len(part)} {name}" for name, part in prepared.named_parts.items())
        say(f"Columns used: {len(prepared.encoder.columns)}, features: {prepared.encoder.width}; rows: {rows}.")
    for sentence in prepared.warnings:
        say(sentence) if say is not None else warnings.warn(sentence, stacklevel=3)


class Trained(NamedTuple):
    """What a training came to.

    Attributes:
        model: the network.
        history: name -> one value an epoch.
        gradients: what balancing saw of the gradients, if there was any.
        seconds: that it took.
    """

    model: Model
    history: dict[str, list[float]]
    gradients: Gradients | None
    seconds: float


def _trained(plan: Spec, prepared: Prepared, progress: bool) -> Trained:
    """Train the network of a table."""
    begun = perf_counter()
    train, validation = prepared.rows(prepared.parts.train), None
    if len(prepared.parts.validation):
        validation = prepared.rows(prepared.parts.validation)
    steps = recipe.Plan.of(len(train[0]), plan.training)
    model = recipe.build(prepared.encoder.width, prepared.tasks, plan.network, plan.training, plan.seed)
    watch: list[Any] = [JointScore(plan.training.joint or None)]
    gradients = Gradients() if model.balanced else None
    watch += [gradients] if gradients else []
    bar = Progress(steps.epochs)
    try:
        history = recipe.train(model, train, validation, steps, watch + [bar] * progress, plan.seed)
    finally:
        bar.stop()
    recipe.check_finite(model)
    return Trained(model, history, gradients, perf_counter() - begun)


def _write(draft: Path, plan: Spec, prepared: Prepared, trained: Trained) -> None:
    model, history = trained.model, trained.history
    name, rows = prepared.held_out
    parts = {"validation": prepared.parts.validation, name: rows}  # one entry where they are the same
    metrics: dict[str, Any] = {"held_out": name}
    for part, indices in parts.items():
        if len(indices):
            features, targets = prepared.rows(indices)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.evaluate(features, targets, verbose=0)
            metrics[part] = as_values(model.scores)
    features, targets = prepared.rows(rows)
    predicted = model._in_units(features, verbose=0)
    metrics["rows"] = {part: len(indices) for part, indices in prepared.named_parts.items()}
    metrics |= {
        "parameters": model.count_params(),
        "epochs": len(history["loss"]),
        "seconds": round(trained.seconds, 2),
    }
    model.save(draft / folder.MODEL)
    atomic.write(draft / folder.SPEC, to_yaml(plan))
    schema = {**prepared.schema.to_config(), "encoder": prepared.encoder.to_config(), "warnings": prepared.warnings}
    _json(draft / folder.SCHEMA, schema)
    _json(draft / folder.METRICS, metrics)
    _json(draft / folder.VERSIONS, versions())
    files.write(draft / folder.HISTORY, {"epoch": list(range(len(history["loss"]))), **history})
    if trained.gradients is not None:
        kept = trained.gradients
        arrays = {"weights": kept.weights, "norms": kept.norms, "cosines": kept.cosines}
        tasks = np.array(kept.tasks, dtype=np.str_)
        files.write_arrays(draft / folder.GRADIENTS, {"tasks": tasks, **arrays})
    files.write(draft / folder.PREDICTIONS, answers.beside_truth(np.asarray(rows), targets, model.layout, predicted))


def _json(path: Path, values: Any) -> None:
    atomic.write(path, msgspec.json.format(msgspec.json.encode(values), indent=1))


def versions() -> dict[str, str]:
    """What the run was made with."""
    backend = keras.backend.backend()
    found = {"python": platform.python_version(), "backend": backend}
    for package in ("polycera", "keras", backend, "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
