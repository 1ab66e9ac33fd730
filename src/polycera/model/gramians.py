"""The tasks' gradients at each layer that they share, as inner products, for a batch and a model as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from polycera.layers import backend
from polycera.layers.shared_layers import SharedLayer
from polycera.model import variables
from polycera.typing import Tensor

MOST = 2**26
"""Numbers in the gradients of all tasks at all places: of larger layers a random sample of the weights is looked at."""


class Terms(NamedTuple):
    """The loss terms of the tasks, t of them; joint terms are left out.

    Attributes:
        names: as they are logged.
        owner: the task of each, by its place.
        weights: of each within its task.
        ranks: for the first, second, ... terms of all tasks, which terms of the objective they are,
            bool [terms].
        chosen: which of these each term is, one-hot, [t, ranks].
    """

    names: tuple[str, ...]
    owner: np.ndarray
    weights: np.ndarray
    ranks: list[np.ndarray]
    chosen: np.ndarray


def terms_of(objective: Any) -> Terms:
    """Return the terms of an objective, those of one task side by side."""
    of_tasks = np.flatnonzero(objective.owner < len(objective.layout.tasks))
    order = of_tasks[np.argsort(objective.owner[of_tasks], kind="stable")]
    owner = objective.owner[order]
    rank = np.array([int((owner[:i] == own).sum()) for i, own in enumerate(owner)])
    ranks = []
    for place in range(int(rank.max()) + 1):
        chosen = np.zeros(len(objective.owner), bool)
        chosen[order[rank == place]] = True
        ranks.append(chosen)
    one_hot = (rank[:, None] == np.arange(len(ranks))).astype("float32")
    names = tuple(objective.names[i] for i in order)
    return Terms(names, owner, objective.term_weights[order].astype("float64"), ranks, one_hot)


class Gramians:
    """Measures a model without touching it.

    A task's gradient is that of its own loss, its terms by their weights; the task's weight is left
    out, and so are joint terms. The network answers as it does when it predicts: no dropout, batch
    statistics as they have been learned. So no random number is drawn and no state is written, and
    what differs from one epoch to the next is the network and not the dice.

    Args:
        model: whose variables are read at each call.
        places: the layers.
        terms: whether the gradients are those of the loss terms, each without any weight, and not
            of the tasks.

    On a layer of many weights, gradients of all tasks would take more memory than the training.
    There a fixed sample of the weights, drawn alike, stands for all: inner products are scaled up,
    cosines are right to about one part in the square root of its size.
    """

    def __init__(self, model: Any, places: Sequence[SharedLayer], terms: bool = False) -> None:
        self._model, self._places = model, list(places)
        own = {id(variable): variable for place in places for variable in place.variables}
        self._own = list(own.values())
        self._rest = [
            variable for variable in variables.everything(model) if id(variable) not in own
        ]
        numbers = {key: i for i, key in enumerate(own)}
        self._where = [[numbers[id(variable)] for variable in place.variables] for place in places]
        columns = (model.layout.owner == np.arange(len(model.layout.tasks))[:, None]).astype(
            "float32"
        )
        self._terms = terms_of(model._objective) if terms else None
        # Which raw outputs a gradient passes: those of the task; [m, units], a row for each
        # gradient.
        self._columns = columns if self._terms is None else columns[self._terms.owner]
        self._samples = [self._sample(place) for place in places]
        self._measure = backend.compiled(self._measured, len(self._columns))

    def _sample(self, place: SharedLayer) -> tuple[np.ndarray | None, float]:
        """Which of a place's weights are looked at, None for all; and how many each stands for."""
        size = sum(int(np.prod(variable.shape)) for variable in place.variables)
        most = max(1, MOST // (len(self._places) * len(self._columns)))
        if size <= most:
            return None, 1.0
        return np.sort(np.random.default_rng(0).choice(size, most, replace=False)).astype(
            "int32"
        ), size / most

    def __call__(self, x: Any, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """Return the Gramians [p, m, m], float64; m tasks, or terms.

        Args:
            x: features of a batch.
            y: packed targets, [n, width].
            weights: [n, tasks], [n, 1] or None.
        """
        variables.settle(self._model)
        own, rest = (
            [ops.convert_to_tensor(variable) for variable in part]
            for part in (self._own, self._rest)
        )
        x, y, weights = keras.tree.map_structure(
            ops.convert_to_tensor, (x, y, weights), none_is_leaf=False
        )
        return np.asarray(ops.convert_to_numpy(self._measure(own, rest, x, y, weights)), "float64")

    def _measured(
        self, own: list[Tensor], rest: list[Tensor], x: Any, y: Tensor, weights: Any
    ) -> Tensor:
        def raw_of(values: list[Tensor]) -> Tensor:
            with self._standing(values, rest):
                return self._model(x, training=False)

        raw, pull = backend.pulled(raw_of, own)
        with self._standing(own, rest):
            kept = self._model._kept()
        objective, columns = self._model._objective, ops.convert_to_tensor(self._columns)

        def means(at: Tensor) -> Tensor:
            return objective.means(objective(y, at, weights, kept))

        if self._terms is None:
            cotangent = backend.gradient(lambda at: ops.sum(objective.by_task(means(at))), raw)
            largest = ops.max(columns * ops.max(ops.abs(cotangent), axis=0), axis=1)
        else:
            # Tasks have raw outputs of their own, so the first terms of all tasks need one pass,
            # the second another.
            passes = [self._of_rank(means, own, raw) for own in self._terms.ranks]
            cotangent, chosen = ops.stack(passes), ops.convert_to_tensor(self._terms.chosen)
            largest = ops.max(
                columns * ops.matmul(chosen, ops.max(ops.abs(cotangent), axis=1)), axis=1
            )
            columns = ops.concatenate([columns, chosen], axis=1)
        # half precision would lose small gradients on the way
        scale = largest + ops.cast(largest <= 0, "float32")
        units = self._columns.shape[1]

        def of_one(own: Tensor) -> list[Tensor]:
            if self._terms is None:
                return self._at_places(pull(cotangent * own))
            of_term = ops.tensordot(own[units:], cotangent, axes=1)
            return self._at_places(pull(of_term * own[:units]))

        # Of a term both parts of its row are factors, and each is to be taken once.
        divisor = scale[:, None]
        if self._terms is not None:
            ones = ops.ones((len(self._columns), len(self._terms.ranks)))
            divisor = ops.concatenate([ops.repeat(divisor, units, axis=1), ones], axis=1)
        found = backend.one_by_one(of_one, columns / divisor)
        products = [ops.matmul(each, ops.transpose(each)) for each in found]
        gramians = ops.stack(
            [each * many for each, (_, many) in zip(products, self._samples, strict=True)]
        )
        return gramians * (scale[:, None] * scale[None, :])

    @staticmethod
    def _of_rank(means: Any, own: np.ndarray, raw: Tensor) -> Tensor:
        """The gradient of the sum of some terms with respect to the raw outputs, [n, units]."""

        def loss(at: Tensor) -> Tensor:
            return ops.sum(ops.where(ops.convert_to_tensor(own), means(at), 0.0))

        return backend.gradient(loss, raw)

    def _standing(self, own: list[Tensor], rest: list[Tensor]) -> AbstractContextManager[Any]:
        """The model with these values; what it would write goes nowhere."""
        mapping = [*zip(self._own, own, strict=True), *zip(self._rest, rest, strict=True)]
        return keras.StatelessScope(state_mapping=mapping, collect_losses=True)

    def _at_places(self, gradients: list[Tensor]) -> list[Tensor]:
        """The gradient at each place as a vector."""
        found = []
        for where, (sample, _) in zip(self._where, self._samples, strict=True):
            parts = [ops.reshape(ops.cast(gradients[i], "float32"), (-1,)) for i in where]
            whole = parts[0] if len(parts) == 1 else ops.concatenate(parts)
            found.append(whole if sample is None else ops.take(whole, sample))
        return found
