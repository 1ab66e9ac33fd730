"""Callbacks for `fit`, beside those of Keras."""

from polycera.monitoring import (
    Gradients,
    JointCheckpoint,
    JointEarlyStopping,
    JointScore,
    ParetoCheckpoint,
    WeightSchedule,
)
from polycera.training import Checkpoint, Guard

__all__ = [
    "Checkpoint",
    "Gradients",
    "Guard",
    "JointCheckpoint",
    "JointEarlyStopping",
    "JointScore",
    "ParetoCheckpoint",
    "WeightSchedule",
]
