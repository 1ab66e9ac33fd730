"""Measure the tasks' gradients at shared layers, on a sample of rows, without balancing."""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from polycera.callbacks.gradient_history import GradientHistory, shares
from polycera.callbacks.step_allowance import COMPILING, StepAllowance, cost_of
from polycera.callbacks.watched_metrics import needs_tasks
from polycera.errors import InputError, listing, shorten
from polycera.layers import backend
from polycera.layers.call_graph import Graph
from polycera.layers.shared_layers import SharedLayer, shared_layers
from polycera.model.gramians import Gramians, Terms, terms_of
from polycera.model.predicting import check_features, rows_of
from polycera.model.targets import encode, pack, pack_weights
from polycera.model.task_weighting import AGAINST
from polycera.typing import TaskName


class SampleBatch(NamedTuple):
    """Holds some rows of the sample: features, packed targets, packed weights or None."""

    x: Any
    y: np.ndarray
    weights: np.ndarray | None


class GradientProbe(keras.callbacks.Callback):
    """Measures the tasks' gradients in every shared layer, at the end of epochs, on a sample.

    It is for a model without balancing, where no step measures them, and works on any `pc.Model`.
    Each task's gradient is that of its own loss without its loss weight, with respect to the
    weights of the layer, with the network in inference mode (without dropout). The training is not
    changed: its weights are the same to the bit with and without this callback.

    A measurement costs a backward pass for each task and batch, and the first one compiles. It runs
    when all measurements together, this one included, cost less than `budget` of the steps so far.
    Otherwise it waits for a later epoch. The cost is counted in steps of training, so that two
    trainings measure after the same epochs on any machine. A short training may end without a
    measurement: `looks` is then empty.

    Args:
        x, y: rows with targets by name, as for `fit`; arrays. A sample of them is drawn once.
        sample_weight: as for `fit`.
        batches: number of batches in the sample.
        rows: rows in each batch; use the batch size of the training to get the conflicts of a step.
        budget: the part of the training that measurements may take, by their cost in steps;
            `float("inf")` measures after every epoch.
        seed: seed of the sample.
        terms: whether to measure the loss terms of the tasks, such as `price/mse` and `price/mae`,
            in place of the tasks: also in layers of a single task and in heads, and for a model of
            one task. The gradient of a term is that of the term without any weight; `weights` hold
            the task's weight times the term's.

    Attributes:
        tasks: names of the tasks, m; with `terms`, names of the terms as they are logged.
        places: names of the layers that two tasks or more share, p.
        epochs: the epochs after which gradients were measured, e.
        norms: norms of the tasks' gradients, mean over the batches in which a task has one,
            [e, p, m]. NaN where none has.
        weights: the weights of the tasks in the loss at that time, [e, p, m]: their own, times
            those of loss weighting or balancing.
        shares: each task's share in the sum of the norms, [e, p, m].
        weighted_shares: each task's share after its weight is applied, [e, p, m].
        looks: the epochs whose cosines and conflicts are stored: all, or evenly spaced ones and
            the newest, so that two million numbers are enough; k.
        cosines: mean over the batches in which both tasks have a gradient, [k, p, m, m].
        conflicts: the share of these batches in which the cosine was negative, [k, p, m, m].
        seconds: the time of all measurements in this process.

    Raises:
        UnknownName, InputError: for rows that the model cannot train on; for numbers of batches or
            rows below 1, a budget of 0 or less.

    Examples:
        >>> import keras, numpy as np, polycera as pc
        >>> x = keras.Input((3,))
        >>> h = keras.layers.Dense(4, activation="relu", name="trunk")(x)
        >>> model = pc.Model(x, pc.layers.Heads([pc.Regression("up"), pc.Regression("down")])(h))
        >>> model.compile("adam")
        >>> X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
        >>> y = {"up": X[:, 0], "down": -X[:, 0]}
        >>> probe = pc.callbacks.GradientProbe(X, y, batches=2, budget=float("inf"))
        >>> history = model.fit(X, y, callbacks=[probe], epochs=2, verbose=0)
        >>> probe.places, probe.cosines.shape
        (('trunk',), (2, 1, 2, 2))
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        batches: int = 8,
        rows: int = 256,
        budget: float = 0.05,
        seed: int = 0,
        terms: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("batches", batches), ("rows", rows)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(
                    f"GradientProbe got {name}={shorten(repr(value))}: give a whole number, 1 or "
                    "more."
                )
        if isinstance(budget, bool) or not isinstance(budget, int | float) or not budget > 0:
            raise InputError(
                f"GradientProbe got budget={shorten(repr(budget))}: give a fraction of the "
                "training, such as 0.05."
            )
        if not rows_of(x):
            raise InputError(
                "GradientProbe needs rows as arrays, at least one: pass some of the training rows."
            )
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.batches, self.rows, self.seed = batches, rows, seed
        self.terms = bool(terms)
        self._of_terms: Terms | None = None
        self.pulls: GradientHistory | None = None
        self._allowance, self._seconds, self._first_batch = StepAllowance(budget), 0.0, 0
        self._shared_layers: list[SharedLayer] = []
        self._sample: list[SampleBatch] = []
        self._gramians: Gramians | None = None

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint needs to resume."""
        return {
            "pulls": None if self.pulls is None else self.pulls.state(),
            "steps": self._allowance.state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Resume from what `get_state` returned.

        Raises:
            InputError: for anything but the state of a probe of these tasks and layers.
        """
        history = None if state["pulls"] is None else GradientHistory.of(state["pulls"])
        present, stored = (
            (p.tasks, p.places, p.serving) if p is not None else None for p in (self.pulls, history)
        )
        if present != stored:
            raise InputError(
                "The checkpoint holds gradients of other tasks or layers: remove it to start "
                "from the beginning."
            )
        self.pulls = history
        # A checkpoint of an older version counted seconds: its steps are not known.
        if "steps" in state:
            self._allowance.set_state(state["steps"])

    # -- results -----------------------------------------------------------------------------------

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """Return the names of the tasks, m."""
        return () if self.pulls is None else self.pulls.tasks

    @property
    def places(self) -> tuple[str, ...]:
        """Return the names of the shared layers, p."""
        return () if self.pulls is None else self.pulls.places

    @property
    def epochs(self) -> list[int]:
        """Return the epochs after which gradients were measured, e."""
        return [] if self.pulls is None else self.pulls.epochs

    @property
    def looks(self) -> list[int]:
        """Return the epochs whose cosines and conflicts are stored, k."""
        return [] if self.pulls is None else self.pulls.looks

    @property
    def weights(self) -> np.ndarray:
        """Return the weights of the tasks in the loss, [e, p, m]."""
        return self._recorded("weights", 1)

    @property
    def norms(self) -> np.ndarray:
        """Return the norms of the gradients, [e, p, m]."""
        return self._recorded("norms", 1)

    @property
    def shares(self) -> np.ndarray:
        """Return each task's share in the sum of the norms, [e, p, m]."""
        return shares(self.norms)

    @property
    def weighted_shares(self) -> np.ndarray:
        """Return each task's share after its weight is applied, [e, p, m]."""
        return shares(self.norms * self.weights)

    @property
    def cosines(self) -> np.ndarray:
        """Return the mean cosines between the tasks' gradients, [k, p, m, m]."""
        return self._recorded("cosines", 2)

    @property
    def conflicts(self) -> np.ndarray:
        """Return the share of batches with a negative cosine, [k, p, m, m]."""
        return self._recorded("conflicts", 2)

    @property
    def seconds(self) -> float:
        """Return the time of all measurements in this process."""
        return self._seconds

    def _recorded(self, what: str, axes: int) -> np.ndarray:
        """Return an array of the history; an empty one before a training begins."""
        return np.zeros((0, 0, *(0,) * axes)) if self.pulls is None else getattr(self.pulls, what)

    # -- called by Keras ---------------------------------------------------------------------------

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Find the shared layers, draw the sample and reset the state."""
        needs_tasks(self.model, "GradientProbe")
        self._allowance.begin()
        self._seconds = 0.0
        layout = self.model.layout
        self._shared_layers = shared_layers(Graph.of(self.model), layout, single_task=self.terms)
        self.pulls, self._gramians = None, None
        if not self._shared_layers and self.terms:
            reason = f"no two loss terms of {listing(layout.tasks)} share a trainable layer"
            warnings.warn(f"GradientProbe has nothing to measure: {reason}.", stacklevel=2)
            return
        if not self._shared_layers:
            reason = (
                "a single task"
                if len(layout.tasks) == 1
                else "no two of these tasks share a trainable layer"
            )
            warnings.warn(
                f"GradientProbe has nothing to measure: {reason} ({listing(layout.tasks)}).",
                stacklevel=2,
            )
            return
        self._sample = self._drawn()
        names, serving = tuple(layout.tasks), [list(layer.tasks) for layer in self._shared_layers]
        if self.terms:
            loss_terms = self._of_terms = terms_of(self.model.objective)
            names = loss_terms.names
            serving = [
                np.flatnonzero(np.isin(loss_terms.owner, layer_tasks)).tolist()
                for layer_tasks in serving
            ]
        self.pulls = GradientHistory(
            names, [layer.name for layer in self._shared_layers], serving, "probe"
        )

    def _drawn(self) -> list[SampleBatch]:
        """Return the batches of the sample; no row is in two of them if there are enough rows.

        Raises:
            UnknownName, InputError: for rows that the model cannot train on.
        """
        layout = self.model.layout
        check_features(self.x, "x of GradientProbe")
        encoded = encode(layout, self.y, "y of GradientProbe")
        y, count = pack(layout, encoded, self.model.units), rows_of(self.x)
        if len(y) != count:
            raise InputError(f"GradientProbe got {count} rows of features and {len(y)} of targets.")
        weights = pack_weights(
            layout, encoded, self.sample_weight, what="sample_weight of GradientProbe"
        )
        x = keras.tree.map_structure(_array, self.x)
        rng, rows = np.random.default_rng(self.seed), min(self.rows, count)
        # a batch of all rows would be the same each time
        batches = 1 if rows == count else self.batches
        order = rng.permutation(count)
        # too few rows for batches without a common row: draw each batch by itself
        if batches * rows > count:
            order = np.concatenate([rng.choice(count, rows, replace=False) for _ in range(batches)])
        return [
            SampleBatch(
                keras.tree.map_structure(lambda part, chosen=chosen: part[chosen], x),
                y[chosen],
                _rows(weights, chosen),
            )
            for chosen in order[: batches * rows].reshape(batches, rows)
        ]

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the first of the steps that are executed together."""
        self._first_batch = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the steps that were executed."""
        steps = self.params.get("steps")
        # Where the steps of an epoch are no multiple of those that are executed together, Keras
        # gives the last one a number beyond the end.
        last = batch if steps is None else min(batch, steps - 1)
        self._allowance.trained += last - self._first_batch + 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure the gradients if the budget allows it."""
        if self.pulls is None:
            return
        cost = cost_of(len(self._sample), len(self.pulls.tasks))
        # Only the first look compiles. A training that was resumed has paid for it already.
        if not self.pulls.epochs and backend.compiles(len(self.pulls.tasks)):
            cost += COMPILING
        if not self._allowance.allows(cost):
            return
        began = perf_counter()
        if self._gramians is None:
            self._gramians = Gramians(self.model, self._shared_layers, self.terms)
        self._look(epoch, self._gramians)
        self._allowance.spent += cost
        self._seconds += perf_counter() - began

    def _look(self, epoch: int, gramians: Gramians) -> None:
        """Measure the gradients of all batches and add their means to the history."""
        # [batches, p, m, m]
        batch_gramians = np.stack([gramians(*batch) for batch in self._sample])
        squares = np.diagonal(batch_gramians, axis1=-2, axis2=-1)
        has_gradient = (squares > 0) & np.isfinite(squares)
        # a batch without labels of a task gives it no gradient, so it does not count for that task
        norms = np.sqrt(np.where(has_gradient, squares, 0.0))
        safe, both_have = (
            np.where(has_gradient, norms, 1.0),
            has_gradient[..., :, None] & has_gradient[..., None, :],
        )
        cosines = np.clip(
            np.where(both_have, batch_gramians, 0.0) / safe[..., :, None] / safe[..., None, :],
            -1.0,
            1.0,
        )
        assert self.pulls is not None
        self.pulls.add(
            epoch,
            np.stack([self._weights_at(layer) for layer in self._shared_layers]),
            _mean(norms, has_gradient),
            _mean(cosines, both_have),
            _mean(cosines < AGAINST, both_have),
        )

    def _weights_at(self, place: SharedLayer) -> np.ndarray:
        """Return the factor of each gradient at a layer, [m]."""
        of_tasks = self.model.task_weighting.weights_of(place.tasks, self.model.loss_weights)
        if self._of_terms is None:
            return of_tasks
        return of_tasks[self._of_terms.owner] * self._of_terms.weights


def _mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the mean over the batches (first axis) where `counted`; NaN where there is none."""
    counts = counted.sum(axis=0)
    total = np.where(counted, values, 0.0).sum(axis=0)
    return np.divide(total, counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def _rows(weights: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    """Return the weights of these rows."""
    return None if weights is None else weights[rows]


def _array(part: Any) -> np.ndarray:
    """Return a frame, a tensor or an array as an array."""
    part = part.to_numpy() if hasattr(part, "to_numpy") else part
    return part if isinstance(part, np.ndarray) else np.asarray(ops.convert_to_numpy(part))
