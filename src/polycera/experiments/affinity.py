"""Which tasks help each other: pairs trained together, and the groups that follow from them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from polycera.experiments.gains import mean_defined, relative
from polycera.experiments.jobs import Job, TrainedJob
from polycera.runs.results import Affinity

EXHAUSTIVE = 8
"""Tasks up to which every partition is looked at: 4,140 of them."""

ROUNDING = 1e-12
"""Gains that differ by less are equal."""

Groups = list[list[int]]


def affinity(
    names: Sequence[str], seeds: Sequence[int], trained: Mapping[Job, TrainedJob]
) -> Affinity:
    """What each task gains by each other one, and who should be trained together.

    Standley et al. 2020, arXiv:1905.07553: networks are trained for each task and each pair, and
    what a task would reach in a larger group is taken to be the mean of what it reaches with each
    other member.

    Where we differ: gains are parts of what the task reaches alone, so that metrics of several
    units add up, where they add up losses; each task is in one group; there is no budget of
    inference time; up to eight tasks every partition is looked at, and beyond that groups are
    merged as long as the mean gain does not fall.

    Args:
        names: of the tasks.
        seeds: of the trainings.
        trained: of each task alone and each pair, in the order of the names, under each seed.
    """
    gain = np.zeros((len(names), len(names)))
    known = np.eye(len(names), dtype=bool)
    for a, b in itertools.combinations(range(len(names)), 2):
        for task, other in ((a, b), (b, a)):
            found = _gain(names[task], (names[a], names[b]), seeds, trained)
            known[task, other], gain[task, other] = found is not None, found or 0.0
    shown = known & ~np.eye(len(names), dtype=bool)
    rows = [
        [float(x) if ok else None for x, ok in zip(*pair, strict=True)]
        for pair in zip(gain, shown, strict=True)
    ]
    return Affinity(rows, grouped(gain))


def _gain(
    task: str, pair: tuple[str, str], seeds: Sequence[int], trained: Mapping[Job, TrainedJob]
) -> float | None:
    """Mean over the seeds."""
    together = [trained[Job(pair, seed)].scores[task] for seed in seeds]
    alone = [trained[Job((task,), seed)].scores[task] for seed in seeds]
    return mean_defined([relative(a, b) for a, b in zip(together, alone, strict=True)])


def grouped(gain: np.ndarray) -> Groups:
    """The partition of the tasks with the highest mean gain; of equals the one with the fewest groups.

    Args:
        gain: of each task (row) by each other (column), 0 on the diagonal, [m, m].

    Returns:
        places of tasks, each once, ascending.

    Example:
        >>> import numpy as np
        >>> grouped(np.array([[0.0, 0.2, -0.1], [0.1, 0.0, -0.3], [0.1, -0.2, 0.0]]))
        [[0, 1], [2]]
    """
    if len(gain) > EXHAUSTIVE:
        return _merged(gain)
    return max(
        partitions(len(gain)),
        key=lambda groups: (round(total(groups, gain) / ROUNDING), -len(groups)),
    )


def total(groups: Groups, gain: np.ndarray) -> float:
    """The sum of the tasks' gains: each the mean over the others of its group, 0 alone."""
    return sum(
        float(gain[np.ix_(own, own)].sum()) / (len(own) - 1) for own in groups if len(own) > 1
    )


def partitions(m: int) -> Iterator[Groups]:
    """All ways to put m tasks into groups."""
    if m == 0:
        yield []
        return
    for smaller in partitions(m - 1):
        for place, group in enumerate(smaller):
            yield [*smaller[:place], [*group, m - 1], *smaller[place + 1 :]]
        yield [*smaller, [m - 1]]


def _merged(gain: np.ndarray) -> Groups:
    """From each task alone, the two groups whose union raises the sum most become one, until each would lower it."""
    groups: Groups = [[task] for task in range(len(gain))]
    while len(groups) > 1:
        raised = _raised(groups, gain)
        a, b = divmod(int(np.argmax(raised)), len(groups))
        if raised[a, b] < -ROUNDING:  # what neither gains nor loses is cheaper in one network
            break
        groups[a] = sorted(groups[a] + groups.pop(b))
    return sorted(groups)


def _raised(groups: Groups, gain: np.ndarray) -> np.ndarray:
    """What the union of each two groups would add to the sum, [groups, groups], above the diagonal."""
    member = np.array([np.isin(np.arange(len(gain)), own) for own in groups], float)
    sums, size = member @ gain @ member.T, member.sum(axis=1)
    inner = np.diag(sums)
    own = inner / np.maximum(size - 1, 1)
    union = (inner[:, None] + inner + sums + sums.T) / (size[:, None] + size - 1).clip(1)
    return np.where(np.triu(np.ones_like(union), 1) > 0, union - own[:, None] - own, -np.inf)
