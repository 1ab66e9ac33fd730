"""Train the network of a prepared table: build it, fit it, blend it, choose its thresholds.

It writes no file. What becomes of the result is decided by who calls it: `train_run` writes a run
folder, `in_memory` keeps it for an estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from polycera.callbacks import Gradients
from polycera.callbacks.gradient_history import GradientHistory
from polycera.callbacks.gradient_probe import GradientProbe
from polycera.model import scores
from polycera.model.model import Model
from polycera.runs.results import Thresholds
from polycera.runs.spec import Spec
from polycera.tabular import post_fit, recipe
from polycera.tabular.fit_data import FitData
from polycera.tabular.prepare import PreparedTable
from polycera.tabular.step_plan import EPOCH_ROWS, StepPlan
from polycera.tabular.telling_columns import telling_columns
from polycera.typing import Array, TaskName

Observers = Callable[[Model, FitData, StepPlan], Sequence[Any]]
"""Function from the built network, its rows and the length of the training to callbacks of Keras.

They see the joint score, and may save, draw or record, but change no number of the training.
"""


@dataclass(frozen=True)
class FitResult:
    """Holds the result of a training.

    Attributes:
        model: the network.
        spec: of the training, with everything that was inferred.
        fit_data: the rows it was trained and validated on.
        history: name -> one value per epoch.
        rows_passed: rows of all training steps together, which is what the training cost.
        gradient_history: gradient statistics of the tasks, if any were recorded.
        out_of_fold_raw: raw outputs [n, output columns] for `fit_data.rows` by a network that did
            not train on them; None without validation.
    """

    model: Model
    spec: Spec
    fit_data: FitData
    history: dict[str, list[float]]
    rows_passed: int
    gradient_history: GradientHistory | None
    out_of_fold_raw: Array | None

    @cached_property
    def out_of_fold(self) -> dict[TaskName, Array] | None:
        """Return the out-of-fold predictions [n, p] of each task, in the user's units."""
        if self.out_of_fold_raw is None:
            return None
        return scores.predictions(self.model.layout, self.out_of_fold_raw, self.model.units)

    def leaks(self, prepared: PreparedTable) -> list[str]:
        """Return a sentence on each column that alone predicts nearly as well as the network."""
        return telling_columns(prepared, self.fit_data, self.out_of_fold, self.spec.seed)

    def thresholds(self, say: Any = None) -> Thresholds | None:
        """Return decision thresholds fitted to the out-of-fold predictions; see `post_fit`."""
        return post_fit.thresholds(
            self.model,
            self.fit_data.checked,
            self.out_of_fold,
            self.spec,
            say,
            self.fit_data.checked_sample,
        )


def train_network(
    prepared: PreparedTable, spec: Spec, observers: Observers | None = None
) -> FitResult:
    """Train the network of a table and return it with what else is known after the last step.

    Two calls with one seed give equal numbers on one machine, whatever observes them. Whether the
    weights are finite is for the caller to check, who may have checkpoints to remove:
    `recipe.check_finite`.

    Args:
        prepared: the table.
        spec: its network is completed: `recipe.completed`.
        observers: makes further callbacks, or None.

    Raises:
        InputError: for a task without a single label in the training part.
    """
    fit_data = FitData.of(prepared, spec)
    stream, held_rows = prepared.stream, len(fit_data.train[0])
    steps = (
        StepPlan.of(held_rows, spec.training)
        if stream is None
        else StepPlan.of(stream.rows, spec.training, EPOCH_ROWS)
    )
    model = recipe.build(
        prepared.encoder.width,
        prepared.tasks,
        spec.network,
        spec.training,
        spec.seed,
        weighted_metrics=spec.data.sample_weight is not None,
    )
    callbacks = list(observers(model, fit_data, steps)) if observers else []
    history, out_of_fold_raw = recipe.train(
        model,
        fit_data.train,
        fit_data.validation,
        steps,
        spec.training,
        callbacks,
        spec.seed,
        fold_mask=fit_data.fold_mask,
        groups=fit_data.groups,
        blocks=fit_data.blocks,
        # Beside a table that is larger than memory, its few validation rows would weigh nothing.
        go_on=fit_data.by_time and stream is None,
        stream=stream,
        weights=fit_data.weights,
    )
    histories = [
        callback.pulls for callback in callbacks if isinstance(callback, Gradients | GradientProbe)
    ]
    epochs = len(history["loss"])
    rows_per_epoch = (
        steps.passes * (held_rows if stream is None else stream.rows)
        if steps.steps is None
        else steps.steps * steps.batch_size
    )
    return FitResult(
        model=model,
        spec=spec,
        fit_data=fit_data,
        history=history,
        rows_passed=epochs * rows_per_epoch,
        gradient_history=histories[0] if histories else None,
        out_of_fold_raw=out_of_fold_raw,
    )
