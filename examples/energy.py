"""Heating and cooling load of buildings: what do task weights do?

Answers: "I predict two loads with one network. What happens if I weight the losses [2, 1], and what
    if [1, 4]?"

The two networks below differ in nothing but the weights. Each is trained twice, from two seeds, on
576 of the 768 buildings of UCI's Energy Efficiency data and measured on the others, in the unit of
the data (kWh per m2).

    python examples/energy.py [data.parquet]
"""

import sys
from pathlib import Path

import polycera as pc  # before keras, which then runs on a backend that is installed

# isort: split
import keras
import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "enb" / "data.parquet"
WEIGHTS = {"[2, 1]": (2.0, 1.0), "[1, 4]": (1.0, 4.0)}  # (heating, cooling)
LOADS = {"heating": "Y1", "cooling": "Y2"}


def load(path):
    """Features [768, 8] and loads by name, in one shuffled order; the last quarter is the test."""
    import pandas as pd

    table = pd.read_parquet(path).sample(frac=1.0, random_state=0)
    features = table.drop(columns=list(LOADS.values())).to_numpy("float32")
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return features, {load: table[column].to_numpy() for load, column in LOADS.items()}


def train(weights, seed, X, y):
    """RMSE of each load on the last quarter, after training on the rest with these task weights."""
    keras.utils.set_random_seed(seed)
    heating, cooling = weights
    tasks = [pc.Regression("heating", weight=heating), pc.Regression("cooling", weight=cooling)]
    x = keras.Input((X.shape[1],))
    h = keras.layers.Dense(32, activation="relu")(x)
    h = keras.layers.Dense(32, activation="relu")(h)
    model = pc.Model(x, pc.layers.Heads(tasks)(h))
    model.compile(keras.optimizers.Adam(0.005))
    n = len(X) * 3 // 4
    model.fit(X[:n], {k: v[:n] for k, v in y.items()}, batch_size=64, epochs=50, verbose=0)
    measured = model.evaluate(X[n:], {k: v[n:] for k, v in y.items()}, verbose=0)
    return {load: measured[f"{load}/rmse"] for load in LOADS}


def main(path=DATA):
    """weights -> load -> RMSE, the mean of two seeds; None where the data are not there."""
    if not Path(path).exists():
        print(
            f"Skipped: no data at {path}. Pass the path of the ENB table (8 features, Y1, Y2) as "
            "a Parquet file."
        )
        return None
    X, y = load(path)
    found: dict[str, dict[str, float]] = {}
    for label, weights in WEIGHTS.items():
        runs = [train(weights, seed, X, y) for seed in (1, 2)]
        found[label] = {load: float(np.mean([run[load] for run in runs])) for load in LOADS}

    print("RMSE in kWh per m2       heating  cooling")
    for label, errors in found.items():
        print(f"weights {label:<16} {errors['heating']:7.2f}  {errors['cooling']:7.2f}")
    for name in LOADS:
        before, after = (errors[name] for errors in found.values())
        word = "lower" if after < before else "higher"
        print(
            f"From [2, 1] to [1, 4] the error of the {name} load becomes "
            f"{abs(after / before - 1):.0%} {word}."
        )
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
