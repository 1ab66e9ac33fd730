"""Train under several static loss weights, and show what each task gains and the others lose.

Only the network is trained and compared. `pc.fit` puts kernel ridge beside the network of a small
table. It is solved in closed form for each task by itself, so loss weights do not reach it. Where
it alone made the predictions, every weighting would show the same numbers.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from polycera import data, renamed
from polycera.data.name_patterns import is_pattern
from polycera.errors import InputError, Interrupted, listing, shorten
from polycera.experiments import process_pool as side_by_side
from polycera.experiments.seeds import seeds_of
from polycera.experiments.weighting_comparison import JUDGED, WeightingComparison, gathered
from polycera.experiments.weightings import Weights, checked, design, folder_of, listed
from polycera.runs import Data, Spec, manifest, old_keys, read_spec
from polycera.storage import atomic, safe_read
from polycera.tabular import Run, fit, resume
from polycera.tabular.loss_weights import parted, weight_of, with_weights
from polycera.tabular.prepare import tasks_from
from polycera.tasks import Task

NAME = "weightings.json"
"""This file in the folder identifies the comparison, and at the end holds its results."""

OLD_NAME = "sweep.json"
"""The name of that file in folders that version 0.1.0 wrote; it goes on being used there."""

OLD_DATA = ("source", "encoding", "columns", "parts")
"""Options of the data in a spec of version 0.1.0."""

OWN_ARGUMENTS = ("out", "loss_weights", "say", "progress", "seed")
"""`compare_weightings` sets these arguments of `fit` itself."""


@dataclass(frozen=True)
class WeightingsAsked:
    """Hold what all trainings of a comparison of weightings have in common.

    Attributes:
        source, targets, options: as `fit` takes them.
        spec: everything but the weights, where a spec was passed.
        out: the folder of the runs.
    """

    source: Any
    targets: Any
    options: dict[str, Any]
    spec: Spec | None
    out: Path


@dataclass(frozen=True)
class WeightedTraining:
    """Describes one training with its weights.

    Attributes:
        loss_weights: of every task, and of the loss terms whose weights are varied.
        seed: seed of the split, the initial weights, the order of rows and dropout.
        folder: name of its run folder in the folder of the comparison.
    """

    loss_weights: Weights
    seed: int
    folder: str

    def __str__(self) -> str:
        return repr(self.folder)


@renamed.arguments(weights="loss_weights", joint="score_weights")
def compare_weightings(
    source: Any = None,
    targets: Any = None,
    loss_weights: Iterable[Mapping[str, float]] | None = None,
    *,
    out: str | Path,
    seeds: int | Sequence[int] = 1,
    processes: int | None = None,
    say: Any = None,
    **options: Any,
) -> WeightingComparison:
    """Train once for each of several static loss weightings, several trainings at a time.

    Each training is a run folder in `out`, named after its weights, so that it predicts, reports
    and resumes like any other run. A second call with the same `out` keeps finished trainings,
    resumes interrupted ones, and trains those that are missing.

    Weightings are compared by the skills on the validation rows. If the test rows were used to
    choose, no rows would be left to measure how good the choice is. Where a run has no validation
    rows, the rows on which its metrics were measured are used.

    The networks have no kernel ridge beside them (`landmarks` is 0), because loss weights do not
    reach it. To have both, call `pc.fit` with the weights that you chose.

    Args:
        source, targets: as for `fit`.
        loss_weights: dicts of task to factor, or of `task/term` to factor of a loss term, also of a
            single task; a task that is not named keeps its own weight. Default: equal weights, and
            for two tasks 4 : 1 and 16 : 1 both ways, for more each task at 4 and at 1/4; for a
            single task with several loss terms the same for its terms.
        out: folder for the runs.
        seeds: number of trainings of each weighting, or a list of seeds. As with `fit`, a seed also
            draws the split.
        processes: number of trainings at once; as for `compare_separate`.
        say: function that is called with sentences about the progress.
        **options: as for `fit`: `spec`, `training`, `network`, `test`, ...

    Returns:
        the comparison: `table`, `pareto_set`, `best(score_weights)`, `picture(a, b)`.

    Raises:
        UnknownName, InputError: for weights of a task or a term that does not exist; for a
            weighting that would change them while training; for landmarks; for a folder that holds
            another comparison; and as `fit`.
        PolyceraError: where a training fails; the other trainings are stopped, and finished ones
            remain.
        Interrupted: after Ctrl-C; finished trainings remain, and the same call continues.

    Examples:
        >>> import polycera as pc
        >>> found = pc.compare_weightings(
        ...     "customers.csv", ["churn", "revenue_loss"], out="weightings/customers"
        ... )  # doctest: +SKIP
        >>> found.best({"churn": 0.7, "revenue_loss": 0.3}).path  # doctest: +SKIP
        PosixPath('weightings/customers/churn=4,revenue_loss=1')
    """
    settings = _settings(source, targets, dict(options), Path(out))
    requested = None if loss_weights is None else listed(loss_weights)
    declared_weights = _default_weights(settings, requested)
    weightings = (
        design(declared_weights) if requested is None else checked(requested, declared_weights)
    )
    first = 0 if settings.spec is None else settings.spec.seed
    jobs = [
        WeightedTraining(weighting, seed, folder_of(weighting, None if seed == first else seed))
        for weighting in weightings
        for seed in seeds_of(seeds, first)
    ]
    # Without a number of processes the first training runs here and finds errors in the table.
    if processes is not None:
        _check_table(settings)
    with atomic.new_parents(_record(settings.out)):
        atomic.make_folder(settings.out)
        _begin(settings)
        try:
            _train_all(settings, jobs, processes, say)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted; finished trainings are kept in {shorten(settings.out)!r}, and the "
                "same call continues from there."
            ) from None
        finally:
            # Without any run the folder holds no comparison; another one may then use it.
            if not any(path.is_dir() for path in settings.out.iterdir()):
                atomic.remove(_record(settings.out))
    rows = [
        (weighting, [settings.out / job.folder for job in jobs if job.loss_weights == weighting])
        for weighting in weightings
    ]
    result = gathered(settings.out, rows)
    if say is not None:
        say(JUDGED)
        if result.all_alike:
            say("All weightings reach the same scores, so there is nothing to choose.")
    atomic.write(
        _record(settings.out), manifest.page({"asked": _digest(settings), **result.to_config()})
    )
    return result


# -- arguments -------------------------------------------------------------------------------


def _settings(source: Any, targets: Any, options: dict[str, Any], out: Path) -> WeightingsAsked:
    """Return the arguments of `compare_weightings`, checked.

    Raises:
        InputError: for arguments that are set for each training, a spec beside targets, or a loss
            weighting that changes weights while training.
    """
    for name in OWN_ARGUMENTS:
        if name in options:
            raise InputError(
                f"compare_weightings sets {name} for each training itself; leave {name}= out."
            )
    spec = options.pop("spec", None)
    if spec is not None and not isinstance(spec, Spec):
        spec = read_spec(spec)
    if spec is not None and targets is not None:
        raise InputError(
            "A spec holds the targets itself: write them into the spec, or leave the spec out."
        )
    training_options = options.get("training") or {}
    if not isinstance(training_options, Mapping):
        raise InputError(
            f"Expected training= to be a dict of options, got {shorten(repr(training_options))}."
        )
    weighting = training_options.get("weighting") if spec is None else spec.training.weighting
    if weighting is not None:
        raise InputError(
            f"compare_weightings compares static weights, and the weighting {shorten(weighting)!r} "
            "changes them while training: leave it out, or take it out of the spec."
        )
    # An iterator is read once here, because the targets are used for every training.
    target_list = (
        targets if targets is None or isinstance(targets, str | Task | Mapping) else list(targets)
    )
    if spec is None:
        target_list = _by_name(source, target_list, options)
        options["network"] = _without_landmarks(options.get("network"))
    else:
        spec = msgspec.structs.replace(
            spec, network=msgspec.structs.replace(spec.network, landmarks=0)
        )
    return WeightingsAsked(source, target_list, options, spec, out)


def _by_name(source: Any, targets: Any, options: dict[str, Any]) -> Any:
    """Return the targets by their names, with the kinds that `options` has for them.

    Weights are of tasks, so that their names must be known before the first training. The table is
    only read where a target is a pattern, a position or a tuple.
    """
    kinds = options.pop("kinds", None)
    if targets is None or isinstance(targets, Task):
        return targets
    listed_targets = _listed(targets)
    names = [
        name.name if isinstance(name, Task) else name
        for target in listed_targets
        for name in (target if isinstance(target, Mapping) else [target])
    ]
    plain = all(isinstance(name, str) for name in names)
    if plain and not any(map(is_pattern, names)):
        return data.named_targets(targets, names, kinds) if kinds else targets
    reading: dict[str, Any] = {name: options.get(name) for name in ("encoding", "sql", "sheet")}
    return data.named_targets(targets, data.read(source, **reading).source_names, kinds)


def _without_landmarks(network: Any) -> dict[str, Any]:
    """Return the network's options with `landmarks` at 0; refuse any other number."""
    options = network or {}
    if not isinstance(options, Mapping):
        raise InputError(
            f"Expected network= to be a dict of options, got {shorten(repr(options))}."
        )
    if options.get("landmarks"):
        raise InputError(
            "compare_weightings measures the network alone, because loss weights do not affect "
            "kernel ridge: leave landmarks out of network=."
        )
    return {**options, "landmarks": 0}


def _default_weights(
    settings: WeightingsAsked, weightings: list[Mapping[str, float]] | None
) -> Weights:
    """Return the declared weights of what is varied, without reading the table.

    That is every task where there are several, and each loss term that one of the weightings names.
    Where nothing is named, it is the terms of a single task.

    Raises:
        UnknownName: for a task that does not exist.
        InputError: where there is one task, and no terms of it to vary.
    """
    tasks = _known_tasks(settings)
    task_weights = {name: 1.0 if task is None else task.weight for name, task in tasks.items()}
    terms: Weights = {}
    declared_tasks = [task for task in tasks.values() if task is not None]
    named = [name for weighting in weightings or () for name in weighting]
    if (
        weightings is None
        and len(declared_tasks) == len(tasks) == 1
        and len(declared_tasks[0].terms) > 1
    ):
        named = [f"{declared_tasks[0].name}/{term.name}" for term in declared_tasks[0].terms]
    for name in dict.fromkeys(named):
        task, term = parted(name, task_weights, "task in the weights:")
        if term is not None:
            declared = tasks[task] is not None
            terms[name] = (
                (weight_of(name, declared_tasks) or 0.0)
                if declared
                else _named_weight(name, task, weightings or [])
            )
    if len(task_weights) < 2 and not terms:
        raise InputError(
            "Weights matter between two tasks or more, or between the loss terms of one, and the "
            f"targets are {listing(task_weights)}: name terms, as in "
            f"loss_weights=[{{'{next(iter(task_weights), 'price')}/mse': 0.8, ...}}, ...]."
        )
    # A single task without a named weight of its own is left out: only its terms are varied.
    return (
        terms
        if len(task_weights) < 2 and not any(name in task_weights for name in named)
        else task_weights | terms
    )


def _named_weight(name: str, task: str, weightings: list[Mapping[str, float]]) -> float:
    """Return 0 for a term of a task whose kind is inferred later.

    The number is never used, because every weighting must name the term.

    Raises:
        InputError: where a weighting does not name it.
    """
    if any(name not in weighting for weighting in weightings):
        raise InputError(
            f"What {shorten(name)!r} weighs by itself is not known before the kind of "
            f"{shorten(task)!r} is: name it in each of the weights, or pass the task with its "
            "loss."
        )
    return 0.0


def _known_tasks(settings: WeightingsAsked) -> dict[str, Task | None]:
    """Return name -> task; None where only its name or its kind was given."""
    if settings.spec is not None:
        return {task.name: task for task in tasks_from(settings.spec.tasks)}
    tasks: dict[str, Task | None] = {}
    for target in _listed(settings.targets):
        if isinstance(target, Mapping):
            tasks |= {
                str(name): wish if isinstance(wish, Task) else None for name, wish in target.items()
            }
        elif isinstance(target, Task):
            tasks[target.name] = target
        else:
            tasks[str(target)] = None
    return tasks


def _check_table(settings: WeightingsAsked) -> None:
    """Read the table and check its targets before processes are started.

    Otherwise each process would fail with the same error.
    """
    source = settings.source
    if source is None and settings.spec is not None:
        source = settings.spec.data.source
    if isinstance(source, str | Path):
        targets = settings.targets if settings.spec is None else tasks_from(settings.spec.tasks)
        data.tasks_for(data.read(source, encoding=settings.options.get("encoding")), targets)


def _listed(targets: Any) -> list[Any]:
    """Return the targets as a list, which is empty where there are none."""
    if targets is None:
        return []
    return [targets] if isinstance(targets, str | Task | Mapping) else list(targets)


def _begin(settings: WeightingsAsked) -> None:
    """Write what is compared into the folder, so that two comparisons are not mixed in it.

    Raises:
        InputError: where the folder holds a comparison of something else.
    """
    path, digest = _record(settings.out), _digest(settings)
    if path.exists():
        try:
            existing = safe_read.json(safe_read.content(path, safe_read.SIZE))
        except ValueError:
            existing = None
        if not isinstance(existing, dict) or existing.get("asked") != digest:
            raise InputError(
                f"The folder {shorten(settings.out)!r} holds a comparison of weightings with "
                "another table, other targets or other options; choose another out=, or remove it."
            )
    else:
        atomic.write(path, manifest.page({"asked": digest}))


def _record(folder: Path) -> Path:
    """Return the path of the file that identifies a comparison, by its old name if it has that."""
    return folder / OLD_NAME if (folder / OLD_NAME).exists() else folder / NAME


def _digest(settings: WeightingsAsked) -> str:
    """Return a checksum of what all runs have in common, without the cells of a data frame."""
    source = (
        str(settings.source)
        if isinstance(settings.source, str | Path)
        else type(settings.source).__name__
    )
    options: Any = settings.options
    spec: Any = settings.spec
    if _record(settings.out).name == OLD_NAME:
        # Version 0.1.0 wrote this checksum of options and spec under their old keys.
        options = old_keys.as_before(options, {("joint",): "score_weights"})
        spec = old_keys.as_before(_without_new_options(spec), old_keys.SPEC)
    content = (source, _listed(settings.targets), options, spec)
    return hashlib.sha256(msgspec.json.encode(content, enc_hook=_plain, order="sorted")).hexdigest()


def _without_new_options(spec: Spec | None) -> Any:
    """Return a spec as plain values, without those options of the data that 0.1.0 did not have.

    An option that is set stays: then the comparison is another one.
    """
    values: Any = msgspec.to_builtins(spec)
    if spec is not None:
        usual = msgspec.to_builtins(Data())
        values["data"] = {
            name: value
            for name, value in values["data"].items()
            if name in OLD_DATA or value != usual[name]
        }
    return values


def _plain(value: Any) -> Any:
    """Return a task as its config, and anything else that JSON does not know as text."""
    return value.to_config() if isinstance(value, Task) else str(value)


# -- trainings -------------------------------------------------------------------------------


def _train_all(
    settings: WeightingsAsked, jobs: list[WeightedTraining], processes: int | None, say: Any
) -> None:
    """Train all jobs that are not finished.

    Without a number of processes the first training measures how long one takes.
    """
    side_by_side.number(
        processes, len(jobs), 0.0
    )  # only to check that it is a number, before any training
    remaining = [job for job in jobs if not _has_ended(settings.out / job.folder)]
    if say is not None and len(remaining) < len(jobs):
        say(
            f"{len(jobs) - len(remaining)} of {len(jobs)} trainings are finished already and are "
            "reused."
        )
    if processes is None and len(remaining) > 1:
        side_by_side.run(train, settings, remaining[:1])
        seconds = Run(settings.out / remaining.pop(0).folder).seconds or 0.0
        processes = side_by_side.number(None, len(remaining), seconds * len(remaining))
        if say is not None:
            say(
                f"{len(remaining)} more trainings, "
                f"{side_by_side.expected(seconds, len(remaining), processes)}."
            )
    done = None if say is None else lambda job, _: say(f"Trained: {job}")
    side_by_side.run(
        train, settings, remaining, side_by_side.number(processes, len(remaining), 0.0), done
    )
    _repeat_warnings(settings.out / jobs[0].folder, say)


def _has_ended(path: Path) -> bool:
    """Return whether a folder holds a finished run."""
    return path.exists() and Run(path).finished


def train(settings: WeightingsAsked, job: WeightedTraining) -> None:
    """Train one weighting, or resume it, unless it is finished."""
    run_folder = settings.out / job.folder
    with warnings.catch_warnings():
        # Every training would repeat the same warnings; `_repeat_warnings` shows them once.
        warnings.simplefilter("ignore")
        if run_folder.exists():
            run = Run(run_folder)
            if not run.finished:
                resume(run_folder, settings.source, progress=False)
        elif settings.spec is None:
            options = settings.options | {"loss_weights": job.loss_weights, "seed": job.seed}
            fit(settings.source, settings.targets, out=run_folder, progress=False, **options)
        else:
            tasks = with_weights(tasks_from(settings.spec.tasks), job.loss_weights)
            configs = [task.to_config() for task in tasks]
            spec = msgspec.structs.replace(settings.spec, tasks=configs, seed=job.seed)
            fit(settings.source, spec=spec, out=run_folder, progress=False, **settings.options)


def _repeat_warnings(path: Path, say: Any) -> None:
    """Repeat the warnings about the table once for all runs."""
    for sentence in Run(path).schema["warnings"]:
        say(sentence) if say is not None else warnings.warn(sentence, stacklevel=5)
