"""Logits brought to z -> a z + b, so that their probabilities come true: Newton's method on all labels at once."""

from __future__ import annotations

import numpy as np

from polycera.typing import Array

LOWEST, HIGHEST = 0.05, 20.0
"""Bounds of a: above 0, so that the order of the rows stays."""

STEPS, HALVINGS, CLOSE = 60, 12, 1e-9
"""Steps of Newton's method at most, how often one is halved where it leads too far, and what is no step any more."""


def sigmoid(logits: Array) -> Array:
    """1 / (1 + exp(-logits)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def losses(truth: Array, logits: Array) -> Array:
    """Log loss of each answer; 0 where the label is missing. Same shape as the logits."""
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
    """a and b of each label, of the least log loss of a z + b.

    Papers: Platt, "Probabilistic outputs for support vector machines", 1999; with b = 0,
        temperature scaling (Guo 2017,
    arXiv:1706.04599), a = 1 / T. Where we differ: a normal prior may stand around given values, so
    that a label of few rows stays near them, and a lies between 0.05 and 20.

    Args:
        truth: 0 to 1, NaN where a label is missing; [n, labels].
        logits: [n, labels]; one that is not finite is left out.
        weight: of each answer, [..., n, labels] or what fits; leading axes are trainings of their
            own, such as folds.
        around: a and b to begin with, and the middle of the prior; [..., labels] each, or numbers.
        strength: of the prior on a and on b: the inverse of its variances, in nats.
        shift: False: b stays as it is.

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
        u = a[..., None, :] * z + b[..., None, :]
        prior = strength[0] * (a - middle[0]) ** 2 + strength[1] * (b - middle[1]) ** 2
        return (w * (np.logaddexp(0.0, u) - t * u)).sum(-2) + 0.5 * prior

    now = cost(a, b)
    for _ in range(STEPS):
        da, db = _step(a, b, t, z, w, middle, strength, shift)
        size = np.ones(shape)
        for _ in range(HALVINGS):
            then = cost(a + size * da, b + size * db)
            if not (far := then > now + 1e-12 * np.abs(now)).any():
                break
            size = np.where(far, size / 2, size)
        better = then <= now + 1e-12 * np.abs(now)
        a, b = np.where(better, a + size * da, a), np.where(better, b + size * db, b)
        now = np.where(better, then, now)
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
    """Newton's step; where it would take a out of its bounds, to the bound, and b to what is best there."""
    p = sigmoid(a[..., None, :] * z + b[..., None, :])
    wrong, curve = w * (p - t), w * p * (1 - p)
    slope_a = (wrong * z).sum(-2) + strength[0] * (a - middle[0])
    slope_b = wrong.sum(-2) + strength[1] * (b - middle[1])
    aa = (curve * z * z).sum(-2) + strength[0] + 1e-9  # without a row, no step
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
    """Return a of each task with several classes, of the least log loss of softmax(a z): one over the temperature.

    Papers: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017,
        arXiv:1706.04599; for
    `doubt`, Laplace's rule of succession and Platt 1999, who draws in the labels of yes and no for
    the same reason. The loss is convex in a; a lies between 0.05 and 20.

    Args:
        truth: index of the class, NaN where a label is missing; [n, tasks].
        logits: [n, tasks, classes].
        weight: of each answer, [..., n, tasks].
        doubt: so many rows are added in which not the true class but the likeliest other one is
            right, spread over all rows. Without them, rows that are all answered rightly would ask
            for probabilities of 0 and 1.

    Returns:
        [..., tasks].

    Examples:
        >>> import numpy as np
        >>> z = np.tile([[[4.0, 0.0, 0.0]]], (99, 1, 1))  # right 99 times
        >>> temperature(np.zeros((99, 1)), z).item()
        20.0
        >>> p = np.exp(4.0 * temperature(np.zeros((99, 1)), z, doubt=1.0).item())
        >>> bool(np.isclose(p / (p + 2), 0.985, atol=0.001))
        True
    """
    known, own, z = classes_of(truth, logits)
    w = known.astype("float64") if weight is None else known * weight
    other = _likeliest_other(truth, z) if doubt else own
    more = doubt / np.maximum(w.sum(-2), 1.0)  # [..., tasks]
    a = np.ones((*w.shape[:-2], w.shape[-1]))
    for _ in range(STEPS):
        p = _softmax(a[..., None, :, None] * z)
        mean = (p * z).sum(-1)
        spread = (p * z * z).sum(-1) - mean**2
        slope = (w * (mean - own)).sum(-2) + more * (w * (mean - other)).sum(-2)
        step = -slope / ((1.0 + more) * (w * spread).sum(-2) + 1e-9)
        # in log a: it stays above 0, and never leaps
        new = a * np.exp(np.clip(step / a, -1.0, 1.0))
        new = new.clip(LOWEST, HIGHEST)
        moved, a = np.abs(new - a).max(initial=0.0), new
        if moved < CLOSE:
            break
    return a


def class_losses(truth: Array, logits: Array, scale: Array | float = 1.0) -> Array:
    """Log loss of softmax(scale z), [n, tasks]; 0 where the label is missing.

    Args:
        truth: as `temperature`.
        logits: as `temperature`.
        scale: [n, tasks], or what fits.
    """
    known, own, z = classes_of(truth, logits)
    u = np.asarray(scale)[..., None] * z
    top = u.max(-1)
    return np.where(
        known, top + np.log(np.exp(u - top[..., None]).sum(-1)) - np.asarray(scale) * own, 0.0
    )


def classes_of(truth: Array, logits: Array) -> tuple[np.ndarray, Array, Array]:
    """Which rows count [n, tasks]; the logit of the true class [n, tasks]; finite logits [n, tasks, classes]."""
    known = np.isfinite(truth) & np.isfinite(logits).all(-1)
    z = np.where(known[..., None], logits, 0.0)
    chosen = np.where(known, truth, 0.0).astype("int64")
    return known, np.take_along_axis(z, chosen[..., None], -1)[..., 0], z


def _likeliest_other(truth: Array, logits: Array) -> Array:
    """The highest logit of a class that is not the true one, [n, tasks], of finite logits [n, tasks, classes]."""
    own = truth[..., None] == np.arange(logits.shape[-1])
    return np.where(own, -np.inf, logits).max(-1)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
