"""The landmarks of a network, solved for in closed form: kernel, rate and penalties by leave-one-out, no row wasted.

Kernel ridge regression of all tasks at once. One factorisation serves every task and penalty, and
the error that each row would have had if it had been left out comes from it as well (Allen 1974;
Rifkin & Lippert 2007), so that what is chosen is chosen on all rows, and predictions for rows as if
they had not been trained on come for nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from polycera.evaluation.calibration import DOUBT
from polycera.layers.kernel_layer import Landmarks, distances, spread
from polycera.tasks import Binary, Layout, Multiclass, Multilabel, Proportion, Regression, Task
from polycera.typing import Array

PENALTIES = 10.0 ** np.arange(-4.0, 2.6, 0.5)
"""Of the squared coefficients: from almost none to almost nothing learned."""
TRIED, FIRST, KEPT = 1000, 400, 3
"""Rows on which kernels are compared at most; rows of a first round, and kernels that go on into the second one.

A kernel costs the cube of its rows, so all eight on 1,000 rows cost four times what two rounds do.
"""
FEW, GAIN = 250, 0.01
"""Landmarks to begin with, where there are fewer than rows, and by what part of the error twice as
many must be better to go on: of many rows a few landmarks often say all that there is to say, and a
solution costs their square."""
ROUNDED = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4)
"""Added to the similarity of each landmark to itself, times their number: the first that makes a root possible."""
CELLS = 2**22
"""Numbers of all penalties together that are computed at a time: 32 MB."""
FILLS = 8
"""Rounds in which missing labels are filled in with what is predicted for them; each brings them nearer by a factor."""

KERNELS = (
    *((rate, 1.0) for rate in (0.03, 0.1, 0.3, 1.0, 3.0)),
    *((rate, 0.5) for rate in (0.3, 1.0, 3.0)),
)
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
class RidgeSolution:
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

    Numbers; 0 or 1 for classes and labels; log odds for shares. NaN where a label is missing, and
    in all rows for tasks that landmarks do not serve.
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

    A share is drawn in to a hundredth, or to half the mean share where that is less: rare events
    keep their order, and shares of 0 and 1 do not lie far beyond all others.
    """
    known = ~np.isnan(shares)
    mean = np.where(known, shares, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    edge = np.clip(0.5 * np.minimum(mean, 1.0 - mean), 1e-6, 0.01)
    drawn_in = np.clip(shares, edge, 1.0 - edge)
    return np.log(drawn_in / (1.0 - drawn_in))


def _shares(logits: Array) -> Array:
    """What `_logits` made, undone; [n, columns]."""
    return 1.0 / (1.0 + np.exp(-logits))


class KernelMachine(NamedTuple):
    """Everything that a layer of landmarks is given, and what it says of its own rows.

    Attributes:
        values: name of the layer's weight -> its value.
        left_out: raw outputs for each row as if it had been left out, [n, units]; NaN for tasks
            that are not served.
    """

    values: dict[str, Array]
    left_out: Array

    @property
    def kernel(self) -> Kernel:
        """The kernel that was chosen."""
        return Kernel(float(self.values["rate"]), float(self.values["power"]))

    def says(self, x: Array) -> Array:
        """Return raw outputs for rows [n, features] that it did not learn from, as the layer does, [n, units]."""
        alike = self.kernel(x.astype("float64"), self.values["rows"])
        return alike @ self.values["coefficients"] + self.values["offset"]

    def give(self, layer: Landmarks) -> None:
        """Set the weights of a layer of this many landmarks and units."""
        for name, value in self.values.items():
            getattr(layer, name).assign(np.asarray(value, "float32"))


def fit(
    layer: Landmarks,
    layout: Layout,
    x: Array,
    y: Array,
    seed: int = 0,
    kernel: Kernel | None = None,
) -> Array | None:
    """Solve for a layer's coefficients and set its weights.

    Args:
        layer: built.
        layout, x, y, seed, kernel: as for `machine`.

    Returns:
        raw outputs of the layer for each row as if it had been left out, [n, units], NaN for tasks
        that it does not serve; None where it serves none.
    """
    solved = machine(layer.count, layout, x, y, seed, kernel)
    if solved is None:
        return None
    solved.give(layer)
    return solved.left_out


def machine(
    count: int, layout: Layout, x: Array, y: Array, seed: int = 0, kernel: Kernel | None = None
) -> KernelMachine | None:
    """Solve for the coefficients of so many landmarks; NumPy alone, so that a thread can do it.

    Args:
        count: of landmarks.
        layout: the tasks.
        x: what comes into the layer, [n, features]; all rows whose labels may be known.
        y: packed targets [n, width].
        seed: of the landmarks, where there are fewer of them than rows.
        kernel: that was chosen before; None tries all.

    Returns:
        None where landmarks serve no task. Where a part of the landmarks says as much as all, the
        coefficients of the others are 0.
    """
    targets = wanted(layout, y.astype("float64"))
    mean, scale = _moments(targets)
    serves = scale > 0
    if not serves.any():
        return None
    x = x.astype("float64")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x)) if count < len(x) else np.arange(len(x))
    standard = (targets[:, serves] - mean[serves]) / scale[serves]
    owner = layout.owner[serves]
    chosen = kernel or best(x, standard, owner, rng)
    landmarks, solved = _enough(chosen, x, order[:count], standard, owner)
    left_out = np.full(targets.shape, np.nan)
    left_out[:, serves] = solved.left_out * scale[serves]
    slope, offset = as_raw(layout, targets, left_out, mean, serves)
    coefficients = np.zeros((count, layout.units))
    coefficients[: len(landmarks), serves] = solved.coefficients * (scale * slope)[serves]
    rows = np.zeros((count, x.shape[1]))
    rows[: len(landmarks)] = x[landmarks]
    values = {
        "rows": rows,
        "coefficients": coefficients,
        "offset": offset,
        "rate": np.asarray(chosen.rate),
        "power": np.asarray(chosen.power),
    }
    return KernelMachine(values, left_out * slope + offset)


def _enough(
    kernel: Kernel, x: Array, order: Any, standard: Array, owner: Array
) -> tuple[Any, RidgeSolution]:
    """Solve for as many of the landmarks as make the error of rows left out smaller.

    Args:
        kernel, x, standard, owner: as for `best`.
        order: which rows may be landmarks, the first ones first.

    Returns:
        which rows are landmarks; the solution.
    """
    counts = [len(order)]
    while len(order) < len(x) and counts[0] >= 2 * FEW:
        counts.insert(0, counts[0] // 2)
    found: list[tuple[float, Any, RidgeSolution]] = []
    for count in counts:
        landmarks = np.sort(order[:count])
        solved = solve(kernel, distances(x, x[landmarks], np), landmarks, standard, owner)
        found.append((float(_by_task(solved.error, owner).mean()), landmarks, solved))
        if len(found) > 1 and found[-1][0] > (1 - GAIN) * found[-2][0]:
            break
    _, landmarks, solved = min(found, key=lambda one: one[0])
    return landmarks, solved


def _moments(targets: Array) -> tuple[Array, Array]:
    """Mean and deviation of the known values of each column; 0 where there are none, or all are alike."""
    known = ~np.isnan(targets)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, targets, 0.0).sum(axis=0) / count
    square = np.where(known, (targets - mean) ** 2, 0.0).sum(axis=0) / count
    return mean, np.where(square > 1e-12, np.sqrt(square), 0.0)


def best(x: Array, standard: Array, owner: Array, rng: np.random.Generator) -> Kernel:
    """Return the kernel with the lowest error of rows left out, mean over tasks, found on some of the rows.

    Args:
        x: [n, features].
        standard: targets of mean 0 and deviation 1, [n, columns], NaN where missing.
        owner: the task of each column.
        rng: draws the rows.

    All kernels are tried on a few rows, and the best of these on more: successive halving (Karnin
    et al. 2013) in two rounds.
    """
    unit = spread(x)
    drawn = rng.permutation(len(x))[:TRIED]
    kernels = [Kernel(rate / unit**power, power) for rate, power in KERNELS]
    for rows, most in ((FIRST, KEPT), (TRIED, 1)):
        if len(drawn) <= rows:  # as many rows as there are: nothing is left to another round
            most = 1
        kernels = _lowest(kernels, most, x, standard, owner, np.sort(drawn[:rows]))
        if most == 1:
            break
    return kernels[0]


def _lowest(
    kernels: list[Kernel], most: int, x: Array, standard: Array, owner: Array, rows: Any
) -> list[Kernel]:
    """Return so many of the kernels, those of the lowest errors on these rows first."""
    apart, places = distances(x[rows], x[rows], np), np.arange(len(rows))

    def error(kernel: Kernel) -> float:
        return float(
            np.mean(_by_task(_errors(kernel, apart, places, standard[rows]).best(owner), owner))
        )

    return sorted(kernels, key=error)[:most]


def _by_task(values: Array, owner: Array) -> Array:
    """The mean of the columns of each task, for each of its columns again; [..., columns]."""
    same = (owner[:, None] == owner).astype("float64")
    return values @ (same / same.sum(axis=0))


def solve(
    kernel: Kernel, apart: Array, landmarks: Any, standard: Array, owner: Array
) -> RidgeSolution:
    """Ridge regression on the similarities to the landmarks, with the best penalty for each task.

    Args:
        kernel: by which distances become similarities.
        apart: distances of the rows to the landmarks, [n, m].
        landmarks: which rows the landmarks are.
        standard, owner: as for `best`.
    """
    found = _errors(kernel, apart, landmarks, standard)
    chosen = found.chosen(owner)
    left_out, inner = np.empty_like(standard), np.empty((len(found.basis.values), len(owner)))
    # again, for its columns alone: to keep all would take many times the memory
    for place in np.unique(chosen):
        own = np.flatnonzero(chosen == place)
        one = found.basis.penalised(PENALTIES[place : place + 1], standard[:, own])
        left_out[:, own], inner[:, own] = one.left_out[:, 0], one.inner[:, 0]
    return RidgeSolution(
        found.basis.back @ inner, left_out, found.error[chosen, np.arange(len(owner))]
    )


class Errors(NamedTuple):
    """Errors of rows left out, for each penalty.

    Attributes:
        basis: by which they were computed.
        error: [penalties, columns].
    """

    basis: Basis
    error: Array

    def chosen(self, owner: Array) -> Array:
        """Return the place of the penalty of each column: one for all columns of a task."""
        return _by_task(self.error, owner).argmin(axis=0)

    def best(self, owner: Array) -> Array:
        """Return the errors with these penalties, [columns]."""
        return self.error[self.chosen(owner), np.arange(len(owner))]


def _errors(kernel: Kernel, apart: Array, landmarks: Any, standard: Array) -> Errors:
    """Return the errors of all penalties, as many of them at a time as memory takes."""
    basis = Basis.of(kernel.of(apart), landmarks)
    step = max(1, CELLS // max(standard.size, 1))
    parts = [PENALTIES[start : start + step] for start in range(0, len(PENALTIES), step)]
    return Errors(basis, np.concatenate([basis.penalised(part, standard).error for part in parts]))


def _root(among: Array) -> Array:
    """Return the lower triangle whose product with itself the similarities of landmarks [m, m] are, as far as can be.

    Raises:
        LinAlgError: where they are none.
    """
    for more in ROUNDED[:-1]:
        # distances near 0 are rounded, of landmarks that are almost copies
        with suppress(np.linalg.LinAlgError):
            return _cholesky(among, more)
    return _cholesky(among, ROUNDED[-1])


def _cholesky(among: Array, more: float) -> Array:
    return np.asarray(np.linalg.cholesky(among + more * len(among) * np.eye(len(among))), "float64")


class Penalised(NamedTuple):
    """Ridge regression with several penalties at once, p of them.

    Attributes:
        error: mean square of rows left out, [p, columns].
        left_out: what each row is told by all others, [n, p, columns]; where a label is missing, by
            all.
        inner: weights of the basis, [r, p, columns].
    """

    error: Array
    left_out: Array
    inner: Array


@dataclass(frozen=True)
class Basis:
    """Similarities [n, m] as an orthonormal basis of what they can say; one factorisation serves all penalties.

    Attributes:
        values: squared lengths, [r].
        vectors: [n, r].
        squares: of the vectors, [n, r].
        back: the way from weights of vectors * sqrt(values) to the landmarks, [m, r].
    """

    values: Array
    vectors: Array
    squares: Array
    back: Array

    @classmethod
    def of(cls, features: Array, landmarks: Any) -> Basis:
        """Factorise similarities [n, m] of rows to landmarks, which are some of the rows."""
        if len(features) == len(landmarks):  # each row is a landmark: one decomposition says it all
            values, vectors = np.linalg.eigh(features)
            values = np.maximum(values, 1e-10 * values[-1])
            return cls(values, vectors, vectors**2, vectors / np.sqrt(values))
        back = np.linalg.inv(_root(features[landmarks])).T
        whitened = features @ back  # inner products of its rows are the kernel (Nyström)
        values, turned = np.linalg.eigh(whitened.T @ whitened)
        values = np.maximum(values, 1e-12 * values[-1])
        vectors = whitened @ (turned / np.sqrt(values))
        return cls(values, vectors, vectors**2, back @ turned)

    def penalised(self, penalties: Array, standard: Array) -> Penalised:
        """Solve with each of these penalties [p] for columns [n, columns], NaN where a label is missing.

        Missing labels are filled in with what is predicted for them, again and again, which ends
        where least squares over the known ones does. A row's leverage is then that of all rows,
        with the penalty that their number stands for.
        """
        known = ~np.isnan(standard)
        rows, columns = standard.shape
        y = np.where(known, standard, 0.0)
        values = self.values[:, None]
        shrunk = (values / (values + penalties))[:, :, None]  # [r, p, 1]

        def along(filled: Array) -> Array:
            """[n, p, columns] -> weights [r, p, columns], as one product, so that the basis is read once."""
            return (self.vectors.T @ filled.reshape(rows, -1)).reshape(len(values), -1, columns)

        def told_by(weights: Array) -> Array:
            return (self.vectors @ (shrunk * weights).reshape(len(values), -1)).reshape(
                rows, -1, columns
            )

        weights = along(y)  # the same for all penalties
        told = told_by(weights)
        for _ in range(FILLS if not known.all() else 0):
            weights = along(np.where(known[:, None], y[:, None], told))
            told = told_by(weights)
        leverage = self._leverage(penalties, known.mean(axis=0))
        off = np.where(known[:, None], y[:, None] - told, 0.0) / np.maximum(1.0 - leverage, 1e-9)
        error = (off**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        inner = np.sqrt(self.values)[:, None, None] / (values + penalties)[:, :, None] * weights
        return Penalised(error, np.where(known[:, None], y[:, None] - off, told), inner)

    def _leverage(self, penalties: Array, share: Array) -> Array:
        """Return how much of its own label each row is told, [n, p, columns], where so many labels are known."""
        shares, where = np.unique(share, return_inverse=True)
        scaled = (self.values[:, None] * shares)[:, None]  # [r, 1, shares]
        inside = scaled / (scaled + penalties[:, None])
        inside = (self.squares @ inside.reshape(len(self.values), -1)).reshape(
            len(self.squares), -1, len(shares)
        )
        return (inside / (inside + shares * (1.0 - inside)))[:, :, where]


# -- from what least squares says to raw outputs -----------------------------------------------------------------


def as_raw(
    layout: Layout, targets: Array, scores: Array, mean: Array, serves: Any
) -> tuple[Array, Array]:
    """Slope and offset [units] that make raw outputs of scores around 0, fitted to rows that were left out.

    Args:
        layout: the tasks.
        targets: as `wanted` gives them.
        scores: [n, units].
        mean: of the targets.
        serves: which columns there are scores for.

    A number is its own raw output. For yes or no, slope and offset are those of a logistic
    regression (Platt 1999); for classes there is one slope for all, and the offsets are the
    logarithms of their shares.
    """
    slope, offset = np.ones(layout.units), np.where(serves, mean, 0.0)
    for group in layout.groups:
        first, units = group.raw_start, group.task.units
        columns = np.arange(first, first + len(group.tasks) * units)
        columns = columns[serves[columns]]
        if not len(columns):
            continue
        if _is_share(group.task):
            slope[columns], offset[columns] = _logistic(
                scores[:, columns], _shares(targets[:, columns])
            )
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
        labels: 0, 1, or NaN where missing; drawn in a little, as Platt does, so that no slope is
            infinite.
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
    spread_of = np.maximum(
        np.sqrt((np.where(known, scores, 0.0) ** 2).sum(axis=0) / known.sum(axis=0)), 1e-9
    )
    z = np.where(known, scores, 0.0) / spread_of
    slope, offset = np.zeros(z.shape[1]), np.log((yes + 0.5) / (no + 0.5))
    for _ in range(rounds):
        p = 1.0 / (1.0 + np.exp(-np.clip(slope * z + offset, -30.0, 30.0)))
        off, weight = np.where(known, p - y, 0.0), np.where(known, p * (1.0 - p), 0.0)
        a, b, c = (weight * z * z).sum(0) + 1e-3, (weight * z).sum(0), weight.sum(0) + 1e-3
        g, h = (off * z).sum(0) + 1e-3 * slope, off.sum(0)
        size = a * c - b * b
        slope, offset = (
            slope - np.clip((c * g - b * h) / size, -2, 2),
            offset - np.clip((a * h - b * g) / size, -2, 2),
        )
    return np.maximum(slope, 0.0) / spread_of, offset


def _one_slope(scores: Array, targets: Array, offset: Array) -> float:
    """Return the factor of the scores under which the classes are most likely, and one more row, answered wrongly.

    Without that row, scores that divide the classes would ask for the largest factor there is.
    """
    known = ~np.isnan(targets).any(axis=1)
    z, y = scores[known], targets[known]
    tried = np.concatenate([[0.0], np.geomspace(0.1, 100.0, 40)])
    losses = []
    for slope in tried:
        raw = slope * z + offset
        top = raw.max(axis=1)
        total = np.log(np.exp(raw - top[:, None]).sum(axis=1)) + top
        # the likeliest class that is not the true one
        other = np.where(y > 0, -np.inf, raw).max(axis=1)
        right, wrong = np.mean(total - (raw * y).sum(axis=1)), np.mean(total - other)
        losses.append(right + DOUBT / len(z) * wrong)
    return float(tried[int(np.argmin(losses))])
