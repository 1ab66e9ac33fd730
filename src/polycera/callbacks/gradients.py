"""Record the gradient statistics that balancing measures, epoch by epoch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from polycera.callbacks.gradient_history import GradientHistory, shares
from polycera.callbacks.watched_metrics import needs_tasks
from polycera.errors import InputError
from polycera.model.gradient_stats import GradientStats


class Gradients(keras.callbacks.Callback):
    """Records weights, norms, cosines and conflicts of the tasks' gradients in each epoch.

    The training step adds them up on the device; this callback only reads them once an epoch. A
    model without balancing measures nothing. `balancing="mean"` measures and changes nothing;
    `GradientProbe` measures from outside of the step. Beyond two million numbers, cosines and
    conflicts are stored for evenly spaced epochs and the newest only; those of the others are NaN.

    Attributes:
        tasks: the tasks of the largest shared region, m names.
        weights: the factor of each task's gradient in that region, [epochs, m]; 1 is the plain sum.
        norms: norms of the tasks' gradients before those weights, [epochs, m].
        shares: each task's share in the sum of the norms, [epochs, m].
        weighted_shares: each task's share after its weight is applied, [epochs, m].
        cosines: cosines between the tasks' gradients, [epochs, m, m]; below 0 two tasks conflict.
        conflicts: the share of the steps in which two tasks conflict, [epochs, m, m].
        regions: for each epoch, the gradient statistics of all shared regions, as
            `Model.gradients` returns them.
        pulls: the history of all shared regions, as it is written into a run; None before the first
            epoch has ended.

    Logs:
        `task/trunk_weight` and `task/gradient_norm`, for the largest shared region.

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
        >>> history = model.fit(
        ...     X, {"churn": X[:, 0] > 0, "spend": X[:, 1]}, callbacks=[watch], epochs=2, verbose=0
        ... )
        >>> watch.cosines.shape
        (2, 2, 2)
    """

    def __init__(self) -> None:
        super().__init__()
        self.pulls: GradientHistory | None = None

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint needs to resume."""
        return {"pulls": None if self.pulls is None else self.pulls.state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resume from what `get_state` returned."""
        self.pulls = None if state["pulls"] is None else GradientHistory.of(state["pulls"])

    @property
    def regions(self) -> list[list[GradientStats]]:
        """Return the gradient statistics of each shared region, for each epoch."""
        if self.pulls is None:
            return []
        return [
            [self._statistics(i, p) for p in range(len(self.pulls.places))]
            for i in range(len(self.pulls.epochs))
        ]

    def _statistics(self, epoch: int, region: int) -> GradientStats:
        """Return the gradient statistics of one shared region in one epoch, both by index."""
        history = self.pulls
        assert history is not None
        region_tasks = history.serving[region]
        cosines, conflicts = history.matrices(epoch)[:, region][:, region_tasks][:, :, region_tasks]
        weights, norms = history.vectors(epoch)[:, region, region_tasks]
        return GradientStats(
            tuple(history.tasks[i] for i in region_tasks),
            weights,
            norms,
            cosines,
            conflicts,
            history.places[region],
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the names of the tasks, in the order of all arrays."""
        return (
            () if self.pulls is None else tuple(self.pulls.tasks[i] for i in self.pulls.serving[0])
        )

    @property
    def weights(self) -> np.ndarray:
        """Return the factors of the tasks' gradients, [epochs, m]."""
        return self._first("weights")

    @property
    def norms(self) -> np.ndarray:
        """Return the norms of the gradients, [epochs, m]."""
        return self._first("norms")

    @property
    def shares(self) -> np.ndarray:
        """Return each task's share in the sum of the norms, [epochs, m]."""
        return shares(self.norms)

    @property
    def weighted_shares(self) -> np.ndarray:
        """Return each task's share after its weight is applied, [epochs, m]."""
        return shares(self.norms * self.weights)

    @property
    def cosines(self) -> np.ndarray:
        """Return the cosines between the tasks' gradients, [epochs, m, m]."""
        return self._first("cosines")

    @property
    def conflicts(self) -> np.ndarray:
        """Return the share of steps in which two tasks conflict, [epochs, m, m]."""
        return self._first("conflicts")

    def _first(self, what: str) -> np.ndarray:
        """Return one statistic of the first (largest) shared region for all epochs."""
        epochs = range(len(self.pulls.epochs)) if self.pulls is not None else ()
        return np.array([getattr(self._statistics(i, 0), what) for i in epochs])

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Reset the history, and check that the model balances gradients."""
        self.pulls = None
        needs_tasks(self.model, "pc.callbacks.Gradients")
        if not self.model.balanced:
            raise InputError(
                "pc.callbacks.Gradients has nothing to record: this model does not balance "
                'gradients. balancing="mean" measures them without changing them; '
                "GradientProbe(x, y) measures them on a sample of rows."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the gradient statistics of this epoch to the history and to the logs."""
        stats = self.model.gradients
        names = list(self.model.layout.tasks)
        serving = [[names.index(task) for task in region.tasks] for region in stats]
        if self.pulls is None:
            self.pulls = GradientHistory(
                names, [region.place for region in stats], serving, "balancing"
            )
        self.pulls.add(epoch, *_among_all(stats, serving, len(names)))
        largest = stats[0]
        if logs is not None:
            for name, weight, norm in zip(
                largest.tasks, largest.weights, largest.norms, strict=True
            ):
                logs[f"{name}/trunk_weight"], logs[f"{name}/gradient_norm"] = (
                    float(weight),
                    float(norm),
                )


def _among_all(
    regions: list[GradientStats], serving: list[list[int]], tasks: int
) -> tuple[np.ndarray, ...]:
    """Return weights and norms [p, m], cosines and conflicts [p, m, m], over all tasks.

    NaN for tasks that do not use a shared region.
    """
    vectors, matrices = (np.full((2, len(regions), *(tasks,) * axes), np.nan) for axes in (1, 2))
    for index, (region, region_tasks) in enumerate(zip(regions, serving, strict=True)):
        vectors[:, index, region_tasks] = region.weights, region.norms
        matrices[:, index][np.ix_((0, 1), region_tasks, region_tasks)] = (
            region.cosines,
            region.conflicts,
        )
    return (*vectors, *matrices)
