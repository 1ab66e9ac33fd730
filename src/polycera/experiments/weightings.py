"""Choose and check the static weights that are compared, and name the folder of each."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from polycera.errors import InputError, UnknownName, shorten

Weights = dict[str, float]
"""Weights map a task to the factor of its loss, or `task/term` to the factor of a loss term.

All weightings of a comparison have the same keys.
"""

RATIOS = (4.0, 16.0)
"""A default design for two tasks gives one of them these weights, the other weight 1."""

MANY = 12
"""A default design is made for at most this many tasks: 25 trainings."""

LONGEST = 80
"""The name of a folder has at most this many characters."""


def design(defaults: Weights) -> list[Weights]:
    """Return the default weightings: equal weights, and then each task with more or less weight.

    Two tasks get 4 : 1 and 16 : 1 both ways; of more tasks each gets 4 and 1/4.

    Args:
        defaults: any weights, for the names of the tasks.

    Raises:
        InputError: for more than 12 tasks, because the trainings would take too long.

    Examples:
        >>> design({"a": 1.0, "b": 1.0})[:2]
        [{'a': 1.0, 'b': 1.0}, {'a': 4.0, 'b': 1.0}]
    """
    if len(defaults) > MANY:
        raise InputError(
            f"For {len(defaults)} tasks name the weights to try: "
            "loss_weights=[{name: number, ...}, ...]."
        )
    factors = RATIOS if len(defaults) == 2 else (RATIOS[0], 1 / RATIOS[0])
    equal = dict.fromkeys(defaults, 1.0)
    return [equal] + [equal | {name: factor} for name in defaults for factor in factors]


def listed(weightings: Any) -> list[Mapping[str, Any]]:
    """Return the user's weightings as a list of dicts.

    Raises:
        InputError: for anything else.
    """
    if isinstance(weightings, Mapping | str) or not isinstance(weightings, Iterable):
        raise InputError(
            "Expected loss_weights= to be a list of dicts of task to number, got "
            f"{shorten(repr(weightings))}."
        )
    as_list = list(weightings)
    for weighting in as_list:
        if not isinstance(weighting, Mapping):
            raise InputError(
                "Expected the weights to be a dict of task to number, got "
                f"{shorten(repr(weighting))}."
            )
    return as_list


def checked(weightings: Any, defaults: Weights) -> list[Weights]:
    """Return the user's weightings, each with every task.

    A task that is not named keeps its own weight.

    Raises:
        UnknownName: for a task that does not exist.
        InputError: for anything but a list of weights that are finite, 0 or more and not all 0; for
            a weighting that comes twice.
    """
    complete = [
        defaults | {name: _weight(name, value, defaults) for name, value in weighting.items()}
        for weighting in listed(weightings)
    ]
    if not complete:
        raise InputError(
            "No weights to try: name some, or leave loss_weights= out for a default design."
        )
    for index, weighting in enumerate(complete):
        if not sum(weighting.values()) > 0:
            raise InputError(
                f"The weights {shorten(weighting)} are all 0, so nothing would be learned; raise "
                "one of them."
            )
        if weighting in complete[:index]:
            raise InputError(f"The weights {shorten(weighting)} are given twice; name each once.")
    return complete


def _weight(name: str, value: Any, defaults: Weights) -> float:
    """Return one weight as a float, checked."""
    if name not in defaults:
        raise UnknownName("task in the weights:", name, defaults)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= sys.float_info.max
    ):
        raise InputError(
            f"Expected the weight of {shorten(name)!r} to be a finite number, 0 or more, got "
            f"{shorten(repr(value))}."
        )
    return float(value)


def folder_of(weights: Weights, seed: int | None = None) -> str:
    """Return a name that any file system accepts: equal for equal weights, different for others.

    Args:
        weights: weights of every task.
        seed: the seed, where there are several; None where there is one.

    Examples:
        >>> (
        ...     folder_of({"churn": 2.0, "revenue": 1.0}),
        ...     folder_of({"churn": 3.0, "revenue": 3.0 - 0.0}),
        ... )
        ('churn=2,revenue=1', 'equal-3')
    """
    text = _text(weights)
    safe = re.sub(r"[^A-Za-z0-9_.=,-]+", "-", text).lstrip(".-")
    # A digest keeps names apart where characters were replaced, cut off or rounded.
    if safe != text or len(text) > LONGEST or _lossy(weights):
        digest = hashlib.sha256(
            repr(sorted(weights.items())).encode("utf-8", "surrogatepass")
        ).hexdigest()[:10]
        safe = f"{safe[: LONGEST - 11]}-{digest}"
    return safe if seed is None else f"{safe},seed={seed}"


def _text(weights: Weights) -> str:
    """Return the weights as text, short where all are equal."""
    if len(set(weights.values())) == 1:
        value = next(iter(weights.values()))
        return "equal" if value == 1 else f"equal-{value:g}"
    return ",".join(f"{name}={value:g}" for name, value in weights.items())


def _lossy(weights: Weights) -> bool:
    """Return whether a part of the text could stand for another number, or for two names."""
    return any(
        float(f"{value:g}") != value or re.search("[=,]", name) for name, value in weights.items()
    )
