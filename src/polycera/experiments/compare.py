"""Separate networks as the yardstick: the same trunk and head once for each task, against the one for all."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polycera.errors import InputError, UnknownName, shorten
from polycera.experiments import process_pool as side_by_side
from polycera.experiments.affinity import affinity as affinity_of
from polycera.experiments.comparison_verdict import verdict
from polycera.experiments.confidence_interval import interval
from polycera.experiments.gains import delta_m, gain_of
from polycera.experiments.jobs import ComparisonData, Job, TrainedJob, problem_of, train
from polycera.experiments.seeds import seeds_of
from polycera.runs import folder, manifest, results
from polycera.runs.results import Comparison
from polycera.storage import atomic, lock
from polycera.tabular import Run


def compare(
    run: Run | str | Path,
    source: Any = None,
    *,
    seeds: int | Sequence[int] = 3,
    affinity: bool = False,
    tasks: Iterable[str] | None = None,
    processes: int | None = None,
    confidence: float = 0.95,
    write: bool = True,
    say: Any = None,
) -> Comparison:
    """Would a separate network for each task be better?

    Trains the run's network anew and, for each task, one of its own: the same trunk and head, the
    same rows in the same parts and features, batches, steps and patience. What says how several
    tasks get on (their weights, a weighting, a balancing) has no place in a network of one task.
    The joint network and the separate ones of a seed start from the same weights of the trunk and
    see the rows in the same order, so their differences are paired. Each stops by its own
    validation score and keeps its best weights. Kernel ridge, which a run of a small table has
    beside its network, is left out on both sides: it is solved for each task by itself, and seeds
    do not change it.

    Seeds vary the first weights, the order of rows and dropout. They do not vary the split: an
    interval says what another training on these rows would show, not what other rows would.

    Args:
        run: a finished run, or its folder; `comparison.json` is put into it.
        source: the table, where it is no longer where the run found it, or was a data frame.
        seeds: how many trainings of each network, the first with the run's own seed; or a list of
            seeds. One gives no interval.
        affinity: whether each pair of tasks is trained too, and groups are suggested.
        tasks: those to compare, where all would take too long; default: every one.
        processes: trainings at once, each with one thread; 1: in this process. Default: one for
            each core, or this process alone where the work is small or an accelerator does it. The
            same numbers come out, however many there are; only this process, where it has several
            threads, may round sums differently.
        confidence: of the intervals.
        write: whether to put the result into the run.
        say: called with a sentence on what is to be trained and how long that may take.

    Returns:
        the comparison, with a verdict in words.

    Raises:
        UnknownName: for a task that the run does not have.
        InputError: where there is nothing to compare: one task, a run that has not ended, no rows
            held out; for another table.
        PolyceraError: where another process trains into the run, the folder takes no file, or a
            training fails.

    Examples:
        >>> import polycera as pc
        >>> found = pc.compare("runs/customers-1", seeds=5)          # doctest: +SKIP
        >>> print(found.verdict)                                     # doctest: +SKIP
        Separate networks win on the test rows: better in 2 of 2 tasks, ...
        >>> found.tasks["churn"].difference, found.delta             # doctest: +SKIP
        (-0.013, -0.021)
    """
    # not imported to find out: who has a Keras model has imported it
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(run, keras.Model):
        raise InputError(
            f"pc.compare takes a run of pc.fit, which holds rows, batches and steps; got the Keras model {run.name!r}. "
            "Compare models of your own by hand: adopt the same builder once for all tasks and once for each, and "
            "look at model.skills on the same rows (docs/separate-networks.md); pc.describe(model) tells the costs."
        )
    if not isinstance(run, Run | str | Path):
        raise InputError(
            f"pc.compare takes a run of pc.fit, or its folder; got {type(run).__name__}."
        )
    begun = run if isinstance(run, Run) else Run(run)
    names = [task["name"] for task in _ended(begun).spec.tasks]
    chosen, drawn = _chosen(tasks, names), seeds_of(seeds, begun.spec.seed)
    if not isinstance(confidence, int | float) or not 0 < confidence < 1:
        raise InputError(
            f"Expected confidence= to lie between 0 and 1, got {shorten(repr(confidence))}."
        )
    if write:
        _note(begun, {})  # whether the folder takes a file is known before hours of training
    problem = problem_of(begun, source)
    jobs = _jobs(names, chosen, drawn, affinity)
    seconds = float(begun.metrics["seconds"])
    count = side_by_side.number(processes, len(jobs), seconds * len(jobs))
    _announce(jobs, seconds, count, say)
    trained = dict(zip(jobs, side_by_side.run(train, problem, jobs, count), strict=True))
    found = compared(problem, chosen, drawn, trained, confidence)
    if affinity:
        found.affinity = affinity_of(chosen, drawn, trained)
    found.verdict = verdict(found, names)
    if write:
        _note(begun, {results.COMPARISON: manifest.page(found)})
    return found


def compared(
    problem: ComparisonData,
    names: Sequence[str],
    seeds: Sequence[int],
    trained: Mapping[Job, TrainedJob],
    confidence: float,
) -> Comparison:
    """The numbers of a comparison, from what each training came to."""
    joint = [trained[Job(tuple(problem.names), seed)] for seed in seeds]
    separate = [[trained[Job((name,), seed)] for name in names] for seed in seeds]
    pairs = [
        (one.scores, {name: own.scores[name] for name, own in zip(names, each, strict=True)})
        for one, each in zip(joint, separate, strict=True)
    ]
    delta = [delta_m(*pair) for pair in pairs]
    mean, low, high = interval(delta, confidence)
    sharing = problem.sharing()
    return Comparison(
        seeds=list(seeds),
        part=problem.part,
        confidence=confidence,
        tasks={
            name: gain_of(
                [a[name] for a, _ in pairs],
                [b[name] for _, b in pairs],
                problem.metric(name),
                confidence,
            )
            for name in names
        },
        delta_m=delta,
        delta=mean,
        low=low,
        high=high,
        joint=sharing.joint,
        separate=sharing.separate,
        joint_seconds=[round(one.seconds, 3) for one in joint],
        separate_seconds=[round(sum(own.seconds for own in each), 3) for each in separate],
        verdict="",
        network_alone=problem.alone,
    )


def _ended(run: Run) -> Run:
    """The run, once it is sure that its training is over."""
    lock.check(run.path / folder.CHECKPOINTS)
    if not run.finished:
        raise InputError(
            f"The run {shorten(run.path)!r} has not ended, so there is nothing to compare with yet; "
            f"to go on with it: polycera resume {shorten(run.path)}."
        )
    return run


def _chosen(tasks: Iterable[str] | None, names: list[str]) -> list[str]:
    """Names of the tasks to compare, in the run's order."""
    if len(names) < 2:
        raise InputError(
            f"The run has one task, {shorten(names[0])!r}: its network is a separate one already, so there is nothing "
            "to compare it with."
        )
    wanted = names if tasks is None else [tasks] if isinstance(tasks, str) else list(tasks)
    for name in wanted:
        if name not in names:
            raise UnknownName("task to compare:", name, names)
    if not wanted:
        raise InputError(
            "No task to compare: name at least one in tasks=, or leave it out for all of them."
        )
    return [name for name in names if name in wanted]


def _jobs(names: list[str], chosen: list[str], seeds: list[int], pairs: bool) -> list[Job]:
    """All trainings, those that take longest first; two tasks are a pair and all of them at once."""
    found = [Job(tuple(names), seed) for seed in seeds]
    if pairs:
        found += [Job(pair, seed) for seed in seeds for pair in itertools.combinations(chosen, 2)]
    return list(dict.fromkeys(found + [Job((name,), seed) for seed in seeds for name in chosen]))


def _announce(jobs: list[Job], seconds: float, count: int, say: Any) -> None:
    if say is not None:
        took = side_by_side.expected(seconds, len(jobs), count)
        say(f"{len(jobs)} trainings, {took} if each takes as long as the run did.")


def _note(run: Run, files: Mapping[str, bytes]) -> None:
    """Write files into a run and enter them in its manifest, while nobody else is at work there."""
    place = run.path / folder.CHECKPOINTS
    with lock.held(place):
        for name, content in files.items():
            atomic.write(run.path / name, content)
        manifest.seal(run.path, files)
    atomic.remove(place)  # nothing is in it: the run has ended
