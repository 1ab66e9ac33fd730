"""Train one Keras network for many outputs, with as many losses on each as you like.

Nothing here imports Keras: a name is imported when it is first used (PEP 562). A `.keras` file of
ours can be loaded after `import polycera` all the same, see `polycera.startup`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from polycera import lazy_names, renamed, startup

if TYPE_CHECKING:
    from polycera import callbacks as callbacks
    from polycera import diagnostics as diagnostics
    from polycera import layers as layers
    from polycera import plots as plots
    from polycera.errors import InputError as InputError
    from polycera.errors import PolyceraError as PolyceraError
    from polycera.estimators import MultiStratifiedKFold as MultiStratifiedKFold
    from polycera.estimators import PolyceraClassifier as PolyceraClassifier
    from polycera.estimators import PolyceraEstimator as PolyceraEstimator
    from polycera.estimators import PolyceraRegressor as PolyceraRegressor
    from polycera.estimators import scorer as scorer
    from polycera.experiments.compare_separate import compare_separate as compare_separate
    from polycera.experiments.compare_weightings import compare_weightings as compare_weightings
    from polycera.inspection.inspect_table import inspect as inspect
    from polycera.interpretation.describe_network import describe_network as describe_network
    from polycera.model.adopt import adopt as adopt
    from polycera.model.model import Model as Model
    from polycera.reports import plot as plot
    from polycera.reports import report as report
    from polycera.runs.verify import verify as verify
    from polycera.tabular.fit import fit as fit
    from polycera.tabular.fit import resume as resume
    from polycera.tabular.run import Run as Run
    from polycera.tabular.run import load as load
    from polycera.tasks import Binary as Binary
    from polycera.tasks import Count as Count
    from polycera.tasks import Joint as Joint
    from polycera.tasks import Multiclass as Multiclass
    from polycera.tasks import Multilabel as Multilabel
    from polycera.tasks import Ordinal as Ordinal
    from polycera.tasks import Proportion as Proportion
    from polycera.tasks import Quantile as Quantile
    from polycera.tasks import Regression as Regression

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
    "compare_separate",
    "compare_weightings",
    "describe_network",
    "diagnostics",
    "fit",
    "inspect",
    "layers",
    "load",
    "plot",
    "plots",
    "report",
    "resume",
    "verify",
]

PLACES = {
    "Binary": "polycera.tasks",
    "Count": "polycera.tasks",
    "InputError": "polycera.errors",
    "Joint": "polycera.tasks",
    "Model": "polycera.model.model",
    "Multiclass": "polycera.tasks",
    "Multilabel": "polycera.tasks",
    "Ordinal": "polycera.tasks",
    "PolyceraError": "polycera.errors",
    "Proportion": "polycera.tasks",
    "Quantile": "polycera.tasks",
    "Regression": "polycera.tasks",
    "Run": "polycera.tabular.run",
    "adopt": "polycera.model.adopt",
    "compare_separate": "polycera.experiments.compare_separate",
    "compare_weightings": "polycera.experiments.compare_weightings",
    "describe_network": "polycera.interpretation.describe_network",
    "fit": "polycera.tabular.fit",
    "inspect": "polycera.inspection.inspect_table",
    "load": "polycera.tabular.run",
    "plot": "polycera.reports",
    "report": "polycera.reports",
    "resume": "polycera.tabular.fit",
    "verify": "polycera.runs.verify",
}
"""Maps each public name to its module, which is imported when the name is first used."""

ESTIMATORS = (
    "MultiStratifiedKFold",
    "PolyceraClassifier",
    "PolyceraEstimator",
    "PolyceraRegressor",
    "scorer",
)
"""Names what belongs to scikit-learn: estimators, a scorer, a splitter.

They are not in `__all__`: `from polycera import *` would import all of scikit-learn.
"""

_lazy = lazy_names.attach(__name__, PLACES | dict.fromkeys(ESTIMATORS, "polycera.estimators"))


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of the package, when it is first used."""
    if (new_name := renamed.name_of(__name__, name)) is not None:
        return getattr(sys.modules[__name__], new_name)
    if (
        not name.startswith("_")
        and name not in PLACES
        and importlib.util.find_spec(f"{__name__}.{name}")
    ):
        return importlib.import_module(f"{__name__}.{name}")
    return _lazy(name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted({*__all__, *ESTIMATORS, *(name for name in globals() if name.startswith("__"))})


startup.prepare()
