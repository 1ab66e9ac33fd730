"""Stop NaN and infinite numbers in the step in which they arise, before they reach a weight."""

from __future__ import annotations

import time
import warnings
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from polycera.callbacks.watched_metrics import needs_tasks
from polycera.data.batches import Batches
from polycera.errors import NotFinite, UnknownName, listing, shorten
from polycera.layers import backend
from polycera.model import nonfinite, variables
from polycera.model.fit_hooks import FitHook
from polycera.model.guarded_optimizer import GuardedOptimizer
from polycera.tasks import Layout
from polycera.typing import Tensor

SECONDS = 1.0
"""Seconds between two looks at what the steps have counted on the device.

Nothing changes after a step that stops the training, so a rare look loses nothing.
"""


class Guard(FitHook):
    """Keeps NaN and infinite numbers out of the weights, and reports where they come from.

    Each step checks its losses and gradients on the device. Where one is not finite, that step
    changes nothing: no weight, no momentum, no state of a method. Under "stop" no later step
    changes anything either. The training ends within a second with an error that names epoch,
    batch, tasks and terms, and the weights are those before that batch. Under "skip" the training
    continues; `skipped_steps` in the logs counts the skipped steps, and a warning names the losses.
    Weights that overflow although all gradients are finite are found within a second, or in the
    next step.

    Without this callback a step with a loss that is not finite has a gradient of 0, and gradients
    are not checked. With float16 the loss scaling of Keras checks gradients; this callback then
    adds the names and the stop.

    Args:
        policy: "stop" or "skip".

    Raises:
        UnknownName: for another policy.
        NotFinite: in training, as described above.

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
        self._looked, self._epoch = 0.0, 0
        # steps of the training that were applied and refused before the epoch; None: not known yet
        self._before: tuple[int, int] | None = None
        self._skipped: int | None = None  # steps of the epoch, once it has ended

    def take_rows(self, rows: Batches | None) -> None:
        """Store the batches, to find out later which gradient was not finite."""
        self._rows = rows

    def get_state(self) -> dict[str, Any]:
        """Return an empty state: nothing has to be resumed."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Do nothing: there is no state."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Raise an error for a model whose step does not check its numbers."""
        needs_tasks(
            self.model,
            "pc.callbacks.Guard",
            "keras.callbacks.TerminateOnNaN stops the training of any Keras model.",
        )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note the number of the epoch."""
        self._epoch, self._before, self._skipped = epoch, None, None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Look at what the steps have counted, once a second."""
        if self._before is None:
            variables.settle(self.model)
            applied, refused = self._steps()
            # an epoch that was resumed in its middle has steps of an earlier process
            done = int(self.model.epoch_sums.read()["steps"])
            self._before = applied - done, refused
            self._looked = time.monotonic()
        elif time.monotonic() - self._looked > SECONDS:
            self.look()

    def on_test_begin(self, logs: Any = None) -> None:
        """Check the numbers before validation uses damaged weights."""
        # once an epoch: validation may run, and `on_epoch_end` calls this method too
        if self._skipped is None:
            self.look()
            _, refused_before = self._before or (0, 0)
            self._skipped = self._steps()[1] - refused_before

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Check the numbers before other callbacks save, and log the skipped steps."""
        self.on_test_begin()
        known = int((logs or {}).get("skipped_steps", 0))
        if logs is not None and self._skipped is not None and self._skipped > known:
            logs["skipped_steps"] = float(self._skipped)
            warnings.warn(
                f"{self._skipped - known} steps of epoch {epoch + 1} were skipped, because a "
                'gradient was not finite while the losses were; policy="stop" would name batch '
                "and loss.",
                stacklevel=2,
            )

    def look(self) -> None:
        """End the training where a loss, a gradient or a weight is not finite.

        Raises:
            NotFinite: naming epoch, batch, and what else is known.
        """
        self._looked = time.monotonic()
        model = self.model
        variables.settle(model)
        applied, refused = self._steps()
        if self.policy == "stop" and refused:
            applied_before, _ = self._before or (0, 0)
            raise NotFinite(self._sentence(applied - applied_before))
        sums = model.epoch_sums.read()
        # with float16 the optimizer counts nothing, but a loss that is not finite is in the sums
        if self.policy == "stop" and sums["skipped"]:
            raise NotFinite(self._sentence(int(sums["first"]) - 1))
        if bad := nonfinite.first_of(model.weights):
            rate = float(ops.convert_to_numpy(model.optimizer.learning_rate))
            blamed = _blamed(model) or "Lower the learning rate, or look for very large values."
            raise NotFinite(
                f"Training diverged in epoch {self._epoch + 1}: weights are NaN or infinite, the "
                f"first of {shorten(bad)!r} (learning rate {rate:g}). {blamed}"
            )

    def _steps(self) -> tuple[int, int]:
        """Return how many steps of this training were applied and refused; 0 with float16."""
        optimizer = self.model.optimizer
        return optimizer.steps() if isinstance(optimizer, GuardedOptimizer) else (0, 0)

    def _sentence(self, batch: int) -> str:
        """Return the message of the error: where the training stopped, and why."""
        model = self.model
        spoilt = model.epoch_sums.read()["spoilt"]
        names = [name for name, count in zip(model.objective.names, spoilt, strict=True) if count]
        where = f"Training was stopped in epoch {self._epoch + 1} at batch {batch + 1}: "
        rate = float(ops.convert_to_numpy(model.optimizer.learning_rate))
        blamed = (
            _blamed(model)
            or "Look for very large or wrong values there, or lower the learning rate (now "
            f"{rate:g})."
        )
        hint = f" {blamed}"
        if names:
            return f"{where}a loss is NaN or infinite: {listing(names)}.{hint}"
        names = [] if self._rows is None else _steep(model, self._rows.batch(self._epoch, batch))
        if names:
            return (
                f"{where}the gradient of a loss is NaN or infinite, while the loss is not: "
                f"{listing(names)}.{hint}"
            )
        # the gradients at the raw outputs are finite
        return (
            f"{where}a gradient is NaN or infinite; it arises in the layers below the heads.{hint}"
        )


def _blamed(model: Any) -> str | None:
    """Return a sentence on a loss weight that is very large; None where there is none."""
    return nonfinite.blamed_weight({name: task.weight for name, task in model.tasks.items()})


def _steep(model: Any, batch: Any) -> list[str]:
    """Return the loss terms whose gradient at the raw outputs of this batch is not finite.

    The network runs in inference mode here: the dropout of that step cannot be repeated.
    """
    x, y, weights = (*batch, None)[:3]
    raw = ops.convert_to_tensor(
        model(keras.tree.map_structure(ops.convert_to_tensor, x), training=False)
    )
    objective, head_constants = model.objective, model.scaling.constants()
    y = ops.convert_to_tensor(y, "float32")
    weights = None if weights is None else ops.convert_to_tensor(weights, "float32")

    def term(i: int) -> Any:
        """Return a function from raw outputs to the mean of the i-th loss term."""

        def mean(at: Tensor) -> Tensor:
            """Return the mean of the loss term at these raw outputs."""
            return objective.means(objective(y, at, weights, head_constants))[i]

        return mean

    gradients = [
        ops.convert_to_numpy(backend.gradient(term(i), raw)) for i in range(len(objective.names))
    ]
    # check only the output columns of the term's task: elsewhere its gradient is 0, or NaN where
    # that 0 is multiplied by an infinite number
    return [
        name
        for name, owner, gradient in zip(objective.names, objective.owner, gradients, strict=True)
        if not np.isfinite(gradient[:, _columns(objective.layout, owner)]).all()
    ]


def _columns(layout: Layout, task: int) -> slice:
    """Return the output columns of the task with this index; all columns for a joint term."""
    starts = np.cumsum([0, *(layout_task.units for layout_task in layout.tasks.values())])
    return slice(starts[task], starts[task + 1]) if task < len(layout.tasks) else slice(None)
