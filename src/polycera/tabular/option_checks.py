"""Check the options of a training against its tasks before Keras is imported.

Importing Keras takes seconds; so a typing error is reported at once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from polycera.errors import InputError, UnknownName, shorten
from polycera.method_base import NAMES
from polycera.runs.spec import Training
from polycera.tasks import Task
from polycera.tasks.terms import factor


def check_options(training: Training, tasks: Sequence[Task]) -> None:
    """Check the names and numbers among the options of a training.

    The callbacks and layers that use an option check it again, and in more detail, because they are
    also used without a table.

    Raises:
        UnknownName: for an unknown task or method.
        InputError: for a weight that is not a finite number of 0 or more, and for weights that are
            all 0.
    """
    by_name = {task.name: task for task in tasks}
    _check_weights("joint score", training.score_weights, by_name)
    _check_weights("preference", training.preference, by_name)
    _check_method("weighting", training.weighting)
    _check_method("balancing", training.balancing)


def _check_weights(what: str, weights: Mapping[str, float], tasks: Mapping[str, Task]) -> None:
    """Check the tasks and the values of weights."""
    for name, weight in weights.items():
        # In the joint score, `task/metric` names a metric of a task. The whole name is looked up
        # first, because a task's own name may have a slash in it.
        if name not in tasks and (what == "preference" or name.rpartition("/")[0] not in tasks):
            raise UnknownName(f"task in the {what}:", name, tasks)
        factor(weight, f"the weight of {shorten(name)!r} in the {what}")
    # A preference may leave out tasks; these have weight 1, so not all weights are 0.
    if (
        weights
        and len(weights) >= (len(tasks) if what == "preference" else 1)
        and not sum(weights.values()) > 0
    ):
        raise InputError(f"The {what} needs at least one weight above 0, got {dict(weights)}.")


def _check_method(room: str, method: object) -> None:
    """Check the name of a built-in method.

    A method of the user's own exists only where its package was imported. It is then checked there.
    """
    if not isinstance(method, str) or f"polycera.{room}" in sys.modules:
        return
    name = method.lower().replace("-", "_")
    other = "balancing" if room == "weighting" else "weighting"
    if name in NAMES[room]:
        return
    if name in NAMES[other]:
        raise InputError(f"{name!r} is a {other}, not a {room}: pass {other}={name!r}.")
    raise UnknownName(f"{room} method", method, NAMES[room])
