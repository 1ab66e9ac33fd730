"""Find which tasks help each other, from pairs trained together, and group them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from polycera.experiments.gains import mean_defined, relative
from polycera.experiments.jobs import Job, TrainedJob
from polycera.runs.results import Affinity

EXHAUSTIVE = 8
"""Every partition is tried for at most this many tasks; 8 tasks have 4,140 partitions."""

ROUNDING = 1e-12
"""Gains that differ by less than this are equal."""

Groups = list[list[int]]
"""Groups of tasks hold their positions."""


def affinity(
    names: Sequence[str], seeds: Sequence[int], trained: Mapping[Job, TrainedJob]
) -> Affinity:
    """Return what each task gains from each other one, and a suggestion of groups.

    Standley et al. 2020, arXiv:1905.07553: networks are trained for each task and each pair. What a
    task would reach in a larger group is taken to be the mean of what it reaches with each other
    member.

    Where we differ: gains are relative to what the task reaches alone, so that metrics of several
    scales add up, while the paper adds up losses; each task is in one group; there is no budget of
    inference time; up to eight tasks every partition is tried, and beyond that groups are merged as
    long as the mean gain does not fall.

    Args:
        names: names of the tasks.
        seeds: seeds of the trainings.
        trained: results of each task alone and each pair, in the order of the names, for each seed.
    """
    gain = np.zeros((len(names), len(names)))
    known = np.eye(len(names), dtype=bool)
    for a, b in itertools.combinations(range(len(names)), 2):
        for task, other in ((a, b), (b, a)):
            task_gain = _gain(names[task], (names[a], names[b]), seeds, trained)
            known[task, other], gain[task, other] = task_gain is not None, task_gain or 0.0
    shown = known & ~np.eye(len(names), dtype=bool)
    rows = [
        [float(value) if is_known else None for value, is_known in zip(*pair, strict=True)]
        for pair in zip(gain, shown, strict=True)
    ]
    return Affinity(rows, grouped(gain))


def _gain(
    task: str, pair: tuple[str, str], seeds: Sequence[int], trained: Mapping[Job, TrainedJob]
) -> float | None:
    """Return the mean over the seeds of a task's relative gain in a pair."""
    together = [trained[Job(pair, seed)].scores[task] for seed in seeds]
    alone = [trained[Job((task,), seed)].scores[task] for seed in seeds]
    return mean_defined([relative(a, b) for a, b in zip(together, alone, strict=True)])


def grouped(gain: np.ndarray) -> Groups:
    """Return the partition of the tasks with the highest mean gain.

    Among equal partitions it is one with the fewest groups.

    Args:
        gain: gain of each task (row) from each other (column), 0 on the diagonal, [m, m].

    Returns:
        positions of tasks by group, each once, ascending.

    Examples:
        >>> import numpy as np
        >>> grouped(np.array([[0.0, 0.2, -0.1], [0.1, 0.0, -0.3], [0.1, -0.2, 0.0]]))
        [[0, 1], [2]]
    """
    if len(gain) > EXHAUSTIVE:
        return _merged(gain)
    return max(
        partitions(len(gain)),
        # Rounded to multiples of ROUNDING, so that rounding errors do not decide between equal
        # sums.
        key=lambda groups: (round(total(groups, gain) / ROUNDING), -len(groups)),
    )


def total(groups: Groups, gain: np.ndarray) -> float:
    """Return the sum of the tasks' gains.

    The gain of a task is the mean over the others of its group, and 0 where it is alone.
    """
    return sum(
        float(gain[np.ix_(group, group)].sum()) / (len(group) - 1)
        for group in groups
        if len(group) > 1
    )


def partitions(m: int) -> Iterator[Groups]:
    """Yield all ways to put m tasks into groups."""
    if m == 0:
        yield []
        return
    for smaller in partitions(m - 1):
        for index, group in enumerate(smaller):
            yield [*smaller[:index], [*group, m - 1], *smaller[index + 1 :]]
        yield [*smaller, [m - 1]]


def _merged(gain: np.ndarray) -> Groups:
    """Return groups that are merged greedily, starting from each task alone.

    In each step the two groups whose union raises the sum most become one, until every union would
    lower it.
    """
    groups: Groups = [[task] for task in range(len(gain))]
    while len(groups) > 1:
        raised = _raised(groups, gain)
        a, b = divmod(int(np.argmax(raised)), len(groups))
        # A union that changes nothing is still made: one network is cheaper than two.
        if raised[a, b] < -ROUNDING:
            break
        groups[a] = sorted(groups[a] + groups.pop(b))
    return sorted(groups)


def _raised(groups: Groups, gain: np.ndarray) -> np.ndarray:
    """Return what the union of two groups would add to the sum, for all pairs of groups.

    The array is [groups, groups], and -inf on and below the diagonal.
    """
    membership = np.array([np.isin(np.arange(len(gain)), group) for group in groups], float)
    sums, sizes = membership @ gain @ membership.T, membership.sum(axis=1)
    inner_sums = np.diag(sums)
    group_totals = inner_sums / np.maximum(sizes - 1, 1)
    union = (inner_sums[:, None] + inner_sums + sums + sums.T) / (sizes[:, None] + sizes - 1).clip(
        1
    )
    return np.where(
        np.triu(np.ones_like(union), 1) > 0, union - group_totals[:, None] - group_totals, -np.inf
    )
