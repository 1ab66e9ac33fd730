"""The training of a run, from its first step or from its last checkpoint, and what is written at its end."""

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
from polycera.errors import PolyceraError, Terminated, shorten
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
    """What a training came to.

    Attributes:
        model: the network.
        history: name -> one value an epoch.
        pulls: what was seen of the tasks' gradients, if anything was.
        seconds: that it took.
        plan: by which it went.
        lesson: what it learned from.
        told: raw outputs [n, units] for `lesson.rows` by a network that did not learn from them; or
            None.
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
    """Train the network of a run that has begun, and write down what it came to.

    From the first step on until the manifest is written there is a checkpoint to go on from, and
    signals are listened to. Nobody else works in the folder meanwhile.

    Args:
        run: its folder has a spec and a schema, and may have checkpoints.
        prepared: its table.
        progress: whether to draw a bar.
        every: how often a checkpoint is saved.
        say: called with a sentence on what could not be found out at the end; or None.
        fresh: whether the folder was made for this training; it goes where it fails before the
            first checkpoint.

    Raises:
        Interrupted, Terminated: after Ctrl-C, SIGTERM or SIGHUP, saying how to go on.
        InUse: where another process trains into the folder.
    """
    place, asked = run.path / folder.CHECKPOINTS, InterruptRequest()
    kept = Checkpoint(place, every=every, delete_checkpoint=False)
    kept.go_on, kept.around, kept.run = (
        f"polycera resume {shorten(run.path)}",
        asked,
        manifest.identity(run.path),
    )
    bar = Progress(1)
    try:
        with lock.held(place):
            with asked.listening():
                for each in (run.path, run.path / folder.EPOCHS):
                    atomic.sweep(each)
                trained = _trained(run, prepared, bar if progress else None, kept)
                _write(run.path, prepared, trained, bar, say)
            kept.clear()
    except lock.InUse:
        raise
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | Terminated)
        if interrupted and _ended(run.path):
            raise asked.end(f"Interrupted; the run is written: {shorten(run.path)}.") from None
        if Checkpoints(place).all() or not fresh:
            message = f"Interrupted; to go on, {kept.go_on}."
        else:  # nothing to go on from
            atomic.discard(run.path)
            message = "Interrupted before the first checkpoint; nothing was written."
        if interrupted and not str(error):  # else it says where the training was
            raise asked.end(message) from None
        raise
    finally:
        bar.stop()
    atomic.remove(place)
    found = Run(run.path)
    found.model = trained.model
    return found


def _ended(path: Path) -> bool:
    """Whether the manifest of a run says that it has ended."""
    with suppress(PolyceraError):
        return folder.MODEL in manifest.entries(path)
    return False


def _trained(
    run: Run, prepared: PreparedTable, bar: Progress | None, kept: Checkpoint
) -> FitResult:
    """Train the network of a table."""
    begun, plan = perf_counter(), run.spec
    lesson = FitData.of(prepared, plan)
    steps = recipe.StepPlan.of(len(lesson.train[0]), plan.training)
    model = recipe.build(
        prepared.encoder.width, prepared.tasks, plan.network, plan.training, plan.seed
    )
    gradients = _gradients(model, lesson.train, steps.batch_size, plan.seed)
    if bar is not None:
        bar.epochs = steps.epochs
    watch: list[Any] = [*([gradients] if gradients else []), *([bar] if bar else []), kept]
    if lesson.checked is not None:
        watch.append(ParetoCheckpoint(run.path / folder.EPOCHS))
        watch[-1].run = kept.run
    history, told = recipe.train(
        model,
        lesson.train,
        lesson.validation,
        steps,
        plan.training,
        watch,
        plan.seed,
        held=lesson.held,
        groups=lesson.groups,
    )
    try:
        recipe.check_finite(model)
    except PolyceraError:
        kept.clear()  # to go on from its checkpoints would end here again
        raise
    pulls = gradients.pulls if gradients is not None else None
    return FitResult(model, history, pulls, perf_counter() - begun, plan, lesson, told)


def _gradients(model: Model, train: Any, rows: int, seed: int) -> Gradients | GradientProbe | None:
    """Return what watches the gradients; None where none meet.

    Balancing tells what it saw of the tasks; else a sample of rows is looked at. Where no tasks
    meet, but several loss terms of one do, it is their gradients.
    """
    if model.balanced:
        return Gradients()
    graph = Graph.of(model)
    shared = bool(shared_layers(graph, model.layout))
    if not shared and not shared_layers(graph, model.layout, own=True):
        return None
    return GradientProbe(*train, rows=rows, seed=seed, terms=not shared)


def _write(
    place: Path, prepared: PreparedTable, trained: FitResult, bar: Progress, say: Any
) -> None:
    """Everything that is known after the last step; the manifest comes last, and with it the run has ended."""
    model, history, plan, lesson = trained.model, trained.history, trained.plan, trained.lesson
    part, rows = prepared.held_out
    checked, honest = lesson.checked, None
    if checked is not None:
        checked = checked[0], encode(model.layout, checked[1])
    bar.phase(PHASES[1])
    if trained.told is not None:
        honest = scores.predictions(model.layout, trained.told, model.units)
    chosen = post_fit.thresholds(model, checked, honest, plan, say)
    at = evaluation.by_task(chosen, model.layout) if chosen is not None else {}
    raw = None
    if part == "validation" and honest is not None and checked is not None:
        rows, (features, targets), predicted = lesson.rows, lesson.checked or checked, honest
        encoded = checked[1]
    else:
        features, targets = prepared.rows(rows)
        encoded = encode(model.layout, targets)
        raw = raw_outputs(model, features)  # once for metrics, quality and predictions
        predicted = scores.predictions(model.layout, raw, model.units)
    measured = post_fit.measured(model, part, encoded, predicted, at, plan)
    bar.phase(PHASES[2])
    found = {
        results.THRESHOLDS: chosen,
        results.QUALITY: measured,
        results.IMPORTANCE: post_fit.column_importance(
            model, prepared, features, encoded, trained.seconds, plan, say
        ),
    }
    bar.phase(PHASES[3])
    written = [folder.METRICS, folder.HISTORY, folder.PREDICTIONS]
    table = _metrics(prepared, trained, checked, encoded, raw, at)
    atomic.write(place / folder.METRICS, manifest.page(table))
    table_files.write(
        place / folder.HISTORY, {"epoch": list(range(len(history["loss"]))), **history}
    )
    said = prediction_columns.beside_truth(np.asarray(rows), targets, model.layout, predicted, at)
    table_files.write(place / folder.PREDICTIONS, said)
    written += post_fit.write(place, found, say)
    if trained.pulls is not None and trained.pulls.epochs:
        arrays.write(place / folder.GRADIENTS, trained.pulls.arrays(), trained.pulls.notes())
        written.append(folder.GRADIENTS)
    atomic.write(place / results.SHARING, manifest.page(sharing(model)))
    written.append(results.SHARING)
    arrays.write(place / folder.MODEL, variables.read(variables.weights(model)))
    written += [f"{folder.EPOCHS}/{one.name}" for one in kept_epochs.files(place / folder.EPOCHS)]
    manifest.seal(place, [*written, folder.MODEL])


def _metrics(
    prepared: PreparedTable,
    trained: FitResult,
    checked: Any,
    targets: Encoded,
    raw: Array | None,
    at: prediction_columns.Thresholds,
) -> dict[str, Any]:
    """Return the metrics of the answers that the run gives: yes and no at its decision thresholds.

    Of validation rows by what did not learn from them, of others by the network itself.

    Args:
        prepared, trained: the table, and what came of it.
        checked: features and encoded labels of the validation rows, or None.
        targets: encoded labels of the part that is held out.
        raw: what the network gives for these rows, [n, units]; None where that part is the
            validation.
        at: task -> decision thresholds.
    """
    model, lesson = trained.model, trained.lesson
    part = prepared.held_out[0]
    found: dict[str, Any] = {"held_out": part}
    if trained.told is not None and checked is not None:
        found["validation"] = _scored(model, checked[1], trained.told, at)
    if part != "validation" and raw is not None:
        found[part] = _scored(model, targets, raw, at)
    counts = {name: len(own) for name, own in prepared.named_parts.items()}
    if lesson.held is not None:
        counts |= {"train": len(lesson.rows), "validation": len(lesson.rows)}
    return found | {
        "rows": counts,
        "parameters": model.count_params(),
        "epochs": len(trained.history["loss"]),
        "seconds": round(trained.seconds, 2),
    }


def _scored(
    model: Model, targets: Encoded, raw: Array, at: prediction_columns.Thresholds
) -> dict[str, Any]:
    """Return every metric of raw outputs [n, units], as plain values; of yes and no at the thresholds."""
    y = pack(model.layout, targets, model.units)
    counted = np.ones((len(y), 1), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measured = scores.exact(model._objective, y, raw, counted, model.units)
    predicted = scores.predictions(model.layout, raw, model.units)
    return as_values(decided(measured, model.layout, targets, predicted, at, model.units.prior))
