"""Divide rows into folds that have the same shares of the labels of several targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length, check_random_state

from polycera.data.column import kind_of
from polycera.errors import InputError
from polycera.estimators.labels import labels_of
from polycera.tasks.user_labels import missing
from polycera.typing import Array

CLASSES = 20
"""Most different numbers of a target that count as classes; with more they go into bins."""


class MultiStratifiedKFold(BaseCrossValidator):
    """Divides rows into folds, stratified by several targets at once; labels may be missing.

    Each class of a target, each bin of a number and "missing" is a stratum, and each fold gets its
    share of every stratum, the rarest first.

    Paper: Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data", ECML PKDD
    2011. Where we differ: numbers are cut into bins at their quantiles, a missing label is a
    stratum, groups are dealt out as a whole, and rows that agree in all strata are first dealt out
    evenly, so that the paper's rule places only those that remain.

    Args:
        n_splits: number of folds, at least 2.
        shuffle: whether rows that are alike are dealt out in random order.
        random_state: an int or a `numpy.random.RandomState`, where `shuffle` is True.
        bins: number of bins of a target of numbers.

    Examples:
        >>> import numpy as np, polycera as pc
        >>> y = {"churn": np.tile([0, 0, 1], 20), "loss": np.r_[[np.nan] * 12, np.arange(48.0)]}
        >>> folds = pc.MultiStratifiedKFold(4).split(np.zeros((60, 1)), y)
        >>> [int(np.isnan(y["loss"][test]).sum()) for _, test in folds]
        [3, 3, 3, 3]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: Any = None,
        bins: int = 5,
    ) -> None:
        if isinstance(n_splits, bool) or not isinstance(n_splits, int) or n_splits < 2:
            raise InputError(f"n_splits is {n_splits!r}; a whole number of 2 or more is expected.")
        if random_state is not None and not shuffle:
            raise InputError("random_state has no effect without shuffle=True: leave one of them.")
        self.n_splits, self.shuffle, self.random_state = n_splits, shuffle, random_state
        self.bins = bins

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds."""
        return self.n_splits

    def split(self, X: Any, y: Any, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield training rows and test rows of each fold, as indices.

        Args:
            X: features; only their number of rows counts.
            y: targets in any form that `PolyceraEstimator` takes: a frame, a dict, a matrix, one
                column.
            groups: group of each row [n]; no group is divided. None: each row is alone.

        Raises:
            InputError: for fewer rows, or groups, than folds.
        """
        if y is None:
            raise InputError("MultiStratifiedKFold stratifies by targets: pass y.")
        targets = labels_of(y, ())
        columns = [targets[name] for name in targets.names]
        check_consistent_length(columns[0], *([] if X is None else [X]))
        rows = targets.rows
        if groups is None:
            unit = np.arange(rows)
        else:
            check_consistent_length(columns[0], groups)
            unit = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1].reshape(-1)
        units = int(unit.max()) + 1
        if units < self.n_splits:
            what = "rows" if groups is None else "groups"
            raise InputError(f"{units} {what} cannot be divided into {self.n_splits} folds.")
        strata = np.concatenate([_strata(column, self.bins) for column in columns], axis=1)
        counts = np.zeros((units, strata.shape[1]))
        np.add.at(counts, unit, strata)
        random = check_random_state(self.random_state) if self.shuffle else None
        fold = _dealt(counts, self.n_splits, random)[unit]
        for number in range(self.n_splits):
            yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def _strata(column: Any, bins: int) -> Array:
    """Return 1 for the stratum of each row, else 0, [n, strata]; a missing label is one."""
    absent = np.asarray(missing(np.asarray(column)))
    known = np.asarray(column)[~absent]
    codes = np.full(len(absent), -1)
    if kind_of(column) == "number" and len(np.unique(known)) > CLASSES:
        values = known.astype("float64")
        edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
        codes[~absent] = np.searchsorted(edges, values, side="right")
    elif len(known):
        text = known.astype(str) if known.dtype.kind == "O" else known
        codes[~absent] = np.unique(text, return_inverse=True)[1].reshape(-1)
    return (codes[:, None] == np.unique(codes)).astype("float64")


def _dealt(counts: Array, folds: int, random: Any) -> np.ndarray:
    """Return the fold of each unit, [units].

    Args:
        counts: rows of each unit in each stratum, [units, strata].
        folds: their number.
        random: decides the order of units that are alike; None keeps that of the rows.
    """
    kind = np.unique(counts, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.arange(len(counts)) if random is None else random.permutation(len(counts))
    order = order[np.argsort(kind[order], kind="stable")]
    fold = np.full(len(counts), -1)
    sizes = np.bincount(kind)
    starts = np.cumsum(sizes) - sizes
    # Units that are alike are dealt out evenly, as far as they go round.
    place = np.arange(len(counts)) - starts[kind[order]]
    whole = place < (sizes // folds * folds)[kind[order]]
    fold[order[whole]] = place[whole] % folds
    rest = order[~whole]
    desired = np.tile(counts.sum(axis=0) / folds, (folds, 1))
    for number in range(folds):
        desired[number] -= counts[fold == number].sum(axis=0)
    _deal_rest(fold, rest, counts, desired)
    return fold


def _deal_rest(fold: np.ndarray, rest: np.ndarray, counts: Array, desired: Array) -> None:
    """Deal out the units that remain, rarest stratum first; write their folds in place.

    There are fewer of them than folds times kinds of units.

    Args:
        fold: of each unit; -1 where it has none yet.
        rest: the units that have none, in the order in which they are dealt out.
        counts: [units, strata].
        desired: rows of each stratum that each fold still lacks, [folds, strata].
    """
    remaining = counts[rest].sum(axis=0)
    while len(rest):
        stratum = int(np.where(remaining > 0, remaining, np.inf).argmin())
        has = counts[rest, stratum] > 0
        # The largest groups first, while there is still room for them.
        for unit in rest[has][np.argsort(-counts[rest[has]].sum(axis=1), kind="stable")]:
            # Of the folds that lack this stratum most, the one that lacks most rows.
            order = np.lexsort((-desired.sum(axis=1), -desired[:, stratum]))
            chosen = int(order[0])
            fold[unit] = chosen
            desired[chosen] -= counts[unit]
            remaining -= counts[unit]
        rest = rest[~has]
