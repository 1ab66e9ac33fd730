"""Whether the devices that the surroundings ask for are there."""

from __future__ import annotations

import os

import keras

from polycera.errors import PolyceraError, shorten

ASKED_BY = {"jax": "JAX_PLATFORMS", "torch": "KERAS_TORCH_DEVICE"}
"""The variable by which a backend is told on which device to compute."""


def check_devices() -> None:
    """Compute one number, where the surroundings name a device.

    JAX 0.10 fails without a word where `JAX_PLATFORMS=cuda` and there is no GPU.

    Raises:
        PolyceraError: naming the variable, where the backend cannot use that device.
    """
    backend = keras.backend.backend()
    variable = ASKED_BY.get(backend, "")
    device = os.environ.get(variable)
    if not device:
        return
    try:
        keras.ops.zeros(1)
    except Exception as error:  # of any kind: an AssertionError without a text, among others
        said = " ".join(str(error).split()) or "it gives no reason"
        raise PolyceraError(
            f"{variable} is {shorten(device)!r}, and {backend} cannot compute there: {shorten(said, 150).rstrip('.')}. "
            f"Set {variable}=cpu, or leave it unset."
        ) from None
