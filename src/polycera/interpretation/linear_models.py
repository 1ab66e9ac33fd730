"""Fit penalised linear predictors on features of any scale, by scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from polycera.typing import Array

PENALTIES = 10.0 ** np.arange(-4, 5)
"""Ridge regression tries these penalties, as multiples of the number of rows.

The one with the smallest leave-one-out error is taken.
"""
POISSON_PENALTY = 1e-3
"""Penalty of a Poisson regression, beside the mean deviance."""
STEPS = 10_000
"""Most steps of a logistic regression."""
CLOSE = 1e-6
"""Largest gradient at which a logistic regression stops."""


def ridge(features: Array, y: Array) -> Callable[[Array], Array]:
    """Fit ridge regression; the penalty is chosen by the leave-one-out error.

    Args:
        features: [n, p].
        y: [n, outputs], all known.

    Returns:
        a function from features [m, p] to predictions [m, outputs].
    """
    # Imported late: it takes a quarter of a second.
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES * len(y))).fit(features, y)
    return lambda rows: model.predict(rows).reshape(len(rows), y.shape[1])


def poisson(features: Array, y: Array) -> Callable[[Array], Array]:
    """Fit Poisson regression, with a small penalty.

    Args:
        features: [n, p].
        y: counts [n, 1], all known.

    Returns:
        a function from features [m, p] to predicted rates [m, 1].
    """
    from sklearn.linear_model import PoissonRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), PoissonRegressor(alpha=POISSON_PENALTY, max_iter=STEPS))
    model.fit(features, y[:, 0])
    return lambda rows: model.predict(rows)[:, None]


def logistic(features: Array, classes: Array, number: int) -> Callable[[Array], Array]:
    """Fit multinomial logistic regression, penalised by half the squared weights.

    A class without rows is predicted as if it had half a row, whatever the features.

    Args:
        features: [n, p].
        classes: class index of each row, [n].
        number: number of classes.

    Returns:
        a function from features [m, p] to logits [m, number], which are logarithms of
        probabilities.
    """
    from scipy.special import log_softmax
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    present = np.unique(classes).astype(int)
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=CLOSE, max_iter=STEPS))
    if len(present) > 1:
        model.fit(features, classes)

    def logits(rows: Array) -> Array:
        raw = np.zeros((len(rows), len(present)))
        if len(present) == 2:
            raw[:, 1] = model.decision_function(rows)
        elif len(present) > 2:
            raw = model.decision_function(rows)
        log_probabilities = np.full((len(rows), number), np.log(0.5 / len(classes)))
        log_probabilities[:, present] = log_softmax(raw, axis=1)
        return log_probabilities

    return logits
