"""What a training saw of its tasks' gradients, epoch by epoch: who pulled how hard, who against whom."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from polycera.errors import InputError
from polycera.shapes import TaskName


class Pull(NamedTuple):
    """What an epoch saw of the gradients of tasks that meet somewhere: means over the steps in which a task had one.

    Attributes:
        tasks: their names, m.
        weights: by which what they share took each task's gradient, [m]; NaN where it had none.
        norms: of the tasks' gradients, before those weights, [m].
        cosines: between the tasks' gradients, [m, m], over the steps in which both had one.
    """

    tasks: tuple[TaskName, ...]
    weights: np.ndarray
    norms: np.ndarray
    cosines: np.ndarray


class Gradients(keras.callbacks.Callback):
    """Keeps the weights, gradient norms and cosines that balancing saw: their means over the steps of each epoch.

    They are added up on the device in the training step itself; this callback only reads them once an epoch. A model
    without balancing measures nothing: `balancing="mean"` measures and changes nothing.

    Attributes:
        tasks: the tasks that share the largest part of the network, m names.
        weights: by which that part took each task's gradient, [epochs, m]; 1 is the plain sum.
        norms: of the tasks' gradients before those weights, [epochs, m].
        cosines: between the tasks' gradients, [epochs, m, m]; below 0 two tasks pull against each other.
        regions: for each epoch all parts of the network that two or more tasks share, as `Model.gradients` gives them.

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
        self.regions: list[list[Pull]] = []

    def get_state(self) -> dict[str, Any]:
        """What it takes to go on after an interruption."""
        return {"regions": [[pull._asdict() for pull in pulls] for pulls in self.regions]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave."""
        self.regions = [[Pull(**pull) for pull in pulls] for pulls in state["regions"]]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names, in the order of all arrays."""
        return self.regions[0][0].tasks if self.regions else ()

    @property
    def weights(self) -> np.ndarray:
        """[epochs, m]."""
        return self._first("weights")

    @property
    def norms(self) -> np.ndarray:
        """[epochs, m]."""
        return self._first("norms")

    @property
    def cosines(self) -> np.ndarray:
        """[epochs, m, m]."""
        return self._first("cosines")

    def _first(self, what: str) -> np.ndarray:
        return np.array([getattr(regions[0], what) for regions in self.regions])

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin anew."""
        self.regions = []
        if not self.model.balanced:
            raise InputError(
                "pc.callbacks.Gradients has nothing to read: this model balances no gradients. "
                'balancing="mean" measures them and changes nothing.'
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep what this epoch saw."""
        self.regions.append(self.model.gradients)
        first = self.regions[-1][0]
        if logs is not None:
            for name, weight, norm in zip(first.tasks, first.weights, first.norms, strict=True):
                logs[f"{name}/trunk_weight"], logs[f"{name}/gradient_norm"] = float(weight), float(norm)
