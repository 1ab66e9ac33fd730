"""Put a pickle in place of a file or into one (CVE-2025-32434, -49655): a run never unpickles."""

from __future__ import annotations

import io
import os
import pickle

import _build
import numpy as np
from _run import Place, Variant, main
from lambda_in_keras import four


class Evil:
    """Runs a command as it is unpickled."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def __reduce__(self):
        return os.system, (f"touch {self.place.marker}",)


def array(place: Place) -> bytes:
    """A .npy file of objects."""
    content = io.BytesIO()
    np.save(content, np.array([Evil(place)], dtype=object), allow_pickle=True)
    return content.getvalue()


def kind_of_objects(place: Place) -> None:
    """Numbers that say of themselves that they are references to Python objects."""
    shape = {"dtype": "U64", "shape": [8], "data_offsets": [0, 64]}
    for name in ("O", "object", "(1000000,1000000)f4", "f4,O", "M8[s]", "S8", "bool"):
        noted = '{"notes":{"~":"array","of":"/x"},"kinds":{"notes/x":"' + name + '"}}'
        path = place.run / "epochs" / f"{100 + len(name):06d}.safetensors"
        _build.numbers(path, {"notes/x": shape}, b"\x41" * 64, noted)


VARIANTS = [
    *four("a pickle", lambda p: pickle.dumps(Evil(p))),
    *four("objects in .npy", array),
    *[
        Variant(
            f"a pickle as {name}", lambda p, n=name: _build.text(p.run, n, pickle.dumps(Evil(p)))
        )
        for name in ("spec.yaml", "schema.json", "metrics.json", "history.csv", "timing.json")
    ],
    Variant("numbers that claim to be objects", kind_of_objects),
]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
