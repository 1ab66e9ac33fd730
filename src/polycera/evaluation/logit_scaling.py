"""Calibrate logits by z -> a z + b, with Newton's method on all labels at once.

scikit-learn fits one label and one fold at a time and has no prior: 200 labels with six folds would
be 1,200 fits, where here they are one.
"""

from __future__ import annotations

import numpy as np

from polycera.typing import Array

LOWEST, HIGHEST = 0.05, 20.0
"""Bounds of a: above 0, so that the order of the rows does not change."""

STEPS, HALVINGS, CLOSE = 60, 12, 1e-9
"""Limits of Newton's method.

STEPS: most steps; HALVINGS: how often a step that raises the loss is halved; CLOSE: a smaller step
ends the iteration.
"""


def sigmoid(logits: Array) -> Array:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def losses(truth: Array, logits: Array) -> Array:
    """Return the log loss of each label, in the shape of the logits; 0 where it is missing."""
    known = np.isfinite(truth) & np.isfinite(logits)
    z = np.where(known, logits, 0.0)
    return np.where(known, np.logaddexp(0.0, z) - np.where(known, truth, 0.0) * z, 0.0)


def platt(
    truth: Array,
    logits: Array,
    weight: Array | None = None,
    around: tuple[Array | float, Array | float] = (1.0, 0.0),
    strength: tuple[float, float] = (0.0, 0.0),
    shift: bool = True,
) -> tuple[Array, Array]:
    """Return a and b for each label, which minimise the log loss of the logits a z + b.

    Papers: Platt, "Probabilistic outputs for support vector machines", 1999; with b = 0,
    temperature scaling (Guo 2017, arXiv:1706.04599), a = 1 / T. Where we differ: there may be a
    normal prior around given values, so that a label with few rows stays near them, and a is
    between 0.05 and 20.

    Args:
        truth: 0 to 1, NaN where a label is missing; [n, labels].
        logits: [n, labels]; one that is not finite is left out.
        weight: weight of each label, [..., n, labels] or a shape that broadcasts to it; leading
            axes are separate fits, such as folds.
        around: start values of a and b, and the mean of the prior; [..., labels] each, or numbers.
        strength: strength of the prior on a and on b: the inverse of its variances, in nats.
        shift: whether to fit b; where False, it stays at its start value.

    Returns:
        a, b: [..., labels].

    Examples:
        >>> import numpy as np
        >>> z = np.repeat([-3.0, 3.0], 4)[:, None]  # at 3 in 4 right, the logit should be log 3
        >>> a, b = platt(np.array([0.0, 0, 0, 1, 1, 1, 1, 0])[:, None], z)
        >>> bool(np.isclose(a[0], np.log(3) / 3)), bool(abs(b[0]) < 1e-6)
        (True, True)
    """
    known = np.isfinite(truth) & np.isfinite(logits)
    t, z = np.where(known, truth, 0.0), np.where(known, logits, 0.0)
    w = known.astype("float64") if weight is None else known * weight
    shape = (*w.shape[:-2], w.shape[-1])
    middle = [np.broadcast_to(np.asarray(value, "float64"), shape) for value in around]
    a, b = middle[0].clip(LOWEST, HIGHEST), middle[1].copy()

    def cost(a: Array, b: Array) -> Array:
        """Return the weighted log loss plus the prior, [..., labels]."""
        u = a[..., None, :] * z + b[..., None, :]
        prior = strength[0] * (a - middle[0]) ** 2 + strength[1] * (b - middle[1]) ** 2
        return (w * (np.logaddexp(0.0, u) - t * u)).sum(-2) + 0.5 * prior

    present_cost = cost(a, b)
    for _ in range(STEPS):
        da, db = _step(a, b, t, z, w, middle, strength, shift)
        size = np.ones(shape)
        for _ in range(HALVINGS):
            # halve the step of each label whose loss it would raise; the others keep theirs
            new_cost = cost(a + size * da, b + size * db)
            if not (too_far := new_cost > present_cost + 1e-12 * np.abs(present_cost)).any():
                break
            size = np.where(too_far, size / 2, size)
        # the tolerance 1e-12 allows for rounding where a label has converged
        better = new_cost <= present_cost + 1e-12 * np.abs(present_cost)
        a, b = np.where(better, a + size * da, a), np.where(better, b + size * db, b)
        present_cost = np.where(better, new_cost, present_cost)
        if not (better & (np.abs(size * da) + np.abs(size * db) > CLOSE)).any():
            break
    return a, b


def _step(
    a: Array,
    b: Array,
    t: Array,
    z: Array,
    w: Array,
    middle: list[Array],
    strength: tuple[float, float],
    shift: bool,
) -> tuple[Array, Array]:
    """Return Newton's step for a and b, [..., labels].

    Where it would move a out of its bounds, a moves to the bound and b to the best value there.
    """
    p = sigmoid(a[..., None, :] * z + b[..., None, :])
    residual, curve = w * (p - t), w * p * (1 - p)
    slope_a = (residual * z).sum(-2) + strength[0] * (a - middle[0])
    slope_b = residual.sum(-2) + strength[1] * (b - middle[1])
    # 1e-9: a label without rows and without a prior has curvature 0 and gets no step
    aa = (curve * z * z).sum(-2) + strength[0] + 1e-9
    ab = (curve * z).sum(-2)
    bb = curve.sum(-2) + strength[1] + 1e-9
    if not shift:
        return (a - slope_a / aa).clip(LOWEST, HIGHEST) - a, np.zeros_like(b)
    da = -(bb * slope_a - ab * slope_b) / (aa * bb - ab * ab).clip(1e-12)
    da = (a + da).clip(LOWEST, HIGHEST) - a
    return da, -(slope_b + ab * da) / bb


def temperature(
    truth: Array, logits: Array, weight: Array | None = None, doubt: float = 0.0
) -> Array:
    """Return a for each multiclass task, which minimises the log loss of softmax(a z).

    Here a is one over the temperature. The loss is convex in a; a is between 0.05 and 20.

    Papers: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017,
    arXiv:1706.04599; for `doubt`, Laplace's rule of succession and Platt 1999, who smooths binary
    labels for the same reason.

    Args:
        truth: index of the class, NaN where a label is missing; [n, tasks].
        logits: [n, tasks, classes].
        weight: weight of each label, [..., n, tasks].
        doubt: number of added rows, spread over all rows, in which the likeliest other class counts
            as the true one. Without them, rows that are all predicted correctly would lead to
            probabilities of 0 and 1.

    Returns:
        a, [..., tasks].

    Examples:
        >>> import numpy as np
        >>> z = np.tile([[[4.0, 0.0, 0.0]]], (99, 1, 1))  # right 99 times
        >>> temperature(np.zeros((99, 1)), z).item() > 8  # all are right: as sure as can be
        True
        >>> p = np.exp(4.0 * temperature(np.zeros((99, 1)), z, doubt=1.0).item())
        >>> round(p / (p + 2), 3).item()
        0.99
    """
    known, true_logit, z = classes_of(truth, logits)
    w = known.astype("float64") if weight is None else known * weight
    wrong_logit = _likeliest_other(truth, z) if doubt else true_logit
    extra = doubt / np.maximum(w.sum(-2), 1.0)  # [..., tasks]
    a = np.ones((*w.shape[:-2], w.shape[-1]))
    for _ in range(STEPS):
        p = _softmax(a[..., None, :, None] * z)
        mean = (p * z).sum(-1)
        spread = (p * z * z).sum(-1) - mean**2
        slope = (w * (mean - true_logit)).sum(-2) + extra * (w * (mean - wrong_logit)).sum(-2)
        step = -slope / ((1.0 + extra) * (w * spread).sum(-2) + 1e-9)
        # a step in log a, of 1 at most: a stays above 0 and cannot overshoot far
        new_a = a * np.exp(np.clip(step / a, -1.0, 1.0))
        new_a = new_a.clip(LOWEST, HIGHEST)
        moved, a = np.abs(new_a - a).max(initial=0.0), new_a
        if moved < CLOSE:
            break
    return a


def class_losses(truth: Array, logits: Array, scale: Array | float = 1.0) -> Array:
    """Return the log loss of softmax(scale z), [n, tasks]; 0 where the label is missing.

    Args:
        truth: as in `temperature`.
        logits: as in `temperature`.
        scale: [n, tasks], or a shape that broadcasts to it.
    """
    known, true_logit, z = classes_of(truth, logits)
    u = np.asarray(scale)[..., None] * z
    top = u.max(-1)  # subtracted before exp, which would overflow
    return np.where(
        known,
        top + np.log(np.exp(u - top[..., None]).sum(-1)) - np.asarray(scale) * true_logit,
        0.0,
    )


def classes_of(truth: Array, logits: Array) -> tuple[np.ndarray, Array, Array]:
    """Return which labels count, the logits of their classes, and logits without NaN.

    Args:
        truth: as in `temperature`.
        logits: as in `temperature`.

    Returns:
        whether label and logits are finite, [n, tasks]; the logit of the true class, [n, tasks];
        the logits with 0 where they do not count, [n, tasks, classes].
    """
    known = np.isfinite(truth) & np.isfinite(logits).all(-1)
    z = np.where(known[..., None], logits, 0.0)
    chosen = np.where(known, truth, 0.0).astype("int64")
    return known, np.take_along_axis(z, chosen[..., None], -1)[..., 0], z


def _likeliest_other(truth: Array, logits: Array) -> Array:
    """Return the highest logit of a wrong class, [n, tasks]; the logits must be finite."""
    is_true = truth[..., None] == np.arange(logits.shape[-1])
    return np.where(is_true, -np.inf, logits).max(-1)


def _softmax(logits: Array) -> Array:
    """Return the softmax over the last axis, without overflow."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
