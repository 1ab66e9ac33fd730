"""Compute partial dependence: the mean prediction when one column is set to a value in all rows.

Paper: Friedman, "Greedy function approximation: a gradient boosting machine", 2001, section 8.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from polycera.model.model import Model
from polycera.model.predicting import raw_outputs
from polycera.model.scores import predictions
from polycera.typing import Array, TaskName

ROWS = 200
"""Rows over which the mean is taken, at most."""
CELLS = 2**22
"""Most features of the changed copies at a time: limits the memory."""


class ColumnGrid(NamedTuple):
    """Holds the values of one column that are tried.

    Attributes:
        column: its name.
        features: indices of the features that are made of it, [f].
        values: these features at each value, [values, f].
    """

    column: str
    features: Any
    values: Any


def partial_dependence(
    model: Model, features: Array, grids: Sequence[ColumnGrid], *, rows: int = ROWS, seed: int = 0
) -> dict[str, dict[TaskName, Array]]:
    """Return the mean prediction of every task at each value of each column.

    Args:
        model: a trained model.
        features: encoded features [n, width] of rows like those that are predicted.
        grids: the columns with their values.
        rows: number of rows to draw, where there are more.
        seed: of the draw.

    Returns:
        column -> task -> mean predictions [values, p] in the user's units.
    """
    drawn = np.random.default_rng(seed).permutation(len(features))[:rows]
    base = features[np.sort(drawn)]
    found: dict[str, dict[TaskName, Array]] = {}
    if not len(base):
        return found
    pending: list[ColumnGrid] = []
    limit = max(1, CELLS // base.size)
    for i, grid in enumerate(grids):
        pending.append(grid)
        # Columns together, so that the network is called a few times only.
        if sum(len(one.values) for one in pending) >= limit or i == len(grids) - 1:
            found |= _of_grids(model, base, pending)
            pending = []
    return found


def _of_grids(
    model: Model, base: Array, grids: Sequence[ColumnGrid]
) -> dict[str, dict[TaskName, Array]]:
    """Return the mean predictions for some columns, whose changed rows pass the network at once."""
    copies = np.concatenate([np.repeat(base[None], len(grid.values), axis=0) for grid in grids])
    start = 0
    for grid in grids:
        block = copies[start : start + len(grid.values)]
        block[:, :, grid.features] = grid.values[:, None]
        start += len(grid.values)
    raw = raw_outputs(model, copies.reshape(-1, base.shape[1]))
    predicted = predictions(model.layout, raw, model.units)
    means = {
        name: np.asarray(values, "float64").reshape(len(copies), len(base), -1).mean(axis=1)
        for name, values in predicted.items()
    }
    found: dict[str, dict[TaskName, Array]] = {}
    start = 0
    for grid in grids:
        stop = start + len(grid.values)
        found[grid.column] = {name: values[start:stop] for name, values in means.items()}
        start = stop
    return found
