"""Use names that are paths (CVE-2026-12479, tar and zip slips): `../` wherever a run has names."""

from __future__ import annotations

import json

import _build
from _run import Place, Variant, main

NAMES = (
    "../secret.csv",
    "../../../../etc/passwd",
    "/etc/passwd",
    "..\\secret",
    "a/../../b",
    "~/.bashrc",
    "file:///etc/passwd",
)
NEVER = "names in it are looked up, and never opened"


def in_manifest(name: str):
    """A file of the manifest that lies elsewhere."""

    def build(place: Place) -> None:
        files = json.loads((place.run / "manifest.json").read_text())["files"]
        _build.announce(place.run, files | {name: _build.measured(place.secret.read_bytes())})

    return build


def only_in_manifest(place: Place) -> None:
    """Every file of the run under another name."""
    files = json.loads((place.run / "manifest.json").read_text())["files"]
    _build.announce(place.run, {f"../run/{name}": entry for name, entry in files.items()})


def task(name: str):
    """A task of that name, in spec and scores."""

    def build(place: Place) -> None:
        _build.spec(place.run, lambda spec: spec["tasks"][0].update(name=name))

        def rename(metrics) -> None:
            for part in ("test", "validation"):
                metrics[part][name] = metrics[part].pop("revenue")

        _build.page(place.run, "metrics.json", rename)

    return build


def array(name: str):
    """An array of that name among the weights."""

    def build(place: Place) -> None:
        shape = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
        _build.numbers(place.run / "model.safetensors", {name: shape}, b"\0" * 4)
        _build.reseal(place.run)

    return build


def noted_epoch(name: object):
    """A kept epoch that says it is another."""
    return lambda p: _build.notes(_build.epoch(p.run), lambda notes: notes.update(epoch=name))


def score(name: str):
    """A kept epoch that was kept by such a metric."""
    return lambda p: _build.notes(
        _build.epoch(p.run), lambda notes: notes.update(names=[name] * 4, watched=[name])
    )


def strange_files(place: Place) -> None:
    """Files in the folders of a run that are named almost as its own."""
    for name in (
        "..safetensors",
        "1.safetensors",
        "000001.safetensors.pkl",
        "999999999999999999999.safetensors",
        "٣٣٣٣٣٣.safetensors",
    ):
        (place.run / "epochs" / name).write_bytes(b"evil")


VARIANTS = [
    *[Variant(f"{name} in the manifest", in_manifest(name), harmless=NEVER) for name in NAMES[:3]],
    Variant("the manifest names the files by dots", only_in_manifest),
    *[
        Variant(f"the task {name}", task(name), harmless="a task's name is never joined to a path")
        for name in NAMES
    ],
    *[Variant(f"the array {name}", array(name)) for name in (*NAMES, f"arrays/{NAMES[0]}")],
    *[
        Variant(f"a kept epoch numbered {name!r}", noted_epoch(name))
        for name in (NAMES[0], -1, 7, 10**30, None, [1])
    ],
    *[Variant(f"a kept epoch of {name}", score(name)) for name in NAMES[:2]],
    Variant("files named almost as epochs", strange_files),
]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
