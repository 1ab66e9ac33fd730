"""Choose the length of a training, in steps, from the number of its rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from polycera.runs.spec import Training

PASSES = 8
"""Maximum number of passes over the rows."""
LONGEST = (4_000, 20_000)
"""Minimum and maximum of the steps that these passes come to.

So small tables get more passes, and very large ones fewer.
"""
SURE = 2000
"""Number of training rows from which a falling score is trusted.

With fewer rows the score may fall by chance and rise again.
"""
LEAST = 4
"""Minimum patience, in epochs, of a training with at least `SURE` rows."""
EPOCH = 100
"""Target number of steps between two validations below `SURE` training rows."""
SHORT = 50
"""The same from `SURE` rows on.

An epoch has as many whole passes over the rows as fit into these steps, and at least one. So a
small table is passed several times between two validations. With many rows the best epoch may be
the first. Short epochs then find it sooner and nearer to the best step.
"""

EPOCH_ROWS = 1_000_000
"""Most rows between two validations, where the training rows are larger than memory."""


@dataclass(frozen=True)
class StepPlan:
    """Holds the batch size, the epochs and the patience that follow from the number of rows.

    Attributes:
        batch_size: rows in a step.
        passes: passes over the rows between two validations; together they are one epoch.
        epochs: maximum number of epochs.
        patience: maximum number of epochs without a better score.
        steps: steps of an epoch; None: as many as its passes have.
        least: minimum patience in epochs, used where the best epoch comes early. The patience grows
            with the epochs that it took to reach the best one, up to `patience`.
    """

    batch_size: int
    passes: int
    epochs: int
    patience: int
    least: int
    steps: int | None = None

    @classmethod
    def of(cls, rows: int, training: Training, most_rows: int | None = None) -> StepPlan:
        """Return the plan for this number of training rows.

        Args:
            rows: number of training rows.
            training: the options of the training.
            most_rows: most rows of an epoch, for a table of which one pass takes too long.
        """
        # About a twentieth of the rows, as a power of two.
        batch = training.batch_size or int(
            np.clip(2 ** round(math.log2(max(rows, 1) / 20)), 32, 512)
        )
        steps = math.ceil(rows / batch)
        max_steps = training.max_steps or int(np.clip(PASSES * steps, *LONGEST))
        patience_steps = training.patience_steps or max_steps // 5
        passes = max(1, min(EPOCH if rows < SURE else SHORT, max_steps) // steps)
        steps_per_epoch = steps * passes
        limit = None if most_rows is None else max(1, min(most_rows // batch, max_steps))
        if limit is not None and steps_per_epoch > limit:
            steps_per_epoch = limit
        else:
            limit = None
        patience_epochs = max(5, math.ceil(patience_steps / steps_per_epoch))
        full_patience = training.patience_steps or rows < SURE
        return cls(
            batch,
            passes,
            max(1, max_steps // steps_per_epoch),
            patience_epochs,
            patience_epochs if full_patience else LEAST,
            limit,
        )
