"""What a Guard costs: the same training with and without one, taking turns.

KERAS_BACKEND=torch python benchmarks/guard.py
"""

import statistics
import time

import keras
import numpy as np

import polycera as pc
from polycera.data import Batches
from polycera.model.targets import encode, pack

STEPS, ROUNDS, FEATURES = 100, 15, 32


def training(width, batch, watch):
    inputs = keras.Input((FEATURES,))
    hidden = keras.layers.Dense(width, activation="relu")(inputs)
    hidden = keras.layers.Dense(width, activation="relu")(keras.layers.Dropout(0.1)(hidden))
    model = pc.Model(inputs, pc.layers.Heads([pc.Binary("a"), pc.Regression("b")])(hidden))
    model.compile(keras.optimizers.AdamW(1e-3))
    x = np.random.default_rng(0).random((STEPS * batch, FEATURES)).astype("float32")
    y = {"a": x[:, 0] > 0.5, "b": x[:, 1]}
    model.adapt(y)
    rows = Batches(x, pack(model.layout, encode(model.layout, y), model.units), batch_size=batch)

    def milliseconds():
        begun = time.perf_counter()
        model.fit(rows, verbose=0, callbacks=watch)
        return (time.perf_counter() - begun) * 1000 / STEPS

    milliseconds()
    return milliseconds


def main():
    print(
        f"| {keras.backend.backend()}: width, batch | without, ms a step | with | ratio of pairs "
        "(lowest-highest) |"
    )
    print("|---|---|---|---|")
    for width, batch in ((64, 32), (256, 128)):
        plain, guarded = training(width, batch, []), training(width, batch, [pc.callbacks.Guard()])
        pairs = [(plain(), guarded()) for _ in range(ROUNDS)]
        ratios = sorted(with_ / without for without, with_ in pairs)
        without, with_ = (statistics.median(part) for part in zip(*pairs, strict=True))
        middle = statistics.median(ratios)
        spread = f"{middle:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        print(f"| {width}, {batch} | {without:.2f} | {with_:.2f} | {spread} |")


if __name__ == "__main__":
    main()
