"""200 labels that have nothing to do with each other: one loss or 200?

Answers: "I have 200 mutually independent yes-or-no outputs. One Dense(200) with one loss, or 200
    outputs with 200
losses?"

200 named tasks. Each has its own loss, its own missing labels and its own AUC in the logs, and a
step costs about what it costs with one Dense(200), because the heads are one matrix multiply. The
step times are measured below.

    python examples/labels200.py
"""

import time

import polycera as pc  # before keras, which then runs on a backend that is installed

# isort: split
import keras
import numpy as np

LABELS = [f"label_{i:03d}" for i in range(200)]
BATCH = 128


def rows(n=2560, seed=0):
    """Features [n, 32] and 200 labels of 0 and 1, one in ten missing, each with its own rule."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 32)).astype("float32")
    logits = X @ rng.normal(size=(32, 200)) / 3.0 + rng.normal(0.0, 0.7, 200)
    Y = (rng.random((n, 200)) < 1.0 / (1.0 + np.exp(-logits))).astype("float32")
    Y[rng.random(Y.shape) < 0.1] = np.nan
    return X, Y


def trunk():
    x = keras.Input((32,))
    return x, keras.layers.Dense(256, activation="relu")(x)


def named_tasks():
    """200 binary tasks; loss and AUC of each are logged."""
    x, h = trunk()
    model = pc.Model(x, pc.layers.Heads([pc.Binary(name, metrics=["auc"]) for name in LABELS])(h))
    model.compile(keras.optimizers.Adam(0.003))
    return model


def one_dense():
    """Stock Keras: one output of 200 units, one loss and one AUC over everything."""
    x, h = trunk()
    model = keras.Model(x, keras.layers.Dense(200, activation="sigmoid")(h))
    model.compile(
        keras.optimizers.Adam(0.003), loss="binary_crossentropy", metrics=[keras.metrics.AUC()]
    )
    return model


class Clock(keras.callbacks.Callback):
    """Seconds that each epoch took."""

    def on_train_begin(self, logs=None):
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(time.perf_counter() - self.start)


def train(model, X, y, epochs=6):
    """Train and return the median step time in milliseconds, without the first epoch.

    The first epoch compiles.
    """
    clock = Clock()
    model.fit(X, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[clock])
    return 1000.0 * float(np.median(clock.epochs[1:])) / (len(X) / BATCH)


def main():
    """AUC of each label, and the two step times in milliseconds."""
    keras.utils.set_random_seed(0)
    X, Y = rows()
    X_train, X_test, Y_train, Y_test = X[:2048], X[2048:], Y[:2048], Y[2048:]
    by_name = dict(zip(LABELS, Y_train.T, strict=True))
    complete = np.nan_to_num(Y_train)  # stock Keras: one NaN and every weight is NaN

    ours, stock = named_tasks(), one_dense()
    step, stock_step = train(ours, X_train, by_name), train(stock, X_train, complete)
    measured = ours.evaluate(X_test, dict(zip(LABELS, Y_test.T, strict=True)), verbose=0)
    aucs = {name: measured[f"{name}/auc"] for name in LABELS}

    print(
        f"a step of {BATCH} rows: {step:.2f} ms with 200 named tasks, {stock_step:.2f} ms with "
        "one Dense(200)"
    )
    print(f"mean AUC of the 200 labels on the test part: {np.mean(list(aucs.values())):.3f}")
    for name in sorted(aucs, key=aucs.get)[:3]:
        print(f"  among the hardest: {name} {aucs[name]:.3f}")
    for name in sorted(aucs, key=aucs.get)[-3:]:
        print(f"  among the easiest: {name} {aucs[name]:.3f}")
    return {"aucs": aucs, "step_ms": step, "stock_step_ms": stock_step}


if __name__ == "__main__":
    main()
