"""How good answers are, as plain numbers: from true labels and predictions to the forms of `polycera.runs.results`."""

from polycera.evaluation.at_threshold import said
from polycera.evaluation.calibration import Calibration, calibration
from polycera.evaluation.confusion import confusion
from polycera.evaluation.precision_recall import curve
from polycera.evaluation.reliability import reliability
from polycera.evaluation.residuals import coverage, residuals
from polycera.evaluation.smoothed_thresholds import steady
from polycera.evaluation.task_quality import measured
from polycera.evaluation.threshold_search import METRICS, Cuts, cuts
from polycera.evaluation.thresholds import FEW, by_task, labels_of, thresholds

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
