"""Select the rows that a network is trained on, and the rows or folds that validate it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from polycera.runs.spec import Spec
from polycera.tabular import folds
from polycera.tabular.prepare import PreparedTable


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
    """

    train: tuple[Any, Any]
    validation: tuple[Any, Any] | None
    fold_mask: np.ndarray | None
    rows: np.ndarray
    groups: np.ndarray | None

    @classmethod
    def of(cls, prepared: PreparedTable, spec: Spec) -> Self:
        """Return the rows of a table, divided as its completed spec says."""
        parts, network = prepared.parts, spec.network
        if (network.folds or 1) == 1:
            has_validation = len(parts.validation) > 0
            validation = prepared.encoded_rows(parts.validation) if has_validation else None
            groups = _groups(prepared, spec, parts.validation)
            return cls(
                prepared.encoded_rows(parts.train), validation, None, parts.validation, groups
            )
        rows = prepared.learned_from
        groups = _groups(prepared, spec, rows)
        fold_mask = folds.drawn(
            len(rows), network.folds or 1, network.members or 1, groups, spec.seed
        )
        return cls(prepared.encoded_rows(rows), None, fold_mask, rows, groups)

    @property
    def checked(self) -> tuple[Any, Any] | None:
        """Return features and encoded labels of `rows`."""
        return self.train if self.fold_mask is not None else self.validation


def _groups(prepared: PreparedTable, spec: Spec, rows: np.ndarray) -> np.ndarray | None:
    """Return the group of each of these rows; without groups, which of them are copies."""
    column = spec.data.parts.groups
    if column is not None:
        return np.asarray(prepared.table.take(rows)[column]).astype(str)
    return None if prepared.copies is None else prepared.copies[rows]
