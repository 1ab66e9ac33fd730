"""Provide callbacks for `fit`, beside those of Keras: they watch, stop and save."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polycera import lazy_names

if TYPE_CHECKING:
    from polycera.callbacks.checkpoint import Checkpoint as Checkpoint
    from polycera.callbacks.early_stopping import JointEarlyStopping as JointEarlyStopping
    from polycera.callbacks.gradient_probe import GradientProbe as GradientProbe
    from polycera.callbacks.gradients import Gradients as Gradients
    from polycera.callbacks.guard import Guard as Guard
    from polycera.callbacks.joint_checkpoint import JointCheckpoint as JointCheckpoint
    from polycera.callbacks.joint_score import JointScore as JointScore
    from polycera.callbacks.pareto_checkpoint import ParetoCheckpoint as ParetoCheckpoint

__all__ = [
    "Checkpoint",
    "GradientProbe",
    "Gradients",
    "Guard",
    "JointCheckpoint",
    "JointEarlyStopping",
    "JointScore",
    "ParetoCheckpoint",
]

_lazy = lazy_names.attach(
    __name__,
    {
        "Checkpoint": "polycera.callbacks.checkpoint",
        "GradientProbe": "polycera.callbacks.gradient_probe",
        "Gradients": "polycera.callbacks.gradients",
        "Guard": "polycera.callbacks.guard",
        "JointCheckpoint": "polycera.callbacks.joint_checkpoint",
        "JointEarlyStopping": "polycera.callbacks.early_stopping",
        "JointScore": "polycera.callbacks.joint_score",
        "ParetoCheckpoint": "polycera.callbacks.pareto_checkpoint",
    },
)


def __getattr__(name: str) -> Any:
    """Import a callback when it is first used."""
    if name == "WeightSchedule":
        raise AttributeError(
            "pc.callbacks.WeightSchedule is gone: pass weighting={'name': 'schedule', 'to': "
            "{'churn': 3.0}, 'steps': 1000}, or set model.tasks['churn'].weight in "
            "on_epoch_begin of a callback of your own."
        )
    return _lazy(name)
