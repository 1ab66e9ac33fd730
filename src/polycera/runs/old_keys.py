"""Map keys in files that earlier versions wrote to the keys of today.

Files of every earlier version are read for good, so no key is ever taken out of here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Keys = Mapping[tuple[str, ...], str]
"""Path of an old key -> its name today."""

SPEC: Keys = {
    ("training", "joint"): "score_weights",
}
"""Path of an old key in a spec -> its name today."""

METRICS: Keys = {("held_out",): "part"}
"""Path of an old key in `metrics.json` -> its name today."""

CALLBACKS: Keys = {
    ("JointCheckpoint", "weights"): "score_weights",
    ("JointEarlyStopping", "weights"): "score_weights",
    ("JointScore", "weights"): "score_weights",
    ("OutOfFold", "_held"): "_fold_mask",
    ("ParetoCheckpoint", "weights"): "score_weights",
}
"""Class of a callback and an old key of its state in a checkpoint -> the key's name today."""

CLASSES = {"Turn": "SetEpoch"}
"""Old name of a callback's class in a checkpoint -> its name today."""


def renewed(values: Any, keys: Keys) -> Any:
    """Return what a file holds with the keys of today; anything else stays as it is.

    Args:
        values: the content of a file, as plain values.
        keys: path of an old key -> its name today.

    Raises:
        ValueError: where a key comes under its old and its new name.

    Examples:
        >>> renewed({"training": {"joint": {"churn": 2.0}}}, SPEC)
        {'training': {'score_weights': {'churn': 2.0}}}
    """
    for (*parents, old), new in keys.items():
        values = _with_key(values, parents, old, new)
    return values


def as_before(values: Any, keys: Keys) -> Any:
    """Return plain values with the old keys: the inverse of `renewed`.

    Examples:
        >>> as_before({"training": {"score_weights": {"churn": 2.0}}}, SPEC)
        {'training': {'joint': {'churn': 2.0}}}
    """
    return renewed(values, {(*parents, new): old for (*parents, old), new in keys.items()})


def _with_key(values: Any, parents: list[str], key: str, name: str) -> Any:
    """Return values in which a key has another name."""
    if not isinstance(values, dict):
        return values
    if parents:
        first, *rest = parents
        if first not in values:
            return values
        return values | {first: _with_key(values[first], rest, key, name)}
    if key in values and name in values:
        raise ValueError(f"it has {key} and {name}, which are one key; leave {key} out")
    return {name if known == key else known: value for known, value in values.items()}
