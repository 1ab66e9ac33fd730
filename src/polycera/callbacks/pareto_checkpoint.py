"""Save the Pareto set of epochs, so that the trade-off can be chosen after the training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from polycera import renamed
from polycera.callbacks.joint_checkpoint import finite, say_not_finite
from polycera.callbacks.joint_score import check_weights
from polycera.callbacks.score_scale import NEEDS
from polycera.callbacks.watched_metrics import Given, LogWatch, watch
from polycera.errors import InputError, shorten
from polycera.model import variables
from polycera.runs import kept_epochs, pareto_set
from polycera.storage import arrays, atomic

MOST = 16
"""Most epochs that can be stored: their hypervolume contributions need all subsets of them."""


class ParetoCheckpoint(keras.callbacks.Callback):
    """Saves the weights of the Pareto set: the epochs that no other epoch beats on every task.

    The weight of one task against another can then be chosen after the training: for any weights,
    the best of all epochs is in the Pareto set. Each epoch is one file in the folder. Where the set
    has more than `keep` epochs, the one that alone adds least to the hypervolume (the volume of
    skills that the set reaches) is removed.

    Files that an earlier training left in the folder are removed when the first epoch is stored.
    Weights that are not finite are never written.

    Args:
        folder: the folder of the files; it is created if it does not exist.
        score_weights: the tasks, or `"task/metric"`, that are watched: a list of names, or weights
            as `JointScore` takes them, of which 0 leaves a task out. Default: every task's headline
            metric. For a Keras model without tasks: names in the logs, such as
            `["val_churn_auc", "val_price_mae"]`.
        keep: the most epochs to store, 2 to 16.
        mode, trivial, ideal: as for `JointScore`.
        verbose: 1 prints which epochs are stored.

    Raises:
        UnknownName: at the beginning of training, for a task or metric that the model does not
            have.
        InputError: for weights that are not finite, 0 or more, with a positive sum; for a `keep`
            outside 2 to 16.

    Examples:
        >>> import polycera as pc
        >>> watch = pc.callbacks.ParetoCheckpoint("front")
        >>> # model.fit(..., callbacks=[watch]), and then
        >>> # watch.pick({"churn": 0.9, "revenue_loss": 0.1})
    """

    weights = renamed.Attribute("score_weights")

    @renamed.arguments(weights="score_weights")
    def __init__(
        self,
        folder: str | Path,
        score_weights: Mapping[str, float] | Sequence[str] | None = None,
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
        self.score_weights = None if score_weights is None else _weights(score_weights)
        given = Given.of(mode, trivial, ideal)
        self.mode, self.trivial, self.ideal, self.verbose = (
            given.mode,
            given.trivial,
            given.ideal,
            verbose,
        )
        self._watch: Any = None
        self.run: str | None = None  # the identity of the run, where the folder is part of one
        self._begin()

    def _begin(self) -> None:
        """Reset everything that belongs to one training."""
        self._skills: dict[int, list[float]] = {}
        self._refused = self._seen = False

    @property
    def epochs(self) -> tuple[int, ...]:
        """Return the numbers of the stored epochs."""
        return tuple(sorted(self._skills))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Reset the state, find the watched metrics and create the folder."""
        given = Given(self.mode, self.trivial, self.ideal)
        self._watch = watch(
            self.model, self.score_weights, "set of kept epochs", given, NEEDS["skill"]
        )
        self._begin()
        atomic.make_folder(self.folder)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Resolve the names where Keras builds its metrics only in the first batch."""
        if batch == 0 and isinstance(self._watch, LogWatch):
            self._watch.first_batch()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Store this epoch if no other beats it, and drop those that it beats."""
        if not self._watch.measured(logs):
            return
        self._seen = True
        readings = self._watch.read(logs)
        watched = zip(self._watch.pairs, self._watch.weights.values(), readings, strict=True)
        used = [(pair, reading) for pair, weight, reading in watched if weight > 0]
        skills = [reading.skill for _, reading in used]
        after = _kept(
            {other: epoch_skills for other, epoch_skills in self._skills.items() if other != epoch}
            | {epoch: skills},
            self.keep,
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
            # sweep after the new file is written: a crash leaves too many files, never too few
            kept_epochs.sweep(self.folder, after)
            if self.verbose:
                print(
                    f"\nEpoch {epoch + 1}: no other epoch beats it on every task, kept in "
                    f"{self.folder}"
                )
        elif not self._refused:
            self._refused = True
            say_not_finite(self, epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Warn where no epoch had validation rows."""
        if not self._seen:
            warnings.warn(
                "ParetoCheckpoint has no validation rows, so no epoch is kept: pass "
                "validation_data or validation_split to fit.",
                stacklevel=2,
            )

    @renamed.arguments(weights="score_weights")
    def pick(self, score_weights: Mapping[str, float]) -> int:
        """Load the stored epoch that is best under these weights into the model.

        Args:
            score_weights: task, or `"task/metric"`, -> weight of its skill; a task that is not
                named has weight 0.

        Returns:
            the number of that epoch.

        Raises:
            UnknownName: for a task or metric that the model does not have.
            InputError: for weights that are not finite, 0 or more, with a positive sum; where no
                epoch is stored.
        """
        stored = [item for item in kept_epochs.read(self.folder) if item.epoch in self._skills]
        if lost := sorted(self._skills.keys() - {item.epoch for item in stored}):
            warnings.warn(
                f"The kept epochs {lost} cannot be read any more; the others remain.",
                stacklevel=3,
            )
        best = kept_epochs.pick(stored, score_weights)
        restore(self.model, best)
        return best.epoch


def restore(model: keras.Model, epoch: kept_epochs.KeptEpoch) -> None:
    """Load the weights of a stored epoch into a model of the same architecture.

    Raises:
        InputError: where the weights are of another model; nothing is changed then.
        PolyceraError: where the file is damaged.
    """
    variables.settle(model)
    stored = arrays.StoredArrays(epoch.path)
    variables.load(variables.weights(model), stored, f"The kept epoch {shorten(epoch.path.name)!r}")


def _weights(weights: Any) -> dict[str, float] | list[float]:
    """Return weights as a dict or a list; names alone get weight 1.

    Raises:
        InputError: for weights that are not finite, 0 or more, with a positive sum.
    """
    names: Any = [weights] if isinstance(weights, str) else weights
    if isinstance(names, list | tuple | set) and all(isinstance(name, str) for name in names):
        names = dict.fromkeys(names, 1.0)
    check_weights(names, "set of kept epochs")
    return dict(names) if isinstance(names, Mapping) else list(names)


def _kept(skills: dict[int, list[float]], most: int) -> dict[int, list[float]]:
    """Return the Pareto set of these epochs: epoch -> skills.

    Where it has more than `most` epochs, the one with the smallest hypervolume contribution is left
    out. One is enough, because one epoch is added at a time.
    """
    epochs = sorted(skills)
    rows = np.array([skills[epoch] for epoch in epochs], "float64")
    beaten = ~pareto_set.non_dominated(rows)
    epochs, rows = (
        [epoch for epoch, is_beaten in zip(epochs, beaten, strict=True) if not is_beaten],
        rows[~beaten],
    )
    if len(epochs) > most:
        contributions = pareto_set.contributions(rows)
        # reversed: of equal contributions the last one is removed
        del epochs[len(epochs) - 1 - int(np.argmin(contributions[::-1]))]
    return {epoch: skills[epoch] for epoch in epochs}
