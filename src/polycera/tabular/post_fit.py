"""Compute what validation and test rows show about a network, and write it to files of the run.

These are decision thresholds, quality and column importance.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from polycera import evaluation
from polycera.errors import PolyceraError, listing
from polycera.interpretation.permutation_importance import importance
from polycera.model.model import Model
from polycera.runs import manifest
from polycera.runs.results import Importance, Quality, Thresholds
from polycera.runs.spec import Spec
from polycera.storage import atomic
from polycera.tabular.prepare import PreparedTable
from polycera.tasks.layout import Encoded
from polycera.typing import Array, TaskName

PASSES = 100_000
"""Most rows that pass the network for importance after any training, however short."""
SHARE = 0.2
"""The same as a share of the rows of all training steps; the larger of the two limits counts.

Scoring a row costs about a quarter of a row of training, which has a way back too, so the share
comes to 5 % of the training, and the least limit to 5 seconds (measured: `benchmarks/README.md`).
"""

Predictions = Mapping[TaskName, Array]
"""Task -> predictions [n, p] in the user's units."""


def thresholds(
    model: Model,
    checked: Any,
    predicted: Predictions | None,
    spec: Spec,
    say: Any,
    weights: Array | None = None,
) -> Thresholds | None:
    """Return decision thresholds fitted to validation rows, or None.

    There are none where the spec wants none, where no task is binary or multilabel, and where there
    are no validation rows.

    Args:
        model: trained.
        checked: features and encoded labels of the validation rows; with folds, of all training
            rows.
        predicted: predictions for these rows by a network that did not train on them; None without
            such rows.
        spec: names the metric.
        say: called with a sentence on labels that got no threshold; or None.
        weights: sample weights [n, tasks] of the validation rows, or None.
    """
    metric = spec.training.threshold
    if metric == "none" or not any(evaluation.labels_of(task) for task in model.tasks.values()):
        return None
    if checked is None or predicted is None:
        _say(
            say,
            "No decision threshold was chosen because there are no validation rows: the positive "
            "class is predicted from probability 0.5.",
        )
        return None
    fitted = evaluation.thresholds(model.layout, checked[1], predicted, metric, weights=weights)
    _say_of_few(fitted, say)
    return fitted


def _say_of_few(thresholds: Thresholds, say: Any) -> None:
    """Report the labels whose threshold stays at 0.5, because they are too rare to fit one."""
    label_thresholds = [
        (task, label, threshold.fitted)
        for task, labels in thresholds.tasks.items()
        for label, threshold in labels.items()
    ]
    if unfitted := [f"{task}={label}" for task, label, fitted in label_thresholds if not fitted]:
        _say(
            say,
            f"Of {len(label_thresholds)} thresholds, {len(unfitted)} stay at 0.5, because fewer "
            f"than {evaluation.FEW} validation rows are positive, or negative: "
            f"{listing(unfitted, 5)}.",
        )


def measured(
    model: Model,
    part: str,
    encoded: Encoded,
    predicted: Predictions,
    at: Predictions,
    spec: Spec,
) -> Quality:
    """Return the quality of each task on the reported rows, with the decision thresholds `at`."""
    return evaluation.task_quality(model.layout, encoded, predicted, part, at, spec.seed)


def write(path: Path, results_by_file: Mapping[str, msgspec.Struct | None], say: Any) -> list[str]:
    """Write results to their files.

    Args:
        path: folder of the run.
        results_by_file: name of the file -> its content; None is not written.
        say: called with a sentence on a result that is too large to be read again; or None.

    Returns:
        the names of the files that were written.
    """
    written = []
    for name, value in results_by_file.items():
        try:
            page = manifest.page(value)
        # With thousands of tasks a result can be too large. The run is worth more than this file.
        except PolyceraError as error:
            _say(say, f"{name} is not written. {error}")
            continue
        if value is not None:
            atomic.write(path / name, page)
            written.append(name)
    return written


def column_importance(
    model: Model,
    prepared: PreparedTable,
    features: Array,
    targets: Encoded,
    raw: Array | None,
    trained: int,
    spec: Spec,
    say: Any,
) -> Importance | None:
    """Return the importance of each column on the reported rows, or None.

    It is None for a single row, and where it would take too long.

    Args:
        model: trained.
        prepared: the table.
        features, targets: of the reported rows.
        raw: raw outputs of the network for them, where they are known.
        trained: rows of all steps of the training together.
        spec: has the seed.
        say: called with a sentence where it would take too long; or None.
    """
    limit, sources = max(PASSES, int(SHARE * trained)), prepared.encoder.sources
    importances = importance(
        model,
        features,
        sources,
        targets,
        prepared.held_out[0],
        raw=raw,
        seed=spec.seed,
        passes=limit,
    )
    if importances is None and len(features) > 1:
        columns = len(prepared.encoder.columns)
        _say(
            say,
            f"The importance of the {columns} columns was not measured, because more than "
            f"{limit:,} rows would have passed the network: run.importance_of(table) does it.",
        )
    return importances


def _say(say: Any, sentence: str) -> None:
    """Report a sentence where `say` is given."""
    if say is not None:
        say(sentence)
