"""Linear predictors with a penalty: of numbers in closed form, of classes by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polycera.tasks.numpy_ops import softmax
from polycera.typing import Array

PENALTIES = 10.0 ** np.arange(-4, 5)
"""Of ridge regression, as parts of the rows; the one with the least error left-one-out is taken."""
STEPS, INNER, CLOSE = 50, 200, 1e-8


@dataclass(frozen=True)
class Linear:
    """features [n, p] -> [n, outputs].

    Attributes:
        middle, spread: taken out of the features, [p].
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
    """Least squares with a penalty on the weights, chosen by the error left-one-out, which has a closed form.

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
    """Multinomial logistic regression with a penalty of half the squared weights; the constant is free.

    Newton's method, each step solved by conjugate gradients, so that no Hessian is made.

    Args:
        features: [n, p].
        classes: index of the class of each row, [n].
        number: of classes.
        penalty: factor of half the squared weights.
    """
    scaled, middle, spread = _scaled(features)
    _, _, vt = _factors(scaled)
    # a rotation: the penalty stays the same
    x = np.concatenate([scaled @ vt.T, np.ones((len(scaled), 1))], axis=1)
    held = np.full((x.shape[1], 1), penalty)
    held[-1] = 1e-9 * len(x)  # a class that is not there has no finite constant
    weights = np.zeros((x.shape[1], number))
    truth = np.eye(number)[classes.astype(int)]
    for _ in range(STEPS):
        p = softmax(x @ weights)
        slope = x.T @ (p - truth) + held * weights
        if np.abs(slope).max() <= CLOSE * len(x):
            break
        weights = _stepped(x, truth, held, weights, _newton(x, p, held, slope))
    return Linear(middle, spread, vt.T @ weights[:-1], weights[-1])


def _scaled(features: Array) -> tuple[Array, Array, Array]:
    """Each feature with mean 0 and variance 1; one that is the same for all rows as 0."""
    middle, spread = features.mean(axis=0), features.std(axis=0)
    same = (features == features[0]).all(axis=0) | (spread == 0)
    spread = np.where(same, 1.0, spread)
    return np.where(same, 0.0, (features - middle) / spread), middle, np.where(same, np.inf, spread)


def _factors(scaled: Array) -> tuple[Array, Array, Array]:
    """The singular value decomposition without what is 0 but for rounding."""
    u, s, vt = np.linalg.svd(scaled, full_matrices=False)
    kept = s > (s[0] if len(s) else 0.0) * 1e-10
    return u[:, kept], s[kept], vt[kept]


def _left_one_out(u: Array, s: Array, projected: Array, y: Array, penalty: float) -> float:
    shrunk = s**2 / (s**2 + penalty)
    own = np.square(u) @ shrunk + 1.0 / len(y)  # the mean is fitted too
    return float(np.square((y - u @ (projected * shrunk[:, None])) / (1.0 - own)[:, None]).mean())


def _newton(x: Array, p: Array, held: Array, slope: Array) -> Array:
    """Solve Hessian d = slope by conjugate gradients."""
    found, rest = np.zeros_like(slope), slope.copy()
    direction, norm = rest.copy(), float((rest * rest).sum())
    end = norm * 1e-8
    for _ in range(INNER):
        moved = x @ direction
        bent = x.T @ (p * (moved - (p * moved).sum(axis=1, keepdims=True))) + held * direction
        length = norm / float((direction * bent).sum())
        found, rest = found + length * direction, rest - length * bent
        before, norm = norm, float((rest * rest).sum())
        if norm <= end:
            break
        direction = rest + norm / before * direction
    return found


def _stepped(x: Array, truth: Array, held: Array, weights: Array, step: Array) -> Array:
    """The weights after the step, halved until the loss is not higher."""
    before, length = _loss(x, truth, held, weights), 1.0
    while length > 1e-6 and _loss(x, truth, held, weights - length * step) > before:
        length /= 2
    return weights - length * step


def _loss(x: Array, truth: Array, held: Array, weights: Array) -> float:
    raw = x @ weights
    top = raw.max(axis=1)
    likelihood = (truth * raw).sum(axis=1) - top - np.log(np.exp(raw - top[:, None]).sum(axis=1))
    return float(0.5 * (held * weights**2).sum() - likelihood.sum())
