"""Write the optimizer of a saved model under its public name, so that each backend can load it.

Keras writes the class of the backend that trained: `keras.src.backend.torch.optimizers.torch_adam`,
which works on PyTorch alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

OF_A_BACKEND = "keras.src.backend."
"""First part of the names of Keras's modules that belong to one backend."""


def portable(config: Any) -> Any:
    """Return a configuration with each backend's optimizer under its public name.

    Args:
        config: what `get_compile_config` returns, or a part of it.
    """
    if isinstance(config, Mapping):
        converted = {name: portable(value) for name, value in config.items()}
        name = converted.get("class_name")
        if str(converted.get("module", "")).startswith(OF_A_BACKEND) and hasattr(
            keras.optimizers, str(name)
        ):
            converted |= {"module": "keras.optimizers", "registered_name": None}
        return converted
    if isinstance(config, list | tuple):
        return type(config)(portable(value) for value in config)
    return config
