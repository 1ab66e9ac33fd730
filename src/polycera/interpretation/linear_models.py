"""Fit penalised linear predictors: of numbers in closed form, of classes by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polycera.tasks.numpy_ops import softmax
from polycera.typing import Array

PENALTIES = 10.0 ** np.arange(-4, 5)
"""Ridge regression tries these penalties, as multiples of the number of rows.

The one with the smallest leave-one-out error is taken.
"""
STEPS = 50
"""Maximum number of steps of Newton's method."""
INNER = 200
"""Maximum number of steps of conjugate gradients in each of them."""
CLOSE = 1e-8
"""Largest gradient per row at which Newton's method stops."""


@dataclass(frozen=True)
class Linear:
    """Predict outputs [n, outputs] from features [n, p] by a linear function.

    Attributes:
        middle, spread: mean and standard deviation that are taken out of the features, [p].
        weights: [p, outputs].
        constant: [outputs].
    """

    middle: Array
    spread: Array
    weights: Array
    constant: Array

    def __call__(self, features: Array) -> Array:
        return ((features - self.middle) / self.spread) @ self.weights + self.constant


def ridge(features: Array, y: Array) -> Linear:
    """Fit ridge regression; the penalty is chosen by the leave-one-out error, in closed form.

    Args:
        features: [n, p].
        y: [n, outputs], all known.
    """
    scaled, middle, spread = _scaled(features)
    mean = y.mean(axis=0)
    u, s, vt = _factors(scaled)
    projected = u.T @ (y - mean)
    errors = [_left_one_out(u, s, projected, y - mean, penalty * len(y)) for penalty in PENALTIES]
    best = float(PENALTIES[int(np.argmin(errors))]) * len(y)
    return Linear(middle, spread, vt.T @ (projected * (s / (s**2 + best))[:, None]), mean)


def logistic(features: Array, classes: Array, number: int, penalty: float = 1.0) -> Linear:
    """Fit multinomial logistic regression, by Newton's method.

    The penalty is half the squared weights times `penalty`; the constants are free of it. Each step
    is solved by conjugate gradients, so that no Hessian is built.

    Args:
        features: [n, p].
        classes: class index of each row, [n].
        number: number of classes.
        penalty: factor of half the squared weights.
    """
    scaled, middle, spread = _scaled(features)
    _, _, vt = _factors(scaled)
    # A rotation onto the singular vectors: it leaves the penalty as it is.
    x = np.concatenate([scaled @ vt.T, np.ones((len(scaled), 1))], axis=1)
    penalties = np.full((x.shape[1], 1), penalty)
    # A class without rows has no finite constant; this tiny penalty keeps it finite.
    penalties[-1] = 1e-9 * len(x)
    weights = np.zeros((x.shape[1], number))
    truth = np.eye(number)[classes.astype(int)]
    for _ in range(STEPS):
        probabilities = softmax(x @ weights)
        gradient = x.T @ (probabilities - truth) + penalties * weights
        if np.abs(gradient).max() <= CLOSE * len(x):
            break
        weights = _stepped(
            x, truth, penalties, weights, _newton(x, probabilities, penalties, gradient)
        )
    return Linear(middle, spread, vt.T @ weights[:-1], weights[-1])


def _scaled(features: Array) -> tuple[Array, Array, Array]:
    """Return the features with mean 0 and variance 1, their means and their deviations.

    A constant feature becomes 0.
    """
    middle, spread = features.mean(axis=0), features.std(axis=0)
    constant = (features == features[0]).all(axis=0) | (spread == 0)
    spread = np.where(constant, 1.0, spread)
    # An infinite deviation makes a constant feature 0 for new rows too, whatever their value.
    return (
        np.where(constant, 0.0, (features - middle) / spread),
        middle,
        np.where(constant, np.inf, spread),
    )


def _factors(scaled: Array) -> tuple[Array, Array, Array]:
    """Return the singular value decomposition without the parts that are 0 up to rounding."""
    u, s, vt = np.linalg.svd(scaled, full_matrices=False)
    nonzero = s > (s[0] if len(s) else 0.0) * 1e-10
    return u[:, nonzero], s[nonzero], vt[nonzero]


def _left_one_out(u: Array, s: Array, projected: Array, y: Array, penalty: float) -> float:
    """Return the mean squared leave-one-out error for one penalty."""
    shrunk = s**2 / (s**2 + penalty)
    # The weight of a row's own label in its prediction. 1/n is there because the mean is fitted
    # too.
    leverage = np.square(u) @ shrunk + 1.0 / len(y)
    return float(
        np.square((y - u @ (projected * shrunk[:, None])) / (1.0 - leverage)[:, None]).mean()
    )


def _newton(x: Array, p: Array, penalties: Array, slope: Array) -> Array:
    """Solve Hessian d = slope by conjugate gradients."""
    solution, residual = np.zeros_like(slope), slope.copy()
    direction, norm = residual.copy(), float((residual * residual).sum())
    tolerance = norm * 1e-8
    for _ in range(INNER):
        raw_change = x @ direction
        # The Hessian times the direction, without building the Hessian.
        curvature = (
            x.T @ (p * (raw_change - (p * raw_change).sum(axis=1, keepdims=True)))
            + penalties * direction
        )
        length = norm / float((direction * curvature).sum())
        solution, residual = solution + length * direction, residual - length * curvature
        previous_norm, norm = norm, float((residual * residual).sum())
        if norm <= tolerance:
            break
        direction = residual + norm / previous_norm * direction
    return solution


def _stepped(x: Array, truth: Array, penalties: Array, weights: Array, step: Array) -> Array:
    """Return the weights after the step, which is halved until the loss does not rise."""
    old_loss, length = _loss(x, truth, penalties, weights), 1.0
    while length > 1e-6 and _loss(x, truth, penalties, weights - length * step) > old_loss:
        length /= 2
    return weights - length * step


def _loss(x: Array, truth: Array, penalties: Array, weights: Array) -> float:
    """Return the penalised negative log-likelihood."""
    raw = x @ weights
    largest = raw.max(axis=1)
    # The largest logit is subtracted before exp, so that nothing overflows.
    likelihood = (
        (truth * raw).sum(axis=1) - largest - np.log(np.exp(raw - largest[:, None]).sum(axis=1))
    )
    return float(0.5 * (penalties * weights**2).sum() - likelihood.sum())
