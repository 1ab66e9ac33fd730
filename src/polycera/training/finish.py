"""The training of a run, from its first step or from its last checkpoint, and what is written at its end."""

from __future__ import annotations

import warnings
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from polycera.errors import Interrupted, shorten
from polycera.monitoring import Gradients, ParetoCheckpoint, variables
from polycera.monitoring.progress import Progress
from polycera.runs import arrays, atomic, folder, seal
from polycera.runs import columns as files
from polycera.runs.checkpoints import Checkpoints
from polycera.training import answers, recipe
from polycera.training.checkpoint import Checkpoint
from polycera.training.model import Model
from polycera.training.run import Run, as_values
from polycera.training.table import Prepared


class Trained(NamedTuple):
    """What a training came to.

    Attributes:
        model: the network.
        history: name -> one value an epoch.
        gradients: what balancing saw of the gradients, if there was any.
        seconds: that it took.
    """

    model: Model
    history: dict[str, list[float]]
    gradients: Gradients | None
    seconds: float


def train_into(run: Run, prepared: Prepared, progress: bool, every: str) -> Run:
    """Train the network of a run that has begun, and write down what it came to.

    Args:
        run: its folder has a spec and a schema, and may have checkpoints.
        prepared: its table.
        progress: whether to draw a bar.
        every: how often a checkpoint is saved.
    """
    place = run.path / folder.CHECKPOINTS
    kept = Checkpoint(place, every=every, delete_checkpoint=False)
    kept.go_on = f"polycera resume {shorten(run.path)}"
    try:
        trained = _trained(run, prepared, progress, kept)
        _write(run.path, prepared, trained)
    except BaseException as error:
        if not Checkpoints(place).all():  # nothing to go on from
            atomic.discard(run.path)
        elif type(error) is KeyboardInterrupt:
            raise Interrupted(f"Interrupted; to go on, {kept.go_on}.") from None
        raise
    kept.clear()
    found = Run(run.path)
    found.model = trained.model
    return found


def _trained(run: Run, prepared: Prepared, progress: bool, kept: Checkpoint) -> Trained:
    """Train the network of a table."""
    begun, plan = perf_counter(), run.spec
    train, validation = prepared.rows(prepared.parts.train), None
    if len(prepared.parts.validation):
        validation = prepared.rows(prepared.parts.validation)
    steps = recipe.Plan.of(len(train[0]), plan.training)
    model = recipe.build(prepared.encoder.width, prepared.tasks, plan.network, plan.training, plan.seed)
    gradients = Gradients() if model.balanced else None
    bar = Progress(steps.epochs)
    watch: list[Any] = [*([gradients] if gradients else []), *([bar] if progress else []), kept]
    if validation is not None:
        watch.append(ParetoCheckpoint(run.path / folder.EPOCHS))
    try:
        history = recipe.train(model, train, validation, steps, plan.training, watch, plan.seed)
    finally:
        bar.stop()
    recipe.check_finite(model)
    return Trained(model, history, gradients, perf_counter() - begun)


def _write(place: Path, prepared: Prepared, trained: Trained) -> None:
    """Everything that is known after the last step; the manifest comes last, and with it the run has ended."""
    model, history = trained.model, trained.history
    rows = prepared.held_out[1]
    features, targets = prepared.rows(rows)
    predicted = model._in_units(features, verbose=0)
    written = [folder.MODEL, folder.METRICS, folder.HISTORY, folder.PREDICTIONS]
    atomic.write(place / folder.METRICS, seal.page(_metrics(prepared, trained)))
    files.write(place / folder.HISTORY, {"epoch": list(range(len(history["loss"]))), **history})
    files.write(place / folder.PREDICTIONS, answers.beside_truth(np.asarray(rows), targets, model.layout, predicted))
    if trained.gradients is not None:
        seen = trained.gradients
        parts = {"weights": seen.weights, "norms": seen.norms, "cosines": seen.cosines}
        arrays.write(place / folder.GRADIENTS, parts, {"tasks": list(seen.tasks)})
        written.append(folder.GRADIENTS)
    arrays.write(place / folder.MODEL, variables.read(variables.weights(model)))
    seal.seal(place, written)


def _metrics(prepared: Prepared, trained: Trained) -> dict[str, Any]:
    name, rows = prepared.held_out
    parts = {"validation": prepared.parts.validation, name: rows}  # one entry where they are the same
    found: dict[str, Any] = {"held_out": name}
    for part, indices in parts.items():
        if len(indices):
            features, targets = prepared.rows(indices)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trained.model.evaluate(features, targets, verbose=0)
            found[part] = as_values(trained.model.scores)
    return found | {
        "rows": {part: len(indices) for part, indices in prepared.named_parts.items()},
        "parameters": trained.model.count_params(),
        "epochs": len(trained.history["loss"]),
        "seconds": round(trained.seconds, 2),
    }
