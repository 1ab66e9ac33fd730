"""Show what `fit` would make of a table, without training and without Keras.

The same code reads the table here and there (`polycera.tabular.prepare.understand`), so what is
shown is what a training does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polycera import lazy_names

if TYPE_CHECKING:
    from polycera.inspection.inspect_table import inspect as inspect
    from polycera.inspection.result import Inspection as Inspection

__all__ = ["Inspection", "inspect"]

__getattr__ = lazy_names.attach(
    __name__,
    {
        "Inspection": "polycera.inspection.result",
        "inspect": "polycera.inspection.inspect_table",
    },
)
