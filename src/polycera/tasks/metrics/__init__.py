"""Compute metrics from sums over rows, for all tasks of a kind at once.

Each metric knows its direction, its trivial value and its ideal.
"""

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
"""`Task.measured_as` -> the tally of that kind, with its metrics."""

HARD = {
    "proportion": ("binary", "use pc.Binary where labels are 0 and 1"),
    "soft multilabel": ("multilabel", "leave soft=True out where labels are 0 and 1"),
    "soft multiclass": ("multiclass", "leave soft=True out where each row has one class"),
}
"""Kind whose labels are shares -> its kind with hard labels, and how to get that kind.

Some metrics exist for hard labels only.
"""


def check_metrics(kind: str, task: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names under which these metrics of a kind are logged.

    Args:
        kind: `Task.measured_as`.
        task: name of the task, for messages.
        names: names of metrics in the spelling of polycera, Keras or scikit-learn.

    Raises:
        InputError: for no metric, a metric that occurs twice, or a metric that needs hard labels
            where the labels are shares.
        UnknownName: with the nearest name.
    """
    if isinstance(names, str):
        names = (names,)
    canonical_names = [_known(kind, task, name) for name in names]
    if not canonical_names or len(set(canonical_names)) < len(canonical_names):
        raise InputError(
            f"Task {shorten(task)!r} needs one or more different metrics, got {list(names)}."
        )
    return tuple(canonical_names)


def _known(kind: str, task: str, name: str) -> str:
    """Return the name under which a metric of a kind is logged; see `check_metrics`."""
    known = TALLIES[kind].metrics
    canonical_name = spellings.canonical(name, known) if isinstance(name, str) else name
    if canonical_name in known:
        return canonical_name
    if isinstance(name, str) and (positive_name := spellings.negated(name, known)) in known:
        raise InputError(
            f"Metric {shorten(name)!r} of task {shorten(task)!r} is scikit-learn's "
            f"{positive_name!r} times -1; write {positive_name!r}: here each metric knows whether "
            "more or less is better."
        )
    if kind in HARD and isinstance(name, str):
        hard_kind, way_out = HARD[kind]
        if spellings.canonical(name, TALLIES[hard_kind].metrics) in TALLIES[hard_kind].metrics:
            raise InputError(
                f"Metric {shorten(name)!r} of task {shorten(task)!r} ({kind}) needs hard labels, "
                f"and these are shares from 0 to 1; known: {listing(known)}; {way_out}."
            )
    raise UnknownName(f"metric of task {shorten(task)!r} ({kind}):", name, known)


__all__ = ["TALLIES", "Metric", "Tallies", "Tally", "check_metrics", "skill"]
