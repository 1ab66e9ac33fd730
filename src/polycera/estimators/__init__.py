"""Offer scikit-learn estimators that train one network for all columns of y."""

from polycera.estimators.classifier import PolyceraClassifier
from polycera.estimators.mixed import PolyceraEstimator
from polycera.estimators.regressor import PolyceraRegressor

__all__ = ["PolyceraClassifier", "PolyceraEstimator", "PolyceraRegressor"]
