"""Probabilities that come true: a scale and a shift of raw outputs, where rows that trained nothing show it helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from polycera.errors import InputError, shorten
from polycera.evaluation.logit_scaling import class_losses, losses, platt, temperature
from polycera.tasks import Binary, Layout, Multiclass, Multilabel, Ordinal
from polycera.tasks.layout import Group
from polycera.typing import Array, TaskName

FOLDS = 5
"""Parts of the rows: what is fitted to four of them is judged on the fifth."""

ROWS, ANSWERS = 50, 10
"""Labelled rows, and rows of each answer, that it takes: of fewer, chance would choose."""

ERRORS = 1.0
"""By how many standard errors of the difference the log loss must fall."""

PRIOR = (20.0, 10.0)
"""How strongly scale and shift of a label are held to those of all labels together: few rows move them little."""

DOUBT = 1.0
"""Rows in which the likeliest other class is taken to be right, beside those there are.

Of few rows that are all answered rightly nothing else says how sure one may be; of many it weighs
nothing (`benchmarks/probabilities.py`).
"""

FEWEST, MOST, CELLS = 5_000, 50_000, 2**20
"""Rows that are looked at, evenly spread where there are more: as many as make so many answers, between these two."""


@dataclass(frozen=True)
class Calibration:
    """What makes raw outputs z into calibrated ones, scale * z + shift.

    Attributes:
        scale: above 0, 1 where nothing helped; [units].
        shift: 0 where nothing helped, and always of multiclass tasks; [units].
        before: task -> mean log loss of these rows as they come, in nats; None without a labelled
            row.
        after: task -> the same where each fold was calibrated by the other four; equal where
            nothing helped.
    """

    scale: Array
    shift: Array
    before: dict[TaskName, float | None]
    after: dict[TaskName, float | None]

    @property
    def helps(self) -> bool:
        """Whether anything is to be changed."""
        return bool((self.scale != 1).any() or (self.shift != 0).any())

    def applied(self, raw: Array) -> Array:
        """scale * raw + shift, [n, units]."""
        return self.scale * raw + self.shift


def calibration(
    layout: Layout, truth: Mapping[TaskName, Array], raw: Array, groups: np.ndarray | None = None
) -> Calibration:
    """Scale and shift of every unit, judged by cross-validation within these rows.

    Papers: temperature scaling, Guo 2017, arXiv:1706.04599; Platt 1999 for the shift. Where we
        differ:

    - A change is made only where it lowers the log loss, on folds it was not fitted to, by more
      than one standard error of the paired difference. Rows of one group lie in one fold, and the
      error is that of independent groups.
    - All labels together are asked first, for one temperature, and for one shift beside it. Then
      each label of 50 rows, 10 of each answer, is asked for a temperature of its own, and for a
      shift beside it, by a fit that is held to what all labels have. A label of fewer rows has what
      all have.
    - A unit of an ordinal task says whether a level is passed by those that reach it (CORN): a
      label with two answers, missing in rows that do not reach it. The log loss of the level is the
      sum of theirs, so units are fitted as labels. A multiclass task has one temperature; it
      changes no order of its classes. It is fitted as if one row more had been answered wrongly, so
      that rows that are all answered rightly make no probability 0 or 1.

    Scales are above 0, so the order of the rows within a unit stays, and with it ROC AUC and
    average precision.

    Args:
        layout: the tasks.
        truth: task -> encoded labels [n, width], NaN where missing; of rows that did not train the
            network.
        raw: what the network gives for them before any link, [n, units].
        groups: the group of each row, any values, [n]; None where each row is its own.

    Returns:
        1 and 0 for units of other kinds (regression, proportion, count, quantile) and of soft
        labels, and no loss for their tasks.

    Raises:
        InputError: where rows or columns are not those of the layout.

    Examples:
        >>> import numpy as np, polycera as pc
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(2000, 1))
        >>> churn = (rng.random((2000, 1)) < 1 / (1 + np.exp(-z))).astype(float)
        >>> layout = pc.tasks.Layout.of([pc.Binary("churn")])
        >>> calibration(layout, {"churn": churn}, z).helps
        False
        >>> 0.3 < calibration(layout, {"churn": churn}, 3 * z).scale[0] < 0.37  # three times too sure
        True
    """
    raw = np.asarray(raw, "float64")
    _check(layout, truth, raw)
    kept = _spread(len(raw), int(np.clip(CELLS // max(layout.units, 1), FEWEST, MOST)))
    raw, truth = raw[kept], {name: np.asarray(y, "float64")[kept] for name, y in truth.items()}
    of_row = None if groups is None else np.unique(np.asarray(groups)[kept], return_inverse=True)[1]
    scale, shift, before, after = np.ones(layout.units), np.zeros(layout.units), {}, {}
    several = [group for group in layout.groups if _is_one_of_several(group.task)]
    columns = np.array([layout.raw_columns[name].start + i for name, i in _labels(layout)], "int64")
    y, z = _answers(layout, truth, len(raw)), raw[:, columns]
    fold = _folds(y, z, [_classes(group, truth, raw) for group in several], of_row)
    if len(columns):
        scale[columns], shift[columns], old, new = _of_labels(y, z, fold, of_row)
        owner, known = layout.owner[columns], np.isfinite(y) & np.isfinite(z)
        for i, (name, task) in enumerate(layout.tasks.items()):
            if (own := owner == i).any():
                # Of an ordinal task the losses of its units add up to that of its level: per row,
                # not per answer.
                rows = (
                    known[:, own].any(axis=1).sum()
                    if isinstance(task, Ordinal)
                    else known[:, own].sum()
                )
                before[name], after[name] = (_mean(one[:, own].sum(), rows) for one in (old, new))
    for group in several:
        _of_group(group, truth, raw, fold, of_row, scale, before, after)
    order = [name for name in layout.tasks if name in before]
    return Calibration(
        scale, shift, {name: before[name] for name in order}, {name: after[name] for name in order}
    )


def _check(layout: Layout, truth: Mapping[TaskName, Array], raw: Array) -> None:
    if raw.ndim != 2 or raw.shape[1] != layout.units:
        raise InputError(
            f"Raw outputs of shape {list(raw.shape)} cannot be calibrated; these tasks have {layout.units} units: "
            f"pass what the network gives before its links, [n, {layout.units}]."
        )
    for task in layout.tasks.values():
        if not (_is_yes_or_no(task) or _is_one_of_several(task)):
            continue
        shape = list(np.shape(truth[task.name])) if task.name in truth else None
        if shape != [len(raw), task.width]:
            came = "no labels" if shape is None else f"labels of shape {shape}"
            raise InputError(
                f"Task {shorten(task.name)!r} came with {came}; to calibrate {len(raw)} rows it needs encoded labels "
                f"[{len(raw)}, {task.width}], NaN where one is missing."
            )


def _is_yes_or_no(task: object) -> bool:
    return isinstance(task, Binary | Multilabel | Ordinal) and not getattr(task, "soft", False)


def _is_one_of_several(task: object) -> bool:
    return isinstance(task, Multiclass) and not task.soft


def _labels(layout: Layout) -> list[tuple[TaskName, int]]:
    """Each unit that answers yes or no: its task, and its place there."""
    return [
        (task.name, i)
        for task in layout.tasks.values()
        if _is_yes_or_no(task)
        for i in range(task.units)
    ]


def _answers(layout: Layout, truth: Mapping[TaskName, Array], rows: int) -> Array:
    """0, 1 and NaN for each of these units, [n, labels]; a level beyond it is 1, one below does not reach it."""
    each = [np.zeros((rows, 0))]
    for task in layout.tasks.values():
        if isinstance(task, Ordinal):
            encoded, levels = truth[task.name], np.arange(task.units)
            each.append(np.where(encoded >= levels, (encoded > levels).astype("float64"), np.nan))
        elif _is_yes_or_no(task):
            each.append(truth[task.name])
    return np.concatenate(each, axis=1)


def _classes(group: Group, truth: Mapping[TaskName, Array], raw: Array) -> tuple[Array, Array]:
    """Index of the class [n, k] and logits [n, k, classes] of multiclass tasks of one signature."""
    return np.concatenate([truth[task.name] for task in group.tasks], axis=1), group.raw(raw, np)


def _folds(
    y: Array, z: Array, several: list[tuple[Array, Array]], of_row: np.ndarray | None
) -> np.ndarray:
    """Return the fold of each row, [n]: every fifth row by its outputs, so that the order of the rows is irrelevant.

    Rows without a label come last, so that they move no other. A group is one row here, with the
    sum of its outputs.
    """
    known = np.isfinite(y) & np.isfinite(z)
    key, labelled = np.where(known, z, 0.0).sum(axis=1), np.asarray(known.any(axis=1))
    for own, logits in several:
        known = np.isfinite(own) & np.isfinite(logits).all(axis=-1)
        # their sum says nothing
        along = np.where(known[..., None], logits, 0.0) @ np.cos(np.arange(logits.shape[-1]))
        key, labelled = key + along.sum(axis=1), np.asarray(labelled | known.any(axis=1))
    if of_row is not None:
        key = np.bincount(of_row, weights=np.where(labelled, key, 0.0))
        labelled = np.bincount(of_row, weights=labelled) > 0
    rank = np.empty(len(key), "int64")
    rank[np.argsort(np.where(labelled, key, np.inf), kind="stable")] = np.arange(len(key))
    return rank % FOLDS if of_row is None else (rank % FOLDS)[of_row]


def _training(fold: np.ndarray) -> Array:
    """Weights [folds + 1, n, 1]: without one fold each, and last of all rows."""
    return np.stack([*(fold != i for i in range(FOLDS)), np.ones(len(fold), bool)]).astype(
        "float64"
    )[..., None]


def _of_labels(
    y: Array, z: Array, fold: np.ndarray, of_row: np.ndarray | None
) -> tuple[Array, Array, Array, Array]:
    """a, b [labels]; log losses before, and after on the folds left out, [n, labels]."""
    base = _pooled(y, z, fold, of_row)
    step = max(1, CELLS // max((FOLDS + 1) * len(z), 1))
    parts = [
        _single(y[:, i : i + step], z[:, i : i + step], fold, of_row, base)
        for i in range(0, z.shape[1], step)
    ]
    a, b, after = (np.concatenate(found, axis=-1) for found in zip(*parts, strict=True))
    return a, b, losses(y, z), after


def _pooled(y: Array, z: Array, fold: np.ndarray, of_row: np.ndarray | None) -> tuple[Array, Array]:
    """a and b of all labels together, without each fold and of all rows, [folds + 1, 1]; 1 and 0 where none helps."""
    kept = _spread(len(z), max(ROWS, CELLS // max((FOLDS + 1) * z.shape[1], 1)))
    y, z, fold, of_row = y[kept], z[kept], fold[kept], None if of_row is None else of_row[kept]
    known = np.isfinite(y) & np.isfinite(z)
    ones, rows = y[known].sum(), np.asarray(known.any(axis=1))
    a, b = np.ones((FOLDS + 1, 1)), np.zeros((FOLDS + 1, 1))
    if z.shape[1] == 1 or rows.sum() < ROWS or min(ones, known.sum() - ones) < ANSWERS:
        return a, b
    weight, loss = np.repeat(_training(fold), z.shape[1], axis=1), losses(y, z)
    for shift in (False, True):
        a1, b1 = platt(y.reshape(-1, 1), z.reshape(-1, 1), weight, strength=PRIOR, shift=shift)
        mine = losses(y, a1[fold] * z + b1[fold])
        gain = (loss - mine).sum(axis=1, keepdims=True)  # answers of a row are not independent
        if _pays(gain, rows[:, None], of_row)[0]:
            a, b, loss = a1, b1, mine
    return a, b


def _single(
    y: Array, z: Array, fold: np.ndarray, of_row: np.ndarray | None, base: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """a, b [labels] and the losses on the folds left out: as all labels have it, a temperature, or a shift too."""
    known = np.isfinite(y) & np.isfinite(z)
    ones = np.where(known, y, 0.0).sum(0)
    enough = (known.sum(0) >= ROWS) & (np.minimum(ones, known.sum(0) - ones) >= ANSWERS)
    a, b = (np.repeat(one, z.shape[1], axis=1) for one in base)
    weight, loss = _training(fold), losses(y, a[fold] * z + b[fold])
    for shift in (False, True):
        a1, b1 = platt(y, z, weight, base, PRIOR, shift)
        mine = losses(y, a1[fold] * z + b1[fold])
        pays = enough & _pays(loss - mine, known, of_row)
        a, b, loss = np.where(pays, a1, a), np.where(pays, b1, b), np.where(pays, mine, loss)
    return a[-1], b[-1], loss


def _of_group(
    group: Group,
    truth: Mapping[TaskName, Array],
    raw: Array,
    fold: np.ndarray,
    of_row: np.ndarray | None,
    scale: Array,
    before: dict[TaskName, float | None],
    after: dict[TaskName, float | None],
) -> None:
    """One temperature for each multiclass task of the group, where it helps."""
    y, z = _classes(group, truth, raw)
    known = np.isfinite(y) & np.isfinite(z).all(-1)
    step = max(1, CELLS // max((FOLDS + 1) * len(z) * z.shape[-1], 1))
    parts = [
        temperature(y[:, i : i + step], z[:, i : i + step], _training(fold), DOUBT)
        for i in range(0, len(group.tasks), step)
    ]
    a = np.concatenate(parts, axis=-1)
    old, mine = class_losses(y, z), class_losses(y, z, a[fold])
    pays = np.asarray((known.sum(0) >= ROWS) & _pays(old - mine, known, of_row))
    new = np.where(pays, mine, old)
    size = group.task.units
    scale[group.raw_start : group.raw_start + size * len(group.tasks)] = np.repeat(
        np.where(pays, a[-1], 1.0), size
    )
    for i, task in enumerate(group.tasks):
        before[task.name], after[task.name] = (
            _mean(one[:, i].sum(), known[:, i].sum()) for one in (old, new)
        )


def _pays(gain: Array, known: np.ndarray, of_row: np.ndarray | None) -> np.ndarray:
    """Return whether the mean gain over the rows is above 0 by more than one standard error, bool [labels].

    Rows of one group may be right or wrong together, so the error is that of the sums of the groups
    (Liang and Zeger 1986).
    """
    rows = known.sum(0)
    mean = np.where(known, gain, 0.0).sum(0) / np.maximum(rows, 1)
    off = _by_group(np.where(known, gain - mean, 0.0), of_row)
    independent = (_by_group(known.astype("float64"), of_row) > 0).sum(0)
    spread = (off**2).sum(0) * independent / np.maximum(independent - 1, 1)
    enough = mean > np.maximum(ERRORS * np.sqrt(spread) / np.maximum(rows, 1), 1e-6)
    return np.asarray(enough & (independent > 1))


def _by_group(values: Array, of_row: np.ndarray | None) -> Array:
    """Return the sums over the rows of each group, [groups, labels]; the values [n, labels] where there are none."""
    if of_row is None:
        return values
    order = np.argsort(of_row, kind="stable")
    starts = np.flatnonzero(np.diff(of_row[order], prepend=-1))
    return np.add.reduceat(values[order], starts, axis=0)


def _mean(total: float, rows: int) -> float | None:
    return float(total / rows) if rows else None


def _spread(rows: int, most: int) -> np.ndarray:
    """Indices of at most so many rows, evenly spread."""
    return np.arange(rows) if rows <= most else np.linspace(0, rows - 1, most).astype("int64")
