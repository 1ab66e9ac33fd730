"""What a network of a table learns from: rows to train by, and rows or folds to choose by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from polycera.runs.spec import Spec
from polycera.tabular import folds
from polycera.tabular.prepare import PreparedTable


@dataclass(frozen=True)
class FitData:
    """The rows of a training.

    Attributes:
        train: features and targets by name.
        validation: the same of rows held out from all members; None with folds, and where there are
            none.
        held: with folds, which row is held out from which member, [rows, members].
        rows: indices of the rows of which it is known what a network says that did not learn from
            them: those of `validation`, or all that train in folds.
        groups: the group of each of `rows`, or which of them are copies of each other; None where
            each is its own.
    """

    train: tuple[Any, Any]
    validation: tuple[Any, Any] | None
    held: np.ndarray | None
    rows: np.ndarray
    groups: np.ndarray | None

    @classmethod
    def of(cls, prepared: PreparedTable, plan: Spec) -> Self:
        """Of a table, as its completed spec says."""
        parts, network = prepared.parts, plan.network
        if (network.folds or 1) == 1:
            validation = prepared.rows(parts.validation) if len(parts.validation) else None
            groups = _groups(prepared, plan, parts.validation)
            return cls(prepared.rows(parts.train), validation, None, parts.validation, groups)
        rows = prepared.learned_from
        groups = _groups(prepared, plan, rows)
        held = folds.drawn(len(rows), network.folds or 1, network.members or 1, groups, plan.seed)
        return cls(prepared.rows(rows), None, held, rows, groups)

    @property
    def checked(self) -> tuple[Any, Any] | None:
        """Features and targets of `rows`."""
        return self.train if self.held is not None else self.validation


def _groups(prepared: PreparedTable, plan: Spec, rows: np.ndarray) -> np.ndarray | None:
    """Return the group of each of these rows; where there are none, which of them are copies of each other."""
    column = plan.data.parts.groups
    if column is not None:
        return np.asarray(prepared.table.take(rows)[column]).astype(str)
    return None if prepared.copies is None else prepared.copies[rows]
