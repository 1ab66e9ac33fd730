"""Count the rows of each pair of true and predicted class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polycera.evaluation.masking import pairs
from polycera.runs.results import Confusion
from polycera.typing import Array

CLASSES = 30
"""Most classes with a row of their own."""


def confusion(
    truth: Array, chosen: Array, classes: Sequence[Any], most: int = CLASSES
) -> Confusion:
    """Return the number of rows for each true class (rows) and predicted class (columns).

    Where there are more than `most` classes, the most frequent ones get a row of their own, in
    their given order. The others share the last row, called `other` with their number.

    Args:
        truth: index of the class, NaN where a label is missing; [n].
        chosen: index of the predicted class, [n].
        classes: names of the classes.
        most: the most classes with a row of their own.

    Examples:
        >>> import numpy as np
        >>> confusion(np.array([0, 1, 1, np.nan]), np.array([0, 0, 1, 1]), ["no", "yes"]).counts
        [[1, 0], [1, 1]]
    """
    rows, predicted = (column.astype("int64") for column in pairs(truth, chosen))
    labels = [str(name) for name in classes]
    if len(labels) > most:
        frequent = np.sort(
            np.argsort(-np.bincount(rows, minlength=len(labels)), kind="stable")[:most]
        )
        row_of_class = np.full(len(labels), most)
        row_of_class[frequent] = np.arange(most)
        rows, predicted = row_of_class[rows], row_of_class[predicted]
        labels = [labels[i] for i in frequent] + [f"other ({len(labels) - most} classes)"]
    # one number for each pair of classes, so that one bincount fills the whole matrix
    counts = np.bincount(rows * len(labels) + predicted, minlength=len(labels) ** 2)
    return Confusion(labels, counts.reshape(len(labels), -1).tolist())
