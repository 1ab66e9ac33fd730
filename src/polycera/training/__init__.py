"""How it is trained: the model, its loss, what is measured; and from a table to a run."""

from polycera.training.adopt import adopt
from polycera.training.checkpoint import Checkpoint
from polycera.training.fit import fit, resume
from polycera.training.guard import Guard
from polycera.training.model import Model
from polycera.training.probe import GradientProbe
from polycera.training.run import Run, load
from polycera.training.scores import Score, Scores

__all__ = ["Checkpoint", "GradientProbe", "Guard", "Model", "Run", "Score", "Scores", "adopt", "fit", "load", "resume"]
