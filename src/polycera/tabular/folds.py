"""Draw folds among the ensemble members, and compute out-of-fold predictions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from polycera.model import variables
from polycera.model.ensemble import Members
from polycera.model.predicting import raw_outputs
from polycera.model.scores import Scores
from polycera.typing import Array


def drawn(rows: int, folds: int, members: int, groups: Any, seed: int) -> np.ndarray:
    """Return which rows are held out from which members, bool [rows, members].

    Each row is held out from the same number of members.

    Args:
        rows: number of rows.
        folds: number of folds. Member i leaves out fold i; after the last fold the count restarts.
        members: number of members.
        groups: the group of each row, which is never divided; or None.
        seed: of the draw.
    """
    rng = np.random.default_rng([seed, folds])
    if groups is None:
        fold = rng.permutation(rows) % folds
    else:
        # As text, because values of several types cannot be sorted.
        _, group = np.unique(np.asarray(groups).astype(str), return_inverse=True)
        fold = (rng.permutation(group.max() + 1) % folds)[group]
    return fold[:, None] == np.arange(members) % folds


def with_mask(packed: Array, fold_mask: np.ndarray | None) -> Array:
    """Return packed targets [n, width] with the held-out mask appended, [n, width + members]."""
    return (
        packed
        if fold_mask is None
        else np.concatenate([packed, fold_mask.astype(packed.dtype)], axis=1)
    )


class OutOfFold(keras.callbacks.Callback):
    """Validates on all rows, each by the members that did not train on it.

    It replaces the validation of Keras and comes before the callbacks that read its results. Its
    logs and `model.scores` have the same names.

    Args:
        x: features [n, features].
        y: packed targets [n, width].
        fold_mask: as `drawn` returns it.
        weights: sample weights [n, tasks], or None.
    """

    def __init__(
        self, x: Array, y: Array, fold_mask: np.ndarray, weights: Array | None = None
    ) -> None:
        super().__init__()
        self._weights = weights
        self._x, self._y, self._fold_mask = x, y, fold_mask
        self._members: Members | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the loss and the metrics of the out-of-fold predictions to the logs."""
        # On JAX, Keras holds the variables outside the model during a training, also between
        # epochs.
        variables.settle(self.model)
        logged, task_scores = self.measured(self.predictions())
        self.model.take_scores(task_scores)
        if logs is not None:
            logs |= {f"val_{name}": value for name, value in logged.items()}

    def predictions(self) -> Array:
        """Return out-of-fold raw outputs, [n, output columns].

        They are the mean over the members that did not train on the row.
        """
        if self._members is None:
            # Built here, because Keras sets the model of a callback only after `__init__`.
            self._members = Members(self.model)
        member_outputs = raw_outputs(self._members, self._x)
        return np.einsum(
            "nmu,nm->nu",
            member_outputs,
            self._fold_mask / self._fold_mask.sum(axis=1, keepdims=True),
        )

    def measured(self, raw: Array) -> tuple[dict[str, float], Scores]:
        """Return loss, terms and metrics of raw outputs by name, and the scores."""
        return self.model.logs_of(self._y, raw, self._weights)
