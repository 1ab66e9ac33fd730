"""Describe in a sentence with numbers whether a network is one or several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from polycera.runs.results import Amount

WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
"""Numbers below the length of this tuple are written as words."""


class WeightShare(NamedTuple):
    """Hold a number of weights that serve the same tasks.

    Attributes:
        size: how many there are.
        serving: the tasks whose outputs they contribute to, one bit for each task.
        teaching: the tasks whose gradients they learn from, one bit for each task.
    """

    size: int
    serving: int = 0
    teaching: int = 0


def amount(parts: Iterable[WeightShare], tasks: int) -> Amount:
    """Return how much serves all tasks, some, one, or none.

    In a network with one task, what serves it counts as serving all.
    """
    totals = Amount(0, 0, 0, 0)
    for part in parts:
        count = part.serving.bit_count()
        if count == 0:
            totals.none += part.size
        elif count == tasks:
            totals.all += part.size
        elif count == 1:
            totals.one += part.size
        else:
            totals.some += part.size
    return totals


def verdict(parts: Sequence[WeightShare], tasks: int, balanced: bool = False) -> str:
    """Return the sentence that describes how the tasks share the weights.

    Args:
        parts: all weights.
        tasks: number of tasks.
        balanced: whether shared weights learn from another combination of the gradients than their
            sum.

    Examples:
        >>> verdict(
        ...     [
        ...         WeightShare(20, 0b11, 0b11),
        ...         WeightShare(5, 0b01, 0b01),
        ...         WeightShare(5, 0b10, 0b10),
        ...     ],
        ...     2,
        ... )
        'This is one network: 20 of 30 weights serve both tasks and receive the sum of ...'
        >>> verdict([WeightShare(5, 0b01, 0b01), WeightShare(5, 0b10, 0b10)], 2)
        'These are two networks in one object: nothing is shared.'
    """
    totals = amount(parts, tasks)
    total = totals.total - totals.none
    if not total:
        return "This network has no weights: there is nothing to share."
    if tasks == 1:
        return f"This is a network of one task: all {total:,} weights serve it."
    if not totals.all + totals.some:
        return f"These are {_word(tasks)} networks in one object: nothing is shared."
    # Networks count as one where they learn together: frozen layers do not join tasks.
    groups = _groups((part.teaching for part in parts if part.size), tasks)
    if len(groups) == tasks:
        return _untaught(totals.all + totals.some, total, tasks)
    if len(groups) > 1:
        return _several(groups, totals, total)
    return _single_network(parts, totals, total, tasks, balanced)


def _single_network(
    parts: Sequence[WeightShare], counts: Amount, total: int, tasks: int, balanced: bool
) -> str:
    """Return the sentence for one network that all tasks train."""
    all_tasks = "both tasks" if tasks == 2 else f"all {_word(tasks)} tasks"
    several_tasks = "two of them" if tasks == 3 else "two or more of them"
    if not counts.all:
        partly_shared = f"{counts.some:,} of {total:,} weights serve {several_tasks}"
        return f"This is one network, though no weight serves {all_tasks}: {partly_shared}."
    trained_by_all = sum(part.size for part in parts if part.teaching.bit_count() == tasks)
    receive = _receive(tasks, balanced)
    if trained_by_all == counts.all:
        tail = f"{all_tasks} and {receive}"
    elif trained_by_all:
        tail = f"{all_tasks}, and {trained_by_all:,} of these {receive}"
    else:
        tail = f"{all_tasks}, and none of these learns from all of them"
    partly = f"; {counts.some:,} serve {several_tasks}" if counts.some else ""
    return f"This is one network: {counts.all:,} of {total:,} weights serve {tail}{partly}."


def _receive(tasks: int, balanced: bool) -> str:
    """Return the part of the sentence about gradients."""
    if balanced:
        return f"receive {'both' if tasks == 2 else 'their'} gradients as balancing combines them"
    return f"receive the sum of {'both' if tasks == 2 else 'their'} gradients"


def _untaught(shared: int, total: int, tasks: int) -> str:
    """Return the sentence for shared weights that learn from one task at most.

    They are frozen, or gradients are stopped before them.
    """
    serve = (
        "both tasks, and none of these learns from both"
        if tasks == 2
        else ("two tasks or more, and none of these learns from more than one")
    )
    return (
        f"These are {_word(tasks)} networks in one object: {shared:,} of {total:,} weights serve "
        f"{serve}."
    )


def _several(groups: list[int], counts: Amount, total: int) -> str:
    """Return the sentence for several groups of tasks, each with a network of its own."""
    sizes = sorted((group.bit_count() for group in groups), reverse=True)
    alone = sizes.count(1)
    together = [f"{_word(size)} tasks" for size in sizes if size > 1]
    if len(together) > 3:
        together = [f"{_word(len(together))} groups of tasks"]
    listed = _joined([*together, *([f"{_word(alone)} alone"] if alone else [])])
    return (
        f"These are {_word(len(groups))} networks in one object, for {listed}: "
        f"{counts.all + counts.some:,} of {total:,} weights serve two tasks or more."
    )


def _groups(masks: Iterable[int], tasks: int) -> list[int]:
    """Join tasks, one bit each, where a mask holds two of them, directly or through others."""
    groups = [1 << task for task in range(tasks)]
    for mask in {mask for mask in masks if mask.bit_count() > 1}:
        touched = [group for group in groups if group & mask]
        if len(touched) > 1:
            groups = [group for group in groups if not group & mask]
            groups.append(sum(touched))
    return groups


def _word(number: int) -> str:
    """Return a small number as a word, a larger one in digits."""
    return WORDS[number] if number < len(WORDS) else f"{number:,}"


def _joined(texts: list[str]) -> str:
    """Return the texts as a list with commas and `and`."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
