"""Two metrics of different scale and direction, watched as one.

Answers: "I want to stop, and to save, on two metrics at once. One goes up to 1, the other is an
    error in euro that
should go down. How do I make one number of them?"

`JointScore` brings each metric to a skill: 0 is what the best constant answer reaches, 1 is
perfect. Their weighted mean stands in the logs as `val_joint`, where the callbacks of Keras find
it.

    python examples/joint.py
"""

import tempfile
from pathlib import Path

import polycera as pc  # before keras, which then runs on a backend that is installed

# isort: split
import keras
import numpy as np


def visitors(n=2400, seed=0):
    """Features [n, 10]; whether a visitor buys (one in five), and for how many euro."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10)).astype("float32")
    buys = (rng.random(n) < 1.0 / (1.0 + np.exp(2.0 - 1.5 * X[:, 0] - X[:, 1]))).astype(int)
    spends = 80.0 + 25.0 * X[:, 2] + 20.0 * np.abs(X[:, 3]) + rng.normal(0.0, 15.0, n)
    # no purchase, no amount
    return X, {"buys": buys, "spends": np.where(buys == 1, spends, np.nan)}


def main(folder=None):
    """The best epochs by each measure, what the reloaded checkpoint reaches, and its path."""
    keras.utils.set_random_seed(0)
    X, y = visitors()
    folder = Path(folder or tempfile.mkdtemp())
    path = folder / "best.keras"

    tasks = [
        pc.Binary("buys", metrics=["average_precision", "auc"]),  # up is better, 1 is perfect
        pc.Regression("spends", metrics=["rmse", "mae"]),  # euro; down is better, 0 is perfect
    ]
    x = keras.Input((10,))
    h = keras.layers.Dense(64, activation="relu")(x)
    model = pc.Model(x, pc.layers.Heads(tasks)(h))
    model.compile(keras.optimizers.Adam(0.01))
    validation = X[1600:], {name: labels[1600:] for name, labels in y.items()}
    history = model.fit(
        X[:1600],
        {name: labels[:1600] for name, labels in y.items()},
        validation_data=validation,
        batch_size=64,
        epochs=25,
        callbacks=[
            # The joint score comes first: it writes what the others read.
            pc.callbacks.JointScore({"buys/average_precision": 0.5, "spends/rmse": 0.5}),
            keras.callbacks.ModelCheckpoint(
                path, monitor="val_joint", mode="max", save_best_only=True
            ),
            keras.callbacks.EarlyStopping("val_joint", mode="max", patience=4),
        ],
        verbose=0,
    ).history

    best = {
        "val_buys/average_precision": int(np.argmax(history["val_buys/average_precision"])),
        "val_spends/rmse": int(np.argmin(history["val_spends/rmse"])),
        "val_joint": int(np.argmax(history["val_joint"])),
    }
    print("epoch  average precision   RMSE in euro   joint score")
    for epoch in sorted(set(best.values())):
        values = [history[name][epoch] for name in best]
        names = ", ".join(name for name in best if best[name] == epoch)
        print(
            f"{epoch + 1:5d}  {values[0]:17.3f}   {values[1]:12.2f}   {values[2]:11.3f}   best by "
            f"{names}"
        )
    again = keras.saving.load_model(path).evaluate(*validation, verbose=0)
    print(
        f"The checkpoint holds epoch {best['val_joint'] + 1}: average precision "
        f"{again['buys/average_precision']:.3f}, RMSE {again['spends/rmse']:.2f} euro."
    )
    return {"history": history, "best": best, "reloaded": again, "path": path}


if __name__ == "__main__":
    main()
