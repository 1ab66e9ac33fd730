"""Folds among the members: who does not learn from which rows, and what those say of them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from polycera.model import scores, variables
from polycera.model.ensemble import Members
from polycera.model.predicting import raw_outputs
from polycera.model.scores import Scores
from polycera.typing import Array


def drawn(rows: int, folds: int, members: int, groups: Any, seed: int) -> np.ndarray:
    """Which rows are held out from which members, bool [rows, members]: each row from as many as any other.

    Args:
        rows: how many.
        folds: how many parts of the rows there are; member i leaves out part i, and begins anew
            after the last.
        members: how many.
        groups: the group of each row, which is never divided; or None.
        seed: of the draw.
    """
    rng = np.random.default_rng([seed, folds])
    if groups is None:
        fold = rng.permutation(rows) % folds
    else:
        _, group = np.unique(np.asarray(groups).astype(str), return_inverse=True)
        fold = (rng.permutation(group.max() + 1) % folds)[group]
    return fold[:, None] == np.arange(members) % folds


def beside(packed: Array, held: np.ndarray | None) -> Array:
    """Packed targets [n, width], and behind them who does not learn from a row, [n, width + members]."""
    return packed if held is None else np.concatenate([packed, held.astype(packed.dtype)], axis=1)


class OutOfFold(keras.callbacks.Callback):
    """Validates on all rows: each by the members that do not learn from it.

    Stands in for the validation of Keras, before callbacks that look at its results: what it logs,
    and what `model.scores` holds, has the same names.

    Args:
        x: features [n, features].
        y: packed targets [n, width].
        held: as `drawn` gives it.
    """

    def __init__(self, x: Array, y: Array, held: np.ndarray) -> None:
        super().__init__()
        self._x, self._y, self._held = x, y, held
        self._members: Members | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put what the members say of rows that they do not know into the logs."""
        variables.settle(self.model)
        logged, self.model._scores = self.measured(self.said())
        if logs is not None:
            logs |= {f"val_{name}": value for name, value in logged.items()}

    def said(self) -> Array:
        """Raw outputs of the mean of the members that do not learn from a row, [n, units]."""
        if self._members is None:
            self._members = Members(self.model)
        each = raw_outputs(self._members, self._x)
        return np.einsum("nmu,nm->nu", each, self._held / self._held.sum(axis=1, keepdims=True))

    def measured(self, raw: Array) -> tuple[dict[str, float], Scores]:
        """The loss, terms and metrics of raw outputs by name, and the scores."""
        model = self.model
        return scores.measured(
            model._objective, self._y, raw, model._kept(), model.units, model._task_weights
        )
