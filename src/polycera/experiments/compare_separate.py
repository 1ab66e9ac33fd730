"""Compare the joint network with separate networks: the same trunk and head for each task."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from polycera.errors import InputError, UnknownName, shorten
from polycera.experiments import process_pool as side_by_side
from polycera.experiments.affinity import affinity as affinity_of
from polycera.experiments.comparison_verdict import verdict
from polycera.experiments.confidence_interval import interval
from polycera.experiments.gains import delta_m, gain_of
from polycera.experiments.jobs import ComparisonData, Job, TrainedJob, problem_of, train
from polycera.experiments.seeds import seeds_of
from polycera.runs import folder, manifest, results, timing
from polycera.runs.results import SeparateComparison
from polycera.runs.timing import ComparisonSeconds
from polycera.storage import atomic, lock
from polycera.tabular import Run


def compare_separate(
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
) -> SeparateComparison:
    """Train separate networks for each task of a run, and compare them with the joint network.

    The run's network is trained again and, for each task, a network of its own: the same trunk and
    head, the same rows in the same parts and features, the same batches, steps and patience.
    Settings for several tasks (loss weights, a loss weighting, a balancing) are left out of a
    network of one task. The joint network and the separate ones of a seed start from the same
    weights of the trunk and get the rows in the same order, so their differences are paired. Each
    network stops by its own validation score and keeps its best weights. Kernel ridge, which a run
    of a small table has beside its network, is left out on both sides: it is solved for each task
    by itself, and seeds do not change it.

    Seeds vary the initial weights, the order of rows and dropout. They do not vary the split: an
    interval says what another training on these rows would show, not what other rows would show.

    Args:
        run: a finished run, or its folder; `comparison.json` is written into it.
        source: the table, where it is no longer at the run's path, or was a data frame.
        seeds: number of trainings of each network, the first with the run's own seed; or a list of
            seeds. One seed gives no interval.
        affinity: whether to train each pair of tasks too, and suggest groups.
        tasks: names of the tasks to compare, where all would take too long; default: every one.
        processes: number of trainings at once, each with one thread; 1: in this process. Default:
            one for each core, or only this process where the work is small or an accelerator does
            it. The results do not depend on the number; only this process, where it has several
            threads, may round sums differently.
        confidence: probability of the intervals.
        write: whether to write the result into the run.
        say: function that is called with a sentence on what is trained and how long it may take.

    Returns:
        the comparison, with a verdict in words.

    Raises:
        UnknownName: for a task that the run does not have.
        InputError: where there is nothing to compare: one task, a run that is not finished, neither
            validation nor test rows; for another table.
        PolyceraError: where another process trains in the run's folder, the folder is not writable,
            or a training fails.

    Examples:
        >>> import polycera as pc
        >>> found = pc.compare_separate("runs/customers-1", seeds=5)  # doctest: +SKIP
        >>> print(found.verdict)  # doctest: +SKIP
        Separate networks win on the test rows: better in 2 of 2 tasks, ...
        >>> found.tasks["churn"].difference, found.delta  # doctest: +SKIP
        (-0.013, -0.021)
    """
    # Keras is not imported for this check: a user with a Keras model has imported it already.
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(run, keras.Model):
        raise InputError(
            "pc.compare_separate takes a run of pc.fit, which holds rows, batches and steps; got "
            f"the Keras model {run.name!r}. Compare models of your own by hand: adopt the same "
            "builder once for all tasks and once for each, and look at model.skills on the same "
            "rows (docs/separate-networks.md); pc.describe_network(model) tells the costs."
        )
    if not isinstance(run, Run | str | Path):
        raise InputError(
            f"pc.compare_separate takes a run of pc.fit, or its folder; got {type(run).__name__}."
        )
    opened_run = run if isinstance(run, Run) else Run(run)
    all_names = [task["name"] for task in _ended(opened_run).spec.tasks]
    task_names, seed_list = _chosen(tasks, all_names), seeds_of(seeds, opened_run.spec.seed)
    if not isinstance(confidence, int | float) or not 0 < confidence < 1:
        raise InputError(
            f"Expected confidence= to lie between 0 and 1, got {shorten(repr(confidence))}."
        )
    if write:
        # Tests that the folder is writable before hours of training.
        _note(opened_run, {})
    problem = problem_of(opened_run, source)
    jobs = _jobs(all_names, task_names, seed_list, affinity)
    seconds = opened_run.seconds or 0.0
    count = side_by_side.number(processes, len(jobs), seconds * len(jobs))
    _announce(jobs, seconds, count, say)
    trained = dict(zip(jobs, side_by_side.run(train, problem, jobs, count), strict=True))
    comparison = compared(problem, task_names, seed_list, trained, confidence)
    if affinity:
        comparison.affinity = affinity_of(task_names, seed_list, trained)
    comparison.verdict = verdict(comparison, all_names)
    if write:
        content = msgspec.to_builtins(comparison)
        # The seconds depend on the clock, so they go into another file than the result.
        seconds_of = ComparisonSeconds(
            content.pop("joint_seconds"), content.pop("separate_seconds")
        )
        _note(opened_run, {results.COMPARISON: manifest.page(content)}, seconds_of)
    return comparison


def compared(
    problem: ComparisonData,
    names: Sequence[str],
    seeds: Sequence[int],
    trained: Mapping[Job, TrainedJob],
    confidence: float,
) -> SeparateComparison:
    """Return the numbers of a comparison from the results of the trainings."""
    joint = [trained[Job(tuple(problem.names), seed)] for seed in seeds]
    separate = [[trained[Job((name,), seed)] for name in names] for seed in seeds]
    # one pair for each seed: joint scores and separate scores by task
    pairs = [
        (joint_job.scores, {name: job.scores[name] for name, job in zip(names, jobs, strict=True)})
        for joint_job, jobs in zip(joint, separate, strict=True)
    ]
    deltas = [delta_m(*pair) for pair in pairs]
    mean, low, high = interval(deltas, confidence)
    sharing = problem.sharing()
    return SeparateComparison(
        seeds=list(seeds),
        part=problem.part,
        confidence=confidence,
        tasks={
            name: gain_of(
                [joint_scores[name] for joint_scores, _ in pairs],
                [separate_scores[name] for _, separate_scores in pairs],
                problem.metric(name),
                confidence,
            )
            for name in names
        },
        delta_m=deltas,
        delta=mean,
        low=low,
        high=high,
        joint=sharing.joint,
        separate=sharing.separate,
        joint_seconds=[round(job.seconds, 3) for job in joint],
        separate_seconds=[round(sum(job.seconds for job in jobs), 3) for jobs in separate],
        verdict="",
        network_alone=problem.alone,
    )


def _ended(run: Run) -> Run:
    """Return the run, after a check that its training is finished."""
    lock.check(run.path / folder.CHECKPOINTS)
    if not run.finished:
        raise InputError(
            f"The run {shorten(run.path)!r} has not ended, so there is nothing to compare with "
            f"yet; to resume it: polycera resume {shorten(run.path)}."
        )
    return run


def _chosen(tasks: Iterable[str] | None, names: list[str]) -> list[str]:
    """Return the names of the tasks to compare, in the run's order."""
    if len(names) < 2:
        raise InputError(
            f"The run has one task, {shorten(names[0])!r}: its network is a separate one already, "
            "so there is nothing to compare it with."
        )
    chosen = names if tasks is None else [tasks] if isinstance(tasks, str) else list(tasks)
    for name in chosen:
        if name not in names:
            raise UnknownName("task to compare:", name, names)
    if not chosen:
        raise InputError(
            "No task to compare: name at least one in tasks=, or leave it out for all of them."
        )
    return [name for name in names if name in chosen]


def _jobs(names: list[str], chosen: list[str], seeds: list[int], pairs: bool) -> list[Job]:
    """Return all trainings without repeats, the longest first."""
    jobs = [Job(tuple(names), seed) for seed in seeds]
    if pairs:
        jobs += [Job(pair, seed) for seed in seeds for pair in itertools.combinations(chosen, 2)]
    # With two tasks the only pair is the joint network, so it would come twice.
    return list(dict.fromkeys(jobs + [Job((name,), seed) for seed in seeds for name in chosen]))


def _announce(jobs: list[Job], seconds: float, count: int, say: Any) -> None:
    """Tell the user how many trainings there are and how long they may take."""
    if say is not None:
        took = side_by_side.expected(seconds, len(jobs), count)
        say(f"{len(jobs)} trainings, {took} if each takes as long as the run did.")


def _note(run: Run, files: Mapping[str, bytes], seconds: ComparisonSeconds | None = None) -> None:
    """Write files into a run and enter them in its manifest, while its lock is held.

    Args:
        run: the run.
        files: name -> content.
        seconds: of the trainings, for `timing.json`; None writes none.

    Raises:
        PolyceraError: where another process works in the run, or the folder is not writable.
    """
    lock_folder = run.path / folder.CHECKPOINTS
    with lock.acquired(lock_folder):
        for name, content in files.items():
            atomic.write(run.path / name, content)
        if seconds is not None:
            timing.rewrite(run.path, run.timing, seconds=run.seconds, comparison=seconds)
        manifest.add(run.path, files)
    # The lock needs this folder. It is empty, because the run is finished.
    atomic.remove(lock_folder)
