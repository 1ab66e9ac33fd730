"""The optimizer in a saved model under its public name, so that a file goes from one backend to another.

Keras writes the class of the backend that trained: `keras.src.backend.torch.optimizers.torch_adam`,
which works on PyTorch alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

OF_A_BACKEND = "keras.src.backend."
"""How the modules begin in which Keras keeps what belongs to one backend."""


def portable(config: Any) -> Any:
    """Return a configuration with each optimizer of one backend under its public name.

    Args:
        config: what `get_compile_config` gives, or a part of it.
    """
    if isinstance(config, Mapping):
        found = {name: portable(value) for name, value in config.items()}
        name = found.get("class_name")
        if str(found.get("module", "")).startswith(OF_A_BACKEND) and hasattr(
            keras.optimizers, str(name)
        ):
            found |= {"module": "keras.optimizers", "registered_name": None}
        return found
    if isinstance(config, list | tuple):
        return type(config)(portable(value) for value in config)
    return config
