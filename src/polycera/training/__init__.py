"""How it is trained: the model, its loss, what is measured; and from a table to a run.

A table and a run folder are read and checked without Keras, which takes seconds to import: a mistake is found at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polycera import lazy_names

if TYPE_CHECKING:
    from polycera.training.adopt import adopt as adopt
    from polycera.training.checkpoint import Checkpoint as Checkpoint
    from polycera.training.fit import fit as fit
    from polycera.training.fit import resume as resume
    from polycera.training.guard import Guard as Guard
    from polycera.training.model import Model as Model
    from polycera.training.probe import GradientProbe as GradientProbe
    from polycera.training.run import Run as Run
    from polycera.training.run import load as load
    from polycera.training.scores import Score as Score
    from polycera.training.scores import Scores as Scores

__all__ = ["Checkpoint", "GradientProbe", "Guard", "Model", "Run", "Score", "Scores", "adopt", "fit", "load", "resume"]

__getattr__ = lazy_names.attach(
    __name__,
    {
        "Checkpoint": "polycera.training.checkpoint",
        "GradientProbe": "polycera.training.probe",
        "Guard": "polycera.training.guard",
        "Model": "polycera.training.model",
        "Run": "polycera.training.run",
        "Score": "polycera.training.scores",
        "Scores": "polycera.training.scores",
        "adopt": "polycera.training.adopt",
        "fit": "polycera.training.fit",
        "load": "polycera.training.run",
        "resume": "polycera.training.fit",
    },
)
