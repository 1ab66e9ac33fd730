"""Stop a training by its joint score, and restore the weights of the best epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from polycera import renamed
from polycera.callbacks.joint_checkpoint import checked_delta
from polycera.callbacks.joint_score import JointScore, Scale
from polycera.callbacks.score_scale import leader
from polycera.errors import InputError, UnknownName
from polycera.typing import Array, TaskName


class JointEarlyStopping(JointScore):
    """Stops when the joint score has not improved for a while, and restores the best epoch.

    One line replaces three callbacks, and there is no direction to get wrong. It logs what
    `JointScore` logs. The weights of the best epoch are held in memory.

    Args:
        score_weights, scale, how, reference, mode, trivial, ideal: as for `JointScore`.
        patience: epochs without an improvement of the joint score; or task name -> epochs: training
            then stops when each of these tasks has gone longer than that without an improvement of
            its own.
        least: where given, patience grows with the number of epochs up to the best one: a training
            waits as many epochs as it needed to get there, at least this many, at most `patience`.
            A training that is best early and gets worse from then on stops soon (as the patience of
            Bengio 2012, arXiv:1206.5533, section 3.1.1).
        min_delta: an improvement has to be larger than this.
        restore_best: whether to restore the weights of the best epoch, however the training ends.
        verbose: 1 prints each improvement, when the training is stopped, and which epoch is
            restored.

    Attributes:
        stopped_epoch: the epoch at whose end the training was stopped; None where it ran to its
            end.

    Examples:
        >>> import polycera as pc
        >>> watch = pc.callbacks.JointEarlyStopping(
        ...     {"churn": 0.7, "revenue_loss": 0.3}, patience=10
        ... )
    """

    @renamed.arguments(weights="score_weights")
    def __init__(
        self,
        score_weights: Mapping[str, float] | None = None,
        *,
        patience: int | Mapping[str, int] = 10,
        least: int | None = None,
        min_delta: float = 0.0,
        restore_best: bool = True,
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
        counts = list(patience.values()) if isinstance(patience, Mapping) else [patience]
        if not counts or any(
            isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in counts
        ):
            raise InputError(
                "Patience is a number of epochs, 0 or more, or a dict of such a number for each "
                f"task, as {{'churn': 5, 'price': 10}}; got {patience!r}."
            )
        if least is not None and (
            isinstance(least, bool) or not isinstance(least, int) or least < 1
        ):
            raise InputError(f"The least patience is a number of epochs, 1 or more, got {least!r}.")
        if least is not None and isinstance(patience, Mapping):
            raise InputError(
                "JointEarlyStopping takes least= with a single patience for all tasks, not with "
                "one for each task."
            )
        self.least = least
        self.patience, self.min_delta, self.restore_best = (
            patience,
            checked_delta(min_delta),
            restore_best,
        )
        self.stopped_epoch: int | None = None

    def _begin(self) -> None:
        """Reset everything that belongs to one training."""
        super()._begin()
        # the best epoch -> its weights
        self._held: dict[int, list[np.ndarray]] = {}
        # task, or "" for the joint score -> the epoch of its last improvement
        self._improved: dict[str, int | None] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Reset the state, and check the names in `patience`."""
        super().on_train_begin(logs)
        self.stopped_epoch = None
        if isinstance(self.patience, Mapping):
            for name in self.patience:
                if name not in self.tasks:
                    raise UnknownName("task in patience=:", name, self.tasks)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Score the epoch, hold its weights if they may be restored, stop if patience is over."""
        scored = len(self.scores)
        super().on_epoch_end(epoch, logs)
        # an epoch without validation rows gets no score
        if len(self.scores) == scored:
            return
        if self.restore_best and self.best_epoch == scored:
            self._held = {scored: self.model.get_weights()}
        if self._is_over():
            self.model.stop_training = True
            self.stopped_epoch = epoch

    def _is_over(self) -> bool:
        """Return whether patience is used up."""
        if isinstance(self.patience, Mapping):
            scaled = dict(zip(self.tasks, self.scaled.T, strict=True))
            # for every task, because `_waited` notes an improvement
            over = [self._waited(name, scaled[name]) > n for name, n in self.patience.items()]
            return all(over)
        waited = self._waited("", self.rated)
        patience = self.patience
        if self.least is not None:
            epochs_to_best = len(self.scores) - waited  # epochs up to the best one, including it
            patience = min(patience, max(self.least, epochs_to_best))
        return waited > max(patience - 1, 0)

    def _waited(self, name: str, scores: Array) -> int:
        """Return how many epochs ago the last improvement was.

        Args:
            name: a task, or "" for the joint score.
            scores: its scores in all epochs, on the scale as it is now.
        """
        now = len(scores) - 1
        improved = self._improved.get(name)
        # a checkpoint of an earlier version has the scores only: all of them are gone through
        for epoch in range(now if name in self._improved else 0, now + 1):
            improved = leader(scores[: epoch + 1], improved, self.min_delta)
        self._improved[name] = improved
        return now - (-1 if improved is None else improved)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the weights of the best epoch."""
        super().on_train_end(logs)
        if self.verbose and self.stopped_epoch is not None:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self._held:
            # a checkpoint of an earlier version may hold other epochs beside the best one
            best_epoch = self.best_epoch if self.best_epoch in self._held else max(self._held)
            self.model.set_weights(self._held[best_epoch])
            if self.verbose:
                print(
                    "Restoring model weights from the end of the best epoch: "
                    f"{self._numbers[best_epoch] + 1}."
                )
        self._held = {}
