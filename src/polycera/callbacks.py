"""Callbacks for `fit`, beside those of Keras."""

from polycera.monitoring import (
    Gradients,
    JointCheckpoint,
    JointEarlyStopping,
    JointScore,
    ParetoCheckpoint,
    WeightSchedule,
)
from polycera.training import Checkpoint

__all__ = [
    "Checkpoint",
    "Gradients",
    "JointCheckpoint",
    "JointEarlyStopping",
    "JointScore",
    "ParetoCheckpoint",
    "WeightSchedule",
]
