"""What a network of a table learns from: rows to train by, and rows or folds to choose by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from polycera.runs.spec import Spec
from polycera.training import folds
from polycera.training.table import Prepared


@dataclass(frozen=True)
class Lesson:
    """The rows of a training.

    Attributes:
        train: features and targets by name.
        validation: the same of rows held out from all members; None with folds, and where there are none.
        held: with folds, which row is held out from which member, [rows, members].
        rows: indices of the rows of which it is known what a network says that did not learn from them: those of
            `validation`, or all that train in folds.
    """

    train: tuple[Any, Any]
    validation: tuple[Any, Any] | None
    held: np.ndarray | None
    rows: np.ndarray

    @classmethod
    def of(cls, prepared: Prepared, plan: Spec) -> Self:
        """Of a table, as its completed spec says."""
        parts, network = prepared.parts, plan.network
        if (network.folds or 1) == 1:
            validation = prepared.rows(parts.validation) if len(parts.validation) else None
            return cls(prepared.rows(parts.train), validation, None, parts.validation)
        rows, column = prepared.learned_from, plan.data.parts.groups
        groups = prepared.table.take(rows)[column] if column is not None else None
        if groups is None and prepared.copies is not None:  # a fold knows no copy of a row in another
            groups = prepared.copies[rows]
        held = folds.drawn(len(rows), network.folds or 1, network.members or 1, groups, plan.seed)
        return cls(prepared.rows(rows), None, held, rows)

    @property
    def checked(self) -> tuple[Any, Any] | None:
        """Features and targets of `rows`."""
        return self.train if self.held is not None else self.validation
