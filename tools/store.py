"""Store what this version writes, for a test of later versions: a small run, spec, .keras files.

    python tools/store.py                     # all three backends, a process each ->
    tests/stored/VERSION/BACKEND/

Run it once a version, before the version is released and before anything is renamed; the folder is
never changed afterwards. `tests/house/test_stored.py` reads every folder in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BACKENDS = ("jax", "tensorflow", "torch")
OPTIONS = {
    "columns": {"since": "date"},
    "network": {"width": 8, "members": 5, "landmarks": 10, "bins": 4},
    "training": {"max_steps": 20, "batch_size": 16},
    "progress": False,
}


def table(rows: int = 60) -> dict:
    """Return columns of several types, with gaps, and a target of each kind that a table has."""
    import numpy as np

    rng = np.random.default_rng(0)
    x, z = rng.normal(size=rows), rng.normal(size=rows)
    colour = np.array(["red", "green", "blue"])[rng.integers(0, 3, rows)].astype(object)
    age = np.round(40 + 10 * z, 1)
    age[::9] = np.nan
    price = 100 + 20 * x + z
    price[::7] = np.nan
    return {
        "x": x,
        "age": age,
        "colour": colour,
        "since": np.array([f"2024-{1 + i % 6:02d}-{1 + i % 28:02d}" for i in range(rows)]),
        "price": price,
        "share": 1 / (1 + np.exp(-x - rng.normal(size=rows))),
        "sold": np.where(x + z > 0, "yes", "no"),
        "kind": np.array(["a", "b", "c"])[(x > 0).astype(int) + (z > 1)],
        "visits": rng.poisson(np.exp(0.5 * x)),
    }


def inputs() -> dict:
    """Return the columns of the first rows that are no targets."""
    return {name: table()[name][:6] for name in ("x", "age", "colour", "since")}


def plain(answers) -> dict:
    """Return answers by task as lists that JSON takes."""
    import numpy as np

    return {name: np.asarray(values, "float64").tolist() for name, values in answers.items()}


def columns(answers) -> dict:
    """Return predictions of a run by column, as lists that JSON takes."""
    return {
        name: [value.item() if hasattr(value, "item") else value for value in answers[name]]
        for name in answers
    }


def models() -> dict:
    """Return a user-defined model with every kind of task, and an adopted one, briefly trained."""
    import keras
    import numpy as np

    import polycera as pc

    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 3)).astype("float32")
    labels = {
        "price": 100 + 20 * x[:, 0],
        "share": 1 / (1 + np.exp(-x[:, 1])),
        "sold": x[:, 1] > 0,
        "kind": np.array(["a", "b", "c"])[np.arange(32) % 3],
        "tags": (x > 0).astype("float32"),
        "grade": np.arange(32) % 4,
        "visits": np.arange(32) % 5,
        "range": 10 + x[:, 2],
    }
    tasks = [
        pc.Regression("price", loss={"mse": 0.8, "mae": 0.2}, metrics=["rmse", "mae"]),
        pc.Proportion("share"),
        pc.Binary("sold", weight=2.0),
        pc.Multiclass("kind", ["a", "b", "c"]),
        pc.Multilabel("tags", ["p", "q", "r"]),
        pc.Ordinal("grade", [0, 1, 2, 3]),
        pc.Count("visits"),
        pc.Quantile("range", quantiles=[0.1, 0.5, 0.9]),
    ]
    first = keras.Input((3,), name="features")
    hidden = keras.layers.Dense(8, activation="tanh")(first)
    heads = pc.layers.Heads(tasks, balancing="upgrad", weighting="uncertainty")
    own = pc.Model(first, heads(hidden))
    own.compile("adam")
    own.fit(x, labels, epochs=2, batch_size=16, verbose=0)
    second = keras.Input((3,), name="features")
    hidden = keras.layers.Dense(8, activation="tanh")(second)
    outputs = {
        "price": keras.layers.Dense(1, name="price")(hidden),
        "sold": keras.layers.Dense(1, activation="sigmoid", name="sold")(hidden),
    }
    adopted = pc.adopt(keras.Model(second, outputs), [pc.Regression("price"), pc.Binary("sold")])
    adopted.compile("adam")
    adopted.fit(x, {name: labels[name] for name in outputs}, epochs=2, batch_size=16, verbose=0)
    return {"own": (own, x[:6]), "adopted": (adopted, x[:6])}


def cut_off(train) -> None:
    """Interrupt a training, as Ctrl-C does, at the end of its second epoch."""
    import keras

    import polycera as pc

    end = keras.callbacks.CallbackList.on_epoch_end

    def interrupted(self, epoch, logs=None):
        end(self, epoch, logs)
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)

    keras.callbacks.CallbackList.on_epoch_end = interrupted
    try:
        train()
    except (KeyboardInterrupt, pc.PolyceraError) as error:
        print(f"Cut off: {error}")
    finally:
        keras.callbacks.CallbackList.on_epoch_end = end


def write(place: Path) -> None:
    """Write everything of this backend."""
    import numpy as np

    import polycera as pc

    kinds = {
        "price": "regression",
        "share": "proportion",
        "sold": "binary",
        "kind": "multiclass",
        "visits": "count",
    }
    run = pc.fit(table(), kinds, out=place / "run", **OPTIONS)
    longer = OPTIONS | {
        "training": {"max_steps": 300, "batch_size": 16},
        "checkpoint_every": "1 epoch",
    }
    cut_off(lambda: pc.fit(table(), kinds, out=place / "cut_off", **longer))
    expected = {"run": columns(run.predict(inputs())), "metrics": run.metrics["test"]}
    shutil.copy(place / "run" / "spec.yaml", place / "spec.yaml")
    for name, (model, x) in models().items():
        model.save(place / f"{name}.keras")
        expected[name] = {
            "x": np.asarray(x, "float64").tolist(),
            "answers": plain(model.predict(x, verbose=0)),
        }
    (place / "expected.json").write_text(json.dumps(expected, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=BACKENDS)
    asked = parser.parse_args()
    if asked.backend is None:
        for backend in BACKENDS:
            subprocess.run([sys.executable, __file__, "--backend", backend], check=True)
        return
    os.environ["KERAS_BACKEND"] = asked.backend
    import polycera as pc

    place = ROOT / "tests" / "stored" / pc.__version__ / asked.backend
    place.mkdir(parents=True)
    write(place)
    print(
        f"{place.relative_to(ROOT)}: "
        f"{sum(f.stat().st_size for f in place.rglob('*') if f.is_file()):,} bytes"
    )


if __name__ == "__main__":
    main()
