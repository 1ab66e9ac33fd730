"""Save the model of the best epoch: in memory while past epochs may be rescored, and in a file."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from polycera import renamed
from polycera.callbacks.joint_score import JointScore, Scale
from polycera.errors import InputError, shorten
from polycera.model import variables
from polycera.runs import pareto_set
from polycera.storage import arrays, atomic
from polycera.typing import TaskName

HELD = 8
"""Most epochs whose weights are held in memory where past epochs may be rescored."""


class Holding(JointScore):
    """Holds the weights of the best epoch in memory, and of those that may become the best."""

    def _begin(self) -> None:
        """Reset everything that belongs to one training."""
        super()._begin()
        self._held: dict[int, list[np.ndarray]] = {}

    def best_of(self, epochs: Iterable[int]) -> int:
        """Return the first of these epochs with the highest joint score, as it is rated now."""
        return max(sorted(epochs), key=self._score)

    def _score(self, epoch: int) -> float:
        """Return the joint score of an epoch; minus infinity where it is not defined."""
        score = float(self.scores[epoch])
        return -math.inf if math.isnan(score) else score

    def _hold(self, now: int) -> None:
        """Hold this epoch's weights if it is or may become the best; drop those that cannot."""
        if math.isnan(self.scores[now]):
            return
        epochs = [*self._held, now]
        if self.rescores:
            # only epochs of the Pareto set can come out best under some range of the metrics
            epochs = [
                candidate
                for candidate, non_dominated in zip(
                    epochs, pareto_set.non_dominated(self.scaled[epochs]), strict=True
                )
                if non_dominated
            ]
            epochs = sorted(epochs, key=self._score, reverse=True)[:HELD]
        else:
            epochs = [self.best_of(epochs)]
        if now in epochs:
            self._held[now] = self.model.get_weights()
        self._held = {candidate: self._held[candidate] for candidate in sorted(epochs)}


class JointCheckpoint(Holding):
    """Saves the model whenever the joint score improves; there is no direction to get wrong.

    It logs what `JointScore` logs. The file is whole at any moment: it is replaced once the new one
    is written. Weights that are not finite are never written.

    Where the scale may rescore past epochs ("minmax"), the weights of epochs that may still come
    out best are held in memory, eight at most. The file is rewritten when the best epoch changes to
    one of them. The optimizer's state in a `.keras` file is then that of the epoch in which the
    change was noticed.

    Args:
        path: path of the file: `.keras` for the whole model, `.safetensors` for its weights.
        score_weights, scale, how, reference, mode, trivial, ideal: as for `JointScore`.
        min_delta: an improvement has to be larger than this.
        verbose: 1 prints each improvement, and where the model was saved.

    Attributes:
        saved_epoch: the epoch whose weights are in the file, counted as `best_epoch` is; None
            before there is one.

    Raises:
        InputError: for another file suffix; at the beginning of training, for a folder that does
            not exist.

    Examples:
        >>> import polycera as pc
        >>> watch = pc.callbacks.JointCheckpoint("best.keras", {"churn": 0.7, "revenue_loss": 0.3})
    """

    @renamed.arguments(weights="score_weights")
    def __init__(
        self,
        path: str | Path,
        score_weights: Mapping[str, float] | None = None,
        *,
        min_delta: float = 0.0,
        scale: Scale = "skill",
        how: str = "mean",
        reference: Mapping[TaskName, float] | None = None,
        mode: Mapping[str, str] | None = None,
        trivial: Mapping[str, float] | None = None,
        ideal: Mapping[str, float] | None = None,
        verbose: int = 0,
    ) -> None:
        given: dict[str, Any] = dict(mode=mode, trivial=trivial, ideal=ideal, verbose=verbose)
        super().__init__(score_weights, scale=scale, how=how, reference=reference, **given)
        self.path, self.min_delta = Path(path), checked_delta(min_delta)
        if self.path.suffix not in (".keras", arrays.SUFFIX):
            raise InputError(
                f"JointCheckpoint cannot write {shorten(self.path.name)!r}: end the name in .keras "
                f"for the whole model, or in {arrays.SUFFIX} for its weights."
            )

    def _begin(self) -> None:
        """Reset everything that belongs to one training."""
        super()._begin()
        self.saved_epoch: int | None = None
        self._refused = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Reset the state, and check that the file can be written."""
        super().on_train_begin(logs)
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise InputError(
                f"JointCheckpoint cannot write {shorten(self.path)!r}: "
                + (
                    "it is a folder."
                    if self.path.is_dir()
                    else f"make the folder {shorten(self.path.parent)!r} first."
                )
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Score the epoch, and save the model if it is better than the saved one."""
        now = len(self.scores)
        super().on_epoch_end(epoch, logs)
        if len(self.scores) > now:
            # read before `_consider` changes `saved_epoch`
            before = None if self.saved_epoch is None else float(self.scores[self.saved_epoch])
            self._consider(now, epoch)
            self._print(epoch, now, before)

    def _consider(self, now: int, epoch: int) -> None:
        """Save the best epoch if it is better than the saved one.

        Args:
            now: the index of this epoch in `scores`.
            epoch: its number, for warnings.
        """
        rescored = self.rescores
        if rescored and self._is_sound(epoch):
            self._hold(now)
        candidates = list(self._held) if rescored else [now]
        if (
            candidates
            and self._is_better(best := self.best_of(candidates))
            and (rescored or self._is_sound(epoch))
        ):
            self._save(best, now)

    def _is_better(self, epoch: int) -> bool:
        """Return whether an epoch is better than the saved one by more than `min_delta`."""
        saved = (
            -math.inf
            if self.saved_epoch is None
            else self._score(self.saved_epoch) + self.min_delta
        )
        return self._score(epoch) > saved

    def _is_sound(self, epoch: int) -> bool:
        """Return whether the weights are finite; warn the first time that they are not."""
        sound = finite(variables.read(variables.weights(self.model)))
        if not sound and not self._refused:
            self._refused = True
            say_not_finite(self, epoch)
        return sound

    def _save(self, best: int, now: int) -> None:
        """Write the weights of the best epoch; the model keeps those of this epoch."""
        if best == now:
            self._write(best)
        else:
            present_weights = self.model.get_weights()
            self.model.set_weights(self._held[best])
            try:
                self._write(best)
            finally:
                self.model.set_weights(present_weights)
        self.saved_epoch = best

    def _report(self, epoch: int, before: float | None) -> None:
        """Do nothing: `_print` reports later, when it is known whether the file is written."""

    def _print(self, epoch: int, now: int, before: float | None) -> None:
        """Print whether the file was written, in the words of Keras."""
        if not self.verbose:
            return
        previous, score = "None" if before is None else f"{before:.5f}", float(self.scores[now])
        if self.saved_epoch == now:
            print(
                f"\nEpoch {epoch + 1}: val_joint improved from {previous} to {score:.5f}, saving "
                f"model to {self.path}"
            )
        else:
            print(f"\nEpoch {epoch + 1}: val_joint did not improve from {previous}")

    def _write(self, best: int) -> None:
        """Write the file as a whole, or leave the old one."""
        if self.path.suffix == arrays.SUFFIX:
            arrays.write(self.path, variables.read(variables.weights(self.model)), {"epoch": best})
        else:
            with atomic.replacing(self.path) as temporary:
                self.model.save(temporary)


def checked_delta(value: Any) -> float:
    """Return the minimal improvement as a finite number, 0 or more.

    Raises:
        InputError: for anything else.
    """
    if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
        raise InputError(f"min_delta is a finite number, 0 or more, got {value!r}.")
    return float(value)


def finite(values: Mapping[str, np.ndarray]) -> bool:
    """Return whether none of these numbers is NaN or infinite."""
    return all(bool(np.isfinite(array).all()) for array in values.values())


def say_not_finite(callback: keras.callbacks.Callback, epoch: int) -> None:
    """Warn that an epoch is not written because its weights are not finite."""
    warnings.warn(
        f"{type(callback).__name__}: the weights after epoch {epoch} are not all finite, so they "
        "are not written; lower the learning rate, or look for very large values in the "
        "features. This warning is shown once.",
        stacklevel=4,
    )
