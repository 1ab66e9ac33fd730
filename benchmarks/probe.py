"""Measure the cost of looking at the gradients: the first batch with compiling, later batches.

The share of the training is measured too.

KERAS_BACKEND=torch python benchmarks/probe.py            # all of 2, 8, 40, 200 tasks
KERAS_BACKEND=torch python benchmarks/probe.py 2 8        # some
"""

import statistics
import sys
import time

import keras
import numpy as np

import polycera as pc
from polycera.callbacks.gradient_probe import GradientProbe
from polycera.layers.call_graph import Graph
from polycera.layers.shared_layers import shared_layers
from polycera.model.gramians import Gramians

ROWS, FEATURES, WIDTH, BATCH, ROUNDS, SECONDS = 8192, 32, 128, 128, 9, 20.0


class Until(keras.callbacks.Callback):
    """Ends a training after so many seconds, and remembers how long its epochs took."""

    def on_train_begin(self, logs=None):
        self.begun, self.epochs = time.perf_counter(), []

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        self.epochs.append(now - self.epoch)
        self.model.stop_training = now - self.begun > SECONDS


def training(tasks):
    """A network of two layers that all tasks share, and its rows."""
    inputs = hidden = keras.Input((FEATURES,))
    for name in ("first", "second"):
        hidden = keras.layers.Dense(WIDTH, activation="relu", name=name)(hidden)
    kinds = [pc.Regression(f"t{i}") if i % 2 else pc.Binary(f"t{i}") for i in range(tasks)]
    model = pc.Model(inputs, pc.layers.Heads(kinds)(hidden))
    model.compile("adam")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    signs = (x @ rng.normal(size=(FEATURES, tasks)) > 0).astype("float32")
    return model, x, {f"t{i}": signs[:, i] for i in range(tasks)}


def batch_seconds(model, x, y):
    """The first batch, and each of some more."""
    model.adapt(y)
    batch = GradientProbe(x, y, rows=BATCH, batches=1)
    batch.set_model(model)
    batch.on_train_begin()
    look = Gramians(model, shared_layers(Graph.of(model), model.layout))
    found = []
    for _ in range(ROUNDS + 1):
        begun = time.perf_counter()
        look(*batch._sample[0])
        found.append(time.perf_counter() - begun)
    return found[0], found[1:]


def main():
    print(
        f"{keras.backend.backend()}: {WIDTH} units, batches of {BATCH}, looks of 8 batches, "
        "budget 5 %"
    )
    print(
        "| tasks | step, ms | first batch, s | a batch after, ms (lowest-highest) | looks in | "
        "spent |"
    )
    print("|---|---|---|---|---|---|")
    for tasks in map(int, sys.argv[1:] or (2, 8, 40, 200)):
        model, x, y = training(tasks)
        first, rest = batch_seconds(model, x, y)
        probe, clock = GradientProbe(x, y, rows=BATCH), Until()
        model.fit(x, y, batch_size=BATCH, epochs=10_000, verbose=0, callbacks=[probe, clock])
        took = time.perf_counter() - clock.begun
        step = 1000 * statistics.median(clock.epochs) / (ROWS // BATCH)
        middle, low, high = (1000 * f(rest) for f in (statistics.median, min, max))
        share = 100 * probe.seconds / (took - probe.seconds)
        print(
            f"| {tasks} | {step:.2f} | {first:.2f} | {middle:.1f} ({low:.1f}-{high:.1f}) "
            f"| {len(probe.epochs)} of {len(clock.epochs)} epochs, {took:.0f} s | {share:.1f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
