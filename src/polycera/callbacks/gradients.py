"""What a training saw of its tasks' gradients, epoch by epoch: who pulled how hard, who against whom."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from polycera.callbacks.gradient_history import GradientHistory, shares
from polycera.callbacks.watched_metrics import needs_tasks
from polycera.errors import InputError
from polycera.model.gradient_stats import GradientStats


class Gradients(keras.callbacks.Callback):
    """Keeps what balancing saw of the tasks' gradients: weights, norms, cosines, conflicts, over the steps of an epoch.

    They are added up on the device in the training step itself; this callback only reads them once
    an epoch. A model without balancing measures nothing: `balancing="mean"` measures and changes
    nothing; `GradientProbe` looks from outside. Beyond two million numbers, cosines and conflicts
    are kept of evenly spaced epochs and the newest only; those of the others are NaN.

    Attributes:
        tasks: the tasks that share the largest part of the network, m names.
        weights: by which that part took each task's gradient, [epochs, m]; 1 is the plain sum.
        norms: of the tasks' gradients before those weights, [epochs, m].
        shares: of each task in the sum of the norms, [epochs, m].
        weighted_shares: the same after the weights: what they did to each task, [epochs, m].
        cosines: between the tasks' gradients, [epochs, m, m]; below 0 two tasks pull against each
            other.
        conflicts: the share of the steps in which they did, [epochs, m, m].
        regions: for each epoch all parts of the network that two or more tasks share, as
            `Model.gradients` gives them.
        pulls: the same for all parts, as it is written into a run; None before the first epoch has
            ended.

    Logs:
        `task/trunk_weight` and `task/gradient_norm`, for the largest part.

    Raises:
        InputError: at the beginning of training, for a model without balancing.

    Examples:
        >>> import keras, numpy as np, polycera as pc
        >>> x = keras.Input((3,))
        >>> heads = pc.layers.Heads([pc.Binary("churn"), pc.Regression("spend")], balancing="mean")
        >>> model = pc.Model(x, heads(keras.layers.Dense(4)(x)))
        >>> model.compile("adam")
        >>> X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
        >>> watch = pc.callbacks.Gradients()
        >>> history = model.fit(X, {"churn": X[:, 0] > 0, "spend": X[:, 1]}, callbacks=[watch], epochs=2, verbose=0)
        >>> watch.cosines.shape
        (2, 2, 2)
    """

    def __init__(self) -> None:
        super().__init__()
        self.pulls: GradientHistory | None = None

    def get_state(self) -> dict[str, Any]:
        """What it takes to go on after an interruption."""
        return {"pulls": None if self.pulls is None else self.pulls.state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave."""
        self.pulls = None if state["pulls"] is None else GradientHistory.of(state["pulls"])

    @property
    def regions(self) -> list[list[GradientStats]]:
        """For each epoch, each part."""
        if self.pulls is None:
            return []
        return [
            [self._pull(i, p) for p in range(len(self.pulls.places))]
            for i in range(len(self.pulls.epochs))
        ]

    def _pull(self, epoch: int, place: int) -> GradientStats:
        pulls = self.pulls
        assert pulls is not None
        own = pulls.serving[place]
        cosines, conflicts = pulls.matrices(epoch)[:, place][:, own][:, :, own]
        weights, norms = pulls.vectors(epoch)[:, place, own]
        return GradientStats(
            tuple(pulls.tasks[i] for i in own),
            weights,
            norms,
            cosines,
            conflicts,
            pulls.places[place],
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names, in the order of all arrays."""
        return (
            () if self.pulls is None else tuple(self.pulls.tasks[i] for i in self.pulls.serving[0])
        )

    @property
    def weights(self) -> np.ndarray:
        """[epochs, m]."""
        return self._first("weights")

    @property
    def norms(self) -> np.ndarray:
        """[epochs, m]."""
        return self._first("norms")

    @property
    def shares(self) -> np.ndarray:
        """[epochs, m]."""
        return shares(self.norms)

    @property
    def weighted_shares(self) -> np.ndarray:
        """[epochs, m]."""
        return shares(self.norms * self.weights)

    @property
    def cosines(self) -> np.ndarray:
        """[epochs, m, m]."""
        return self._first("cosines")

    @property
    def conflicts(self) -> np.ndarray:
        """[epochs, m, m]."""
        return self._first("conflicts")

    def _first(self, what: str) -> np.ndarray:
        epochs = range(len(self.pulls.epochs)) if self.pulls is not None else ()
        return np.array([getattr(self._pull(i, 0), what) for i in epochs])

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin anew."""
        self.pulls = None
        needs_tasks(self.model, "pc.callbacks.Gradients")
        if not self.model.balanced:
            raise InputError(
                "pc.callbacks.Gradients has nothing to read: this model balances no gradients. "
                'balancing="mean" measures them and changes nothing; GradientProbe(x, y) looks at a sample of rows.'
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep what this epoch saw."""
        seen = self.model.gradients
        names = list(self.model.layout.tasks)
        serving = [[names.index(task) for task in pull.tasks] for pull in seen]
        if self.pulls is None:
            self.pulls = GradientHistory(names, [pull.place for pull in seen], serving, "balancing")
        self.pulls.add(epoch, *_among_all(seen, serving, len(names)))
        first = seen[0]
        if logs is not None:
            for name, weight, norm in zip(first.tasks, first.weights, first.norms, strict=True):
                logs[f"{name}/trunk_weight"], logs[f"{name}/gradient_norm"] = (
                    float(weight),
                    float(norm),
                )


def _among_all(
    seen: list[GradientStats], serving: list[list[int]], tasks: int
) -> tuple[np.ndarray, ...]:
    """Weights and norms [p, m], cosines and conflicts [p, m, m]; NaN for tasks that a place does not serve."""
    vectors, matrices = (np.full((2, len(seen), *(tasks,) * axes), np.nan) for axes in (1, 2))
    for place, (pull, own) in enumerate(zip(seen, serving, strict=True)):
        vectors[:, place, own] = pull.weights, pull.norms
        matrices[:, place][np.ix_((0, 1), own, own)] = pull.cosines, pull.conflicts
    return (*vectors, *matrices)
