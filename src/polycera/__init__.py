"""One network, many answers: train one Keras network for many outputs, with as many losses on each as you like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polycera.errors import InputError, MissingExtra, PolyceraError

try:
    import keras  # noqa: F401
except ImportError as error:  # Keras takes TensorFlow where nobody chose, and says only that it is missing
    raise MissingExtra(
        f"Keras found no backend to run on ({error}); install one and name it in KERAS_BACKEND: polycera",
        "jax, tensorflow or torch",
        "jax",
    ) from None

from polycera import callbacks, diagnostics, layers
from polycera.diagnostics import compare, describe, sweep
from polycera.reports import plot, report
from polycera.runs.verify import verify
from polycera.tasks import Binary, Count, Joint, Multiclass, Multilabel, Ordinal, Proportion, Quantile, Regression
from polycera.training import Model, Run, adopt, fit, load, resume

if TYPE_CHECKING:  # see __getattr__
    from polycera.estimators import PolyceraClassifier as PolyceraClassifier
    from polycera.estimators import PolyceraEstimator as PolyceraEstimator
    from polycera.estimators import PolyceraRegressor as PolyceraRegressor

__version__ = "0.1.0"

__all__ = [
    "Binary",
    "Count",
    "InputError",
    "Joint",
    "Model",
    "Multiclass",
    "Multilabel",
    "Ordinal",
    "PolyceraError",
    "Proportion",
    "Quantile",
    "Regression",
    "Run",
    "adopt",
    "callbacks",
    "compare",
    "describe",
    "diagnostics",
    "fit",
    "layers",
    "load",
    "plot",
    "report",
    "resume",
    "sweep",
    "verify",
]


def __getattr__(name: str) -> Any:
    """The scikit-learn face, which nobody pays for who does not ask for it: scikit-learn takes a second to import."""
    if name in ("PolyceraClassifier", "PolyceraEstimator", "PolyceraRegressor"):
        from polycera import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
