"""The landmarks of a network, solved for in closed form: kernel, rate and penalties by leave-one-out, no row wasted.

Kernel ridge regression of all tasks at once. One factorisation serves every task and penalty, and the error that each
row would have had if it had been left out comes from it as well (Allen 1974; Rifkin & Lippert 2007), so that what is
chosen is chosen on all rows, and predictions for rows as if they had not been trained on come for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from polycera.networks.landmarks import Landmarks, distances, spread
from polycera.shapes import Array
from polycera.tasks import Binary, Layout, Multiclass, Multilabel, Proportion, Regression, Task

PENALTIES = 10.0 ** np.arange(-4.0, 2.6, 0.5)
"""Of the squared coefficients: from almost none to almost nothing learned."""
TRIED = 1000
"""Rows on which kernels are compared, at most."""
FILLS = 8
"""Rounds in which missing labels are filled in with what is predicted for them; each brings them nearer by a factor."""

KERNELS = (*((rate, 1.0) for rate in (0.03, 0.1, 0.3, 1.0, 3.0)), *((rate, 0.5) for rate in (0.3, 1.0, 3.0)))
"""Rate and power of each kernel that is tried; rates in units of the median distance."""

SERVED = (Regression, Proportion, Binary, Multiclass, Multilabel)
"""Kinds of tasks; of the others a mean says too little."""


class Kernel(NamedTuple):
    """exp(-rate * distance^power), power 1 or 1/2."""

    rate: float
    power: float

    def __call__(self, a: Array, b: Array) -> Array:
        """Between rows [n, features] and [m, features], [n, m]."""
        return self.of(distances(a, b, np))

    def of(self, apart: Array) -> Array:
        """From distances."""
        return np.exp(-self.rate * apart**self.power)


@dataclass(frozen=True)
class Solved:
    """What a kernel machine came to.

    Attributes:
        coefficients: [m, units].
        left_out: what each row is told by all others, [n, units]; where a label is missing, by all.
        error: of these, a column's mean square over its rows, [units].
    """

    coefficients: Array
    left_out: Array
    error: Array


def served(layout: Layout) -> list[int]:
    """The tasks that landmarks can serve, by their place: those of which a mean, or a mean of 0 and 1, says enough."""
    return [i for i, task in enumerate(layout.tasks.values()) if isinstance(task, SERVED)]


def wanted(layout: Layout, y: Array) -> Array:
    """Packed targets [n, width] -> what least squares aims at, [n, units].

    Numbers; 0 or 1 for classes and labels; log odds for shares. NaN where a label is missing, and in all rows for tasks
    that landmarks do not serve.
    """
    found = np.full((len(y), layout.units), np.nan)
    for name, task in layout.tasks.items():
        own = y[:, layout.target_columns[name]]
        if _is_share(task):
            found[:, layout.raw_columns[name]] = _logits(own)
        elif isinstance(task, Multiclass) and task.soft:
            found[:, layout.raw_columns[name]] = own
        elif isinstance(task, Multiclass):
            one_hot = own == np.arange(task.units)
            found[:, layout.raw_columns[name]] = np.where(np.isnan(own), np.nan, one_hot)
        elif isinstance(task, SERVED):
            found[:, layout.raw_columns[name]] = own
    return found


def _is_share(task: Task) -> bool:
    """Whether labels are shares from 0 to 1, each by itself."""
    return isinstance(task, Proportion) or (isinstance(task, Multilabel) and task.soft)


def _logits(shares: Array) -> Array:
    """Log odds of shares [n, columns], those near 0 and 1 drawn in.

    A share is drawn in to a hundredth, or to half the mean share where that is less: rare events keep their order, and
    shares of 0 and 1 do not lie far beyond all others.
    """
    known = ~np.isnan(shares)
    mean = np.where(known, shares, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    edge = np.clip(0.5 * np.minimum(mean, 1.0 - mean), 1e-6, 0.01)
    drawn_in = np.clip(shares, edge, 1.0 - edge)
    return np.log(drawn_in / (1.0 - drawn_in))


def _shares(logits: Array) -> Array:
    """What `_logits` made, undone; [n, columns]."""
    return 1.0 / (1.0 + np.exp(-logits))


def fit(
    layer: Landmarks, layout: Layout, x: Array, y: Array, seed: int = 0, kernel: Kernel | None = None
) -> Array | None:
    """Solve for a layer's coefficients and set its weights.

    Args:
        layer: built.
        layout: the tasks.
        x: what comes into the layer, [n, features]; all rows whose labels may be known.
        y: packed targets [n, width].
        seed: of the landmarks, where there are fewer of them than rows.
        kernel: that was chosen before; None tries all.

    Returns:
        raw outputs of the layer for each row as if it had been left out, [n, units], NaN for tasks that it does not
        serve; None where it serves none.
    """
    targets = wanted(layout, y.astype("float64"))
    mean, scale = _moments(targets)
    serves = scale > 0
    if not serves.any():
        return None
    x = x.astype("float64")
    rng = np.random.default_rng(seed)
    landmarks = np.sort(rng.permutation(len(x))[: layer.count]) if layer.count < len(x) else np.arange(len(x))
    standard = (targets[:, serves] - mean[serves]) / scale[serves]
    owner = layout.owner[serves]
    chosen = kernel or best(x, standard, owner, rng)
    solved = solve(chosen, distances(x, x[landmarks], np), landmarks, standard, owner)
    left_out = np.full(targets.shape, np.nan)
    left_out[:, serves] = solved.left_out * scale[serves]
    slope, offset = as_raw(layout, targets, left_out, mean, serves)
    coefficients = np.zeros((layer.count, layout.units))
    coefficients[: len(landmarks), serves] = solved.coefficients * (scale * slope)[serves]
    rows = np.zeros((layer.count, x.shape[1]))
    rows[: len(landmarks)] = x[landmarks]
    values = {
        "rows": rows,
        "coefficients": coefficients,
        "offset": offset,
        "rate": chosen.rate,
        "power": chosen.power,
    }
    for name, value in values.items():
        getattr(layer, name).assign(np.asarray(value, "float32"))
    return left_out * slope + offset


def _moments(targets: Array) -> tuple[Array, Array]:
    """Mean and deviation of the known values of each column; 0 where there are none, or all are alike."""
    known = ~np.isnan(targets)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, targets, 0.0).sum(axis=0) / count
    square = np.where(known, (targets - mean) ** 2, 0.0).sum(axis=0) / count
    return mean, np.where(square > 1e-12, np.sqrt(square), 0.0)


def best(x: Array, standard: Array, owner: Array, rng: np.random.Generator) -> Kernel:
    """The kernel with the lowest error of rows left out, mean over tasks, found on some of the rows.

    Args:
        x: [n, features].
        standard: targets of mean 0 and deviation 1, [n, columns], NaN where missing.
        owner: the task of each column.
        rng: draws the rows.
    """
    unit = spread(x)
    few = np.sort(rng.permutation(len(x))[:TRIED])
    apart, places = distances(x[few], x[few], np), np.arange(len(few))

    def error(kernel: Kernel) -> float:
        return float(np.mean(_by_task(solve(kernel, apart, places, standard[few], owner).error, owner)))

    return min((Kernel(rate / unit**power, power) for rate, power in KERNELS), key=error)


def _by_task(values: Array, owner: Array) -> Array:
    """The mean of the columns of each task, for each of its columns again; [..., columns]."""
    same = (owner[:, None] == owner).astype("float64")
    return values @ (same / same.sum(axis=0))


def solve(kernel: Kernel, apart: Array, landmarks: Any, standard: Array, owner: Array) -> Solved:
    """Ridge regression on the similarities to the landmarks, with the best penalty for each task.

    Args:
        kernel: by which distances become similarities.
        apart: distances of the rows to the landmarks, [n, m].
        landmarks: which rows the landmarks are.
        standard, owner: as for `best`.
    """
    known, features = ~np.isnan(standard), kernel.of(apart)
    values, basis, back = _factorised(features, landmarks)
    y, squares = np.where(known, standard, 0.0), basis**2
    share = known.mean(axis=0)

    def penalised(penalty: float, own: Any) -> tuple[Array, Array, Array]:
        return _penalised(penalty, values, basis, squares, y[:, own], known[:, own], share[own])

    error = np.stack([penalised(penalty, slice(None))[0] for penalty in PENALTIES])
    chosen = _by_task(error, owner).argmin(axis=0)
    left_out, inner = np.empty_like(y), np.empty((len(values), len(owner)))
    for place in np.unique(chosen):  # again, for its columns alone: to keep all would take many times the memory
        own = np.flatnonzero(chosen == place)
        _, left_out[:, own], inner[:, own] = penalised(PENALTIES[place], own)
    return Solved(back @ inner, left_out, error[chosen, np.arange(len(owner))])


def _factorised(features: Array, landmarks: Any) -> tuple[Array, Array, Array]:
    """Similarities [n, m] as a basis of what they can say.

    Returns:
        values [r], the squared lengths of the basis; basis [n, r], orthonormal; and the way from weights of
        basis * sqrt(values) back to the landmarks, [m, r].
    """
    if len(features) == len(landmarks):  # each row is a landmark: one decomposition says it all
        values, basis = np.linalg.eigh(features)
        values = np.maximum(values, 1e-10 * values[-1])
        return values, basis, basis / np.sqrt(values)
    among = features[landmarks]
    lower = np.linalg.cholesky(among + 1e-8 * len(among) * np.eye(len(among)))
    back = np.linalg.inv(lower).T
    whitened = features @ back  # inner products of its rows are the kernel (Nyström)
    values, vectors = np.linalg.eigh(whitened.T @ whitened)
    values = np.maximum(values, 1e-12 * values[-1])
    return values, whitened @ (vectors / np.sqrt(values)), back @ vectors


def _penalised(
    penalty: float, values: Array, basis: Array, squares: Array, y: Array, known: Array, share: Array
) -> tuple[Array, Array, Array]:
    """Error of rows left out [columns], what they are told [n, columns], weights of the basis [r, columns].

    Missing labels are filled in with what is predicted for them, again and again, which ends where least squares over
    the known ones does. A row's leverage is then that of all rows, with the penalty that their number stands for.
    """
    shrunk = values / (values + penalty)
    filled, told = y, basis @ (shrunk[:, None] * (basis.T @ y))
    for _ in range(FILLS if not known.all() else 0):
        filled = np.where(known, y, told)
        told = basis @ (shrunk[:, None] * (basis.T @ filled))
    shares, where = np.unique(share, return_inverse=True)
    inside = squares @ (values[:, None] * shares / (values[:, None] * shares + penalty))
    leverage = (inside / (inside + shares * (1.0 - inside)))[:, where]
    off = np.where(known, y - told, 0.0) / np.maximum(1.0 - leverage, 1e-9)
    error = (off**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    inner = (np.sqrt(values) / (values + penalty))[:, None] * (basis.T @ filled)
    return error, np.where(known, y - off, told), inner


# -- from what least squares says to raw outputs -----------------------------------------------------------------


def as_raw(layout: Layout, targets: Array, scores: Array, mean: Array, serves: Any) -> tuple[Array, Array]:
    """Slope and offset [units] that make raw outputs of scores around 0, fitted to rows that were left out.

    Args:
        layout: the tasks.
        targets: as `wanted` gives them.
        scores: [n, units].
        mean: of the targets.
        serves: which columns there are scores for.

    A number is its own raw output. For yes or no, slope and offset are those of a logistic regression (Platt 1999); for
    classes there is one slope for all, and the offsets are the logarithms of their shares.
    """
    slope, offset = np.ones(layout.units), np.where(serves, mean, 0.0)
    for group in layout.groups:
        first, units = group.raw_start, group.task.units
        columns = np.arange(first, first + len(group.tasks) * units)
        columns = columns[serves[columns]]
        if not len(columns):
            continue
        if _is_share(group.task):
            slope[columns], offset[columns] = _logistic(scores[:, columns], _shares(targets[:, columns]))
        elif isinstance(group.task, Binary | Multilabel):
            slope[columns], offset[columns] = platt(scores[:, columns], targets[:, columns])
        elif isinstance(group.task, Multiclass):
            for task in group.tasks:  # few of them, and their classes differ
                own = np.arange(layout.units)[layout.raw_columns[task.name]]
                own = own[serves[own]]
                offset[own] = np.log(np.maximum(mean[own], 1e-6))
                slope[own] = _one_slope(scores[:, own], targets[:, own], offset[own])
    return slope, offset


def platt(scores: Array, labels: Array) -> tuple[Array, Array]:
    """Slope and offset [columns] of a logistic regression of each column on its scores, by Newton's steps.

    Args:
        scores: [n, columns].
        labels: 0, 1, or NaN where missing; drawn in a little, as Platt does, so that no slope is infinite.
    """
    yes, no = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    y = np.where(labels == 1, (yes + 1.0) / (yes + 2.0), 1.0 / (no + 2.0))
    return _logistic(scores, np.where(np.isnan(labels), np.nan, y))


def _logistic(scores: Array, labels: Array, rounds: int = 30) -> tuple[Array, Array]:
    """Slope and offset [columns] of a logistic regression of shares on scores, by Newton's steps.

    Args:
        scores: [n, columns].
        labels: shares within 0 and 1, or NaN where missing.
        rounds: of Newton's method.
    """
    known = ~np.isnan(labels)
    y = np.where(known, labels, 0.5)
    yes = np.where(known, labels, 0.0).sum(axis=0)
    no = known.sum(axis=0) - yes
    spread_of = np.maximum(np.sqrt((np.where(known, scores, 0.0) ** 2).sum(axis=0) / known.sum(axis=0)), 1e-9)
    z = np.where(known, scores, 0.0) / spread_of
    slope, offset = np.zeros(z.shape[1]), np.log((yes + 0.5) / (no + 0.5))
    for _ in range(rounds):
        p = 1.0 / (1.0 + np.exp(-np.clip(slope * z + offset, -30.0, 30.0)))
        off, weight = np.where(known, p - y, 0.0), np.where(known, p * (1.0 - p), 0.0)
        a, b, c = (weight * z * z).sum(0) + 1e-3, (weight * z).sum(0), weight.sum(0) + 1e-3
        g, h = (off * z).sum(0) + 1e-3 * slope, off.sum(0)
        size = a * c - b * b
        slope, offset = slope - np.clip((c * g - b * h) / size, -2, 2), offset - np.clip((a * h - b * g) / size, -2, 2)
    return np.maximum(slope, 0.0) / spread_of, offset


def _one_slope(scores: Array, targets: Array, offset: Array) -> float:
    """The factor of the scores under which the classes are most likely."""
    known = ~np.isnan(targets).any(axis=1)
    z, y = scores[known], targets[known]
    tried = np.concatenate([[0.0], np.geomspace(0.1, 100.0, 40)])
    losses = []
    for slope in tried:
        raw = slope * z + offset
        top = raw.max(axis=1, keepdims=True)
        losses.append(np.mean(np.log(np.exp(raw - top).sum(axis=1)) + top[:, 0] - (raw * y).sum(axis=1)))
    return float(tried[int(np.argmin(losses))])
