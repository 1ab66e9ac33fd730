"""The tasks' gradients at each layer that they share, as inner products, for a batch and a model as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.monitoring import variables
from polycera.networks import backend
from polycera.networks.places import Place
from polycera.shapes import Tensor

MOST = 2**26
"""Numbers in the gradients of all tasks at all places: of larger layers a random sample of the weights is looked at."""


class Gramians:
    """Measures a model without touching it.

    A task's gradient is that of its own loss, its terms by their weights; the task's weight is left out, and so are
    joint terms. The network answers as it does when it predicts: no dropout, batch statistics as they have been
    learned. So no random number is drawn and no state is written, and what differs from one epoch to the next is the
    network and not the dice.

    Args:
        model: whose variables are read at each call.
        places: the layers.

    On a layer of many weights, gradients of all tasks would take more memory than the training. There a fixed sample
    of the weights, drawn alike, stands for all: inner products are scaled up, cosines are right to about one part in
    the square root of its size.
    """

    def __init__(self, model: Any, places: Sequence[Place]) -> None:
        self._model, self._places = model, list(places)
        own = {id(variable): variable for place in places for variable in place.variables}
        self._own = list(own.values())
        self._rest = [variable for variable in variables.everything(model) if id(variable) not in own]
        numbers = {key: i for i, key in enumerate(own)}
        self._where = [[numbers[id(variable)] for variable in place.variables] for place in places]
        self._columns = (model.layout.owner == np.arange(len(model.layout.tasks))[:, None]).astype("float32")
        self._samples = [self._sample(place) for place in places]
        self._measure = backend.compiled(self._measured, len(self._columns))

    def _sample(self, place: Place) -> tuple[np.ndarray | None, float]:
        """Which of a place's weights are looked at, None for all; and how many each stands for."""
        size = sum(int(np.prod(variable.shape)) for variable in place.variables)
        most = max(1, MOST // (len(self._places) * len(self._columns)))
        if size <= most:
            return None, 1.0
        return np.sort(np.random.default_rng(0).choice(size, most, replace=False)).astype("int32"), size / most

    def __call__(self, x: Any, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """The Gramians [p, m, m], float64.

        Args:
            x: features of a batch.
            y: packed targets, [n, width].
            weights: [n, tasks], [n, 1] or None.
        """
        variables.settle(self._model)
        own, rest = ([ops.convert_to_tensor(variable) for variable in part] for part in (self._own, self._rest))
        x, y, weights = keras.tree.map_structure(ops.convert_to_tensor, (x, y, weights), none_is_leaf=False)
        return np.asarray(ops.convert_to_numpy(self._measure(own, rest, x, y, weights)), "float64")

    def _measured(self, own: list[Tensor], rest: list[Tensor], x: Any, y: Tensor, weights: Any) -> Tensor:
        def raw_of(values: list[Tensor]) -> Tensor:
            with self._standing(values, rest):
                return self._model(x, training=False)

        raw, pull = backend.pulled(raw_of, own)
        with self._standing(own, rest):
            kept = self._model._kept()
        objective = self._model._objective

        def loss(at: Tensor) -> Tensor:
            return ops.sum(objective.by_task(objective.means(objective(y, at, weights, kept))))

        cotangent, columns = backend.gradient(loss, raw), ops.convert_to_tensor(self._columns)
        largest = ops.max(columns * ops.max(ops.abs(cotangent), axis=0), axis=1)
        scale = largest + ops.cast(largest <= 0, "float32")  # half precision would lose small gradients on the way

        def of_task(own: Tensor) -> list[Tensor]:
            return self._at_places(pull(cotangent * own))

        found = backend.one_by_one(of_task, columns / scale[:, None])
        products = [ops.matmul(each, ops.transpose(each)) for each in found]
        gramians = ops.stack([each * many for each, (_, many) in zip(products, self._samples, strict=True)])
        return gramians * (scale[:, None] * scale[None, :])

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
