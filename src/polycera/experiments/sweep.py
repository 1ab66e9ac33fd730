"""The same training under several static weights of its losses: what each task gains and what the others pay.

The network alone is trained and judged. Kernel ridge, which `pc.fit` puts beside the network of a
small table, is solved in closed form for each task by itself: weights of losses do not reach it,
and where it answers alone every weighting would show the same numbers.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from polycera import data
from polycera.errors import InputError, Interrupted, listing, shorten
from polycera.experiments import process_pool as side_by_side
from polycera.experiments.seeds import seeds_of
from polycera.experiments.sweep_result import JUDGED, Sweep, gathered
from polycera.experiments.weightings import Weights, checked, design, folder_of, listed
from polycera.runs import Spec, manifest, read_spec
from polycera.storage import atomic, safe_read
from polycera.tabular import Run, fit, resume
from polycera.tabular.loss_weights import parted, weight_of, with_weights
from polycera.tabular.prepare import tasks_from
from polycera.tasks import Task

NAME = "sweep.json"

NOT_SWEPT = ("out", "weights", "say", "progress", "seed")
"""Arguments of `fit` that a sweep has its own of."""


@dataclass(frozen=True)
class SweepSettings:
    """What all trainings of a sweep have in common.

    Attributes:
        source, targets, options: as `fit` takes them.
        spec: of all but the weights, where the sweep begins from one.
        out: the folder of the runs.
    """

    source: Any
    targets: Any
    options: dict[str, Any]
    spec: Spec | None
    out: Path


@dataclass(frozen=True)
class Weighed:
    """One training.

    Attributes:
        weights: of every task, and of the loss terms that are swept.
        seed: of the split, the first weights, the order of rows, dropout.
        folder: its run, in the folder of the sweep.
    """

    weights: Weights
    seed: int
    folder: str

    def __str__(self) -> str:
        return repr(self.folder)


def sweep(
    source: Any = None,
    targets: Any = None,
    weights: Iterable[Mapping[str, float]] | None = None,
    *,
    out: str | Path,
    seeds: int | Sequence[int] = 1,
    processes: int | None = None,
    say: Any = None,
    **options: Any,
) -> Sweep:
    """Train once for each of several static weightings of the tasks' losses, several at a time.

    Each is a run folder in `out`, named after its weights, so that it predicts, reports and resumes
    like any other. A second call with the same `out` keeps what has ended, goes on with what was
    cut off, and trains what is not there.

    Weightings are compared by the skills on the validation rows, for whoever chooses among them by
    the test rows has none left to say how good the choice is; where a run has no validation rows,
    by the held-out ones.

    The networks have no kernel ridge beside them (`landmarks` is 0): weights of losses do not reach
    it. To have both, call `pc.fit` with the weights that were chosen.

    Args:
        source, targets: as for `fit`.
        weights: dicts of task to factor, or of `task/term` to factor of a loss term, also of a
            single task; what is not named keeps its own weight. Default: equal weights, and for two
            tasks 4 : 1 and 16 : 1 both ways, for more each task at 4 and at 1/4; for a single task
            with several loss terms the same of its terms.
        out: a folder for the runs.
        seeds: how many trainings of each weighting, or which seeds. As with `fit`, a seed draws the
            split too.
        processes: trainings at once; as for `compare`.
        say: called with sentences on what is trained.
        **options: as for `fit`: `spec`, `training`, `network`, `test`, ...

    Returns:
        the sweep: `table`, `front`, `best(weights)`, `picture(a, b)`.

    Raises:
        UnknownName, InputError: for weights of a task or a term that there is not, for a weighting
            that would change them while training, for landmarks, for a folder that holds another
            sweep; and as `fit`.
        PolyceraError: where a training fails; the others of the sweep are ended, and those that
            have ended are kept.
        Interrupted: after Ctrl-C; what has ended is kept, and the same call goes on.

    Examples:
        >>> import polycera as pc
        >>> found = pc.sweep("customers.csv", ["churn", "revenue_loss"], out="sweeps/customers")      # doctest: +SKIP
        >>> found.best({"churn": 0.7, "revenue_loss": 0.3}).path                                      # doctest: +SKIP
        PosixPath('sweeps/customers/churn=4,revenue_loss=1')
    """
    asked = _asked(source, targets, dict(options), Path(out))
    given = None if weights is None else listed(weights)
    own = _own_weights(asked, given)
    wanted = design(own) if given is None else checked(given, own)
    first = 0 if asked.spec is None else asked.spec.seed
    jobs = [
        Weighed(each, seed, folder_of(each, None if seed == first else seed))
        for each in wanted
        for seed in seeds_of(seeds, first)
    ]
    # else the first training runs here, and finds out what is wrong with the table
    if processes is not None:
        _check_table(asked)
    with atomic.new_parents(asked.out / NAME):
        atomic.make_folder(asked.out)
        _begin(asked)
        try:
            _train_all(asked, jobs, processes, say)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted; what has ended is kept in {shorten(asked.out)!r}, and the same sweep goes on from there."
            ) from None
        finally:
            if not any(path.is_dir() for path in asked.out.iterdir()):
                atomic.remove(asked.out / NAME)
    rows = [
        (each, [asked.out / job.folder for job in jobs if job.weights == each]) for each in wanted
    ]
    found = gathered(asked.out, rows)
    if say is not None:
        say(JUDGED)
        if found.all_alike:
            say("All weightings reach the same numbers: nothing can be chosen among them.")
    atomic.write(asked.out / NAME, manifest.page({"asked": _digest(asked), **found.to_config()}))
    return found


# -- what is asked -----------------------------------------------------------------------------------------------------


def _asked(source: Any, targets: Any, options: dict[str, Any], out: Path) -> SweepSettings:
    for name in NOT_SWEPT:
        if name in options:
            raise InputError(f"A sweep has its own {name} for each training; leave {name}= out.")
    spec = options.pop("spec", None)
    if spec is not None and not isinstance(spec, Spec):
        spec = read_spec(spec)
    if spec is not None and targets is not None:
        raise InputError(
            "A spec holds the targets itself: write them into the spec, or leave the spec out."
        )
    given = options.get("training") or {}
    if not isinstance(given, Mapping):
        raise InputError(f"Expected training= to be a dict of options, got {shorten(repr(given))}.")
    weighting = given.get("weighting") if spec is None else spec.training.weighting
    if weighting is not None:
        raise InputError(
            f"A sweep compares static weights, and the weighting {shorten(weighting)!r} changes them while training: "
            "leave it out, or take it out of the spec."
        )
    several = (
        targets if targets is None or isinstance(targets, str | Task | Mapping) else list(targets)
    )
    if spec is None:
        options["network"] = _without_landmarks(options.get("network"))
    else:
        spec = msgspec.structs.replace(
            spec, network=msgspec.structs.replace(spec.network, landmarks=0)
        )
    return SweepSettings(source, several, options, spec, out)


def _without_landmarks(network: Any) -> dict[str, Any]:
    given = network or {}
    if not isinstance(given, Mapping):
        raise InputError(f"Expected network= to be a dict of options, got {shorten(repr(given))}.")
    if given.get("landmarks"):
        raise InputError(
            "A sweep judges the network alone, for weights of losses do not reach kernel ridge: leave landmarks out of "
            "network=."
        )
    return {**given, "landmarks": 0}


def _own_weights(asked: SweepSettings, wanted: list[Mapping[str, float]] | None) -> Weights:
    """Return what is weighed with the weight that it has by itself, without a look at the table.

    That is every task where there are several, and each loss term that one of the weightings names;
    where nothing is named, the terms of a single task.

    Raises:
        UnknownName: for a task that there is not.
        InputError: where there is one task, and no terms of it to be weighed.
    """
    tasks = _tasks_known(asked)
    found = {name: 1.0 if task is None else task.weight for name, task in tasks.items()}
    terms: Weights = {}
    known = [task for task in tasks.values() if task is not None]
    named = [name for each in wanted or () for name in each]
    if wanted is None and len(known) == len(tasks) == 1 and len(known[0].terms) > 1:
        named = [f"{known[0].name}/{term.name}" for term in known[0].terms]
    for name in dict.fromkeys(named):
        task, term = parted(name, found, "task in the weights:")
        if term is not None:
            declared = tasks[task] is not None
            terms[name] = (
                (weight_of(name, known) or 0.0) if declared else _given(name, task, wanted or [])
            )
    if len(found) < 2 and not terms:
        raise InputError(
            f"Weights matter between two tasks or more, or between the loss terms of one, and the targets are "
            f"{listing(found)}: name terms, as in weights=[{{'{next(iter(found), 'price')}/mse': 0.8, ...}}, ...]."
        )
    return terms if len(found) < 2 and not any(name in found for name in named) else found | terms


def _given(name: str, task: str, wanted: list[Mapping[str, float]]) -> float:
    """The weight of a term of a task whose kind is inferred later: every weighting must name it."""
    if any(name not in each for each in wanted):
        raise InputError(
            f"What {shorten(name)!r} weighs by itself is not known before the kind of {shorten(task)!r} is: name it in "
            f"each of the weights, or pass the task with its loss."
        )
    return 0.0


def _tasks_known(asked: SweepSettings) -> dict[str, Task | None]:
    """Name -> task, None where only its name or its kind was given."""
    if asked.spec is not None:
        return {task.name: task for task in tasks_from(asked.spec.tasks)}
    found: dict[str, Task | None] = {}
    for target in _listed(asked.targets):
        if isinstance(target, Mapping):
            found |= {
                str(name): wish if isinstance(wish, Task) else None for name, wish in target.items()
            }
        elif isinstance(target, Task):
            found[target.name] = target
        else:
            found[str(target)] = None
    return found


def _check_table(asked: SweepSettings) -> None:
    """Read the table before processes are started that would all say that it is not there, or lacks a target."""
    source = asked.source
    if source is None and asked.spec is not None:
        source = asked.spec.data.source
    if isinstance(source, str | Path):
        wanted = asked.targets if asked.spec is None else tasks_from(asked.spec.tasks)
        data.tasks_for(data.read(source, encoding=asked.options.get("encoding", "utf-8")), wanted)


def _listed(targets: Any) -> list[Any]:
    if targets is None:
        return []
    return [targets] if isinstance(targets, str | Task | Mapping) else list(targets)


def _begin(asked: SweepSettings) -> None:
    """Note what is swept, so that nobody mixes two sweeps in one folder.

    Raises:
        InputError: where the folder holds a sweep of something else.
    """
    path, digest = asked.out / NAME, _digest(asked)
    if path.exists():
        try:
            known = safe_read.json(safe_read.content(path, safe_read.SIZE))
        except ValueError:
            known = None
        if not isinstance(known, dict) or known.get("asked") != digest:
            raise InputError(
                f"The folder {shorten(asked.out)!r} holds a sweep with another table, other targets or other options; "
                "choose another out=, or remove it."
            )
    else:
        atomic.write(path, manifest.page({"asked": digest}))


def _digest(asked: SweepSettings) -> str:
    """Of all that the runs have in common, but for the cells of a data frame."""
    source = (
        str(asked.source) if isinstance(asked.source, str | Path) else type(asked.source).__name__
    )
    what = (source, _listed(asked.targets), asked.options, asked.spec)
    return hashlib.sha256(msgspec.json.encode(what, enc_hook=_plain, order="sorted")).hexdigest()


def _plain(value: Any) -> Any:
    return value.to_config() if isinstance(value, Task) else str(value)


# -- the trainings -----------------------------------------------------------------------------------------------------


def _train_all(asked: SweepSettings, jobs: list[Weighed], processes: int | None, say: Any) -> None:
    """The first says how long one takes, where nobody said how many processes there should be."""
    side_by_side.number(processes, len(jobs), 0.0)  # whether it is a number
    left = [job for job in jobs if not _has_ended(asked.out / job.folder)]
    if say is not None and len(left) < len(jobs):
        say(f"{len(jobs) - len(left)} of {len(jobs)} trainings have ended before and are kept.")
    if processes is None and len(left) > 1:
        side_by_side.run(train, asked, left[:1])
        seconds = float(Run(asked.out / left.pop(0).folder).metrics["seconds"])
        processes = side_by_side.number(None, len(left), seconds * len(left))
        if say is not None:
            say(
                f"{len(left)} more trainings, {side_by_side.expected(seconds, len(left), processes)}."
            )
    done = None if say is None else lambda job, _: say(f"Trained: {job}")
    side_by_side.run(train, asked, left, side_by_side.number(processes, len(left), 0.0), done)
    _repeat_warnings(asked.out / jobs[0].folder, say)


def _has_ended(place: Path) -> bool:
    return place.exists() and Run(place).finished


def train(asked: SweepSettings, job: Weighed) -> None:
    """Train one weighting, or go on with it, unless it has ended."""
    place = asked.out / job.folder
    with warnings.catch_warnings():
        # each would say the same; it is said once, from the first run
        warnings.simplefilter("ignore")
        if place.exists():
            begun = Run(place)
            if not begun.finished:
                resume(place, asked.source, progress=False)
        elif asked.spec is None:
            options = asked.options | {"weights": job.weights, "seed": job.seed}
            fit(asked.source, asked.targets, out=place, progress=False, **options)
        else:
            tasks = with_weights(tasks_from(asked.spec.tasks), job.weights)
            configs = [task.to_config() for task in tasks]
            spec = msgspec.structs.replace(asked.spec, tasks=configs, seed=job.seed)
            fit(asked.source, spec=spec, out=place, progress=False, **asked.options)


def _repeat_warnings(place: Path, say: Any) -> None:
    """What is notable about the table, once for all runs."""
    for sentence in Run(place).schema["warnings"]:
        say(sentence) if say is not None else warnings.warn(sentence, stacklevel=4)
