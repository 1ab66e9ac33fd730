"""Train a network from a table, write the run, and open it again.

A table and a run folder are read and checked without Keras, which takes seconds to import. So
errors in them are raised at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polycera import lazy_names

if TYPE_CHECKING:
    from polycera.tabular.fit import fit as fit
    from polycera.tabular.fit import resume as resume
    from polycera.tabular.run import Run as Run
    from polycera.tabular.run import load as load

__all__ = ["Run", "fit", "load", "resume"]

__getattr__ = lazy_names.attach(
    __name__,
    {
        "Run": "polycera.tabular.run",
        "fit": "polycera.tabular.fit",
        "load": "polycera.tabular.run",
        "resume": "polycera.tabular.fit",
    },
)
