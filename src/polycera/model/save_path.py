"""Check that a model is saved under a name from which it can be loaded again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from polycera.errors import InputError, shorten
from polycera.model.keras_names import flat

WEIGHTS = (".weights.h5", ".weights.json")
"""Endings under which Keras writes weights."""


def check_path(filepath: Any, options: Mapping[str, Any]) -> None:
    """Raise for what Keras could write and polycera could not load.

    Args:
        filepath: what `save` was given.
        options: its other arguments; `zipped=False` makes a folder.

    Raises:
        InputError: with the name to write instead.
    """
    if (
        not isinstance(filepath, str | Path)
        or str(filepath).endswith(".keras")
        or options.get("zipped") is False
    ):
        return
    name = str(filepath)
    stem = name.removesuffix(".weights.h5")
    stem = stem if stem != name else str(Path(name).with_suffix("")) if _is_format(name) else name
    if name.endswith(WEIGHTS):
        hint = f"write model.save_weights({shorten(name, 200)!r}) for the weights alone"
    else:
        hint = f"weights alone: model.save_weights({shorten(stem + '.weights.h5', 200)!r})"
    raise InputError(
        f"A model of tasks is saved in the .keras format, got {shorten(name, 200)!r}: write "
        f"model.save({shorten(stem + '.keras', 200)!r}); {hint}."
    )


def check_weights_path(filepath: Any) -> None:
    """Raise for a name that Keras does not accept for weights.

    Raises:
        InputError: with the name to write instead.
    """
    if not isinstance(filepath, str | Path) or str(filepath).endswith(WEIGHTS):
        return
    name = str(filepath)
    stem = str(Path(name).with_suffix("")) if _is_format(name) else name
    weights, whole_model = (shorten(stem + ending, 200) for ending in (".weights.h5", ".keras"))
    raise InputError(
        f"Weights are saved under a name that ends in .weights.h5, got {shorten(name, 200)!r}: "
        f"write model.save_weights({weights!r}), or model.save({whole_model!r}) for the whole "
        "model."
    )


def check_callbacks(callbacks: Any) -> None:
    """Raise for a checkpoint of stock Keras that would fail at the end of the first epoch.

    Raises:
        InputError: with the name to write instead.
    """
    for callback in flat(callbacks):
        if isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_weights_only:
            check_path(callback.filepath, {})


def _is_format(name: str) -> bool:
    """Return whether a name ends in a file format, and not in a part of a number."""
    return Path(name).suffix.lower() in (
        ".h5",
        ".hdf5",
        ".tf",
        ".pb",
        ".pkl",
        ".pt",
        ".pth",
        ".ckpt",
        ".json",
        ".onnx",
    )
