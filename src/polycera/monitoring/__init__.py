"""Watching a training: several metrics as one."""

from polycera.monitoring.gradients import Gradients
from polycera.monitoring.joint import JointScore
from polycera.monitoring.keeping import JointCheckpoint
from polycera.monitoring.pareto import ParetoCheckpoint
from polycera.monitoring.schedule import WeightSchedule
from polycera.monitoring.stopping import JointEarlyStopping

__all__ = ["Gradients", "JointCheckpoint", "JointEarlyStopping", "JointScore", "ParetoCheckpoint", "WeightSchedule"]
