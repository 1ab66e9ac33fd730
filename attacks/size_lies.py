"""Give false sizes: networks, lists, columns, arrays, files beyond what exists; wrong states."""

from __future__ import annotations

import json
import os

import _build
from _run import Place, Variant, main

TERA = 2**40


def network(**values):
    """A spec with another network."""
    return lambda p: _build.spec(p.run, lambda spec: spec["network"].update(values))


def deep_and_there(place: Place) -> None:
    """So many layers that they cannot be built, and one array with as many numbers as they need."""
    _build.spec(place.run, lambda spec: spec["network"].update(width=1, depth=10**6))
    shape = {"dtype": "F32", "shape": [2**22], "data_offsets": [0, 2**24]}
    _build.numbers(place.run / "model.safetensors", {"arrays/0000/w": shape}, b"\0" * 2**24)
    _build.reseal(place.run)


def task(**values):
    """A task with other settings."""
    return lambda p: _build.spec(
        p.run, lambda spec: spec["tasks"].__setitem__(0, {"name": "revenue", **values})
    )


def encoder(change):
    """Another encoder."""
    return lambda p: _build.page(p.run, "schema.json", lambda schema: change(schema["encoder"]))


def levels(encoder) -> None:
    """Many levels of one column."""
    encoder["categories"][0]["levels"] = [str(i) for i in range(300_000)]


def twice(encoder) -> None:
    """One column many times."""
    for name in ("columns", "mean", "deviation", "gaps"):
        encoder["numbers"][name] *= 100_000


def history(content: str):
    """Another history."""
    return lambda p: _build.text(p.run, "history.csv", content)


def header(shapes, size: int = 1024):
    """Weights with such a header, and so many bytes behind it."""

    def build(place: Place) -> None:
        found = {
            name: {"dtype": kind, "shape": shape, "data_offsets": at}
            for name, (kind, shape, at) in shapes.items()
        }
        _build.numbers(place.run / "model.safetensors", found, b"\0" * size)
        _build.reseal(place.run)

    return build


def sparse(name: str, size: int):
    """A sparse file whose length the manifest announces; its digest would take hours to compute."""

    def build(place: Place) -> None:
        files = json.loads((place.run / "manifest.json").read_text())["files"]
        if name in files:
            _build.announce(place.run, files | {name: {"bytes": size, "sha256": "0" * 64}})
        os.truncate(place.run / name.format(_build.epoch(place.run).name), size)

    return build


def longer(place: Place) -> None:
    """Weights that are right, and 400 MB of others behind them, all announced and digested."""
    from polycera.storage import arrays

    path = place.run / "model.safetensors"
    import numpy as np

    found = {**arrays.StoredArrays(path).arrays, "9999/more": np.zeros(10**8, "float32")}
    arrays.write(path, found)
    _build.reseal(place.run)


def state(change):
    """A checkpoint with other notes; the one before it is as bad."""

    def build(place: Place) -> None:
        for path in (place.run / "checkpoints").glob("*.safetensors"):
            _build.notes(path, change)

    return build


def of(kind: str, **values):
    """Another state of one callback."""

    def change(notes) -> None:
        next(one for one in notes["callbacks"] if one["class"] == kind)["state"].update(values)

    return state(change)


def of_numpy(**values):
    """Another state of NumPy's generator."""
    return state(lambda notes: notes["random"]["numpy"]["state"].update(values))


def groups(place: Place) -> None:
    """Arrays of a group that nobody knows."""
    import numpy as np

    from polycera.storage import arrays

    for path in (place.run / "checkpoints").glob("*.safetensors"):
        stored = arrays.StoredArrays(path)
        arrays.write(path, {**stored.arrays, "os/system": np.zeros(3)}, stored.notes)


WIDE, DEEP = 10**6, 10**6
NUMBERS = (
    {"width": WIDE},
    {"width": WIDE, "depth": DEEP},
    {"depth": DEEP},
    {"width": -1},
    {"width": 2**14, "depth": 2**8},
)
STATES = {
    "epoch": "1",
    "batch": -1,
    "seed": "x",
    "rows": 1,
    "finished": "yes",
    "random": None,
    "callbacks": {"a": 1},
}
HUGE = {
    "epoch": 10**9,
    "batch": 10**7,
    "seed": 10**30,
    "rows": "x",
    "random": {"python": (1, 2, 3)},
    "callbacks": [1],
}
VARIANTS = [
    *[Variant(f"a network of {values}", network(**values)) for values in NUMBERS],
    Variant("a million layers and as many numbers", deep_and_there),
    Variant("10^7 classes", task(kind="multiclass", classes=10**7)),
    Variant("10^9 labels", task(kind="multilabel", labels=10**9)),
    Variant("90 000 classes", task(kind="multiclass", classes=90_000)),
    Variant("-1 labels", task(kind="multilabel", labels=-1)),
    Variant(
        "30 000 quantiles",
        task(kind="quantile", quantiles=[(i + 1) / 30_001 for i in range(30_000)]),
    ),
    Variant("an encoder of 10^9 columns", encoder(lambda e: e["numbers"].update(columns=10**9))),
    Variant("an encoder of 300 000 levels", encoder(levels)),
    Variant("an encoder that takes a column 100 000 times", encoder(twice)),
    Variant(
        "an encoder whose parts differ in length", encoder(lambda e: e["numbers"].update(gaps=[]))
    ),
    Variant("a deviation of 0", encoder(lambda e: e["numbers"].update(deviation=[0, 0]))),
    Variant("a history of 10^10 empty cells", history("," * 100_000 + "\n" + "1\n" * 100_000)),
    Variant("a history of 8 MB", history("a\n" + "1\n" * 4_000_000)),
    Variant("a history with a cell of 4 MB", history("a,b\n1," + "1" * 2**22)),
    Variant(
        "weights whose shape lies", header({"arrays/0000/w": ("F32", [10**9, 10**9], [0, 1024])})
    ),
    Variant("weights that overflow", header({"arrays/0000/w": ("F32", [2**63, 2**63], [0, 1024])})),
    Variant(
        "weights of a shape below 0", header({"arrays/0000/w": ("F32", [-16, -16], [0, 1024])})
    ),
    Variant(
        "weights that overlap",
        header({f"arrays/000{i}/w": ("F32", [256], [0, 1024]) for i in range(2)}),
    ),
    Variant("weights beyond the file", header({"arrays/0000/w": ("F32", [2**38], [0, TERA])})),
    Variant("weights with a gap", header({"arrays/0000/w": ("F32", [128], [512, 1024])})),
    Variant("weights of an unknown type", header({"arrays/0000/w": ("O", [128], [0, 1024])})),
    Variant("weights and 400 MB of others", longer),
    *[
        Variant(f"{name} of 1 TB of holes", sparse(name, TERA))
        for name in (
            "spec.yaml",
            "schema.json",
            "metrics.json",
            "history.csv",
            "model.safetensors",
            "manifest.json",
            "epochs/{}",
        )
    ],
    Variant(
        "predictions.csv of 1 TB of holes",
        sparse("predictions.csv", TERA),
        harmless="it is never opened",
    ),
    Variant("weights of 8 GB of holes", sparse("model.safetensors", 2**33)),
    *[
        Variant(
            f"a checkpoint whose {key} is {value!r}",
            state(lambda n, k=key, v=value: n.update({k: v})),
            True,
        )
        for values in (STATES, HUGE)
        for key, value in values.items()
    ],
    *[
        Variant(f"a checkpoint without {key}", state(lambda n, k=key: n.pop(k)), True)
        for key in STATES
        if key not in ("epoch", "batch")
    ],
    Variant("a checkpoint of an unknown group", groups, True),
    *[
        Variant(f"{kind}.{name} = {value!r}", of(kind, **{name: value}), True)
        for kind, name, value in (
            ("History", "model", 1),
            ("History", "_model", "x"),
            ("History", "set_model", 1),
            ("History", "on_epoch_end", 1),
            ("History", "__class__", 1),
            ("History", "history", 7),
            ("ReduceLROnPlateau", "wait", "x"),
            ("ReduceLROnPlateau", "monitor_op", 1),
            ("ParetoCheckpoint", "_skills", "x"),
        )
    ],
    Variant(
        "ParetoCheckpoint.folder elsewhere",
        of("ParetoCheckpoint", folder="../..", keep=10**6),
        True,
        "settings are not put back",
    ),
    *[
        Variant(f"NumPy's generator with pos={pos}", of_numpy(pos=pos), True)
        for pos in (10**9, -5, "x")
    ],
]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
