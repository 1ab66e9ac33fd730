"""Measure the quality of predictions as plain numbers, in the types of `polycera.runs.results`."""

from polycera.evaluation.at_threshold import at_threshold
from polycera.evaluation.calibration import Calibration, calibration
from polycera.evaluation.confusion import confusion
from polycera.evaluation.metric_error import BLOCKS, FEW_OF_CLASS, FEW_ROWS, RawRows
from polycera.evaluation.precision_recall import curve
from polycera.evaluation.reliability import reliability
from polycera.evaluation.residuals import coverage, residuals
from polycera.evaluation.segments import RATE, Segmentation, segment_scores
from polycera.evaluation.smoothed_thresholds import smoothed_thresholds
from polycera.evaluation.task_quality import task_quality
from polycera.evaluation.threshold_search import METRICS, ThresholdSearch, search_thresholds
from polycera.evaluation.thresholds import FEW, by_task, labels_of, thresholds

__all__ = [
    "BLOCKS",
    "FEW",
    "FEW_OF_CLASS",
    "FEW_ROWS",
    "METRICS",
    "RATE",
    "Calibration",
    "RawRows",
    "Segmentation",
    "ThresholdSearch",
    "at_threshold",
    "by_task",
    "calibration",
    "confusion",
    "coverage",
    "curve",
    "labels_of",
    "reliability",
    "residuals",
    "search_thresholds",
    "segment_scores",
    "smoothed_thresholds",
    "task_quality",
    "thresholds",
]
