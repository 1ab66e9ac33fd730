"""Keep the epochs that no other beats on every task, so that the trade-off is chosen after the training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from polycera.callbacks.joint_checkpoint import finite, say_not_finite
from polycera.callbacks.joint_score import check_weights
from polycera.callbacks.score_scale import NEEDS
from polycera.callbacks.watched_metrics import Given, LogWatch, watch
from polycera.errors import InputError, shorten
from polycera.model import variables
from polycera.runs import kept_epochs, pareto_set
from polycera.storage import arrays, atomic

MOST = 16
"""Epochs that can be kept: what each alone adds to the hypervolume takes a look at all subsets of them."""


class ParetoCheckpoint(keras.callbacks.Callback):
    """Keeps the weights of the epochs that no other epoch beats on every task.

    How much one task is worth against another can then be said after the training: for whatever
    weights, the best of all epochs is among those that no other beats. Each is one file of the
    folder; where there are more of them than are kept, the one goes that alone adds least to the
    hypervolume, the volume of skills that the set reaches.

    Files of kept epochs that an earlier training left in the folder are removed when the first
    epoch is kept. Weights that are not finite are never written.

    Args:
        folder: for the files; made if it is not there.
        weights: the tasks, or `"task/metric"`, that are watched: a list of names, or weights as
            `JointScore` takes them, of which 0 leaves a task out. Default: every task's headline
            metric. For a Keras model without
            tasks: names in the logs, such as `["val_churn_auc", "val_price_mae"]`.
        keep: epochs at most, 2 to 16.
        mode, trivial, ideal: as for `JointScore`.
        verbose: 1 prints which epochs are kept.

    Raises:
        UnknownName: at the beginning of training, for a task or metric that the model does not
            have.
        InputError: for weights that are not finite, 0 or more, with a positive sum; for another
            number of epochs.

    Examples:
        >>> import polycera as pc
        >>> watch = pc.callbacks.ParetoCheckpoint("front")
        >>> # model.fit(..., callbacks=[watch]), and then
        >>> # watch.pick({"churn": 0.9, "revenue_loss": 0.1})
    """

    def __init__(
        self,
        folder: str | Path,
        weights: Mapping[str, float] | Sequence[str] | None = None,
        *,
        keep: int = 8,
        mode: Mapping[str, str] | None = None,
        trivial: Mapping[str, float] | None = None,
        ideal: Mapping[str, float] | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(keep, bool) or not isinstance(keep, int) or not 2 <= keep <= MOST:
            raise InputError(
                f"ParetoCheckpoint keeps 2 to {MOST} epochs, got keep={shorten(repr(keep))}."
            )
        self.folder, self.keep = Path(folder).resolve(), keep
        self.weights = None if weights is None else _weights(weights)
        given = Given.of(mode, trivial, ideal)
        self.mode, self.trivial, self.ideal, self.verbose = (
            given.mode,
            given.trivial,
            given.ideal,
            verbose,
        )
        self._watch: Any = None
        self.run: str | None = None  # the identity of the run that the folder is in
        self._begin()

    def _begin(self) -> None:
        self._skills: dict[int, list[float]] = {}
        self._refused = self._seen = False

    @property
    def epochs(self) -> tuple[int, ...]:
        """The numbers of the epochs that are kept."""
        return tuple(sorted(self._skills))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin anew, and find out whether there is a place for the files."""
        given = Given(self.mode, self.trivial, self.ideal)
        self._watch = watch(self.model, self.weights, "set of kept epochs", given, NEEDS["skill"])
        self._begin()
        atomic.make_folder(self.folder)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the names, where Keras knows them only from the first batch on."""
        if batch == 0 and isinstance(self._watch, LogWatch):
            self._watch.first_batch()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep this epoch where no other beats it, and drop those that it beats."""
        if not self._watch.measured(logs):
            return
        self._seen = True
        readings = self._watch.read(logs)
        each = zip(self._watch.pairs, self._watch.weights.values(), readings, strict=True)
        used = [(pair, reading) for pair, weight, reading in each if weight > 0]
        skills = [reading.skill for _, reading in used]
        after = _kept(
            {e: own for e, own in self._skills.items() if e != epoch} | {epoch: skills}, self.keep
        )
        if epoch not in after or np.isnan(skills).all():
            return
        values = variables.read(variables.weights(self.model))
        if finite(values):
            pairs = [pair for pair, _ in used]
            kept_epochs.write(
                self.folder, epoch, values, self._watch.scores(readings), pairs, self.run
            )
            self._skills = after
            kept_epochs.sweep(
                self.folder, after
            )  # after the new one is there: a sudden end leaves too many, never too few
            if self.verbose:
                print(
                    f"\nEpoch {epoch + 1}: no other epoch beats it on every task, kept in {self.folder}"
                )
        elif not self._refused:
            self._refused = True
            say_not_finite(self, epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Say so where there was nothing to watch."""
        if not self._seen:
            warnings.warn(
                "ParetoCheckpoint has no validation rows to look at, so no epoch is kept: "
                "pass validation_data or validation_split to fit.",
                stacklevel=2,
            )

    def pick(self, weights: Mapping[str, float]) -> int:
        """Put the weights of the kept epoch that is best under these weights into the model.

        Args:
            weights: task, or `"task/metric"`, -> how much its skill is worth; what is not named
                counts nothing.

        Returns:
            the number of that epoch.

        Raises:
            UnknownName: for a task or metric that the model does not have.
            InputError: for weights that are not finite, 0 or more, with a positive sum; where no
                epoch is kept.
        """
        found = [one for one in kept_epochs.read(self.folder) if one.epoch in self._skills]
        if lost := sorted(self._skills.keys() - {one.epoch for one in found}):
            warnings.warn(
                f"Of the kept epochs {lost} cannot be read any more; the others remain.",
                stacklevel=2,
            )
        best = kept_epochs.pick(found, weights)
        restore(self.model, best)
        return best.epoch


def restore(model: keras.Model, epoch: kept_epochs.KeptEpoch) -> None:
    """Put the weights of a kept epoch into a model that is built as it was.

    Raises:
        InputError: where they are of another model; nothing is changed then.
        PolyceraError: where the file is damaged.
    """
    variables.settle(model)
    stored = arrays.StoredArrays(epoch.path)
    variables.load(variables.weights(model), stored, f"The kept epoch {shorten(epoch.path.name)!r}")


def _weights(weights: Any) -> dict[str, float] | list[float]:
    names: Any = [weights] if isinstance(weights, str) else weights
    if isinstance(names, list | tuple | set) and all(isinstance(name, str) for name in names):
        names = dict.fromkeys(names, 1.0)
    check_weights(names, "set of kept epochs")
    return dict(names) if isinstance(names, Mapping) else list(names)


def _kept(skills: dict[int, list[float]], most: int) -> dict[int, list[float]]:
    """Of these epochs the ones that no other beats, and of more than are kept, all but the one that adds least."""
    epochs = sorted(skills)
    rows = np.array([skills[epoch] for epoch in epochs], "float64")
    beaten = ~pareto_set.non_dominated(rows)
    epochs, rows = [e for e, out in zip(epochs, beaten, strict=True) if not out], rows[~beaten]
    if len(epochs) > most:
        adds = pareto_set.contributions(rows)
        del epochs[len(epochs) - 1 - int(np.argmin(adds[::-1]))]  # of equals the last
    return {epoch: skills[epoch] for epoch in epochs}
