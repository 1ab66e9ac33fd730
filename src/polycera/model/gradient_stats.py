"""Gradient statistics of one epoch: norms, cosines and weights of tasks that share layers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from polycera.typing import TaskName


class GradientStats(NamedTuple):
    """What an epoch saw of the gradients of tasks that meet somewhere: means over the steps in which a task had one.

    Attributes:
        tasks: their names, m.
        weights: by which what they share took each task's gradient, [m]; NaN where it had none.
        norms: of the tasks' gradients, before those weights, [m].
        cosines: between the tasks' gradients, [m, m], over the steps in which both had one.
        conflicts: the share of those steps in which the cosine was negative, [m, m].
        place: what to call where they meet: "trunk", or the layers.
    """

    tasks: tuple[TaskName, ...]
    weights: np.ndarray
    norms: np.ndarray
    cosines: np.ndarray
    conflicts: np.ndarray
    place: str = "trunk"
