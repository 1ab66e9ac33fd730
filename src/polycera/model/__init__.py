"""Train many tasks with one Keras model: its losses, metrics and batches go by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polycera import lazy_names

if TYPE_CHECKING:
    from polycera.model.adopt import adopt as adopt
    from polycera.model.model import Model as Model
    from polycera.model.scores import Score as Score
    from polycera.model.scores import Scores as Scores

__all__ = ["Model", "Score", "Scores", "adopt"]

__getattr__ = lazy_names.attach(
    __name__,
    {
        "Model": "polycera.model.model",
        "Score": "polycera.model.scores",
        "Scores": "polycera.model.scores",
        "adopt": "polycera.model.adopt",
    },
)
