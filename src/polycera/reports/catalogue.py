"""Find pictures by name: all that exist, and those of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from polycera.drawing import Picture
from polycera.errors import InputError, UnknownName, shorten
from polycera.reports.run_view import RunView
from polycera.reports.views import (
    curves,
    gradients,
    joint,
    quality,
    separate,
    sharing,
    skills,
    tradeoff,
    weights,
)

DRAWERS: tuple[ModuleType, ...] = (
    skills,
    separate,
    joint,
    tradeoff,
    curves,
    weights,
    gradients,
    sharing,
    quality,
)

PICTURES: dict[str, str] = {
    "skills": "skill of every task on the test or validation rows, compared with the trivial "
    "predictor",
    "skills-spread": "how the skills of many tasks are spread",
    "separate": "gain of one network over separate ones, task by task, with intervals",
    "affinity": "what each task gains by training with each other one",
    "joint": "joint score, epoch by epoch",
    "tradeoff": "skills of every epoch in the first two tasks, and the Pareto set",
    "loss": "total loss, training and validation",
    "regularization": "what regularisation adds to the loss",
    "learning-rate": "learning rate",
    "skipped-steps": "steps that were skipped because a loss was not finite",
    "curve/TASK/TERM": "one loss term or metric of a task, training and validation",
    "weights": "weight of each task's loss over time",
    "trunk-weights": "weight of each task's gradient in the shared layers over time",
    "gradient-norms": "norm of each task's gradient over time",
    "shares/REGION": "share of each task in the gradient of shared layers, over time",
    "opposition/REGION": "mean and lowest cosine over all pairs of tasks, over time",
    "cosines/REGION": "mean cosine between the gradients of every two tasks",
    "conflicts/REGION": "how often the gradients of two tasks oppose each other",
    "sharing": "the network: which layers serve which tasks",
    "reliability/TASK": "predicted against observed frequency",
    "precision-recall/TASK": "precision and recall, with the threshold in use",
    "threshold/TASK": "precision and recall by threshold",
    "confusion/TASK": "predicted against true classes",
    "residuals/TASK": "true minus predicted, as a histogram",
    "predicted/TASK": "predicted against true",
    "coverage/TASK": "share of rows below each predicted quantile",
    "importance/TASK": "what a task loses when a column is shuffled",
}
"""Name -> what it shows. TASK, TERM and REGION stand for names of the run; a label of many comes after its task."""


def of(seen: RunView) -> dict[str, Callable[[], Picture]]:
    """Return the pictures of a run, each drawn when it is called."""
    return {name: draw for room in DRAWERS for name, draw in room.pictures(seen)}


def meaning(name: str) -> str:
    """Return what a picture of a run shows."""
    return next(
        (said for known, said in PICTURES.items() if known.split("/")[0] == name.split("/")[0]), ""
    )


def plot(run: Any, name: str, path: str | Path) -> Path:
    """Write one picture of a run to a file, for a paper or a talk.

    Args:
        run: its folder, or an opened run.
        name: of the picture; `PICTURES` says which there are, and `polycera plot RUN` which the run has.
        path: of the file: `.svg`, or `.png` (needs `pip install 'polycera[png]'`).

    Returns:
        the path.

    Raises:
        UnknownName: for a picture that the run does not have.
        InputError: where there is no run, or the file has another ending.
        PolyceraError: where a file of the run is damaged, or the picture cannot be written.

    Examples:
        >>> from polycera import reports
        >>> reports.plot("runs/customers-1", "joint", "joint.svg")  # doctest: +SKIP
    """
    seen = RunView(getattr(run, "path", run))
    found = of(seen)
    if name not in found:
        raise _unknown(seen, name, list(found))
    found[name]().write(Path(path))
    return Path(path)


def _unknown(seen: RunView, name: str, known: list[str]) -> InputError:
    """Return the error for a picture that a run does not have: a damaged file, or the known names."""
    if name in PICTURES and seen.faults:
        return InputError(
            f"The run {shorten(seen.path)!r} has no picture {name!r}: {seen.faults[0]}"
        )
    hint = f"It shows {PICTURES[name]}; this run lacks the data for it." if name in PICTURES else ""
    return UnknownName(f"picture of the run {shorten(seen.path)!r}:", name, known, hint)
