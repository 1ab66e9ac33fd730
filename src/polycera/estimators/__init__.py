"""Offer scikit-learn estimators that train one network for all columns of y."""

from polycera.estimators.classifier import PolyceraClassifier
from polycera.estimators.mixed import PolyceraEstimator
from polycera.estimators.regressor import PolyceraRegressor
from polycera.estimators.stratified_folds import MultiStratifiedKFold
from polycera.estimators.task_scorer import scorer

__all__ = [
    "MultiStratifiedKFold",
    "PolyceraClassifier",
    "PolyceraEstimator",
    "PolyceraRegressor",
    "scorer",
]
