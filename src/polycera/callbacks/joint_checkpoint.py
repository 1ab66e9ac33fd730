"""Save the model of the best epoch in a file."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from polycera import renamed
from polycera.callbacks.joint_score import JointScore, Scale
from polycera.callbacks.score_scale import leader
from polycera.errors import InputError, shorten
from polycera.model import variables
from polycera.storage import arrays, atomic
from polycera.typing import TaskName


class JointCheckpoint(JointScore):
    """Saves the model whenever the joint score improves; there is no direction to get wrong.

    It logs what `JointScore` logs. The file is whole at any moment: it is replaced once the new one
    is written. Weights that are not finite are never written.

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
        # part of the state in checkpoints of version 0.1; without a use since
        self._held: dict[int, list[np.ndarray]] = {}

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
            before, rated = self.saved_epoch, self.rated
            if leader(rated, before, self.min_delta) == now and self._is_sound(epoch):
                self._write(now)
                self.saved_epoch = now
            self._print(epoch, now, None if before is None else float(rated[before]))

    def _is_sound(self, epoch: int) -> bool:
        """Return whether the weights are finite; warn the first time that they are not."""
        sound = finite(variables.read(variables.weights(self.model)))
        if not sound and not self._refused:
            self._refused = True
            say_not_finite(self, epoch)
        return sound

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
