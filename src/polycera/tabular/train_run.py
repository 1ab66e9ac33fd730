"""Train the network of a run from its first step or last checkpoint, and write its results."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from polycera import evaluation
from polycera.callbacks import Gradients, ParetoCheckpoint
from polycera.callbacks.checkpoint import Checkpoint
from polycera.callbacks.gradient_probe import GradientProbe
from polycera.callbacks.interrupts import InterruptRequest
from polycera.callbacks.progress import PHASES, Progress
from polycera.errors import InUse, PolyceraError, Terminated, shorten
from polycera.interpretation.sharing import sharing
from polycera.layers.call_graph import Graph
from polycera.layers.shared_layers import shared_layers
from polycera.model import scores, variables
from polycera.model.model import Model
from polycera.model.predicting import raw_outputs
from polycera.runs import folder, kept_epochs, manifest, results, timing
from polycera.runs.checkpoints import Checkpoints
from polycera.runs.mirror import Mirror
from polycera.runs.results import Quality
from polycera.storage import arrays, atomic, lock, table_files
from polycera.tabular import post_fit, prediction_columns, recipe
from polycera.tabular.fit_data import FitData
from polycera.tabular.prepare import PreparedTable
from polycera.tabular.run import Run, as_values
from polycera.tabular.step_plan import StepPlan
from polycera.tabular.threshold_metrics import scored
from polycera.tabular.train_network import FitResult, Observers, train_network
from polycera.tasks.layout import Encoded
from polycera.typing import Array


def train_run(
    run: Run,
    prepared: PreparedTable,
    progress: bool,
    every: str,
    say: Any = None,
    *,
    fresh: bool = True,
    mirror: Mirror | None = None,
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
        mirror: the run's copy in a remote store, which follows each checkpoint; or None.

    Raises:
        Interrupted, Terminated: after Ctrl-C, SIGTERM or SIGHUP, with the command that resumes.
        InUse: where another process trains into the folder.
    """
    checkpoint_folder, interrupts = run.path / folder.CHECKPOINTS, InterruptRequest()
    checkpoint = Checkpoint(checkpoint_folder, every=every, delete_checkpoint=False)
    checkpoint.go_on, checkpoint.around, checkpoint.run = (
        f"polycera resume {shorten(run.address)}",
        interrupts,
        manifest.identity(run.path),
    )
    checkpoint.saved = None if mirror is None else mirror.send
    bar = Progress(1)
    try:
        with lock.acquired(checkpoint_folder):
            with interrupts.listening():
                for directory in (run.path, run.path / folder.EPOCHS):
                    atomic.sweep(directory)
                started = perf_counter()
                observers = _observers(
                    run, bar if progress else None, checkpoint, prepared.stream is not None
                )
                result = train_network(prepared, run.spec, observers)
                try:
                    recipe.check_finite(result.model)
                except PolyceraError:
                    checkpoint.clear()  # resuming from these checkpoints would fail here again
                    raise
                quality = _write(run, prepared, result, perf_counter() - started, bar, say)
            checkpoint.clear()
    except InUse:
        raise
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | Terminated)
        if interrupted and _ended(run.path):
            written = f"Interrupted; the run is written: {shorten(run.address)}."
            raise interrupts.end(written) from None
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
    if mirror is not None:
        mirror.send()
    for sentence in quality.warnings:
        say(sentence) if say is not None else warnings.warn(sentence, stacklevel=4)
    finished = Run(run.path)
    finished.model = result.model
    return finished


def _ended(path: Path) -> bool:
    """Return whether the manifest of a run shows that it has ended."""
    with suppress(PolyceraError):
        return folder.MODEL in manifest.entries(path)
    return False


def _observers(run: Run, bar: Progress | None, checkpoint: Checkpoint, streams: bool) -> Observers:
    """Return what observes the training of a run: it saves, draws, and records gradients."""

    def observers(model: Model, fit_data: FitData, steps: StepPlan) -> list[Any]:
        """Return the callbacks for this network."""
        gradients = _gradients(model, fit_data.train, steps.batch_size, run.spec.seed)
        callbacks: list[Any] = [gradients] if gradients else []
        if bar is not None:
            bar.epochs = steps.epochs
            bar.rows_per_step = steps.batch_size if streams else None
            callbacks.append(bar)
        callbacks.append(checkpoint)
        if fit_data.checked is not None:
            kept_epochs_callback = ParetoCheckpoint(run.path / folder.EPOCHS)
            kept_epochs_callback.run = checkpoint.run
            callbacks.append(kept_epochs_callback)
        return callbacks

    return observers


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
    run: Run, prepared: PreparedTable, result: FitResult, seconds: float, bar: Progress, say: Any
) -> Quality:
    """Write everything that is known after the last step, and return the quality.

    The manifest comes last; with it the run has ended.

    Args:
        run, prepared, result: the run, its table, and the result of its training.
        seconds: duration of the training.
        bar: shows what is being done.
        say: called with a sentence on each result that could not be computed; or None.
    """
    place, model, history = run.path, result.model, result.history
    bar.phase(PHASES[1])
    thresholds = result.thresholds(say)
    at = evaluation.by_task(thresholds, model.layout)
    reported = _reported(prepared, result, at)
    quality = post_fit.measured(
        model, reported.part, reported.encoded, reported.predicted, reported.at, result.spec
    )
    quality.warnings = result.leaks(prepared)
    bar.phase(PHASES[2])
    result_files = {
        results.THRESHOLDS: thresholds,
        results.QUALITY: quality,
        results.IMPORTANCE: post_fit.column_importance(
            model,
            prepared,
            reported.features,
            reported.encoded,
            reported.raw,
            result.rows_passed,
            result.spec,
            say,
        ),
    }
    bar.phase(PHASES[3])
    written = [folder.METRICS, folder.HISTORY, folder.PREDICTIONS]
    metrics = _metrics(prepared, result, reported)
    atomic.write(place / folder.METRICS, manifest.page(metrics))
    table_files.write(
        place / folder.HISTORY, {"epoch": list(range(len(history["loss"]))), **history}
    )
    prediction_table = prediction_columns.beside_truth(
        prepared.numbered(reported.rows),
        prepared.rows(reported.rows)[1],
        reported.encoded,
        model.layout,
        reported.predicted,
        reported.at,
        carried=prediction_columns.ids_of(prepared.table.take(reported.rows), prepared.ids),
        tags=run.spec.data.tags,
    )
    table_files.write(place / folder.PREDICTIONS, prediction_table)
    written += post_fit.write(place, result_files, say)
    gradients = result.gradient_history
    if gradients is not None and gradients.epochs:
        arrays.write(place / folder.GRADIENTS, gradients.arrays(), gradients.notes())
        written.append(folder.GRADIENTS)
    atomic.write(place / results.SHARING, manifest.page(sharing(model)))
    written.append(results.SHARING)
    arrays.write(place / folder.MODEL, variables.read(variables.weights(model)))
    written += [f"{folder.EPOCHS}/{file.name}" for file in kept_epochs.files(place / folder.EPOCHS)]
    timing.rewrite(place, run.timing, seconds=round(seconds, 2))
    manifest.add(place, [*written, folder.MODEL])
    return quality


class ReportedRows(NamedTuple):
    """Holds the rows whose metrics are reported, with their predictions.

    Attributes:
        part: test; without test rows validation; without these train.
        rows: their indices in the table.
        features, encoded: features and encoded labels.
        raw: raw outputs of the final network, [n, output columns]; None where the predictions are
            out-of-fold.
        predicted: task -> predictions [n, p] in the user's units.
        at: task -> decision thresholds.
        weights: sample weights [n, tasks], or None.
    """

    part: str
    rows: Any
    features: Array
    encoded: Encoded
    raw: Array | None
    predicted: post_fit.Predictions
    at: prediction_columns.Thresholds
    weights: Array | None


def _reported(
    prepared: PreparedTable, result: FitResult, at: prediction_columns.Thresholds
) -> ReportedRows:
    """Return the reported rows, which pass the network once for all that is computed of them.

    Without test rows the validation rows are reported, with out-of-fold predictions, which exist
    already.
    """
    part, rows = prepared.held_out
    fit_data = result.fit_data
    if part == "validation" and result.out_of_fold is not None and fit_data.checked is not None:
        features, encoded = fit_data.checked
        return ReportedRows(
            part,
            fit_data.rows,
            features,
            encoded,
            None,
            result.out_of_fold,
            at,
            fit_data.checked_sample,
        )
    features, encoded = prepared.encoded_rows(rows)
    raw = raw_outputs(result.model, features)
    predicted = scores.predictions(result.model.layout, raw, result.model.units)
    weights = prepared.weights_of(rows).sample
    return ReportedRows(part, rows, features, encoded, raw, predicted, at, weights)


def _metrics(prepared: PreparedTable, result: FitResult, reported: ReportedRows) -> dict[str, Any]:
    """Return the metrics of a run; those of predicted classes use its decision thresholds.

    Validation metrics use out-of-fold predictions; test metrics use the final network.
    """
    model, fit_data, at = result.model, result.fit_data, reported.at
    metrics: dict[str, Any] = {"part": reported.part}
    raw, predicted = result.out_of_fold_raw, result.out_of_fold
    if raw is not None and predicted is not None and fit_data.checked is not None:
        metrics["validation"] = _scored(
            model, fit_data.checked[1], raw, predicted, at, fit_data.checked_sample
        )
    if reported.raw is not None:
        metrics[reported.part] = _scored(
            model, reported.encoded, reported.raw, reported.predicted, at, reported.weights
        )
    counts = prepared.numbers_of_rows
    if fit_data.fold_mask is not None:
        counts |= {"train": len(fit_data.rows), "validation": len(fit_data.rows)}
    return metrics | {
        "rows": counts,
        "parameters": model.count_params(),
        "epochs": len(result.history["loss"]),
    }


def _scored(
    model: Model,
    encoded: Encoded,
    raw: Array,
    predicted: post_fit.Predictions,
    at: prediction_columns.Thresholds,
    weights: Array | None,
) -> dict[str, Any]:
    """Return every metric as plain values; one that is not defined on these rows is None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return as_values(scored(model, encoded, raw, predicted, at, weights))
