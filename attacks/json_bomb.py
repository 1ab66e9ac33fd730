"""Use JSON that is deep, wide or long wherever a run has JSON: pages, manifest, array headers."""

from __future__ import annotations

import json

import _build
from _run import Place, Variant, main

BOMBS = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep and cut off": '{"a":' * 1_000_000,
    "wide": "[" + "0," * 4_000_000 + "0]",
    "many lists": "[" + "[]," * 2_700_000 + "[]]",
    "many names": "{" + ",".join(f'"{i}":0' for i in range(700_000)) + "}",
    "long": '"' + "x" * 2**24 + '"',
    "a number of a million digits": "1" * 10**6,
    "no text": b"\xff\xfe\x00".decode("latin-1"),
    "half of a surrogate": '"\\ud800"',
}
PAGES = ("schema.json", "metrics.json", "timing.json")


def page(name: str, bomb: str):
    """Instead of a page."""
    return lambda p: _build.text(p.run, name, bomb.encode("latin-1"))


def within(bomb: str):
    """Within a page that is right but for it."""

    def build(place: Place) -> None:
        found = (place.run / "schema.json").read_text()
        _build.text(
            place.run, "schema.json", found.replace('"warnings": []', f'"warnings": {bomb}')
        )

    return build


def manifest(bomb: str):
    """Instead of the manifest."""
    return lambda p: (p.run / "manifest.json").write_bytes(bomb.encode("latin-1"))


def full_manifest(place: Place) -> None:
    """A manifest that is right, of a hundred thousand files that are not there."""
    _build.announce(place.run, {str(i): {"bytes": 0, "sha256": ""} for i in range(100_000)})


def header(bomb: str):
    """As the header of the weights: JSON, as safetensors has it."""

    def build(place: Place) -> None:
        _build.text(
            place.run, "model.safetensors", len(bomb).to_bytes(8, "little") + bomb.encode("latin-1")
        )

    return build


def noted(bomb: str):
    """As notes in the header, which are JSON in JSON; the digest is right."""

    def build(place: Place) -> None:
        text = '{"notes":' + bomb + ',"kinds":{}}'
        _build.numbers(_build.epoch(place.run), {}, noted=text)

    return build


def many_arrays(place: Place) -> None:
    """As many arrays of nothing as a header can name."""
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    names = {f"arrays/{i:04d}": empty for i in range(30_000)}
    _build.numbers(place.run / "model.safetensors", names)
    _build.reseal(place.run)


def one_array_often(place: Place) -> None:
    """Notes that make a list of the same array again and again."""
    again = json.dumps([{"~": "list", "of": {"~": "array", "of": "/x"}}] * 30_000)
    shape = {"dtype": "F64", "shape": [2**17], "data_offsets": [0, 2**20]}
    _build.numbers(
        _build.epoch(place.run),
        {"notes/x": shape},
        b"\0" * 2**20,
        '{"notes":' + again + ',"kinds":{}}',
    )


VARIANTS = [
    *[
        Variant(f"{name} as {place}", page(place, bomb))
        for name, bomb in BOMBS.items()
        for place in PAGES[:2]
    ],
    *[
        Variant(f"{name} as timing.json", page("timing.json", BOMBS[name]))
        for name in ("deep", "wide")
    ],
    *[
        Variant(f"{name} within schema.json", within(BOMBS[name]))
        for name in ("deep", "wide", "many lists", "many names")
    ],
    *[Variant(f"{name} as the manifest", manifest(bomb)) for name, bomb in BOMBS.items()],
    Variant("a manifest of 100 000 files", full_manifest),
    *[Variant(f"{name} as a header", header(bomb)) for name, bomb in BOMBS.items()],
    *[
        Variant(f"{name} as notes", noted(bomb))
        for name, bomb in BOMBS.items()
        if name != "no text"
    ],
    Variant("30 000 arrays of nothing", many_arrays),
    Variant("one array taken 30 000 times", one_array_often),
]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
