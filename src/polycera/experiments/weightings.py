"""Which static weights a sweep tries, and what the folder of each is called."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from polycera.errors import InputError, UnknownName, shorten

Weights = dict[str, float]
"""Task -> factor of its loss, `task/term` -> factor of a loss term; what one weighting has, all have."""

RATIOS = (4.0, 16.0)
"""Of two tasks: how much more one of them counts, apart from not at all."""

MANY = 12
"""Tasks up to which weights are made up where none are given: 25 trainings."""

LONGEST = 80
"""Signs in the name of a folder."""


def design(own: Weights) -> list[Weights]:
    """Equal weights, and then two tasks at 4 : 1 and 16 : 1 both ways, or each of more tasks at 4 and at 1/4.

    Args:
        own: any weights, for the names of the tasks.

    Raises:
        InputError: for so many tasks that nobody would wait for all of these.

    Example:
        >>> design({"a": 1.0, "b": 1.0})[:2]
        [{'a': 1.0, 'b': 1.0}, {'a': 4.0, 'b': 1.0}]
    """
    if len(own) > MANY:
        raise InputError(
            f"For {len(own)} tasks say which weights to try: weights=[{{name: number, ...}}, ...]."
        )
    factors = RATIOS if len(own) == 2 else (RATIOS[0], 1 / RATIOS[0])
    equal = dict.fromkeys(own, 1.0)
    return [equal] + [equal | {name: factor} for name in own for factor in factors]


def listed(asked: Any) -> list[Mapping[str, Any]]:
    """Return the weightings that a user asks for as a list of dicts.

    Raises:
        InputError: for anything else.
    """
    if isinstance(asked, Mapping | str) or not isinstance(asked, Iterable):
        raise InputError(
            f"Expected weights= to be a list of dicts of task to number, got {shorten(repr(asked))}."
        )
    found = list(asked)
    for each in found:
        if not isinstance(each, Mapping):
            raise InputError(
                f"Expected the weights to be a dict of task to number, got {shorten(repr(each))}."
            )
    return found


def checked(asked: Any, own: Weights) -> list[Weights]:
    """Return the weightings that a user asks for, each with every task: what is not named keeps its own weight.

    Raises:
        UnknownName: for a task that there is not.
        InputError: for what is no list of weights, finite, 0 or more and not all 0; for one that
            comes twice.
    """
    found = [
        own | {name: _weight(name, value, own) for name, value in each.items()}
        for each in listed(asked)
    ]
    if not found:
        raise InputError(
            "No weights to try: name some, or leave weights= out for a default design."
        )
    for place, each in enumerate(found):
        if not sum(each.values()) > 0:
            raise InputError(
                f"The weights {shorten(each)} are all 0, so nothing would be learned; raise one of them."
            )
        if each in found[:place]:
            raise InputError(f"The weights {shorten(each)} come twice; name each once.")
    return found


def _weight(name: str, value: Any, own: Weights) -> float:
    if name not in own:
        raise UnknownName("task in the weights:", name, own)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= sys.float_info.max
    ):
        raise InputError(
            f"Expected the weight of {shorten(name)!r} to be a finite number, 0 or more, got {shorten(repr(value))}."
        )
    return float(value)


def folder_of(weights: Weights, seed: int | None = None) -> str:
    """A name that any file system takes, the same for the same weights and another for others.

    Args:
        weights: of every task.
        seed: where there are several.

    Example:
        >>> folder_of({"churn": 2.0, "revenue": 1.0}), folder_of({"churn": 3.0, "revenue": 3.0 - 0.0})
        ('churn=2,revenue=1', 'equal-3')
    """
    text = _text(weights)
    safe = re.sub(r"[^A-Za-z0-9_.=,-]+", "-", text).lstrip(".-")
    if safe != text or len(text) > LONGEST or _lossy(weights):
        digest = hashlib.sha256(
            repr(sorted(weights.items())).encode("utf-8", "surrogatepass")
        ).hexdigest()[:10]
        safe = f"{safe[: LONGEST - 11]}-{digest}"
    return safe if seed is None else f"{safe},seed={seed}"


def _text(weights: Weights) -> str:
    if len(set(weights.values())) == 1:
        value = next(iter(weights.values()))
        return "equal" if value == 1 else f"equal-{value:g}"
    return ",".join(f"{name}={value:g}" for name, value in weights.items())


def _lossy(weights: Weights) -> bool:
    """Whether a name in the text could stand for another number, or for two names."""
    return any(
        float(f"{value:g}") != value or re.search("[=,]", name) for name, value in weights.items()
    )
