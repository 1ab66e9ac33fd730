"""Calibrate probabilities by a scale and a shift of raw outputs, on rows not used in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polycera.errors import InputError, shorten
from polycera.evaluation.logit_scaling import class_losses, losses, platt, temperature
from polycera.tasks import Binary, Layout, Multiclass, Multilabel, Ordinal
from polycera.tasks.layout import Group
from polycera.typing import Array, TaskName

FOLDS = 5
"""Folds of the cross-validation: a fit to four of them is evaluated on the fifth."""

ROWS, ANSWERS = 50, 10
"""ROWS: fewest labelled rows; ANSWERS: fewest rows of 0 and of 1. With fewer, noise decides."""

ERRORS = 1.0
"""Standard errors of the paired difference by which the log loss must fall."""

PRIOR = (20.0, 10.0)
"""Strength of the prior on a label's scale and shift around those of all labels together.

It is an inverse variance in nats, so few rows change them little.
"""

DOUBT = 1.0
"""Extra rows in which the likeliest other class counts as the true one.

Where few rows are all predicted correctly, nothing else limits the confidence. Among many rows it
has almost no effect (`benchmarks/probabilities.py`).
"""

FEWEST, MOST, CELLS = 5_000, 50_000, 2**20
"""Bounds on the rows that are used, evenly spread where there are more.

CELLS: numbers in a matrix [rows, output columns], which gives the number of rows; FEWEST, MOST: its
bounds.
"""


@dataclass(frozen=True)
class Calibration:
    """Holds the scale and shift that calibrate raw outputs z to scale * z + shift.

    Attributes:
        scale: above 0; 1 where no change helped; [output columns].
        shift: 0 where no change helped, and always 0 for multiclass tasks; [output columns].
        before: task -> mean log loss of the uncalibrated rows, in nats; None without a labelled
            row.
        after: task -> the same with each fold calibrated by the other four; equal where no change
            helped.
    """

    scale: Array
    shift: Array
    before: dict[TaskName, float | None]
    after: dict[TaskName, float | None]

    @property
    def helps(self) -> bool:
        """Return whether calibration changes anything."""
        return bool((self.scale != 1).any() or (self.shift != 0).any())

    def applied(self, raw: Array) -> Array:
        """Return calibrated raw outputs, scale * raw + shift, [n, output columns]."""
        return self.scale * raw + self.shift


def calibration(
    layout: Layout,
    truth: Mapping[TaskName, Array],
    raw: Array,
    groups: np.ndarray | None = None,
    weights: Array | None = None,
) -> Calibration:
    """Return a scale and a shift for every output column, chosen by cross-validation.

    Papers: temperature scaling, Guo 2017, arXiv:1706.04599; Platt 1999 for the shift. Where we
    differ:

    - A change is made only where it lowers the log loss, on folds it was not fitted to, by more
      than one standard error of the paired difference. Rows of one group are in one fold, and the
      standard error is that of independent groups.
    - First one temperature is fitted to all labels together, then one shift in addition. Then each
      label with 50 rows, 10 of each class, gets a temperature of its own, and a shift in addition,
      with a prior around those of all labels. A label with fewer rows gets those of all labels.
    - An output column of an ordinal task gives the probability that a level is passed among the
      rows that reach it (CORN). It is a binary label that is missing in rows that do not reach the
      level. The log loss of the level is the sum of their log losses, so these columns are fitted
      like labels. A multiclass task has one temperature, which does not change the order of its
      classes. It is fitted with one more row that is predicted wrongly, so that rows that are all
      predicted correctly make no probability 0 or 1.

    Scales are above 0, so the order of the rows within an output column stays the same, and with it
    ROC AUC and average precision.

    Args:
        layout: the tasks.
        truth: task -> encoded labels [n, width], NaN where missing; of rows that did not train the
            network.
        raw: raw outputs of the network for these rows, before any link, [n, output columns].
        groups: the group of each row, any values, [n]; None where each row is its own group.
        weights: sample weights times class weights of each output column, [n, output columns];
            None where all labels count the same.

    Returns:
        scale and shift; they are 1 and 0 for output columns of other kinds (regression, proportion,
        count, quantile) and of soft labels, whose tasks get no log loss.

    Raises:
        InputError: where rows or columns do not match the layout.

    Examples:
        >>> import numpy as np, polycera as pc
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(2000, 1))
        >>> churn = (rng.random((2000, 1)) < 1 / (1 + np.exp(-z))).astype(float)
        >>> layout = pc.tasks.Layout.of([pc.Binary("churn")])
        >>> calibration(layout, {"churn": churn}, z).helps
        False
        >>> calibration(layout, {"churn": churn}, 3 * z).scale.round(1)  # three times too sure
        array([0.3])
    """
    raw = np.asarray(raw, "float64")
    _check(layout, truth, raw)
    used_rows = _spread(len(raw), int(np.clip(CELLS // max(layout.units, 1), FEWEST, MOST)))
    raw, truth = (
        raw[used_rows],
        {name: np.asarray(y, "float64")[used_rows] for name, y in truth.items()},
    )
    weights = None if weights is None else weights[used_rows]
    group_of_each = np.arange(len(used_rows)) if groups is None else np.asarray(groups)[used_rows]
    of_row = np.unique(group_of_each, return_inverse=True)[1]
    scale, shift, before, after = np.ones(layout.units), np.zeros(layout.units), {}, {}
    multiclass = [group for group in layout.groups if _is_one_of_several(group.task)]
    columns = np.array([layout.raw_columns[name].start + i for name, i in _labels(layout)], "int64")
    y, z = _answers(layout, truth, len(raw)), raw[:, columns]
    fold = _folds(y, z, [_classes(group, truth, raw) for group in multiclass], of_row)
    if len(columns):
        label_weights = None if weights is None else weights[:, columns]
        scale[columns], shift[columns], loss_before, loss_after = _of_labels(
            y, z, fold, of_row, label_weights
        )
        owner, known = layout.owner[columns], np.isfinite(y) & np.isfinite(z)
        if label_weights is not None:
            known = known * label_weights
        for i, (name, task) in enumerate(layout.tasks.items()):
            if (task_columns := owner == i).any():
                # the losses of an ordinal task's columns add up to that of its level, so the mean
                # is per row, not per label
                rows = (
                    known[:, task_columns].max(axis=1).sum()
                    if isinstance(task, Ordinal)
                    else known[:, task_columns].sum()
                )
                before[name], after[name] = (
                    _mean(log_losses[:, task_columns].sum(), rows)
                    for log_losses in (loss_before, loss_after)
                )
    for group in multiclass:
        _of_group(group, truth, raw, fold, of_row, scale, before, after, weights)
    order = [name for name in layout.tasks if name in before]
    return Calibration(
        scale, shift, {name: before[name] for name in order}, {name: after[name] for name in order}
    )


def _check(layout: Layout, truth: Mapping[TaskName, Array], raw: Array) -> None:
    """Check the shapes of raw outputs and labels.

    Raises:
        InputError: where rows or columns do not match the layout.
    """
    if raw.ndim != 2 or raw.shape[1] != layout.units:
        raise InputError(
            f"Raw outputs of shape {list(raw.shape)} cannot be calibrated; these tasks have "
            f"{layout.units} output columns: pass raw outputs, before the links, [n, "
            f"{layout.units}]."
        )
    for task in layout.tasks.values():
        if not (_is_yes_or_no(task) or _is_one_of_several(task)):
            continue
        shape = list(np.shape(truth[task.name])) if task.name in truth else None
        if shape != [len(raw), task.width]:
            came = "no labels" if shape is None else f"labels of shape {shape}"
            raise InputError(
                f"Task {shorten(task.name)!r} came with {came}; to calibrate {len(raw)} rows it "
                f"needs encoded labels [{len(raw)}, {task.width}], NaN where one is missing."
            )


def _is_yes_or_no(task: object) -> bool:
    """Return whether each output column of a task is the logit of a binary label."""
    return isinstance(task, Binary | Multilabel | Ordinal) and not getattr(task, "soft", False)


def _is_one_of_several(task: object) -> bool:
    """Return whether a task is multiclass with hard labels."""
    return isinstance(task, Multiclass) and not task.soft


def _labels(layout: Layout) -> list[tuple[TaskName, int]]:
    """Return task and index in the task for each output column that is a binary label."""
    return [
        (task.name, i)
        for task in layout.tasks.values()
        if _is_yes_or_no(task)
        for i in range(task.units)
    ]


def _answers(layout: Layout, truth: Mapping[TaskName, Array], rows: int) -> Array:
    """Return 0, 1 or NaN for each binary label, [n, labels].

    For a column of an ordinal task, 1 is a higher level and NaN a lower one, which does not reach
    it.
    """
    columns = [np.zeros((rows, 0))]
    for task in layout.tasks.values():
        if isinstance(task, Ordinal):
            encoded, levels = truth[task.name], np.arange(task.units)
            columns.append(
                np.where(encoded >= levels, (encoded > levels).astype("float64"), np.nan)
            )
        elif _is_yes_or_no(task):
            columns.append(truth[task.name])
    return np.concatenate(columns, axis=1)


def _classes(group: Group, truth: Mapping[TaskName, Array], raw: Array) -> tuple[Array, Array]:
    """Return class indices [n, k] and logits [n, k, classes] of a group of multiclass tasks."""
    return np.concatenate([truth[task.name] for task in group.tasks], axis=1), group.raw(raw, np)


def _folds(
    y: Array, z: Array, several: list[tuple[Array, Array]], of_row: np.ndarray
) -> np.ndarray:
    """Return the fold of each row, [n].

    Rows are ranked by the sum of their raw outputs, and every fifth one is in the same fold, so the
    order of the rows has no effect. Rows without a label come last, so they do not change the rank
    of the others. A group counts as one row, with the sum of its outputs.
    """
    known = np.isfinite(y) & np.isfinite(z)
    key, labelled = np.where(known, z, 0.0).sum(axis=1), np.asarray(known.any(axis=1))
    for classes, logits in several:
        known = np.isfinite(classes) & np.isfinite(logits).all(axis=-1)
        # weighted with cosines: softmax ignores a shift of all logits, so their plain sum carries
        # no information
        along = np.where(known[..., None], logits, 0.0) @ np.cos(np.arange(logits.shape[-1]))
        key, labelled = key + along.sum(axis=1), np.asarray(labelled | known.any(axis=1))
    key = np.bincount(of_row, weights=np.where(labelled, key, 0.0))
    labelled = np.bincount(of_row, weights=labelled) > 0
    rank = np.empty(len(key), "int64")
    rank[np.argsort(np.where(labelled, key, np.inf), kind="stable")] = np.arange(len(key))
    return (rank % FOLDS)[of_row]


def _training(fold: np.ndarray, weights: Array | None = None) -> Array:
    """Return weights [folds + 1, n, 1 or labels] that leave out one fold each, and last none."""
    used = np.stack([*(fold != i for i in range(FOLDS)), np.ones(len(fold), bool)]).astype(
        "float64"
    )[..., None]
    return used if weights is None else used * weights


def _of_labels(
    y: Array, z: Array, fold: np.ndarray, of_row: np.ndarray, weights: Array | None
) -> tuple[Array, Array, Array, Array]:
    """Return a, b [labels] and the log losses before and after calibration, [n, labels].

    The losses after are those of each row with the fit that left out its fold.
    """
    base = _pooled(y, z, fold, of_row, weights)
    # blocks of labels, to bound the memory of the weights of all folds
    step = max(1, CELLS // max((FOLDS + 1) * len(z), 1))
    parts = [
        _single(
            y[:, i : i + step],
            z[:, i : i + step],
            fold,
            of_row,
            base,
            None if weights is None else weights[:, i : i + step],
        )
        for i in range(0, z.shape[1], step)
    ]
    a, b, after = (np.concatenate(values, axis=-1) for values in zip(*parts, strict=True))
    return a, b, _times(losses(y, z), weights), after


def _times(values: Any, weights: Array | None) -> Any:
    """Return values multiplied by weights that there may be none of."""
    return values if weights is None else values * weights


def _pooled(
    y: Array, z: Array, fold: np.ndarray, of_row: np.ndarray, weights: Array | None
) -> tuple[Array, Array]:
    """Return a and b of all labels together, [folds + 1, 1]; 1 and 0 where no change helps.

    Each of the first rows leaves out one fold; the last one is fitted to all rows.
    """
    used_rows = _spread(len(z), max(ROWS, CELLS // max((FOLDS + 1) * z.shape[1], 1)))
    y, z, fold, of_row = (rows[used_rows] for rows in (y, z, fold, of_row))
    weights = None if weights is None else weights[used_rows]
    known = np.isfinite(y) & np.isfinite(z)
    ones, rows = y[known].sum(), np.asarray(known.any(axis=1))
    a, b = np.ones((FOLDS + 1, 1)), np.zeros((FOLDS + 1, 1))
    if z.shape[1] == 1 or rows.sum() < ROWS or min(ones, known.sum() - ones) < ANSWERS:
        return a, b
    if weights is None:
        weight = np.repeat(_training(fold), z.shape[1], axis=1)
    else:
        weight = _training(fold, weights).reshape(FOLDS + 1, -1, 1)
    loss = _times(losses(y, z), weights)
    for shift in (False, True):
        new_a, new_b = platt(
            y.reshape(-1, 1), z.reshape(-1, 1), weight, strength=PRIOR, shift=shift
        )
        new_loss = _times(losses(y, new_a[fold] * z + new_b[fold]), weights)
        # one gain for each row: the labels of a row are not independent
        gain = (loss - new_loss).sum(axis=1, keepdims=True)
        if _pays(gain, rows[:, None], of_row)[0]:
            a, b, loss = new_a, new_b, new_loss
    return a, b


def _single(
    y: Array,
    z: Array,
    fold: np.ndarray,
    of_row: np.ndarray,
    base: tuple[Array, Array],
    weights: Array | None,
) -> tuple[Array, Array, Array]:
    """Return a, b [labels] and the log losses on the folds left out, [n, labels].

    Each label has those of all labels, or a temperature of its own, or a shift as well.
    """
    known = np.isfinite(y) & np.isfinite(z)
    ones = np.where(known, y, 0.0).sum(0)
    enough = (known.sum(0) >= ROWS) & (np.minimum(ones, known.sum(0) - ones) >= ANSWERS)
    a, b = (np.repeat(pooled, z.shape[1], axis=1) for pooled in base)
    weight, loss = _training(fold, weights), _times(losses(y, a[fold] * z + b[fold]), weights)
    for shift in (False, True):
        new_a, new_b = platt(y, z, weight, base, PRIOR, shift)
        new_loss = _times(losses(y, new_a[fold] * z + new_b[fold]), weights)
        pays = enough & _pays(loss - new_loss, known, of_row)
        a, b, loss = (
            np.where(pays, new_a, a),
            np.where(pays, new_b, b),
            np.where(pays, new_loss, loss),
        )
    return a[-1], b[-1], loss


def _of_group(
    group: Group,
    truth: Mapping[TaskName, Array],
    raw: Array,
    fold: np.ndarray,
    of_row: np.ndarray,
    scale: Array,
    before: dict[TaskName, float | None],
    after: dict[TaskName, float | None],
    weights: Array | None = None,
) -> None:
    """Fit one temperature to each multiclass task of the group; write results in place."""
    y, z = _classes(group, truth, raw)
    known = np.isfinite(y) & np.isfinite(z).all(-1)
    size, first = group.task.units, group.raw_start
    # All columns of a multiclass task have the weight of the row.
    task_weights = (
        None if weights is None else weights[:, first : first + size * len(group.tasks) : size]
    )
    step = max(1, CELLS // max((FOLDS + 1) * len(z) * z.shape[-1], 1))
    parts = [
        temperature(
            y[:, i : i + step],
            z[:, i : i + step],
            _training(fold, None if task_weights is None else task_weights[:, i : i + step]),
            DOUBT,
        )
        for i in range(0, len(group.tasks), step)
    ]
    a = np.concatenate(parts, axis=-1)
    loss_before, new_loss = (
        _times(each, task_weights) for each in (class_losses(y, z), class_losses(y, z, a[fold]))
    )
    pays = np.asarray((known.sum(0) >= ROWS) & _pays(loss_before - new_loss, known, of_row))
    loss_after = np.where(pays, new_loss, loss_before)
    scale[first : first + size * len(group.tasks)] = np.repeat(np.where(pays, a[-1], 1.0), size)
    counted = _times(known, task_weights)
    for i, task in enumerate(group.tasks):
        before[task.name], after[task.name] = (
            _mean(log_losses[:, i].sum(), counted[:, i].sum())
            for log_losses in (loss_before, loss_after)
        )


def _pays(gain: Array, known: np.ndarray, of_row: np.ndarray) -> np.ndarray:
    """Return whether the mean gain of a row is above 0 by more than a standard error, [labels].

    Rows of one group are not independent, so the standard error is that of the sums of the groups
    (Liang and Zeger 1986).
    """
    rows = known.sum(0)
    mean = np.where(known, gain, 0.0).sum(0) / np.maximum(rows, 1)
    deviations = _by_group(np.where(known, gain - mean, 0.0), of_row)
    independent = (_by_group(known.astype("float64"), of_row) > 0).sum(0)
    spread = (deviations**2).sum(0) * independent / np.maximum(independent - 1, 1)
    # at least 1e-6 nats: rounding errors are no gain
    enough = mean > np.maximum(ERRORS * np.sqrt(spread) / np.maximum(rows, 1), 1e-6)
    return np.asarray(enough & (independent > 1))


def _by_group(values: Array, of_row: np.ndarray) -> Array:
    """Return the sums of the values [n, labels] over the rows of each group, [groups, labels]."""
    order = np.argsort(of_row, kind="stable")
    starts = np.flatnonzero(np.diff(of_row[order], prepend=-1))
    return np.add.reduceat(values[order], starts, axis=0)


def _mean(total: float, rows: float) -> float | None:
    """Return total / rows; None without rows."""
    return float(total / rows) if rows else None


def _spread(rows: int, most: int) -> np.ndarray:
    """Return the indices of at most `most` rows, evenly spread."""
    return np.arange(rows) if rows <= most else np.linspace(0, rows - 1, most).astype("int64")
