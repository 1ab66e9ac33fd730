"""How good answers are, as plain numbers: from true labels and predictions to the forms of `polycera.runs.findings`."""

from polycera.quality.calibration import Calibration, calibration
from polycera.quality.confusion import confusion
from polycera.quality.cuts import METRICS, Cuts, cuts
from polycera.quality.measured import measured
from polycera.quality.numbers import coverage, residuals
from polycera.quality.reliability import reliability
from polycera.quality.said import said
from polycera.quality.steady import steady
from polycera.quality.thresholds import FEW, by_task, labels_of, thresholds
from polycera.quality.tradeoff import curve

__all__ = [
    "FEW",
    "METRICS",
    "Calibration",
    "Cuts",
    "by_task",
    "calibration",
    "confusion",
    "coverage",
    "curve",
    "cuts",
    "labels_of",
    "measured",
    "reliability",
    "residuals",
    "said",
    "steady",
    "thresholds",
]
