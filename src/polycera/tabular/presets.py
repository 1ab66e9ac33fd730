"""Smaller networks and shorter trainings by name, for a first look; known without Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polycera.errors import UnknownName

PRESETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fast": ({"members": 5, "width": 96, "landmarks": 500}, {"max_steps": 1500})
}
"""Name -> smaller options of network and training; docs/accuracy.md has what they cost in accuracy."""


def preset(
    name: str | None, network: Mapping[str, Any] | None, training: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return options of network and training, those of a preset where none are given.

    Args:
        name: of the preset, or None.
        network, training: what is given; it wins. Of given folds, there is a member for each.

    Raises:
        UnknownName: for a preset that there is not.
    """
    network, training = network or {}, training or {}
    if name is None:
        return network, training
    if name not in PRESETS:
        raise UnknownName("preset", name, list(PRESETS))
    smaller, shorter = PRESETS[name]
    if network.get("folds", 1) != 1:
        smaller = {**smaller, "members": network["folds"]}
    return {**smaller, **network}, {**shorter, **training}
