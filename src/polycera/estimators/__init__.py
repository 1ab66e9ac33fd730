"""Offer scikit-learn estimators that train one network for all columns of y."""

from polycera.errors import MissingExtra

try:
    from sklearn.utils.validation import validate_data  # noqa: F401
except ImportError:
    raise MissingExtra(
        "The scikit-learn face of polycera", "scikit-learn 1.6 or newer", "sklearn"
    ) from None

from polycera.estimators.classifier import PolyceraClassifier
from polycera.estimators.mixed import PolyceraEstimator
from polycera.estimators.regressor import PolyceraRegressor

__all__ = ["PolyceraClassifier", "PolyceraEstimator", "PolyceraRegressor"]
