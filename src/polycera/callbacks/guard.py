"""A NaN or an infinite number is stopped in the step in which it arises, before it reaches a weight or a file."""

from __future__ import annotations

import time
import warnings
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from polycera.callbacks.watched_metrics import needs_tasks
from polycera.data.batches import Batches
from polycera.errors import PolyceraError, UnknownName, listing, shorten
from polycera.layers import backend
from polycera.model import variables
from polycera.model.guarded_optimizer import MARK, step_counter, steps_taken
from polycera.model.hooks import FitHook
from polycera.model.nonfinite import blamed_weight, not_finite
from polycera.tasks import Layout
from polycera.typing import Tensor

SECONDS = 1.0
"""How often the host looks at the mark: what is marked stays as it is, so there is no hurry."""


class NotFinite(PolyceraError):
    """A loss, a gradient or a weight that is NaN or infinite ended a training."""


class Guard(FitHook):
    """Keeps NaN and infinite numbers out of the weights, and says where they come from.

    Each step looks at its losses and gradients on the device. Where one is not finite, that step
    changes nothing: no weight, no momentum, no state of a method. Under "stop" nothing changes any
    more from there on; the training ends within a second with an error that names epoch, batch,
    tasks and terms, and the weights are those before that batch. Under "skip" it goes on;
    `skipped_steps` in the logs counts, and a warning names. Weights that overflow although all
    gradients are finite are found within a second, or in the next step.

    Without this callback a step with a loss that is not finite has a gradient of 0, and gradients
    are not looked at. With float16 the loss scaling of Keras looks at gradients; this callback then
    adds the names and the stop.

    Args:
        policy: "stop" or "skip".

    Raises:
        UnknownName: for another policy.
        NotFinite: in training, as said above.

    Examples:
        >>> import polycera as pc
        >>> watch = pc.callbacks.Guard()
    """

    def __init__(self, policy: Literal["stop", "skip"] = "stop") -> None:
        super().__init__()
        if policy not in ("stop", "skip"):
            raise UnknownName("policy of pc.callbacks.Guard", policy, ("stop", "skip"))
        self.policy = self.nonfinite = policy
        self._rows: Batches | None = None
        self._looked, self._start, self._epoch, self._skipped = 0.0, 0, 0, -1

    def take_rows(self, rows: Batches | None) -> None:
        """Keep the batches, to find out which gradient was not finite."""
        self._rows = rows

    def get_state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing is remembered."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Refuse a model whose step nobody looks into."""
        needs_tasks(
            self.model,
            "pc.callbacks.Guard",
            "keras.callbacks.TerminateOnNaN stops the training of any Keras model.",
        )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note the epoch."""
        self._epoch, self._start, self._skipped = epoch, -1, -1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Look, once a second."""
        if self._start < 0:
            variables.settle(self.model)
            self._start = steps_taken(self.model.optimizer) - int(
                self.model._ledger.read()["steps"]
            )
            self._looked = time.monotonic()
        elif time.monotonic() - self._looked > SECONDS:
            self.look()

    def on_test_begin(self, logs: Any = None) -> None:
        """Look before anything is measured with spoilt weights."""
        if self._skipped < 0:
            self.look()
            done = steps_taken(self.model.optimizer) - self._start
            self._skipped = (
                int(self.model._ledger.read()["steps"]) - done if self.model._wrapped else 0
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look before anybody saves, and count what was skipped."""
        self.on_test_begin()
        known = int((logs or {}).get("skipped_steps", 0))
        if logs is not None and self._skipped > known:
            logs["skipped_steps"] = float(self._skipped)
            warnings.warn(
                f"{self._skipped - known} steps of epoch {epoch + 1} were skipped, because a gradient was not finite "
                'while the losses were; policy="stop" would name batch and loss.',
                stacklevel=2,
            )

    def look(self) -> None:
        """End the training where something is not finite.

        Raises:
            NotFinite: naming epoch, batch, and what is known of the rest.
        """
        self._looked = time.monotonic()
        model = self.model
        variables.settle(model)
        marked = steps_taken(model.optimizer) - MARK
        if marked >= 0:
            step_counter(model.optimizer).assign(marked)
            raise NotFinite(self._sentence(marked - self._start))
        sums = model._ledger.read()
        # where the mark cannot be set: float16, several replicas
        if self.policy == "stop" and sums["skipped"]:
            raise NotFinite(self._sentence(int(sums["first"]) - 1))
        if bad := not_finite(model):
            rate = float(ops.convert_to_numpy(model.optimizer.learning_rate))
            blamed = _blamed(model) or "Lower the learning rate, or look for enormous values."
            raise NotFinite(
                f"The training came apart in epoch {self._epoch + 1}: weights are NaN or infinite, the first of "
                f"{shorten(bad)!r} (learning rate {rate:g}). {blamed}"
            )

    def _sentence(self, batch: int) -> str:
        model = self.model
        spoilt = model._ledger.read()["spoilt"]
        names = [name for name, n in zip(model._objective.names, spoilt, strict=True) if n]
        where = f"Training was stopped in epoch {self._epoch + 1} at batch {batch + 1}: "
        rate = float(ops.convert_to_numpy(model.optimizer.learning_rate))
        blamed = (
            _blamed(model)
            or f"Look for enormous or wrong values there, or lower the learning rate (now {rate:g})."
        )
        hint = f" {blamed}"
        if names:
            return f"{where}a loss is NaN or infinite: {listing(names)}.{hint}"
        names = [] if self._rows is None else _steep(model, self._rows.batch(self._epoch, batch))
        if names:
            return f"{where}the gradient of a loss is NaN or infinite, while the loss is not: {listing(names)}.{hint}"
        return (
            f"{where}a gradient is NaN or infinite; it arises in the layers below the heads.{hint}"
        )


def _blamed(model: Any) -> str | None:
    """A sentence on a weight of a task that is enormous."""
    return blamed_weight({name: task.weight for name, task in model.tasks.items()})


def _steep(model: Any, batch: Any) -> list[str]:
    """The terms whose gradient at the raw outputs is not finite for this batch; dropout is not repeated."""
    x, y, weights = (*batch, None)[:3]
    raw = ops.convert_to_tensor(
        model(keras.tree.map_structure(ops.convert_to_tensor, x), training=False)
    )
    objective, kept = model._objective, model._kept()
    y = ops.convert_to_tensor(y, "float32")
    weights = None if weights is None else ops.convert_to_tensor(weights, "float32")

    def term(i: int) -> Any:
        def mean(at: Tensor) -> Tensor:
            return objective.means(objective(y, at, weights, kept))[i]

        return mean

    found = [
        ops.convert_to_numpy(backend.gradient(term(i), raw)) for i in range(len(objective.names))
    ]
    # each by its own columns: a term that is not asked has a gradient of 0 there, or NaN where 0
    #     meets an infinity
    return [
        name
        for name, owner, g in zip(objective.names, objective.owner, found, strict=True)
        if not np.isfinite(g[:, _columns(objective.layout, owner)]).all()
    ]


def _columns(layout: Layout, task: int) -> slice:
    """The columns of the raw outputs that belong to the task of this number; all of them for joint terms."""
    starts = np.cumsum([0, *(own.units for own in layout.tasks.values())])
    return slice(starts[task], starts[task + 1]) if task < len(layout.tasks) else slice(None)
