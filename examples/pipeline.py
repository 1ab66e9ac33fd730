"""A churn label and an amount of money in one scikit-learn estimator, scored fold by fold.

Answers: "My pipeline is scikit-learn's: a frame with text and gaps, two columns to predict, some
    labels missing.
How do I cross-validate one network on all of it?"

The customers are made up here: 400 rows, one amount in three was never recorded.

    python examples/pipeline.py
"""

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, cross_validate

import polycera as pc


def customers(n=400, seed=0):
    """Features as a frame with text and gaps; targets as a frame with missing labels."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "visits": rng.poisson(4, n).astype(float),
            "region": rng.choice(["north", "south", "west"], n).astype(object),
            "age": rng.integers(18, 80, n),
        }
    )
    y = pd.DataFrame(
        {
            "churn": np.where(
                X["visits"] + (X["region"] == "north") + rng.normal(0, 0.5, n) < 3.5, "yes", "no"
            ),
            "revenue": 30.0 * X["visits"] + 2.0 * X["age"] + rng.normal(0, 10, n),
        }
    )
    X.loc[rng.random(n) < 0.05, "region"] = None
    y.loc[rng.random(n) < 1 / 3, "revenue"] = np.nan
    return X, y


def main():
    """The score of each fold, and the answers for three customers."""
    X, y = customers()
    network = pc.PolyceraEstimator(width=64, max_steps=400, learning_rate=0.005, random_state=0)
    folds = cross_validate(network, X, y, cv=KFold(2, shuffle=True, random_state=0))
    print(
        "Mean skill of the two tasks on each fold, 0 is trivial and 1 is perfect:",
        folds["test_score"].round(2),
    )

    network.fit(X, y)
    answers = network.predict(X[:3])  # a frame with the columns of y
    print(answers.assign(probability=network.predict_proba(X[:3])["churn"][:, 1].round(2)))
    return {"skills": folds["test_score"], "answers": answers}


if __name__ == "__main__":
    main()
