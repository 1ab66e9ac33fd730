"""Train an LSTM on a machine's sensor series: three heads share it, one merged with a branch.

Answers: "I have an LSTM trunk with a regression output, a 5-class output, and a binary output that
    also looks at other
inputs. Do I have to rewrite my Keras model?"

No: name the outputs, and `pc.adopt` trains the model as it is, outputs matched to tasks by name.

    python examples/lstm.py
"""

import polycera as pc  # before keras, which then runs on a backend that is installed

# isort: split
import keras
import numpy as np
from keras import layers

STATES = ["idle", "start", "run", "strain", "stop"]


def machines(n=1500, steps=12, seed=0):
    """Sensors [n, steps, 3] and the machine's own data [n, 4], with a target for each head."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.0, 5.0, n)  # what the sensors measure, in noise
    slope = rng.normal(0.0, 1.0, n)
    time = np.linspace(-1.0, 1.0, steps)
    signal = level[:, None] + slope[:, None] * time
    sensors = np.stack([signal, -signal, signal**2 / 5.0], axis=-1) + rng.normal(
        0.0, 0.3, (n, steps, 3)
    )
    machine = rng.normal(size=(n, 4))
    state = np.array(STATES)[np.clip(level, 0, 4.999).astype(int)]
    failure = slope + machine[:, 0] - 0.5 * machine[:, 1] > 0.5  # neither branch knows it alone
    x = {"sensors": sensors.astype("float32"), "machine": machine.astype("float32")}
    return x, {"power": 1000.0 + 200.0 * level + 100.0 * slope, "state": state, "failure": failure}


def network():
    """A plain functional Keras model with three named outputs; nothing in it knows of polycera."""
    sensors, machine = keras.Input((12, 3), name="sensors"), keras.Input((4,), name="machine")
    shared = layers.LSTM(24)(sensors)
    other = layers.Dense(8, activation="relu")(machine)
    merged = layers.Dense(16, activation="relu")(layers.Concatenate()([shared, other]))
    outputs = {
        "power": layers.Dense(1, name="power")(shared),
        "state": layers.Dense(5, activation="softmax", name="state")(shared),
        "failure": layers.Dense(1, activation="sigmoid", name="failure")(merged),
    }
    return keras.Model({"sensors": sensors, "machine": machine}, outputs)


def main():
    """What was measured on the last 300 machines, and the first three answers."""
    keras.utils.set_random_seed(0)
    x, y = machines()
    train, test = slice(0, 1200), slice(1200, None)
    # in any order
    tasks = [pc.Binary("failure"), pc.Multiclass("state", classes=STATES), pc.Regression("power")]
    model = pc.adopt(network(), tasks)
    model.compile(keras.optimizers.Adam(0.01))
    part = lambda arrays, rows: {name: values[rows] for name, values in arrays.items()}  # noqa: E731
    model.fit(part(x, train), part(y, train), batch_size=64, epochs=12, verbose=0)

    measured = model.evaluate(part(x, test), part(y, test), verbose=0)
    print(f"power    R2 {measured['power/r2']:.3f}, RMSE {measured['power/rmse']:.0f} watt")
    print(f"state    accuracy {measured['state/accuracy']:.3f} over {len(STATES)} classes")
    print(f"failure  AUC {measured['failure/auc']:.3f}")
    answers = model.predict_labels(part(x, slice(1200, 1203)), verbose=0)
    for power, state, failure in zip(
        answers["power"], answers["state"], answers["failure"], strict=True
    ):
        print(f"  {power:6.0f} watt, {state:<6}, {'will fail' if failure else 'will run on'}")
    return {"measured": measured, "answers": answers, "truth": part(y, slice(1200, 1203))}


if __name__ == "__main__":
    main()
