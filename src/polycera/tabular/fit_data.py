"""Select the rows that a network is trained on, and the rows or folds that validate it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from polycera import data
from polycera.runs.spec import Spec
from polycera.tabular import folds
from polycera.tabular.left_out import Blocks
from polycera.tabular.prepare import PreparedTable
from polycera.tabular.row_weights import RowWeights
from polycera.typing import Array

STRETCHES = (2, 10)
"""Minimum and maximum number of stretches of time that kernel ridge leaves out in turn."""


@dataclass(frozen=True)
class FitData:
    """Holds the training and validation rows of a training.

    Attributes:
        train: features and encoded labels by name.
        validation: the same for rows that are held out from all members; None with folds, and
            without validation rows.
        fold_mask: with folds, which row is held out from which member, [rows, members].
        rows: indices of the rows with predictions of a network that did not train on them: the
            validation rows, or with folds all rows of `train`.
        groups: the group of each of `rows`, or which of them are copies of each other; None where
            each row is its own group.
        blocks: which rows kernel ridge leaves out together, for the rows of `train` and then those
            of `validation`; None where it leaves out each row alone.
        by_time: whether the validation rows are later than those of `train`. They then join these
            once everything has been chosen.
        weights: of the rows of `train` and of `checked`; None where all rows count the same.
    """

    train: tuple[Any, Any]
    validation: tuple[Any, Any] | None
    fold_mask: np.ndarray | None
    rows: np.ndarray
    groups: np.ndarray | None
    blocks: Blocks | None = None
    by_time: bool = False
    weights: tuple[RowWeights, RowWeights] | None = None

    @classmethod
    def of(cls, prepared: PreparedTable, spec: Spec) -> Self:
        """Return the rows of a table, divided as its completed spec says."""
        parts, network = prepared.parts, spec.network
        if (network.folds or 1) == 1:
            has_validation = len(parts.validation) > 0
            return cls(
                train=prepared.encoded_rows(parts.train),
                validation=prepared.encoded_rows(parts.validation) if has_validation else None,
                fold_mask=None,
                rows=parts.validation,
                groups=_groups(prepared, spec, parts.validation),
                blocks=_blocks(prepared, spec),
                by_time=spec.data.parts.time is not None,
                weights=_weights(prepared, parts.train, parts.validation),
            )
        rows, count = prepared.learned_from, network.folds or 1
        groups = _groups(prepared, spec, rows)
        fold_mask = folds.drawn(len(rows), count, network.members or 1, groups, spec.seed)
        # Each of the first members leaves out another fold.
        fold = fold_mask[:, :count].argmax(axis=1)
        return cls(
            train=prepared.encoded_rows(rows),
            validation=None,
            fold_mask=fold_mask,
            rows=rows,
            groups=groups,
            blocks=None if groups is None else Blocks.of(groups, fold),
            weights=_weights(prepared, rows, rows),
        )

    @property
    def checked(self) -> tuple[Any, Any] | None:
        """Return features and encoded labels of `rows`."""
        return self.train if self.fold_mask is not None else self.validation

    @property
    def checked_sample(self) -> Array | None:
        """Return the sample weights [n, tasks] of `rows`; None where all count the same."""
        return None if self.weights is None else self.weights[1].sample


def _weights(
    prepared: PreparedTable, train: np.ndarray, checked: np.ndarray
) -> tuple[RowWeights, RowWeights] | None:
    """Return the weights of the rows that train and of those that validate."""
    of_train = prepared.weights_of(train)
    if of_train.sample is None and of_train.classes is None:
        return None
    return of_train, of_train if checked is train else prepared.weights_of(checked)


def _groups(prepared: PreparedTable, spec: Spec, rows: np.ndarray) -> np.ndarray | None:
    """Return the group of each of these rows; without groups, which of them are copies."""
    column = spec.data.parts.groups
    if column is not None:
        # As text, because values of several types cannot be sorted.
        return np.asarray(prepared.table.take(rows)[column]).astype(str)
    return None if prepared.copies is None else prepared.copies[rows]


def _blocks(prepared: PreparedTable, spec: Spec) -> Blocks | None:
    """Return which training and validation rows kernel ridge leaves out together.

    With a time these are stretches as long as the validation part, which is the last of them: next
    to its neighbours in time, a row would be predicted better than any later row can be.
    """
    train, validation = prepared.parts.train, prepared.parts.validation
    rows = np.concatenate([train, validation])
    groups = _groups(prepared, spec, rows)
    time = spec.data.parts.time
    if time is None:
        return None if groups is None else Blocks.of(groups, seed=spec.seed)
    count = round(len(train) / max(len(validation), 1))
    stretch = np.full(len(rows), STRETCHES[1])
    stretch[: len(train)] = data.stretches(
        prepared.table.take(train)[time],
        int(np.clip(count, *STRETCHES)),
        None if groups is None else groups[: len(train)],
    )
    return Blocks.of(stretch, stretch)
