"""Define smaller networks and shorter trainings by name, for a first look; Keras is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polycera.errors import UnknownName

PRESETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fast": ({"members": 5, "width": 96, "landmarks": 500}, {"max_steps": 1500})
}
"""Name -> options of network and training; docs/accuracy.md has their cost in accuracy."""


def preset(
    name: str | None, network: Mapping[str, Any] | None, training: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the options of network and training, filled in from a preset.

    Args:
        name: of the preset, or None.
        network, training: given options; they take precedence. With given folds there is one member
            for each fold.

    Raises:
        UnknownName: for an unknown preset.
    """
    network, training = network or {}, training or {}
    if name is None:
        return network, training
    if name not in PRESETS:
        raise UnknownName("preset", name, list(PRESETS))
    smaller, shorter = PRESETS[name]
    if network.get("folds", 1) != 1:
        # The members must be a multiple of the folds.
        smaller = {**smaller, "members": network["folds"]}
    return {**smaller, **network}, {**shorter, **training}
