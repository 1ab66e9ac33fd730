"""Give a 1 MB zip that unpacks to 1 GB (#23010; a `.keras` file is a zip): no run is unpacked."""

from __future__ import annotations

import gzip
import io
import zipfile

import _build
from _run import Variant, main
from lambda_in_keras import four


def bomb(name: str) -> bytes:
    """One member of a gigabyte of zeros."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file,
        file.open(name, "w", force_zip64=True) as member,
    ):
        for _ in range(64):
            member.write(b" " * 2**24)
    return content.getvalue()


def packed(name: str):
    """A text of the run as its own gzip."""
    return lambda p: _build.text(
        p.run, name, gzip.compress(b" " * 2**26 + (p.run / name).read_bytes())
    )


BOMB, ARRAY = bomb("config.json"), bomb("weight.npy")
VARIANTS = [
    *four("a gigabyte in .keras", lambda p: BOMB),
    *four("a gigabyte in .npz", lambda p: ARRAY),
    *[
        Variant(f"{name} packed by gzip", packed(name))
        for name in ("spec.yaml", "schema.json", "metrics.json")
    ],
]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
