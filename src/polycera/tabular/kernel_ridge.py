"""Solve kernel ridge regression of all tasks in closed form, for the landmarks of a network.

One factorisation serves every task and penalty. It also gives the leave-one-out error of each row
(Allen 1974; Rifkin & Lippert 2007), or of each group of rows (`left_out`). So kernel, rate and
penalties are chosen on all rows, and out-of-fold predictions cost little more. scikit-learn's
KernelRidge has none of this: no missing labels, no landmarks, no leave-one-out errors.

Where this module says *leave-one-out*, a row is left out alone, or with its whole group where
`blocks` are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from polycera.evaluation.calibration import DOUBT
from polycera.layers.kernel_layer import Landmarks, distances, spread
from polycera.tabular import left_out
from polycera.tabular.left_out import Blocks
from polycera.tabular.row_weights import RowWeights
from polycera.tasks import Binary, Layout, Multiclass, Multilabel, Proportion, Regression, Task
from polycera.typing import Array

PENALTIES = 10.0 ** np.arange(-4.0, 2.6, 0.5)
"""Penalties of the squared coefficients that are tried, from almost no effect to almost no fit."""
TRIED = 1000
"""Maximum number of rows on which kernels are compared."""
FIRST = 400
"""Rows of the first round."""
FINALISTS = 3
"""Number of kernels that enter the second round.

A kernel costs the cube of its rows. All eight on 1,000 rows would cost four times as much as the
two rounds do.
"""
FEW = 250
"""Minimum number of landmarks to start with, where there are fewer of them than rows."""
GAIN = 0.01
"""Share by which the error must fall each time the landmarks are doubled.

With many rows, a few landmarks often predict as well as all, and a solution costs the square of
their number.
"""
ROUNDED = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4)
"""Values added to the diagonal of the similarities of landmarks, times the number of landmarks.

The first one with which a Cholesky factor exists is used.
"""
CELLS = 2**22
"""Maximum number of values computed at a time for all penalties together: 32 MB in float64."""
FILLS = 8
"""Number of rounds in which missing labels are replaced by their predictions.

Each round brings the solution nearer by a factor.
"""

KERNELS = (
    *((rate, 1.0) for rate in (0.03, 0.1, 0.3, 1.0, 3.0)),
    *((rate, 0.5) for rate in (0.3, 1.0, 3.0)),
)
"""Rate and power of each kernel that is tried; rates are relative to the median distance."""

SERVED = (Regression, Proportion, Binary, Multiclass, Multilabel)
"""Kinds of tasks that landmarks serve; for the others a conditional mean says too little."""


class Kernel(NamedTuple):
    """Computes exp(-rate * distance^power), where the power is 1 or 1/2.

    The distance is the square of the Euclidean one.
    """

    rate: float
    power: float

    def __call__(self, a: Array, b: Array) -> Array:
        """Return the similarities [n, m] between rows [n, features] and [m, features]."""
        return self.of(distances(a, b, np))

    def of(self, apart: Array) -> Array:
        """Return similarities from distances."""
        return np.exp(-self.rate * apart**self.power)


@dataclass(frozen=True)
class RidgeSolution:
    """Holds the solution of a kernel ridge regression.

    Attributes:
        coefficients: [m, columns].
        left_out: leave-one-out predictions for the rows, [n, columns]; where a label is missing,
            the prediction from all labelled rows.
        error: mean square of the leave-one-out errors of each column, [columns].
    """

    coefficients: Array
    left_out: Array
    error: Array


def served(layout: Layout) -> list[int]:
    """Return the positions of the tasks that landmarks can serve.

    These are the tasks for which a mean, or a mean of 0 and 1, is a sufficient prediction.
    """
    return [i for i, task in enumerate(layout.tasks.values()) if isinstance(task, SERVED)]


def regression_targets(layout: Layout, y: Array) -> Array:
    """Return the targets of least squares, [n, output columns], from packed targets [n, width].

    They are numbers; 0 or 1 for classes and labels; log odds for shares. They are NaN where a label
    is missing, and in all rows of tasks that landmarks do not serve.
    """
    targets = np.full((len(y), layout.units), np.nan)
    for name, task in layout.tasks.items():
        labels = y[:, layout.target_columns[name]]
        if _is_share(task):
            targets[:, layout.raw_columns[name]] = _logits(labels)
        elif isinstance(task, Multiclass) and task.soft:
            targets[:, layout.raw_columns[name]] = labels
        elif isinstance(task, Multiclass):
            one_hot = labels == np.arange(task.units)
            targets[:, layout.raw_columns[name]] = np.where(np.isnan(labels), np.nan, one_hot)
        elif isinstance(task, SERVED):
            targets[:, layout.raw_columns[name]] = labels
    return targets


def _is_share(task: Task) -> bool:
    """Return whether the labels are independent shares from 0 to 1."""
    return isinstance(task, Proportion) or (isinstance(task, Multilabel) and task.soft)


def _logits(shares: Array) -> Array:
    """Return the log odds of shares [n, columns], with shares near 0 and 1 clipped.

    A share is clipped to a hundredth, or to half the mean share where that is less. So rare events
    keep their order, and shares of 0 and 1 do not become outliers.
    """
    known = ~np.isnan(shares)
    mean = np.where(known, shares, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    edge = np.clip(0.5 * np.minimum(mean, 1.0 - mean), 1e-6, 0.01)
    clipped = np.clip(shares, edge, 1.0 - edge)
    return np.log(clipped / (1.0 - clipped))


def _shares(logits: Array) -> Array:
    """Return the shares [n, columns] of log odds; the inverse of `_logits`."""
    return 1.0 / (1.0 + np.exp(-logits))


class KernelMachine(NamedTuple):
    """Holds the weights of a landmarks layer and its leave-one-out predictions.

    Attributes:
        values: name of the layer's weight -> its value.
        left_out: leave-one-out raw outputs, [n, output columns]; NaN for tasks that landmarks do
            not serve.
    """

    values: dict[str, Array]
    left_out: Array

    @property
    def kernel(self) -> Kernel:
        """Return the kernel that was chosen."""
        return Kernel(float(self.values["rate"]), float(self.values["power"]))

    def predict(self, x: Array) -> Array:
        """Return raw outputs [n, output columns] for new rows [n, features], as the layer does."""
        similarities = self.kernel(x.astype("float64"), self.values["rows"])
        return similarities @ self.values["coefficients"] + self.values["offset"]

    def give(self, layer: Landmarks) -> None:
        """Set the weights of a layer that has as many landmarks and output columns."""
        for name, value in self.values.items():
            getattr(layer, name).assign(np.asarray(value, "float32"))


def fit(
    layer: Landmarks,
    layout: Layout,
    x: Array,
    y: Array,
    seed: int = 0,
    kernel: Kernel | None = None,
    weights: RowWeights | None = None,
    blocks: Blocks | None = None,
) -> Array | None:
    """Solve for a layer's coefficients and set its weights.

    Args:
        layer: built.
        layout, x, y, seed, kernel, weights, blocks: as for `machine`.

    Returns:
        leave-one-out raw outputs of the layer, [n, output columns], NaN for tasks that it does not
        serve; None where it serves none.
    """
    solved = machine(layer.count, layout, x, y, seed, kernel, weights, blocks)
    if solved is None:
        return None
    solved.give(layer)
    return solved.left_out


def machine(
    count: int,
    layout: Layout,
    x: Array,
    y: Array,
    seed: int = 0,
    kernel: Kernel | None = None,
    weights: RowWeights | None = None,
    blocks: Blocks | None = None,
) -> KernelMachine | None:
    """Solve for the coefficients of landmarks, in NumPy alone so that a thread can do it.

    Args:
        count: number of landmarks.
        layout: the tasks.
        x: input of the layer, [n, features]: all rows whose labels may be used.
        y: packed targets [n, width].
        seed: of the choice of landmarks, where there are fewer of them than rows.
        kernel: a kernel that was chosen before; None tries all.
        weights: of the rows; None where all count the same. Sample weights weigh the least
            squares; tasks whose weights have equal ratios share one factorisation. Class weights
            only decide how scores become probabilities.
        blocks: which rows are left out together; None leaves out each row alone.

    Returns:
        None where landmarks serve no task. Where a part of the landmarks predicts as well as all,
        the coefficients of the others are 0.
    """
    # In float64, because penalties and eigenvalues span many orders of magnitude.
    targets = regression_targets(layout, y.astype("float64"))
    sample = None if weights is None or weights.sample is None else weights.sample
    if sample is not None:
        # Relative to the mean over all rows, so that penalties mean the same for every task.
        sample = (sample / sample.mean(axis=0))[:, layout.owner]
    mean, scale = _moments(targets, sample)
    serves = scale > 0
    if not serves.any():
        return None
    x = x.astype("float64")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x)) if count < len(x) else np.arange(len(x))
    standard = (targets[:, serves] - mean[serves]) / scale[serves]
    owner = layout.owner[serves]
    roots = roots_of(None if sample is None else sample[:, serves], len(x))
    chosen = kernel or best(x, standard, owner, rng, roots, blocks)
    landmarks, solved = _enough(chosen, x, order[:count], standard, owner, roots, blocks)
    scores = np.full(targets.shape, np.nan)
    scores[:, serves] = solved.left_out * scale[serves]
    factors = None if weights is None else weights.of_labels(layout)
    raw_mean = mean if factors is None else _moments(targets, factors)[0]
    slope, offset = as_raw(layout, targets, scores, raw_mean, serves, factors, mean)
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
    return KernelMachine(values, scores * slope + offset)


class Root(NamedTuple):
    """Holds the square root of the sample weights of some columns of the targets.

    Weighted least squares are plain least squares of rows that are multiplied by these roots.

    Attributes:
        columns: which columns of the targets have these weights.
        rows: the roots, [n]; None where all are 1.
    """

    columns: Any
    rows: Array | None

    def of(self, rows: Any) -> Root:
        """Return the roots of some of the rows."""
        return self if self.rows is None else self._replace(rows=self.rows[rows])


LIGHTEST = 1e-12
"""Least weight of a row, relative to the mean: so a row of weight 0 gets a prediction as well."""


def roots_of(weights: Array | None, rows: int) -> list[Root]:
    """Return the roots of sample weights [n, columns]; columns with equal weights share one."""
    if weights is None:
        return [Root(slice(None), None)]
    # Rounded, because weights of equal ratios may differ in their last digit.
    distinct, group = np.unique(np.round(weights, 12), axis=1, return_inverse=True)
    floor = LIGHTEST * np.maximum(distinct.mean(axis=0), np.finfo("float64").tiny)
    roots = np.sqrt(np.maximum(distinct, floor))
    group = group.reshape(-1)
    return [Root(np.flatnonzero(group == i), roots[:, i]) for i in range(roots.shape[1])]


def _enough(
    kernel: Kernel,
    x: Array,
    order: Any,
    standard: Array,
    owner: Array,
    roots: list[Root],
    blocks: Blocks | None,
) -> tuple[Any, RidgeSolution]:
    """Solve with more and more landmarks for as long as that lowers the leave-one-out error enough.

    Args:
        kernel, x, standard, owner, roots, blocks: as for `best`.
        order: which rows may be landmarks; the first ones are used first.

    Returns:
        which rows are landmarks; the solution.
    """
    counts = [len(order)]
    while len(order) < len(x) and counts[0] >= 2 * FEW:
        counts.insert(0, counts[0] // 2)
    solutions: list[tuple[float, Any, RidgeSolution]] = []
    for count in counts:
        # Sorted: where each row is a landmark, `Basis.of` needs a symmetric matrix.
        landmarks = np.sort(order[:count])
        row_distances = distances(x, x[landmarks], np)
        solved = solve(kernel, row_distances, landmarks, standard, owner, roots, blocks)
        solutions.append((float(_by_task(solved.error, owner).mean()), landmarks, solved))
        if len(solutions) > 1 and solutions[-1][0] > (1 - GAIN) * solutions[-2][0]:
            break
    # The last one may be worse than the one before it, so the best is looked up.
    _, landmarks, solved = min(solutions, key=lambda solution: solution[0])
    return landmarks, solved


def _moments(targets: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Return mean and standard deviation of the known values of each column.

    The deviation is 0 where there are no values, or all are equal.
    """
    known = ~np.isnan(targets)
    if weights is None:
        counted, count = known, np.maximum(known.sum(axis=0), 1)
    else:
        counted = known * weights
        count = counted.sum(axis=0)
        count = np.where(count > 0, count, 1.0)
    mean = np.where(known, targets, 0.0)
    mean = (mean if weights is None else mean * counted).sum(axis=0) / count
    square = np.where(known, (targets - mean) ** 2, 0.0)
    square = (square if weights is None else square * counted).sum(axis=0) / count
    return mean, np.where(square > 1e-12, np.sqrt(square), 0.0)


def best(
    x: Array,
    standard: Array,
    owner: Array,
    rng: np.random.Generator,
    roots: list[Root] | None = None,
    blocks: Blocks | None = None,
) -> Kernel:
    """Return the kernel with the lowest leave-one-out error on a sample of rows, mean over tasks.

    Args:
        x: [n, features].
        standard: targets of mean 0 and deviation 1, [n, columns], NaN where missing.
        owner: the task of each column.
        rng: draws the rows.
        roots: of the sample weights of the columns; None where all rows count the same.
        blocks: as for `machine`.

    All kernels are tried on a few rows, and the best of these on more rows: successive halving
    (Karnin et al. 2013) in two rounds.
    """
    roots = roots or roots_of(None, len(x))
    median_distance = spread(x)
    drawn = rng.permutation(len(x))[:TRIED]
    kernels = [Kernel(rate / median_distance**power, power) for rate, power in KERNELS]
    for rows, most in ((FIRST, FINALISTS), (TRIED, 1)):
        # All rows are used already, so a second round would not see more.
        if len(drawn) <= rows:
            most = 1
        kernels = _lowest(kernels, most, x, standard, owner, np.sort(drawn[:rows]), roots, blocks)
        if most == 1:
            break
    return kernels[0]


def _lowest(
    kernels: list[Kernel],
    most: int,
    x: Array,
    standard: Array,
    owner: Array,
    rows: Any,
    roots: list[Root],
    blocks: Blocks | None,
) -> list[Kernel]:
    """Return the `most` kernels with the lowest errors on these rows, the best one first."""
    row_distances, landmarks = distances(x[rows], x[rows], np), np.arange(len(rows))
    row_blocks = None if blocks is None else blocks.take(rows)

    def error(kernel: Kernel) -> float:
        """Return the leave-one-out error of a kernel, mean over tasks."""
        errors = np.empty(len(owner))
        for root in roots:
            columns = root.columns
            errors[columns] = _errors(
                kernel,
                row_distances,
                landmarks,
                standard[rows][:, columns],
                root.of(rows).rows,
                row_blocks,
            ).best(owner[columns])
        return float(np.mean(_by_task(errors, owner)))

    return sorted(kernels, key=error)[:most]


def _by_task(values: Array, owner: Array) -> Array:
    """Return the mean over the columns of each task, repeated for its columns, [..., columns]."""
    same = (owner[:, None] == owner).astype("float64")
    return values @ (same / same.sum(axis=0))


def solve(
    kernel: Kernel,
    apart: Array,
    landmarks: Any,
    standard: Array,
    owner: Array,
    roots: list[Root] | None = None,
    blocks: Blocks | None = None,
) -> RidgeSolution:
    """Solve ridge regression on the similarities to landmarks, with the best penalty of each task.

    Args:
        kernel: turns distances into similarities.
        apart: distances of the rows to the landmarks, [n, m].
        landmarks: which rows the landmarks are.
        standard, owner, roots, blocks: as for `best`.
    """
    coefficients = np.empty((len(landmarks), len(owner)))
    predictions, error = np.empty_like(standard), np.empty(len(owner))
    for root in roots or roots_of(None, len(standard)):
        columns = root.columns
        solved = _solve_alike(
            kernel, apart, landmarks, standard[:, columns], owner[columns], root.rows, blocks
        )
        coefficients[:, columns], predictions[:, columns] = solved.coefficients, solved.left_out
        error[columns] = solved.error
    return RidgeSolution(coefficients, predictions, error)


def _solve_alike(
    kernel: Kernel,
    apart: Array,
    landmarks: Any,
    standard: Array,
    owner: Array,
    root: Array | None,
    blocks: Blocks | None,
) -> RidgeSolution:
    """Solve for columns whose rows have the same sample weights; see `solve`."""
    errors = _errors(kernel, apart, landmarks, standard, root, blocks)
    chosen = errors.chosen(owner)
    scaled = scaled_rows(standard, root)
    predictions, inner = np.empty_like(standard), np.empty((len(errors.basis.values), len(owner)))
    # Computed again, for the columns of one penalty at a time: storing the predictions of all
    # penalties would take many times the memory.
    by_penalty = [(penalty, np.flatnonzero(chosen == penalty)) for penalty in np.unique(chosen)]
    for penalty, columns in by_penalty:
        penalised = errors.basis.penalised(
            PENALTIES[penalty : penalty + 1], scaled[:, columns], blocks, by_fold=False
        )
        predictions[:, columns], inner[:, columns] = penalised.left_out[:, 0], penalised.inner[:, 0]
    gaps = np.asarray(np.isnan(scaled).any(axis=0))
    if blocks is not None and gaps.any():
        # For all penalties together, because each fold needs a decomposition.
        with_gaps = [(PENALTIES[[p]], columns[gaps[columns]]) for p, columns in by_penalty]
        unseen = errors.basis.unseen_by_fold(scaled, with_gaps, blocks.fold)
        for (_, columns), values in zip(with_gaps, unseen, strict=True):
            predictions[:, columns] = values[:, 0]
    if root is not None:
        predictions /= root[:, None]
    return RidgeSolution(
        errors.basis.back @ inner, predictions, errors.error[chosen, np.arange(len(owner))]
    )


def scaled_rows(values: Array, root: Array | None) -> Array:
    """Return rows [n, ...] multiplied by the roots of their weights."""
    return values if root is None else values * root[:, None]


class Errors(NamedTuple):
    """Holds the leave-one-out errors for each penalty.

    Attributes:
        basis: that they were computed with.
        error: [penalties, columns].
    """

    basis: Basis
    error: Array

    def chosen(self, owner: Array) -> Array:
        """Return the index of the best penalty of each column; columns of a task share it."""
        return _by_task(self.error, owner).argmin(axis=0)

    def best(self, owner: Array) -> Array:
        """Return the errors at these penalties, [columns]."""
        return self.error[self.chosen(owner), np.arange(len(owner))]


def _errors(
    kernel: Kernel,
    apart: Array,
    landmarks: Any,
    standard: Array,
    root: Array | None = None,
    blocks: Blocks | None = None,
) -> Errors:
    """Return the errors of all penalties, computed for as many at a time as memory allows.

    `root` is the square root of the rows' sample weights, [n], or None.
    """
    basis, standard = Basis.of(kernel.of(apart), landmarks, root), scaled_rows(standard, root)
    # A penalty takes one number for each cell of the targets.
    step = max(1, CELLS // max(standard.size, 1))
    parts = [PENALTIES[start : start + step] for start in range(0, len(PENALTIES), step)]
    return Errors(
        basis, np.concatenate([basis.penalised(part, standard, blocks).error for part in parts])
    )


def _root(similarities: Array) -> Array:
    """Return the Cholesky factor of the similarities of landmarks [m, m], regularised if needed.

    Raises:
        LinAlgError: where they are no similarities.
    """
    for more in ROUNDED[:-1]:
        # Rounded distances between landmarks that are almost copies can make the matrix indefinite.
        with suppress(np.linalg.LinAlgError):
            return _cholesky(similarities, more)
    return _cholesky(similarities, ROUNDED[-1])


def _cholesky(similarities: Array, more: float) -> Array:
    """Return the Cholesky factor after adding `more` times the matrix size to the diagonal."""
    return np.asarray(
        np.linalg.cholesky(similarities + more * len(similarities) * np.eye(len(similarities))),
        "float64",
    )


class Penalised(NamedTuple):
    """Holds ridge regressions with p penalties.

    Attributes:
        error: mean square of the leave-one-out errors, [p, columns].
        left_out: leave-one-out predictions, [n, p, columns]; where a label is missing, the
            prediction from all labelled rows.
        inner: coefficients of the basis, [r, p, columns].
    """

    error: Array
    left_out: Array
    inner: Array


@dataclass(frozen=True)
class Basis:
    """Holds an orthonormal basis of similarities [n, m]; one factorisation serves all penalties.

    Attributes:
        values: squared lengths, [r].
        vectors: [n, r].
        squares: of the vectors, [n, r].
        back: maps coefficients of vectors * sqrt(values) to the landmarks, [m, r].
        weights: sample weights of the rows, [n], or None.
    """

    values: Array
    vectors: Array
    squares: Array
    back: Array
    weights: Array | None = None

    @classmethod
    def of_features(cls, features: Array) -> Basis:
        """Return the basis of features [n, m] whose inner products are the similarities."""
        # The smaller one of the two matrices of inner products is decomposed. Eigenvalues of 0 and
        # below are raised, as in `of`.
        if len(features) < features.shape[1]:
            values, vectors = np.linalg.eigh(features @ features.T)
            values = np.maximum(values, 1e-10 * values[-1])
            return cls(values, vectors, vectors**2, features.T @ (vectors / np.sqrt(values)))
        values, rotation = np.linalg.eigh(features.T @ features)
        values = np.maximum(values, 1e-12 * values[-1])
        vectors = features @ (rotation / np.sqrt(values))
        return cls(values, vectors, vectors**2, rotation)

    @classmethod
    def of(cls, features: Array, landmarks: Any, root: Array | None = None) -> Basis:
        """Return the basis of similarities [n, m] of rows to landmarks, which are some of these.

        With sample weights it is that of the rows multiplied by `root`, the roots of the weights.
        """
        weights = None if root is None else root**2
        # Each row is a landmark, so the matrix is symmetric and one decomposition is enough.
        if len(features) == len(landmarks):
            values, vectors = np.linalg.eigh(
                features if root is None else features * root[:, None] * root
            )
            # Rounding makes the smallest eigenvalues 0 or negative; their roots are divided by.
            values = np.maximum(values, 1e-10 * values[-1])
            back = scaled_rows(vectors, root) / np.sqrt(values)
            return cls(values, vectors, vectors**2, back, weights)
        back = np.linalg.inv(_root(features[landmarks])).T
        # The inner products of its rows approximate the kernel (Nyström's method).
        basis = cls.of_features(scaled_rows(features @ back, root))
        return replace(basis, back=back @ basis.back, weights=weights)

    def penalised(
        self,
        penalties: Array,
        standard: Array,
        blocks: Blocks | None = None,
        by_fold: bool = True,
    ) -> Penalised:
        """Solve for columns [n, columns], NaN where labels are missing, with each penalty [p].

        Without blocks, a row's leverage beside missing labels is that of all rows, with the penalty
        scaled by the share of known labels. With blocks that would let a group answer for itself,
        so columns with missing labels leave out whole folds and are solved anew for each; without
        `by_fold` they are not, and their errors and predictions are 0.
        """
        known = ~np.isnan(standard)
        y = np.where(known, standard, 0.0)
        weights, predictions = self._fitted(penalties, standard)
        if blocks is None:
            leverage = self._leverage(penalties, self._share(known))
            # A row with a leverage of 1 is predicted by its own label alone: avoid a division by 0.
            errors = np.where(known[:, None], y[:, None] - predictions, 0.0) / np.maximum(
                1.0 - leverage, 1e-9
            )
            unseen = np.where(known[:, None], y[:, None] - errors, predictions)
        else:
            complete = known.all(axis=0)
            unseen = np.zeros_like(predictions)
            residuals = (y[:, None] - predictions)[:, :, complete]
            unseen[:, :, complete] = y[:, None, complete] - left_out.errors(
                self.vectors, self.values, penalties, residuals, blocks.group
            )
            if by_fold and not complete.all():
                gaps = np.flatnonzero(~complete)
                unseen[:, :, gaps] = self.unseen_by_fold(
                    standard, [(penalties, gaps)], blocks.fold
                )[0]
            errors = np.where(known[:, None], y[:, None] - unseen, 0.0)
        error = (errors**2).sum(axis=0) / self._total(known)
        return Penalised(error, unseen, self._inner(penalties, weights))

    def _inner(self, penalties: Array, weights: Array) -> Array:
        """Return the coefficients [r, p, columns] of vectors * sqrt(values) from the weights."""
        values = self.values[:, None]
        return np.sqrt(self.values)[:, None, None] / (values + penalties)[:, :, None] * weights

    def _fitted(self, penalties: Array, standard: Array) -> tuple[Array, Array]:
        """Return coefficients of the labels [r, p or 1, columns], and predictions [n, p, columns].

        Missing labels are replaced by their predictions, again and again. This converges to the
        least squares solution on the known labels.
        """
        known = ~np.isnan(standard)
        rows, columns = standard.shape
        y = np.where(known, standard, 0.0)
        values = self.values[:, None]
        shrunk = (values / (values + penalties))[:, :, None]  # [r, p, 1]

        def along(filled: Array) -> Array:
            """Return coefficients [r, p, columns] of labels [n, p, columns]."""
            # One product for all penalties, so that the basis is read from memory once.
            return (self.vectors.T @ filled.reshape(rows, -1)).reshape(len(values), -1, columns)

        def predicted(weights: Array) -> Array:
            """Return predictions [n, p, columns] of coefficients [r, p, columns]."""
            return (self.vectors @ (shrunk * weights).reshape(len(values), -1)).reshape(
                rows, -1, columns
            )

        # Known labels are the same for all penalties, so one column is enough: [r, 1, columns].
        weights = along(y)
        predictions = predicted(weights)
        for _ in range(FILLS if not known.all() else 0):
            weights = along(np.where(known[:, None], y[:, None], predictions))
            predictions = predicted(weights)
        return weights, predictions

    def unseen_by_fold(
        self, standard: Array, jobs: Sequence[tuple[Array, NDArray[Any]]], fold: Any
    ) -> list[Array]:
        """Return predictions [n, p, columns] for each fold from the labels of all others.

        Args:
            standard: [n, columns], NaN where labels are missing.
            jobs: penalties [p] and columns to solve for with them.
            fold: of each row, [n].
        """
        features = self.vectors * np.sqrt(self.values)
        unseen = [np.zeros((len(standard), len(penalties), len(c))) for penalties, c in jobs]
        for one in np.unique(fold):
            held_out = fold == one
            if held_out.all():
                break  # nothing to learn from: the mean, which is 0, is predicted
            basis = Basis.of_features(features[~held_out])
            towards = features[held_out] @ basis.back
            for (penalties, columns), predictions in zip(jobs, unseen, strict=True):
                if len(columns):
                    weights = basis._fitted(penalties, standard[~held_out][:, columns])[0]
                    inner = basis._inner(penalties, weights)
                    predictions[held_out] = (towards @ inner.reshape(len(inner), -1)).reshape(
                        -1, *inner.shape[1:]
                    )
        return unseen

    def _total(self, known: Array) -> Array:
        """Return the sum of the weights of the known labels [n, columns], 0 nowhere."""
        if self.weights is None:
            return np.maximum(known.sum(axis=0), 1)
        return np.maximum(self.weights @ known, LIGHTEST * self.weights.sum())

    def _share(self, known: Array) -> Array:
        """Return the share of the weights that belongs to known labels, [columns]."""
        if self.weights is None:
            return np.asarray(known.mean(axis=0))
        return self._total(known) / self.weights.sum()

    def _leverage(self, penalties: Array, share: Array) -> Array:
        """Return the leverage of each row on its own prediction, [n, p, columns].

        `share` is the share of known labels of each column.
        """
        # Columns with the same share of known labels have the same leverage: compute it once.
        shares, share_of_column = np.unique(share, return_inverse=True)
        scaled = (self.values[:, None] * shares)[:, None]  # [r, 1, shares]
        leverage = scaled / (scaled + penalties[:, None])
        leverage = (self.squares @ leverage.reshape(len(self.values), -1)).reshape(
            len(self.squares), -1, len(shares)
        )
        return (leverage / (leverage + shares * (1.0 - leverage)))[:, :, share_of_column]


# -- from least squares predictions to raw outputs -------------------------------------------------


def as_raw(
    layout: Layout,
    targets: Array,
    scores: Array,
    mean: Array,
    serves: Any,
    weights: Array | None = None,
    centre: Array | None = None,
) -> tuple[Array, Array]:
    """Return slope and offset [output columns] that turn centred scores into raw outputs.

    They are fitted to leave-one-out scores.

    Args:
        layout: the tasks.
        targets: as `regression_targets` returns them.
        scores: [n, output columns].
        mean: of the targets, with the weights.
        serves: which columns there are scores for.
        weights: of the labels, [n, output columns]; None where all count the same.
        centre: what was taken out of the targets before the least squares; default: `mean`.

    A number is its own raw output. For binary tasks and labels, slope and offset are those of a
    logistic regression (Platt 1999). For classes there is one slope for all, and the offsets are
    the logarithms of their shares.
    """
    slope = np.ones(layout.units)
    offset = np.where(serves, mean if centre is None else centre, 0.0)
    for group in layout.groups:
        first, units = group.raw_start, group.task.units
        columns = np.arange(first, first + len(group.tasks) * units)
        columns = columns[serves[columns]]
        if not len(columns):
            continue
        if _is_share(group.task):
            slope[columns], offset[columns] = _logistic(
                scores[:, columns], _shares(targets[:, columns]), _columns(weights, columns)
            )
        elif isinstance(group.task, Binary | Multilabel):
            slope[columns], offset[columns] = platt(
                scores[:, columns], targets[:, columns], _columns(weights, columns)
            )
        elif isinstance(group.task, Multiclass):
            # A loop is fast enough: there are few multiclass tasks, and their classes differ.
            for task in group.tasks:
                task_columns = np.arange(layout.units)[layout.raw_columns[task.name]]
                task_columns = task_columns[serves[task_columns]]
                offset[task_columns] = np.log(np.maximum(mean[task_columns], 1e-6))
                slope[task_columns] = _common_slope(
                    scores[:, task_columns],
                    targets[:, task_columns],
                    offset[task_columns],
                    None if weights is None else weights[:, task_columns[:1]],
                )
    return slope, offset


def _columns(weights: Array | None, columns: Any) -> Array | None:
    """Return some columns of weights that there may be none of."""
    return None if weights is None else weights[:, columns]


def platt(scores: Array, labels: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Return slope and offset [columns] of a logistic regression of each column on its scores.

    Args:
        scores: [n, columns].
        labels: 0, 1, or NaN where missing. They are moved a little inwards, as in Platt (1999), so
            that no slope is infinite.
        weights: of the labels, [n, columns], or None.
    """
    positives, negatives = (
        ((labels == value) if weights is None else (labels == value) * weights).sum(axis=0)
        for value in (1, 0)
    )
    y = np.where(labels == 1, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
    return _logistic(scores, np.where(np.isnan(labels), np.nan, y), weights)


def _logistic(
    scores: Array, labels: Array, weights: Array | None = None, rounds: int = 30
) -> tuple[Array, Array]:
    """Return slope and offset [columns] of a logistic regression of shares on scores.

    It is fitted by Newton's method.

    Args:
        scores: [n, columns].
        labels: shares within 0 and 1, or NaN where missing.
        weights: of the labels, [n, columns], or None.
        rounds: of Newton's method.
    """
    known = ~np.isnan(labels)
    counted = known if weights is None else known * weights
    y = np.where(known, labels, 0.5)
    positives = np.where(known, labels, 0.0)
    positives = (positives if weights is None else positives * weights).sum(axis=0)
    negatives = counted.sum(axis=0) - positives
    squares = np.where(known, scores, 0.0) ** 2
    squares = (squares if weights is None else squares * weights).sum(axis=0)
    deviation = np.maximum(np.sqrt(squares / counted.sum(axis=0)), 1e-9)
    z = np.where(known, scores, 0.0) / deviation
    slope, offset = np.zeros(z.shape[1]), np.log((positives + 0.5) / (negatives + 0.5))
    for _ in range(rounds):
        # Beyond 30 a probability is 0 or 1 to 1e-12; exp of much more overflows.
        p = 1.0 / (1.0 + np.exp(-np.clip(slope * z + offset, -30.0, 30.0)))
        residual, weight = np.where(known, p - y, 0.0), np.where(known, p * (1.0 - p), 0.0)
        if weights is not None:
            residual, weight = residual * weights, weight * weights
        a, b, c = (weight * z * z).sum(0) + 1e-3, (weight * z).sum(0), weight.sum(0) + 1e-3
        g, h = (residual * z).sum(0) + 1e-3 * slope, residual.sum(0)
        # The determinant of the Hessian; the 1e-3 above keep it from 0.
        determinant = a * c - b * b
        # Steps of at most 2: far from the solution Newton's step overshoots.
        slope, offset = (
            slope - np.clip((c * g - b * h) / determinant, -2, 2),
            offset - np.clip((a * h - b * g) / determinant, -2, 2),
        )
    # A negative slope would reverse the order of the scores, so such scores get no weight.
    return np.maximum(slope, 0.0) / deviation, offset


def _common_slope(
    scores: Array, targets: Array, offset: Array, weights: Array | None = None
) -> float:
    """Return the factor of the scores that makes the true classes most likely.

    `weights` are those of the rows, [n, 1], or None.

    One more row counts in which the likeliest other class is taken to be right (`DOUBT`). Without
    it, scores that separate the classes would ask for an infinite factor.
    """
    known = ~np.isnan(targets).any(axis=1)
    z, y = scores[known], targets[known]
    row_weights = None if weights is None else weights[known, 0]
    tried = np.concatenate([[0.0], np.geomspace(0.1, 100.0, 40)])
    losses = []
    for slope in tried:
        raw = slope * z + offset
        # The largest score is subtracted before exp, so that nothing overflows.
        top = raw.max(axis=1)
        total = np.log(np.exp(raw - top[:, None]).sum(axis=1)) + top
        # The score of the likeliest class that is not the true one.
        likeliest_other = np.where(y > 0, -np.inf, raw).max(axis=1)
        right, wrong = (
            np.average(loss, weights=row_weights)
            for loss in (total - (raw * y).sum(axis=1), total - likeliest_other)
        )
        losses.append(right + DOUBT / len(z) * wrong)
    return float(tried[int(np.argmin(losses))])
