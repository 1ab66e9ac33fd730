"""Watching a training: several metrics as one."""

from polycera.monitoring.gradients import Gradients
from polycera.monitoring.joint import JointScore
from polycera.monitoring.stopping import JointEarlyStopping

__all__ = ["Gradients", "JointEarlyStopping", "JointScore"]
