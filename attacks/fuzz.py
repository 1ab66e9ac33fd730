"""Change values in genuine runs, update the checksums and use the runs.

Usage: `python attacks/fuzz.py [--mutations N] [--seed S]`.

What may come out is a PolyceraError of one sentence, or answers. Exit code 0 where nothing else
did.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _build
import yaml
from _run import Place, genuine, prepared, tried

VALUES: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        1,
        2,
        10**6,
        10**12,
        10**25,
        -(2**63),
        0.5,
        1e308,
        -1e-308,
        float("nan"),
        float("inf"),
    ),
    *("", "x", "0", "no", "mse", "revenue", "../x", "\u0000", "\ud7ff", "x" * 10_000, "1" * 500),
    *(
        [],
        {},
        [[]],
        [None],
        [1, 2, 3],
        ["a", "a"],
        [[[[[[]]]]]],
        {"a": {}},
        {"class_name": "x"},
        [{}],
        {"loss": 1, "weight": 1},
    ),
]
PAGES = (
    "spec.yaml",
    "schema.json",
    "metrics.json",
    "history.csv",
    "timing.json",
    "manifest.json",
)
NOTES = "epochs"


def places(tree: Any, way: tuple = ()) -> Iterator[tuple]:
    """The way to each value of a tree."""
    for key, value in (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    ):
        yield (*way, key)
        yield from places(value, (*way, key))


def mutate(tree: Any, rng: random.Random) -> str:
    """Change one value of a tree in place, and say what was done."""
    way = rng.choice(list(places(tree)))
    at = tree
    for key in way[:-1]:
        at = at[key]
    act, value = rng.choice(("replace",) * 6 + ("remove", "double", "rename")), rng.choice(VALUES)
    if act == "remove":
        del at[way[-1]]
    elif act == "double" and isinstance(at, list):
        at.append(at[way[-1]])
    elif act == "rename" and isinstance(at, dict):
        at[rng.choice(("", "x", "name", "kind", "loss"))] = at.pop(way[-1])
    else:
        at[way[-1]] = value
        act = f"replace by {str(value)[:30]!r}"
    return f"{'.'.join(map(str, way))}: {act}"


def changed(run: Path, rng: random.Random) -> str:
    """Change one or two values of a run."""
    name = rng.choice((*PAGES[:3] * 3, *PAGES, NOTES, NOTES))
    count = rng.choice((1, 1, 2))
    if name == NOTES:
        done: list[str] = []
        _build.notes(
            _build.epoch(run),
            lambda tree: done.extend(mutate(tree, rng) for _ in range(count) if tree),
        )
        return f"{name}: {'; '.join(done)}"
    content = (run / name).read_bytes()
    if name == "history.csv":
        cells = [line.split(",") for line in content.decode().splitlines()]
        done = [mutate(cells, rng) for _ in range(count)]
        text = "\n".join(
            ",".join(map(str, row)) if isinstance(row, list) else str(row) for row in cells
        )
    else:
        tree = yaml.safe_load(content) if name.endswith("yaml") else json.loads(content)
        done = [mutate(tree, rng) for _ in range(count) if tree]
        text = (
            yaml.safe_dump(tree, sort_keys=False)
            if name.endswith("yaml")
            else json.dumps(tree, indent=1)
        )
    if name == "manifest.json":
        (run / name).write_text(text, errors="replace")
    else:
        _build.text(run, name, text.encode(errors="replace"))
    return f"{name}: {'; '.join(done)}"


def one(place: Place, rng: random.Random) -> tuple[str, list[str], bool]:
    """Change a run, use it: what was done, what was wrong, whether anything was refused."""
    import polycera as pc

    try:
        done = changed(place.run, rng)
    except (TypeError, ValueError, KeyError, IndexError):  # a state that nobody could write
        return "nothing", [], True
    table, names = (
        str(place.table),
        ("spec", "schema", "columns", "metrics", "history", "versions", "epochs"),
    )
    steps = {name: (lambda name=name: getattr(pc.load(place.run), name)) for name in names}
    steps["resume"] = lambda: pc.resume(place.run, progress=False)
    steps["predict"] = lambda: pc.load(place.run).predict(table)
    steps["evaluate"] = lambda: pc.load(place.run).evaluate(table)
    steps["pick"] = lambda: pc.load(place.run).pick({"churn": 1})
    outcome = tried(steps)
    return done, outcome.faults, bool(outcome.said)


def main() -> None:
    """Change, use, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mutations", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kinds: collections.Counter[str] = collections.Counter()
    with genuine() as made, tempfile.TemporaryDirectory() as folder:
        for number in range(options.mutations):
            place = prepared(made, Path(folder) / "work", False)
            done, faults, refused = one(place, random.Random(f"{options.seed}/{number}"))
            shutil.rmtree(Path(folder) / "work")
            kinds["got through" if faults else "refused" if refused else "answered"] += 1
            if faults:
                print(f"{options.seed}/{number} {done}: {faults[0]}", flush=True)
    print(dict(kinds))
    sys.exit(kinds["got through"] > 0)


if __name__ == "__main__":
    main()
