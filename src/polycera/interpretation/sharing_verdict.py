"""One network or several, in a sentence with numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from polycera.runs.results import Amount

WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class WeightShare(NamedTuple):
    """Weights, or multiply-adds, of one kind.

    Attributes:
        size: how many.
        serving: the tasks whose answers they take part in, a bit each.
        teaching: the tasks whose gradients they learn from, a bit each.
    """

    size: int
    serving: int = 0
    teaching: int = 0


def amount(parts: Iterable[WeightShare], tasks: int) -> Amount:
    """How much serves all tasks, some, one, none; the only task of a network is all of them."""
    found = Amount(0, 0, 0, 0)
    for part in parts:
        count = part.serving.bit_count()
        if count == 0:
            found.none += part.size
        elif count == tasks:
            found.all += part.size
        elif count == 1:
            found.one += part.size
        else:
            found.some += part.size
    return found


def verdict(parts: Sequence[WeightShare], tasks: int, balanced: bool = False) -> str:
    """The sentence.

    Args:
        parts: all weights.
        tasks: how many there are.
        balanced: whether what is shared learns from another combination of the gradients than their
            sum.

    Examples:
        >>> verdict([Part(20, 0b11, 0b11), Part(5, 0b01, 0b01), Part(5, 0b10, 0b10)], 2)
        'This is one network: 20 of 30 weights serve both tasks and receive the sum of both gradients.'
        >>> verdict([Part(5, 0b01, 0b01), Part(5, 0b10, 0b10)], 2)
        'These are two networks in one object: nothing is shared.'
    """
    found = amount(parts, tasks)
    total = found.total - found.none
    if not total:
        return "This network has no weights: there is nothing to share."
    if tasks == 1:
        return f"This is a network of one task: all {total:,} weights serve it."
    if not found.all + found.some:
        return f"These are {_word(tasks)} networks in one object: nothing is shared."
    groups = _groups((part.teaching for part in parts if part.size), tasks)
    if len(groups) == tasks:
        return _untaught(found.all + found.some, total, tasks)
    if len(groups) > 1:
        return _several(groups, found, total)
    return _one(parts, found, total, tasks, balanced)


def _one(
    parts: Sequence[WeightShare], found: Amount, total: int, tasks: int, balanced: bool
) -> str:
    every = "both tasks" if tasks == 2 else f"all {_word(tasks)} tasks"
    them = "two of them" if tasks == 3 else "two or more of them"
    if not found.all:
        some = f"{found.some:,} of {total:,} weights serve {them}"
        return f"This is one network, though no weight serves {every}: {some}."
    taught = sum(part.size for part in parts if part.teaching.bit_count() == tasks)
    receive = _receive(tasks, balanced)
    if taught == found.all:
        tail = f"{every} and {receive}"
    elif taught:
        tail = f"{every}, and {taught:,} of these {receive}"
    else:
        tail = f"{every}, and none of these learns from all of them"
    rest = f"; {found.some:,} serve {them}" if found.some else ""
    return f"This is one network: {found.all:,} of {total:,} weights serve {tail}{rest}."


def _receive(tasks: int, balanced: bool) -> str:
    if balanced:
        return f"receive {'both' if tasks == 2 else 'their'} gradients as balancing combines them"
    return f"receive the sum of {'both' if tasks == 2 else 'their'} gradients"


def _untaught(shared: int, total: int, tasks: int) -> str:
    """Something is shared, and learns from one task at most: it is frozen, or gradients are stopped on the way."""
    serve = (
        "both tasks, and none of these learns from both"
        if tasks == 2
        else ("two tasks or more, and none of these learns from more than one")
    )
    return f"These are {_word(tasks)} networks in one object: {shared:,} of {total:,} weights serve {serve}."


def _several(groups: list[int], found: Amount, total: int) -> str:
    sizes = sorted((group.bit_count() for group in groups), reverse=True)
    alone = sizes.count(1)
    together = [f"{_word(size)} tasks" for size in sizes if size > 1]
    if len(together) > 3:
        together = [f"{_word(len(together))} groups of tasks"]
    listed = _joined([*together, *([f"{_word(alone)} alone"] if alone else [])])
    return (
        f"These are {_word(len(groups))} networks in one object, for {listed}: "
        f"{found.all + found.some:,} of {total:,} weights serve two tasks or more."
    )


def _groups(masks: Iterable[int], tasks: int) -> list[int]:
    """The tasks, a bit each, put together where a mask holds two of them, directly or through others."""
    groups = [1 << task for task in range(tasks)]
    for mask in {mask for mask in masks if mask.bit_count() > 1}:
        touched = [group for group in groups if group & mask]
        if len(touched) > 1:
            groups = [group for group in groups if not group & mask]
            groups.append(sum(touched))
    return groups


def _word(number: int) -> str:
    return WORDS[number] if number < len(WORDS) else f"{number:,}"


def _joined(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
