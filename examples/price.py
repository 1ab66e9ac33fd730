"""The price of a house: one output, three losses.

Answers: "How do I train one output with several losses, say MSE, MAE and one of my own, and see
    each of them?"

In a list of losses stock Keras takes the first for the one output and drops the others. Here each
is a term of the task with a weight, each is logged, and the weighted terms add up to `loss`: in
training, in validation, in `evaluate`.

    python examples/price.py
"""

import tempfile
from pathlib import Path

import polycera as pc  # before keras, which then runs on a backend that is installed

# isort: split
import keras
import numpy as np
from keras import ops


# so that a saved model finds it again
@keras.saving.register_keras_serializable(package="examples")
def large_error(y_true, y_pred):
    """Only errors beyond one standard deviation of the price, squared: [n, 1], [n, 1] -> [n].

    Losses see standardised values, so 1.0 is one standard deviation. Leave the mean over the rows
    to polycera.
    """
    return ops.sum(ops.square(ops.relu(ops.abs(y_true - y_pred) - 1.0)), axis=-1)


TERMS = {"mse": 0.6, "mae": 0.3, "large_error": 2.0}


def houses(n=2000, seed=0):
    """Features [n, 6] and prices in euro, some of which are far off."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype("float32")
    price = (
        300_000
        + 90_000 * np.sin(X[:, 0])
        + 60_000 * X[:, 1] * (X[:, 2] > 0)
        + rng.standard_t(3, n) * 20_000
    )
    return X, price


def main():
    """Each term and the loss, as logged in the last epoch and on the test part; RMSE in euro."""
    keras.utils.set_random_seed(0)
    X, price = houses()
    task = pc.Regression(
        "price", loss=[("mse", 0.6), ("mae", 0.3), (large_error, 2.0)], metrics=["rmse", "r2"]
    )
    x = keras.Input((6,))
    h = keras.layers.Dense(32, activation="relu")(x)
    model = pc.Model(x, pc.layers.Heads([task])(h))
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(
        X[:1500], {"price": price[:1500]}, batch_size=64, epochs=15, verbose=0
    ).history
    last = {name: values[-1] for name, values in history.items()}
    measured = model.evaluate(X[1500:], {"price": price[1500:]}, verbose=0)

    for title, logs in (("last epoch of training", last), ("test part", measured)):
        parts = {name: weight * logs[f"price/{name}"] for name, weight in TERMS.items()}
        print(f"{title}:")
        for name, weight in TERMS.items():
            print(f"  {weight} x price/{name:<12} {logs[f'price/{name}']:.6f}  = {parts[name]:.6f}")
        print(f"  sum of the three           = {sum(parts.values()):.6f}")
        print(f"  loss                       = {logs['loss']:.6f}")
    print(
        f"RMSE on the test part: {measured['price/rmse']:,.0f} euro, R2 {measured['price/r2']:.3f}"
    )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "price.keras"
        model.save(path)
        again = keras.saving.load_model(path).evaluate(X[1500:], {"price": price[1500:]}, verbose=0)
    print(f"loss of the saved and reloaded model: {again['loss']:.6f}")
    return {"last": last, "measured": measured, "reloaded": again}


if __name__ == "__main__":
    main()
