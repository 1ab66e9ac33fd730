"""Who pulls where in a network that balances nothing: the tasks' gradients at shared layers, on a sample of rows."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from polycera.callbacks.gradient_history import GradientHistory, shares
from polycera.callbacks.time_allowance import TimeAllowance
from polycera.callbacks.watched_metrics import needs_tasks
from polycera.errors import InputError, listing, shorten
from polycera.layers import backend
from polycera.layers.graph import Graph
from polycera.layers.shared_layers import SharedLayer, shared_layers
from polycera.model.gramians import Gramians, Terms, terms_of
from polycera.model.predicting import check_features, rows_of
from polycera.model.targets import encode, pack, pack_weights
from polycera.model.task_weighting import AGAINST
from polycera.typing import TaskName


class SampleBatch(NamedTuple):
    """Some rows of the sample: features, packed targets, packed weights or None."""

    x: Any
    y: np.ndarray
    weights: np.ndarray | None


class GradientProbe(keras.callbacks.Callback):
    """Looks at the tasks' gradients in every layer that they share, at the end of an epoch, on a sample of rows.

    For a model without balancing, where no step sees them; it works on any `pc.Model`. Each task's
    gradient is that of its own loss, its weight left out, with respect to the weights of the layer,
    with the network as it predicts (without dropout). The training is not touched: its weights are
    the same to the bit with and without this callback.

    A look costs a backward pass for each task and batch. It is taken when all looks together, this
    one too, stay below `budget` of the training time so far, and otherwise waits for a later epoch;
    what it costs is first estimated, then tried out on one batch, then measured. A training of
    seconds may thus end without a look: `looks` is empty.

    Args:
        x, y: rows with targets by name, as for `fit`; arrays. A sample of them is drawn once.
        sample_weight: as for `fit`.
        batches: how many batches are drawn.
        rows: of each; as many as a step has, where conflicts should be those of a step.
        budget: the part of the training time that looks may take; `float("inf")` looks after every
            epoch.
        seed: of the sample.
        terms: whether to look at the loss terms of the tasks, such as `price/mse` and `price/mae`,
            in place of the
            tasks: also in layers of a single task and in heads, and for a model of one task. The
                gradient of a term is
            that of the term without any weight; `weights` hold the task's times the term's.

    Attributes:
        tasks: names, m; with `terms`, of the terms as they are logged.
        places: names of the layers that two tasks or more share, p.
        epochs: after which a look was taken, e.
        norms: of the tasks' gradients, mean over the batches in which a task has one, [e, p, m].
            NaN where none has.
        weights: of the tasks in the loss, as they stood, [e, p, m]: their own, times those of a
            weighting or balancing.
        shares: of each task in the sum of the norms, [e, p, m].
        weighted_shares: the same after the weights: what they did to each task, [e, p, m].
        looks: the epochs of which cosines and conflicts are kept: all, or evenly spaced ones and
            the newest, so that two million numbers are enough; k.
        cosines: mean over the batches in which both tasks have a gradient, [k, p, m, m].
        conflicts: the share of these batches in which the cosine was negative, [k, p, m, m].
        seconds: that looks have taken.

    Raises:
        UnknownName, InputError: for rows that cannot be learned from; for numbers of batches or
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
                    f"GradientProbe got {name}={shorten(repr(value))}: give a whole number, 1 or more."
                )
        if isinstance(budget, bool) or not isinstance(budget, int | float) or not budget > 0:
            raise InputError(
                f"GradientProbe got budget={shorten(repr(budget))}: give a part of the time, as 0.05."
            )
        if not rows_of(x):
            raise InputError(
                "GradientProbe takes rows as arrays, and at least one: pass some of those that train."
            )
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.batches, self.rows, self.seed = batches, rows, seed
        self.terms = bool(terms)
        self._of_terms: Terms | None = None
        self.pulls: GradientHistory | None = None
        self._allowance = TimeAllowance(budget)
        self._places: list[SharedLayer] = []
        self._sample: list[SampleBatch] = []
        self._gramians: Gramians | None = None

    def get_state(self) -> dict[str, Any]:
        """What it takes to go on after an interruption."""
        return {
            "pulls": None if self.pulls is None else self.pulls.state(),
            "time": self._allowance.state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` gave.

        Raises:
            InputError: for what is not the state of a probe of these tasks and layers.
        """
        pulls = None if state["pulls"] is None else GradientHistory.of(state["pulls"])
        own, found = (
            (p.tasks, p.places, p.serving) if p is not None else None for p in (self.pulls, pulls)
        )
        if own != found:
            raise InputError(
                "The checkpoint holds gradients of other tasks or layers: remove it to begin anew."
            )
        self.pulls = pulls
        self._allowance.set_state(state["time"])

    # -- what it found -------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """Names, m."""
        return () if self.pulls is None else self.pulls.tasks

    @property
    def places(self) -> tuple[str, ...]:
        """Names, p."""
        return () if self.pulls is None else self.pulls.places

    @property
    def epochs(self) -> list[int]:
        """After which a look was taken."""
        return [] if self.pulls is None else self.pulls.epochs

    @property
    def looks(self) -> list[int]:
        """Of which cosines and conflicts are kept."""
        return [] if self.pulls is None else self.pulls.looks

    @property
    def weights(self) -> np.ndarray:
        """[e, p, m]."""
        return self._found("weights", 1)

    @property
    def norms(self) -> np.ndarray:
        """[e, p, m]."""
        return self._found("norms", 1)

    @property
    def shares(self) -> np.ndarray:
        """[e, p, m]."""
        return shares(self.norms)

    @property
    def weighted_shares(self) -> np.ndarray:
        """[e, p, m]."""
        return shares(self.norms * self.weights)

    @property
    def cosines(self) -> np.ndarray:
        """[k, p, m, m]."""
        return self._found("cosines", 2)

    @property
    def conflicts(self) -> np.ndarray:
        """[k, p, m, m]."""
        return self._found("conflicts", 2)

    @property
    def seconds(self) -> float:
        """That looks have taken."""
        return self._allowance.spent

    def _found(self, what: str, axes: int) -> np.ndarray:
        return np.zeros((0, 0, *(0,) * axes)) if self.pulls is None else getattr(self.pulls, what)

    # -- what Keras calls ----------------------------------------------------------------------------------------

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Find out what is shared, draw the sample, begin anew."""
        needs_tasks(self.model, "GradientProbe")
        self._allowance.begin()
        layout = self.model.layout
        self._places = shared_layers(Graph.of(self.model), layout, own=self.terms)
        self.pulls, self._gramians = None, None
        if not self._places and self.terms:
            what = f"no two loss terms of {listing(layout.tasks)} meet in a layer that trains"
            warnings.warn(f"GradientProbe has nothing to look at: {what}.", stacklevel=2)
            return
        if not self._places:
            what = (
                "a single task"
                if len(layout.tasks) == 1
                else "no two of these tasks share a layer that trains"
            )
            warnings.warn(
                f"GradientProbe has nothing to look at: {what} ({listing(layout.tasks)}).",
                stacklevel=2,
            )
            return
        self._sample = self._drawn()
        names, serving = tuple(layout.tasks), [list(place.tasks) for place in self._places]
        if self.terms:
            found = self._of_terms = terms_of(self.model._objective)
            names = found.names
            serving = [np.flatnonzero(np.isin(found.owner, own)).tolist() for own in serving]
        self.pulls = GradientHistory(
            names, [place.name for place in self._places], serving, "probe"
        )

    def _drawn(self) -> list[SampleBatch]:
        """The rows of each batch: all different where there are enough of them."""
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
        batches = 1 if rows == count else self.batches
        order = rng.permutation(count)
        if batches * rows > count:
            order = np.concatenate([rng.choice(count, rows, replace=False) for _ in range(batches)])
        return [
            SampleBatch(
                keras.tree.map_structure(lambda part, own=own: part[own], x),
                y[own],
                _rows(weights, own),
            )
            for own in order[: batches * rows].reshape(batches, rows)
        ]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the time."""
        self._allowance.begin_epoch()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look, if time allows."""
        self._allowance.end_epoch()
        if self.pulls is None:
            return
        compiles = backend.compiles(len(self.pulls.tasks))
        if self._gramians is None and self._allowance.allows_trial(compiles):
            self._try_out()
        if self._gramians is not None and self._allowance.allows(len(self._sample)):
            with self._allowance.spending(len(self._sample)):
                self._look(epoch, self._gramians)

    def _try_out(self) -> None:
        """One batch twice: to compile what there is to compile, and to see what a batch takes."""
        with self._allowance.spending():
            self._gramians = Gramians(self.model, self._places, self.terms)
            self._gramians(*self._sample[0])
        with self._allowance.spending(1):
            self._gramians(*self._sample[0])

    def _look(self, epoch: int, gramians: Gramians) -> None:
        each = np.stack([gramians(*batch) for batch in self._sample])
        squares = np.diagonal(each, axis1=-2, axis2=-1)
        had = (squares > 0) & np.isfinite(squares)
        norms = np.sqrt(np.where(had, squares, 0.0))
        safe, both = np.where(had, norms, 1.0), had[..., :, None] & had[..., None, :]
        cosines = np.clip(
            np.where(both, each, 0.0) / safe[..., :, None] / safe[..., None, :], -1.0, 1.0
        )
        assert self.pulls is not None
        self.pulls.add(
            epoch,
            np.stack([self._weights_at(place) for place in self._places]),
            _mean(norms, had),
            _mean(cosines, both),
            _mean(cosines < AGAINST, both),
        )

    def _weights_at(self, place: SharedLayer) -> np.ndarray:
        """The factor of each gradient at a layer, [m]."""
        of_tasks = weights_at(self.model, place)
        if self._of_terms is None:
            return of_tasks
        return of_tasks[self._of_terms.owner] * self._of_terms.weights


def weights_at(model: Any, place: SharedLayer) -> np.ndarray:
    """The factor of each task's gradient at a layer, [m], as of the last step: its own weight and the methods'.

    NaN for tasks that the layer does not serve. A balancing that works element by element counts as
    1.
    """
    shared = model._shared
    weights = ops.convert_to_numpy(model._task_weights).astype("float64")
    if shared.weighing is not None:
        weights = (
            weights * shared.weighing.packed.read(ops.convert_to_numpy(shared.state))["weights"]
        )
    for meeting in shared.meetings if len(place.tasks) > 1 else ():
        if shared.engine is None or tuple(meeting.tasks) == place.tasks:
            weights[meeting.tasks] *= ops.convert_to_numpy(meeting.before()["weights"])
    return np.where(np.isin(np.arange(len(weights)), place.tasks), weights, math.nan)


def _mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Over the batches, the first axis, in which they count; NaN where there is none."""
    rows = counted.sum(axis=0)
    total = np.where(counted, values, 0.0).sum(axis=0)
    return np.divide(total, rows, out=np.full(rows.shape, np.nan), where=rows > 0)


def _rows(weights: np.ndarray | None, own: np.ndarray) -> np.ndarray | None:
    return None if weights is None else weights[own]


def _array(part: Any) -> np.ndarray:
    part = part.to_numpy() if hasattr(part, "to_numpy") else part
    return part if isinstance(part, np.ndarray) else np.asarray(ops.convert_to_numpy(part))
