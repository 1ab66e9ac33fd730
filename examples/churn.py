"""Churn and the revenue lost with it: a yes-or-no answer and an amount of money from one network.

Answers: "I predict whether a customer leaves and how much revenue that costs. Not every amount is
    known, few customers
leave, and I want to stop when both are good. How?"

The customers are made up here: 3,000 rows, one in six leaves, one amount in three was never
    recorded.

    python examples/churn.py
"""

import polycera as pc  # before keras, which then runs on a backend that is installed

# isort: split
import keras
import numpy as np


def customers(n=3000, seed=0):
    """Features [n, 8]; whether customers left ("yes", "no"); lost revenue in euro, or NaN."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8)).astype("float32")
    unhappy = 1.2 * X[:, 0] + 0.8 * X[:, 1] * X[:, 2] - 0.6 * X[:, 3]
    left = rng.random(n) < 1.0 / (1.0 + np.exp(2.3 - unhappy))
    lost = 400.0 + 150.0 * X[:, 4] + 100.0 * np.maximum(unhappy, 0.0) + rng.normal(0.0, 60.0, n)
    lost[rng.random(n) < 1 / 3] = np.nan
    return X, {"churn": np.where(left, "yes", "no"), "revenue_loss": lost}


def main():
    """The measures on the last 800 customers, the skills, and the number of epochs."""
    keras.utils.set_random_seed(0)
    X, y = customers()
    train, test = slice(0, 2200), slice(2200, None)

    tasks = [
        pc.Binary("churn", classes=("no", "yes")),  # the labels as they stand in the data
        pc.Regression("revenue_loss", metrics=["rmse", "mae"]),
    ]
    x = keras.Input((8,))
    h = keras.layers.Dense(64, activation="relu")(x)
    h = keras.layers.Dropout(0.2)(h)
    model = pc.Model(x, pc.layers.Heads(tasks)(h))
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(
        X[train],
        # a NaN is a missing label: it is left out
        {name: labels[train] for name, labels in y.items()},
        class_weight={"churn": "balanced"},  # one task's classes; the other task is not touched
        validation_split=0.2,
        batch_size=128,
        epochs=30,
        callbacks=[
            pc.callbacks.JointScore({"churn": 0.7, "revenue_loss": 0.3}),
            keras.callbacks.EarlyStopping(
                "val_joint", mode="max", patience=4, restore_best_weights=True
            ),
        ],
        verbose=0,
    )

    measured = model.evaluate(
        X[test], {name: labels[test] for name, labels in y.items()}, verbose=0
    )
    skills = {name: model.scores[name][task.headline].skill for name, task in model.tasks.items()}
    answers, money = (
        model.predict_labels(X[test], verbose=0)["churn"],
        model.predict(X[test], verbose=0)["revenue_loss"],
    )
    print(
        f"Trained {len(history.epoch)} epochs, the best val_joint was "
        f"{max(history.history['val_joint']):.3f}."
    )
    print(f"churn         AUC {measured['churn/auc']:.3f}   skill {skills['churn']:.2f}")
    print(
        f"revenue_loss  RMSE {measured['revenue_loss/rmse']:.0f} euro   skill "
        f"{skills['revenue_loss']:.2f}"
    )
    print("The first three customers of the test part:")
    for answer, amount in list(zip(answers, money, strict=True))[:3]:
        print(f"  leaves: {answer:<3}  revenue at stake: {amount:.0f} euro")
    return {
        "measured": measured,
        "skills": skills,
        "epochs": len(history.epoch),
        "said_yes": float((answers == "yes").mean()),
        "left": float((y["churn"][test] == "yes").mean()),
    }


if __name__ == "__main__":
    main()
