"""Measure the cost of named tasks: a step of 200 binary tasks with logs, against stock Keras.

Every loss and AUC is logged.

    python benchmarks/heads.py                     # all three backends, a process each; prints the
    tables python benchmarks/heads.py --backend jax       # one backend

Each contender trains the same trunk (three Dense of 256) on the same rows. A figure is the time of
one step inside stock `fit`, from the wall time of whole epochs, warm; the contenders take turns, so
that a busy machine slows all of them. Medians over the rounds, with the lowest and highest ratio
seen.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

from _clock import Epochs

ROWS, FEATURES, WIDTH, BATCH, TASKS = 64 * 256, 64, 256, 256, 200


def data():
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    score = x @ rng.normal(size=(FEATURES, TASKS)) / 8 + rng.normal(size=(ROWS, TASKS))
    return x, (score > 0).astype("float32"), (100 * score[:, 0] + 1000).astype("float32")


def trunk():
    import keras

    inputs = keras.Input((FEATURES,))
    hidden = inputs
    for _ in range(3):
        hidden = keras.layers.Dense(WIDTH, activation="relu")(hidden)
    return inputs, hidden


def one_dense(x, labels, money):
    """Stock Keras: one Dense(200), one loss, one AUC."""
    import keras

    inputs, hidden = trunk()
    model = keras.Model(inputs, keras.layers.Dense(TASKS)(hidden))
    model.compile(
        "adam",
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.AUC(from_logits=True)],
    )
    return model, x, labels


def named_keras(x, labels, money):
    """Stock Keras: 200 named heads, a loss and an AUC each."""
    import keras

    inputs, hidden = trunk()
    names = [f"t{i}" for i in range(TASKS)]
    model = keras.Model(inputs, {name: keras.layers.Dense(1, name=name)(hidden) for name in names})
    model.compile(
        "adam",
        {name: keras.losses.BinaryCrossentropy(from_logits=True) for name in names},
        metrics={name: [keras.metrics.AUC(from_logits=True, name="auc")] for name in names},
    )
    return model, x, {name: labels[:, i] for i, name in enumerate(names)}


def named_ours(x, labels, money):
    """polycera: 200 named tasks, a loss and an AUC each."""
    import polycera as pc

    inputs, hidden = trunk()
    names = [f"t{i}" for i in range(TASKS)]
    model = pc.Model(
        inputs, pc.layers.Heads([pc.Binary(name, metrics=["auc"]) for name in names])(hidden)
    )
    model.compile("adam")
    return model, x, {name: labels[:, i] for i, name in enumerate(names)}


def two_keras(x, labels, money):
    """Stock Keras: a binary and a regression head, AUC and RMSE."""
    import keras

    inputs, hidden = trunk()
    outputs = {
        "churn": keras.layers.Dense(1, name="churn")(hidden),
        "money": keras.layers.Dense(1, name="money")(hidden),
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam",
        {"churn": keras.losses.BinaryCrossentropy(from_logits=True), "money": "mse"},
        metrics={
            "churn": [keras.metrics.AUC(from_logits=True, name="auc")],
            "money": [keras.metrics.RootMeanSquaredError()],
        },
    )
    return model, x, {"churn": labels[:, 0], "money": (money - money.mean()) / money.std()}


def two_ours(x, labels, money):
    """polycera: the same two tasks, AUC and RMSE."""
    import polycera as pc

    inputs, hidden = trunk()
    tasks = [pc.Binary("churn", metrics=["auc"]), pc.Regression("money", metrics=["rmse"])]
    model = pc.Model(inputs, pc.layers.Heads(tasks)(hidden))
    model.compile("adam")
    return model, x, {"churn": labels[:, 0], "money": money}


def measure(makers, rounds):
    """First-fit seconds and a list of step times for each contender, taking turns."""
    import gc

    first, steps, models = {}, {}, {}
    values = data()
    for make in makers:
        model, x, y = make(*values)
        start = time.perf_counter()
        model.fit(x[:BATCH], _head(y), batch_size=BATCH, verbose=0)
        first[make] = time.perf_counter() - start
        models[make], steps[make] = (model, x, y), []
    clock = Epochs()
    for _ in range(rounds):
        for make in makers:
            model, x, y = models[make]
            gc.collect()
            clock.times.clear()
            model.fit(x, y, batch_size=BATCH, verbose=0, shuffle=False, epochs=3, callbacks=[clock])
            steps[make] += [t / (ROWS // BATCH) for t in clock.times[1:]]
    return first, steps


def _head(y):
    return (
        {name: values[:BATCH] for name, values in y.items()} if isinstance(y, dict) else y[:BATCH]
    )


def report(backend, title, makers, rounds):
    first, steps = measure(makers, rounds)
    base = makers[0]
    print(f"\n### {backend}: {title}\n")
    print("| | step, ms | ratio (lowest-highest) | first fit, s |")
    print("|---|---|---|---|")
    for make in makers:
        ratios = [a / b for a, b in zip(steps[make], steps[base], strict=True)]
        middle = 1000 * statistics.median(steps[make])
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(
            f"| {make.__doc__.rstrip('.')} | {middle:.2f} | {ratio} | {first[make]:.1f} |",
            flush=True,
        )


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--backend", choices=["jax", "tensorflow", "torch"])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument(
        "--without-named-keras", action="store_true", help="skip the slow contender"
    )
    chosen = options.parse_args()
    if not chosen.backend:
        for backend in ("jax", "tensorflow", "torch"):
            subprocess.run(
                [sys.executable, __file__, "--backend", backend, *sys.argv[1:]], check=True
            )
        return
    os.environ["KERAS_BACKEND"] = chosen.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    many = [one_dense, named_ours]
    report(chosen.backend, f"{TASKS} binary tasks", many, chosen.rounds)
    if not chosen.without_named_keras:
        report(
            chosen.backend,
            f"{TASKS} binary tasks, named in stock Keras",
            [one_dense, named_keras],
            1,
        )
    report(chosen.backend, "2 tasks", [two_keras, two_ours], chosen.rounds)


if __name__ == "__main__":
    main()
