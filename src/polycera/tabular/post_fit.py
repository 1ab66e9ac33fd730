"""What the rows held out of a training say of it: thresholds, quality, importance; each a file of the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from polycera import evaluation
from polycera.errors import PolyceraError, listing
from polycera.interpretation.permutation_importance import importance
from polycera.model.model import Model
from polycera.model.targets import encode
from polycera.runs import manifest
from polycera.runs.results import Importance, Quality, Thresholds
from polycera.runs.spec import Spec
from polycera.storage import atomic
from polycera.tabular.prepare import PreparedTable
from polycera.typing import Array, TaskName

SECONDS, SHARE = 5.0, 0.05
"""What importance may take at the end of a training: so many seconds, or this share of its time, if that is more."""

Predictions = Mapping[TaskName, Array]


def thresholds(
    model: Model, checked: Any, predicted: Predictions | None, plan: Spec, say: Any
) -> Thresholds | None:
    """Fitted to rows that were held out; None where the spec wants none, no task has a yes, or there are no such rows.

    Args:
        model: trained.
        checked: features and targets of the validation rows, or of all where each was left out in
            its turn.
        predicted: for these rows, by a network that did not learn from them; None where there are
            none.
        plan: names the metric.
        say: called with a sentence on labels that got no threshold; or None.
    """
    metric = plan.training.threshold
    if metric == "none" or not any(evaluation.labels_of(task) for task in model.tasks.values()):
        return None
    if checked is None or predicted is None:
        _say(
            say,
            "No threshold was chosen, for there are no validation rows: yes is said above one half.",
        )
        return None
    found = evaluation.thresholds(model.layout, encode(model.layout, checked[1]), predicted, metric)
    _say_of_few(found, say)
    return found


def _say_of_few(found: Thresholds, say: Any) -> None:
    each = [
        (task, label, one.fitted) for task, own in found.tasks.items() for label, one in own.items()
    ]
    if few := [f"{task}={label}" for task, label, fitted in each if not fitted]:
        _say(
            say,
            f"Of {len(each)} thresholds, {len(few)} stay at 0.5, because fewer than {evaluation.FEW} of the validation "
            f"rows are yes, or are no: {listing(few, 5)}.",
        )


def measured(
    model: Model,
    part: str,
    targets: Mapping[TaskName, Any],
    predicted: Predictions,
    at: Predictions,
    plan: Spec,
) -> Quality:
    """The quality of each task on the held-out rows, with the thresholds `at` which yes is said."""
    return evaluation.task_quality(
        model.layout, encode(model.layout, targets), predicted, part, at, plan.seed
    )


def write(place: Path, found: Mapping[str, msgspec.Struct | None], say: Any) -> list[str]:
    """Write what was found to its files.

    Args:
        place: folder of the run.
        found: name of the file -> its content; None is not written.
        say: called with a sentence on what is too long to be read again; or None.

    Returns:
        the names of those that were written.
    """
    written = []
    for name, value in found.items():
        try:
            page = manifest.page(value)
        except PolyceraError as error:  # of a network of thousands of tasks: no reason to lose it
            _say(say, f"{name} is not written. {error}")
            continue
        if value is not None:
            atomic.write(place / name, page)
            written.append(name)
    return written


def column_importance(
    model: Model,
    prepared: PreparedTable,
    features: Array,
    targets: Mapping[TaskName, Any],
    seconds: float,
    plan: Spec,
    say: Any,
) -> Importance | None:
    """Importance of each column on the held-out rows; None where there is one row, or it would take too long.

    Args:
        model: trained.
        prepared: the table.
        features, targets: of the held-out rows.
        seconds: that the training took.
        plan: has the seed.
        say: called with a sentence where it would take too long; or None.
    """
    limit, sources = max(SECONDS, SHARE * seconds), prepared.encoder.sources
    found = importance(
        model, features, sources, targets, prepared.held_out[0], seed=plan.seed, seconds=limit
    )
    if found is None and len(features) > 1:
        columns = len(prepared.encoder.columns)
        _say(
            say,
            f"Which of the {columns} columns matters to which task was not measured, as it would have taken more than "
            f"{limit:.0f} seconds: run.importance_of(table) does it.",
        )
    return found


def _say(say: Any, sentence: str) -> None:
    if say is not None:
        say(sentence)
