"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polycera.evaluation.masking import pairs
from polycera.runs.results import Confusion
from polycera.typing import Array

CLASSES = 30
"""Classes with a row of their own at most."""


def confusion(
    truth: Array, chosen: Array, classes: Sequence[Any], most: int = CLASSES
) -> Confusion:
    """Rows by true class and by the class that was said.

    Of more than `most` classes, the most frequent keep a row of their own, in the order in which
    they stand; the others are one more, the last, called `other` with their number.

    Args:
        truth: index of the class, NaN where a label is missing; [n].
        chosen: index of the class that was said, [n].
        classes: as they are called.
        most: classes with a row of their own.

    Examples:
        >>> import numpy as np
        >>> confusion(np.array([0, 1, 1, np.nan]), np.array([0, 0, 1, 1]), ["no", "yes"]).counts
        [[1, 0], [1, 1]]
    """
    rows, said = (column.astype("int64") for column in pairs(truth, chosen))
    labels = [str(name) for name in classes]
    if len(labels) > most:
        frequent = np.sort(
            np.argsort(-np.bincount(rows, minlength=len(labels)), kind="stable")[:most]
        )
        place = np.full(len(labels), most)
        place[frequent] = np.arange(most)
        rows, said = place[rows], place[said]
        labels = [labels[i] for i in frequent] + [f"other ({len(labels) - most} classes)"]
    counts = np.bincount(rows * len(labels) + said, minlength=len(labels) ** 2)
    return Confusion(labels, counts.reshape(len(labels), -1).tolist())
