"""Describe the gradients of tasks that share layers: norms, cosines and weights in one epoch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from polycera.typing import TaskName


class GradientStats(NamedTuple):
    """Hold gradient statistics of one epoch, for the tasks of one shared region.

    They are means over the steps in which a task had a gradient.

    Attributes:
        tasks: their names, m.
        weights: factors of the tasks' gradients in what flows into the shared layers, [m]; NaN for
            a task without a gradient.
        norms: of the tasks' gradients, before those weights, [m].
        cosines: between the tasks' gradients, [m, m], over the steps in which both had one.
        conflicts: the share of those steps in which the cosine was negative, [m, m].
        place: name of the shared region: "trunk", or the layers.
    """

    tasks: tuple[TaskName, ...]
    weights: np.ndarray
    norms: np.ndarray
    cosines: np.ndarray
    conflicts: np.ndarray
    place: str = "trunk"
