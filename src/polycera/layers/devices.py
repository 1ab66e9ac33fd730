"""Check that the device exists which an environment variable names."""

from __future__ import annotations

import os

import keras

from polycera.errors import PolyceraError, shorten

ASKED_BY = {"jax": "JAX_PLATFORMS", "torch": "KERAS_TORCH_DEVICE"}
"""Maps a backend to the environment variable that sets its device."""


def check_devices() -> None:
    """Compute one number, if an environment variable names a device.

    JAX 0.10 gives no clear error where `JAX_PLATFORMS=cuda` is set and there is no GPU.

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
    except Exception as error:  # JAX may raise an AssertionError without a text
        reason = " ".join(str(error).split()) or "it gives no reason"
        raise PolyceraError(
            f"{variable} is {shorten(device)!r}, and {backend} cannot compute there: "
            f"{shorten(reason, 150).rstrip('.')}. "
            f"Set {variable}=cpu, or leave it unset."
        ) from None
