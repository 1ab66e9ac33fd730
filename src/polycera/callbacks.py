"""Callbacks for `fit`, beside those of Keras."""

from polycera.monitoring import (
    Gradients,
    JointCheckpoint,
    JointEarlyStopping,
    JointScore,
    ParetoCheckpoint,
    WeightSchedule,
)
from polycera.training import Checkpoint, GradientProbe, Guard

__all__ = [
    "Checkpoint",
    "GradientProbe",
    "Gradients",
    "Guard",
    "JointCheckpoint",
    "JointEarlyStopping",
    "JointScore",
    "ParetoCheckpoint",
    "WeightSchedule",
]
