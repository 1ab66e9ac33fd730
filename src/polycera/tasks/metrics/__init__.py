"""Metrics as sums over rows, for all tasks of a kind at once; each knows its direction, trivial value and ideal."""

from __future__ import annotations

from collections.abc import Sequence

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.tasks.metrics import aliases as spellings
from polycera.tasks.metrics.binary import BinaryTally, MultilabelTally
from polycera.tasks.metrics.classes import MulticlassTally, OrdinalTally
from polycera.tasks.metrics.metric import Metric, Tallies, skill
from polycera.tasks.metrics.numbers import CountTally, QuantileTally, RegressionTally
from polycera.tasks.metrics.proportions import ShareTally, SoftClassesTally
from polycera.tasks.metrics.tally import Tally

TALLIES: dict[str, Tally] = {
    "regression": RegressionTally(),
    "proportion": ShareTally(),
    "binary": BinaryTally(),
    "multiclass": MulticlassTally(),
    "soft multiclass": SoftClassesTally(),
    "multilabel": MultilabelTally(),
    "soft multilabel": ShareTally(),
    "ordinal": OrdinalTally(),
    "count": CountTally(),
    "quantile": QuantileTally(),
}
"""What each kind counts, and the metrics that follow; by `Task.measured_as`."""

HARD = {
    "proportion": ("binary", "use pc.Binary where labels are 0 and 1"),
    "soft multilabel": ("multilabel", "leave soft=True out where labels are 0 and 1"),
    "soft multiclass": ("multiclass", "leave soft=True out where each row has one class"),
}
"""Kind whose labels are shares -> the kind with hard labels of which it lacks metrics, and the way there."""


def check_metrics(kind: str, task: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names under which these metrics of a kind are logged.

    Args:
        kind: `Task.measured_as`.
        task: name of the task, for messages.
        names: of metrics, in our spelling, that of Keras or that of scikit-learn.

    Raises:
        InputError: for none, or one twice; for a metric that needs hard labels where the labels are
            shares.
        UnknownName: with the nearest one.
    """
    if isinstance(names, str):
        names = (names,)
    found = [_known(kind, task, name) for name in names]
    if not found or len(set(found)) < len(found):
        raise InputError(
            f"Task {shorten(task)!r} needs one or more different metrics, got {list(names)}."
        )
    return tuple(found)


def _known(kind: str, task: str, name: str) -> str:
    known = TALLIES[kind].metrics
    found = spellings.canonical(name, known) if isinstance(name, str) else name
    if found in known:
        return found
    if isinstance(name, str) and (turned := spellings.negated(name, known)) in known:
        raise InputError(
            f"Metric {shorten(name)!r} of task {shorten(task)!r} is scikit-learn's {turned!r} times -1; "
            f"write {turned!r}: here each metric knows whether more or less is better."
        )
    if kind in HARD and isinstance(name, str):
        other, way_out = HARD[kind]
        if spellings.canonical(name, TALLIES[other].metrics) in TALLIES[other].metrics:
            raise InputError(
                f"Metric {shorten(name)!r} of task {shorten(task)!r} ({kind}) needs hard labels, and these are shares "
                f"from 0 to 1; known: {listing(known)}; {way_out}."
            )
    raise UnknownName(f"metric of task {shorten(task)!r} ({kind}):", name, known)


__all__ = ["TALLIES", "Metric", "Tallies", "Tally", "check_metrics", "skill"]
