"""Describe a comparison in words: who wins, by how much, and at what cost.

The verdict also says what cannot be decided.
"""

from __future__ import annotations

from collections.abc import Sequence

from polycera.errors import listing
from polycera.experiments.gains import flat
from polycera.runs.results import SeparateComparison

SHOWN = 5
"""A sentence names at most this many tasks, the first ones."""


def verdict(comparison: SeparateComparison, names: Sequence[str]) -> str:
    """Return a comparison in three sentences or more.

    Args:
        comparison: the comparison.
        names: names of all tasks of the run; the comparison may have only some of them.
    """
    sentences = [
        _winner(comparison),
        _judged(comparison),
        _cost(comparison, len(names)),
        _chance(comparison),
        _groups(comparison),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _winner(comparison: SeparateComparison) -> str:
    """Return the sentence that says who wins."""
    joint, separate = _better(comparison, "joint"), _better(comparison, "separate")
    rows = f"on the {comparison.part} rows"
    if comparison.delta is None:
        return f"No verdict: no metric of these tasks is defined {rows}."
    if len(comparison.seeds) == 1:
        leader = (
            "the joint network"
            if comparison.delta > 0
            else "separate networks"
            if comparison.delta < 0
            else "neither"
        )
        return (
            f"Undecided {rows}: {leader} is ahead, {_mean(comparison)}, but one seed cannot show "
            "whether that is chance."
        )
    # Intervals without a width are no evidence, although they lie on one side of 0.
    if _all_flat(comparison):
        if not comparison.delta:
            return f"Neither wins {rows}: with each seed both give the same numbers."
        return (
            f"Undecided {rows}: all {len(comparison.seeds)} seeds gave the same numbers, so they "
            f"cannot show what is chance; {_mean(comparison)}."
        )
    of_tasks, mean_winner = f"of {len(comparison.tasks)} tasks", _decided(comparison)
    winners = {
        side
        for side, decides in (("joint", joint), ("separate", separate), (mean_winner, True))
        if decides
    } - {"neither"}
    if not winners:
        return (
            f"Neither wins {rows}: no difference can be distinguished from chance in any "
            f"{of_tasks}; {_mean(comparison)}."
        )
    if len(winners) == 2:
        return (
            f"It depends on the task {rows}: the joint network is better in {_named(joint)}, "
            f"separate networks in {_named(separate)}; {_mean(comparison)}."
        )
    wins = {"joint": "The joint network wins", "separate": "Separate networks win"}
    leads = {"joint": "The joint network is ahead", "separate": "Separate networks are ahead"}
    subject = (wins if mean_winner != "neither" else leads)[winners.pop()]
    count = len(joint or separate)
    tasks = (
        f"better in {count} {of_tasks} and worse in none" if count else "though in no single task"
    )
    return f"{subject} {rows}: {tasks}; {_mean(comparison)}."


def _all_flat(comparison: SeparateComparison) -> bool:
    """Return whether all seeds gave the same difference, for every task."""
    ends = [(gain.low, gain.high) for gain in comparison.tasks.values()]
    return all(low is not None and high is not None and flat(low, high) for low, high in ends)


def _judged(comparison: SeparateComparison) -> str:
    """Return the sentence that says that kernel ridge takes no part, where the run has it."""
    if not comparison.network_alone:
        return ""
    return (
        "Only the networks are compared: the run's kernel ridge, which is solved for each task "
        "separately, takes no part."
    )


def _better(comparison: SeparateComparison, side: str) -> list[str]:
    """Return the tasks in which a side is better."""
    return [name for name, gain in comparison.tasks.items() if gain.better == side]


def _decided(comparison: SeparateComparison) -> str:
    """Return which side is better by the mean over the tasks.

    The interval of the mean is used: seeds that change every task may leave their ratio as it is.
    """
    if comparison.low is None or comparison.high is None:
        return "neither"
    return "joint" if comparison.low > 0 else "separate" if comparison.high < 0 else "neither"


def _named(names: Sequence[str]) -> str:
    """Return the names as a list of limited length."""
    return listing(names, SHOWN)


def _mean(comparison: SeparateComparison) -> str:
    """Return the part of the sentence about the mean relative gain and its interval."""
    assert comparison.delta is not None
    text = f"the joint network's mean relative gain (delta-m) is {comparison.delta:+.1%}"
    if comparison.low is None or comparison.high is None:
        return text
    interval = f"{comparison.confidence:.0%} interval over {len(comparison.seeds)} seeds"
    return f"{text} ({comparison.low:+.1%} to {comparison.high:+.1%}, {interval})"


def _cost(comparison: SeparateComparison, tasks: int) -> str:
    """Return the sentence about the sizes, those of one network for each task of the run."""
    joint_size, separate_size = comparison.joint.parameters, comparison.separate.parameters
    which_tasks = "each task" if len(comparison.tasks) == tasks else f"each of the {tasks} tasks"
    return (
        f"A network for {which_tasks} has {separate_size / max(joint_size, 1):.1f} times the "
        f"weights ({separate_size:,} against {joint_size:,})."
    )


def training_time(comparison: SeparateComparison) -> str:
    """Return the sentence about the time of the trainings.

    It is not part of the verdict, which is written into the run and does not depend on the clock.
    """
    joint_seconds = sum(comparison.joint_seconds) / len(comparison.seeds)
    separate_seconds = sum(comparison.separate_seconds) / len(comparison.seeds)
    count = len(comparison.tasks)
    networks = "The separate network" if count == 1 else f"The {count} separate networks"
    return (
        f"{networks} took {separate_seconds / max(joint_seconds, 1e-9):.1f} times as long to "
        f"train as the joint one ({separate_seconds:.1f} against {joint_seconds:.1f} seconds)."
    )


def _chance(comparison: SeparateComparison) -> str:
    """Return the sentence about what the intervals do not cover."""
    task_count, false_alarms = (
        len(comparison.tasks),
        (1 - comparison.confidence) * len(comparison.tasks),
    )
    text = "Seeds vary initial weights, order of rows and dropout, not the split of the rows"
    if comparison.part == "validation":
        text += ", and early stopping used these rows"
    if false_alarms < 0.5 or len(comparison.seeds) == 1:
        return f"{text}."
    return (
        f"{text}; of {task_count} tasks about {false_alarms:.0f} would seem to differ by chance "
        "alone."
    )


def _groups(comparison: SeparateComparison) -> str:
    """Return the sentence about groups of tasks, where pairs were trained."""
    if comparison.affinity is None:
        return ""
    names = list(comparison.tasks)
    groups = [[names[task] for task in group] for group in comparison.affinity.groups]
    together = [_named(group) for group in groups if len(group) > 1]
    if not together:
        return "In pairs, no task gains from another on average: each is best trained separately."
    alone = [group[0] for group in groups if len(group) == 1]
    text = "In pairs, these are best trained together: " + "; ".join(together)
    return f"{text}; and by themselves: {_named(alone)}." if alone else f"{text}."
