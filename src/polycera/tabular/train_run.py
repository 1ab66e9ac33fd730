"""Train the network of a run from its first step or last checkpoint, and write its results."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from polycera import evaluation
from polycera.callbacks import Gradients, ParetoCheckpoint
from polycera.callbacks.checkpoint import Checkpoint
from polycera.callbacks.gradient_history import GradientHistory
from polycera.callbacks.gradient_probe import GradientProbe
from polycera.callbacks.interrupts import InterruptRequest
from polycera.callbacks.progress import PHASES, Progress
from polycera.errors import InUse, PolyceraError, Terminated, shorten
from polycera.interpretation.sharing import sharing
from polycera.layers.graph import Graph
from polycera.layers.shared_layers import shared_layers
from polycera.model import scores, variables
from polycera.model.model import Model
from polycera.model.predicting import raw_outputs
from polycera.model.targets import Encoded, encode, pack
from polycera.runs import folder, kept_epochs, manifest, results
from polycera.runs.checkpoints import Checkpoints
from polycera.runs.spec import Spec
from polycera.storage import arrays, atomic, lock, table_files
from polycera.tabular import post_fit, prediction_columns, recipe
from polycera.tabular.fit_data import FitData
from polycera.tabular.prepare import PreparedTable
from polycera.tabular.run import Run, as_values
from polycera.tabular.threshold_metrics import decided
from polycera.typing import Array


class FitResult(NamedTuple):
    """Holds the result of a training.

    Attributes:
        model: the network.
        history: name -> one value per epoch.
        pulls: gradient statistics of the tasks, if any were recorded.
        seconds: duration of the training.
        plan: the spec of the training.
        lesson: the rows it was trained and validated on.
        told: raw outputs [n, output columns] for `lesson.rows` by a network that did not train on
            them; or None.
    """

    model: Model
    history: dict[str, list[float]]
    pulls: GradientHistory | None
    seconds: float
    plan: Spec
    lesson: FitData
    told: Array | None


def train_run(
    run: Run,
    prepared: PreparedTable,
    progress: bool,
    every: str,
    say: Any = None,
    *,
    fresh: bool = True,
) -> Run:
    """Train the network of a run whose folder exists, and write the results into the folder.

    From the first step until the manifest is written there is a checkpoint to resume from, and
    signals are handled. A lock keeps other processes out of the folder.

    Args:
        run: its folder has a spec and a schema, and may have checkpoints.
        prepared: its table.
        progress: whether to draw a bar.
        every: how often to save a checkpoint.
        say: called with a sentence on each result that could not be computed at the end; or None.
        fresh: whether the folder was made for this training; if so, it is removed where the
            training fails before the first checkpoint.

    Raises:
        Interrupted, Terminated: after Ctrl-C, SIGTERM or SIGHUP, with the command that resumes.
        InUse: where another process trains into the folder.
    """
    checkpoint_folder, interrupts = run.path / folder.CHECKPOINTS, InterruptRequest()
    checkpoint = Checkpoint(checkpoint_folder, every=every, delete_checkpoint=False)
    checkpoint.go_on, checkpoint.around, checkpoint.run = (
        f"polycera resume {shorten(run.path)}",
        interrupts,
        manifest.identity(run.path),
    )
    bar = Progress(1)
    try:
        with lock.acquired(checkpoint_folder):
            with interrupts.listening():
                for directory in (run.path, run.path / folder.EPOCHS):
                    atomic.sweep(directory)
                trained = _trained(run, prepared, bar if progress else None, checkpoint)
                _write(run.path, prepared, trained, bar, say)
            checkpoint.clear()
    except InUse:
        raise
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | Terminated)
        if interrupted and _ended(run.path):
            raise interrupts.end(f"Interrupted; the run is written: {shorten(run.path)}.") from None
        if Checkpoints(checkpoint_folder).all() or not fresh:
            message = f"Interrupted; to resume, {checkpoint.go_on}."
        else:  # nothing to resume from
            atomic.discard(run.path)
            message = "Interrupted before the first checkpoint; nothing was written."
        # An exception with a message is raised as it is: it says where the training was.
        if interrupted and not str(error):
            raise interrupts.end(message) from None
        raise
    finally:
        bar.stop()
    # After the lock is released, because the lock file is in this folder.
    atomic.remove(checkpoint_folder)
    finished = Run(run.path)
    finished.model = trained.model
    return finished


def _ended(path: Path) -> bool:
    """Return whether the manifest of a run shows that it has ended."""
    with suppress(PolyceraError):
        return folder.MODEL in manifest.entries(path)
    return False


def _trained(
    run: Run, prepared: PreparedTable, bar: Progress | None, kept: Checkpoint
) -> FitResult:
    """Train the network of a table and return the result."""
    start, plan = perf_counter(), run.spec
    fit_data = FitData.of(prepared, plan)
    steps = recipe.StepPlan.of(len(fit_data.train[0]), plan.training)
    model = recipe.build(
        prepared.encoder.width, prepared.tasks, plan.network, plan.training, plan.seed
    )
    gradients = _gradients(model, fit_data.train, steps.batch_size, plan.seed)
    if bar is not None:
        bar.epochs = steps.epochs
    callbacks: list[Any] = [*([gradients] if gradients else []), *([bar] if bar else []), kept]
    if fit_data.checked is not None:
        callbacks.append(ParetoCheckpoint(run.path / folder.EPOCHS))
        callbacks[-1].run = kept.run
    history, raw_validation = recipe.train(
        model,
        fit_data.train,
        fit_data.validation,
        steps,
        plan.training,
        callbacks,
        plan.seed,
        held=fit_data.held,
        groups=fit_data.groups,
    )
    try:
        recipe.check_finite(model)
    except PolyceraError:
        kept.clear()  # resuming from these checkpoints would fail here again
        raise
    gradient_history = gradients.pulls if gradients is not None else None
    return FitResult(
        model, history, gradient_history, perf_counter() - start, plan, fit_data, raw_validation
    )


def _gradients(model: Model, train: Any, rows: int, seed: int) -> Gradients | GradientProbe | None:
    """Return the callback that watches the tasks' gradients; None where no tasks share layers.

    Balancing records the gradients of the tasks itself; otherwise they are computed for a sample of
    rows. Where no tasks share layers, but several loss terms of one task do, the gradients are
    those of the terms.
    """
    if model.balanced:
        return Gradients()
    graph = Graph.of(model)
    shared = bool(shared_layers(graph, model.layout))
    if not shared and not shared_layers(graph, model.layout, single_task=True):
        return None
    return GradientProbe(*train, rows=rows, seed=seed, terms=not shared)


def _write(
    place: Path, prepared: PreparedTable, trained: FitResult, bar: Progress, say: Any
) -> None:
    """Write everything that is known after the last step.

    The manifest comes last; with it the run has ended.
    """
    model, history, plan, fit_data = trained.model, trained.history, trained.plan, trained.lesson
    part, rows = prepared.held_out
    checked, out_of_fold = fit_data.checked, None
    if checked is not None:
        checked = checked[0], encode(model.layout, checked[1])
    bar.phase(PHASES[1])
    if trained.told is not None:
        out_of_fold = scores.predictions(model.layout, trained.told, model.units)
    fitted_thresholds = post_fit.thresholds(model, checked, out_of_fold, plan, say)
    at = (
        evaluation.by_task(fitted_thresholds, model.layout) if fitted_thresholds is not None else {}
    )
    raw = None
    # Without test rows the validation rows are reported, with the predictions of a network that did
    # not train on them: these exist already.
    if part == "validation" and out_of_fold is not None and checked is not None:
        rows, (features, targets), predicted = (
            fit_data.rows,
            fit_data.checked or checked,
            out_of_fold,
        )
        encoded = checked[1]
    else:
        features, targets = prepared.rows(rows)
        encoded = encode(model.layout, targets)
        raw = raw_outputs(model, features)  # computed once for metrics, quality and predictions
        predicted = scores.predictions(model.layout, raw, model.units)
    quality = post_fit.measured(model, part, encoded, predicted, at, plan)
    bar.phase(PHASES[2])
    result_files = {
        results.THRESHOLDS: fitted_thresholds,
        results.QUALITY: quality,
        results.IMPORTANCE: post_fit.column_importance(
            model, prepared, features, encoded, trained.seconds, plan, say
        ),
    }
    bar.phase(PHASES[3])
    written = [folder.METRICS, folder.HISTORY, folder.PREDICTIONS]
    metrics = _metrics(prepared, trained, checked, encoded, raw, at)
    atomic.write(place / folder.METRICS, manifest.page(metrics))
    table_files.write(
        place / folder.HISTORY, {"epoch": list(range(len(history["loss"]))), **history}
    )
    prediction_table = prediction_columns.beside_truth(
        np.asarray(rows), targets, model.layout, predicted, at
    )
    table_files.write(place / folder.PREDICTIONS, prediction_table)
    written += post_fit.write(place, result_files, say)
    if trained.pulls is not None and trained.pulls.epochs:
        arrays.write(place / folder.GRADIENTS, trained.pulls.arrays(), trained.pulls.notes())
        written.append(folder.GRADIENTS)
    atomic.write(place / results.SHARING, manifest.page(sharing(model)))
    written.append(results.SHARING)
    arrays.write(place / folder.MODEL, variables.read(variables.weights(model)))
    written += [f"{folder.EPOCHS}/{file.name}" for file in kept_epochs.files(place / folder.EPOCHS)]
    manifest.add(place, [*written, folder.MODEL])


def _metrics(
    prepared: PreparedTable,
    trained: FitResult,
    checked: Any,
    targets: Encoded,
    raw: Array | None,
    at: prediction_columns.Thresholds,
) -> dict[str, Any]:
    """Return the metrics of a run; those of predicted classes use its decision thresholds.

    Validation metrics use out-of-fold predictions; test metrics use the final network.

    Args:
        prepared, trained: the table, and the result of the training.
        checked: features and encoded labels of the validation rows, or None.
        targets: encoded labels of the part that is reported: test, or validation without a test
            part.
        raw: raw outputs of the final network for these rows, [n, output columns]; None where that
            part is the validation.
        at: task -> decision thresholds.
    """
    model, fit_data = trained.model, trained.lesson
    part = prepared.held_out[0]
    metrics: dict[str, Any] = {"held_out": part}
    if trained.told is not None and checked is not None:
        metrics["validation"] = _scored(model, checked[1], trained.told, at)
    if part != "validation" and raw is not None:
        metrics[part] = _scored(model, targets, raw, at)
    counts = {name: len(rows) for name, rows in prepared.named_parts.items()}
    if fit_data.held is not None:
        counts |= {"train": len(fit_data.rows), "validation": len(fit_data.rows)}
    return metrics | {
        "rows": counts,
        "parameters": model.count_params(),
        "epochs": len(trained.history["loss"]),
        "seconds": round(trained.seconds, 2),
    }


def _scored(
    model: Model, targets: Encoded, raw: Array, at: prediction_columns.Thresholds
) -> dict[str, Any]:
    """Return every metric of raw outputs [n, output columns] as plain values.

    Metrics of predicted classes use the decision thresholds.
    """
    y = pack(model.layout, targets, model.units)
    counted = np.ones((len(y), 1), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task_scores = scores.exact(model._objective, y, raw, counted, model.units)
    predicted = scores.predictions(model.layout, raw, model.units)
    return as_values(decided(task_scores, model.layout, targets, predicted, at, model.units.prior))
