"""Compute inner products of the tasks' gradients at each shared layer, for one batch."""

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
"""Most numbers in the gradients of all tasks at all layers together.

Of larger layers a random sample of the weights is used.
"""


class Terms(NamedTuple):
    """Hold the loss terms of the tasks, t of them; joint terms are left out.

    Attributes:
        names: as they are logged.
        owner: position of each term's task.
        weights: of each within its task.
        ranks: for the first, second, ... terms of all tasks, which terms of the objective these
            are, bool [terms].
        chosen: which of these ranks each term has, one-hot, [t, ranks].
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
    rank = np.array([int((owner[:i] == task).sum()) for i, task in enumerate(owner)])
    ranks = []
    for position in range(int(rank.max()) + 1):
        chosen = np.zeros(len(objective.owner), bool)
        chosen[order[rank == position]] = True
        ranks.append(chosen)
    one_hot = (rank[:, None] == np.arange(len(ranks))).astype("float32")
    names = tuple(objective.names[i] for i in order)
    return Terms(names, owner, objective.term_weights[order].astype("float64"), ranks, one_hot)


class Gramians:
    """Measure a model's gradients without changing the model.

    A task's gradient is that of its own loss: its terms with their weights. The task's loss weight
    and joint terms are left out. The network runs as in prediction: no dropout, batch statistics as
    they are. So no random number is drawn and no state is written, and what differs from one epoch
    to the next is due to the network alone.

    Args:
        model: whose variables are read at each call.
        places: the layers.
        terms: whether to take the gradients of the loss terms, each without any weight, instead of
            those of the tasks.

    On a layer of many weights, gradients of all tasks would take more memory than the training.
    There a fixed uniform sample of the weights stands for all: inner products are scaled up, and
    cosines are right to about one part in the square root of the sample's size.
    """

    def __init__(self, model: Any, layers: Sequence[SharedLayer], terms: bool = False) -> None:
        self._model, self._shared_layers = model, list(layers)
        shared_variables = {
            id(variable): variable for layer in layers for variable in layer.variables
        }
        self._shared = list(shared_variables.values())
        self._others = [
            variable
            for variable in variables.everything(model)
            if id(variable) not in shared_variables
        ]
        positions = {key: i for i, key in enumerate(shared_variables)}
        self._where = [
            [positions[id(variable)] for variable in layer.variables] for layer in layers
        ]
        columns = (model.layout.owner == np.arange(len(model.layout.tasks))[:, None]).astype(
            "float32"
        )
        self._terms = terms_of(model.objective) if terms else None
        # [m, columns]: a row for each gradient, 1 at the output columns of its task.
        self._columns = columns if self._terms is None else columns[self._terms.owner]
        self._samples = [self._sample(layer) for layer in layers]
        self._measure = backend.compiled(self._measured, len(self._columns))

    def _sample(self, layer: SharedLayer) -> tuple[np.ndarray | None, float]:
        """Return which weights of a layer are used, None for all, and how many each stands for."""
        size = sum(int(np.prod(variable.shape)) for variable in layer.variables)
        most = max(1, MOST // (len(self._shared_layers) * len(self._columns)))
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
        shared_values, other_values = (
            [ops.convert_to_tensor(variable) for variable in variables_of_part]
            for variables_of_part in (self._shared, self._others)
        )
        x, y, weights = keras.tree.map_structure(
            ops.convert_to_tensor, (x, y, weights), none_is_leaf=False
        )
        return np.asarray(
            ops.convert_to_numpy(self._measure(shared_values, other_values, x, y, weights)),
            "float64",
        )

    def _measured(
        self, own: list[Tensor], rest: list[Tensor], x: Any, y: Tensor, weights: Any
    ) -> Tensor:
        """Return the Gramians [p, m, m]; this function is compiled, so it reads no variable."""

        def raw_of(values: list[Tensor]) -> Tensor:
            with self._values_in_place(values, rest):
                return self._model(x, training=False)

        raw, pull_back = backend.pulled(raw_of, own)
        with self._values_in_place(own, rest):
            head_constants = self._model.scaling.constants()
        objective, columns = self._model.objective, ops.convert_to_tensor(self._columns)

        def means(at: Tensor) -> Tensor:
            return objective.means(objective(y, at, weights, head_constants))

        if self._terms is None:
            cotangent = backend.gradient(lambda at: ops.sum(objective.by_task(means(at))), raw)
            largest = ops.max(columns * ops.max(ops.abs(cotangent), axis=0), axis=1)
        else:
            # Each task has its own output columns, so one pass gives the gradients of the first
            # terms of all tasks, another those of the second terms.
            passes = [self._of_rank(means, own, raw) for own in self._terms.ranks]
            cotangent, chosen = ops.stack(passes), ops.convert_to_tensor(self._terms.chosen)
            largest = ops.max(
                columns * ops.matmul(chosen, ops.max(ops.abs(cotangent), axis=1)), axis=1
            )
            columns = ops.concatenate([columns, chosen], axis=1)
        # Each gradient is scaled to about 1 for its way back: half precision would lose small ones.
        scale = largest + ops.cast(largest <= 0, "float32")
        units = self._columns.shape[1]

        def of_one(row: Tensor) -> list[Tensor]:
            if self._terms is None:
                return self._at_layers(pull_back(cotangent * row))
            of_term = ops.tensordot(row[units:], cotangent, axes=1)
            return self._at_layers(pull_back(of_term * row[:units]))

        # A term's row holds two factors that are multiplied, so only the first is divided.
        divisor = scale[:, None]
        if self._terms is not None:
            ones = ops.ones((len(self._columns), len(self._terms.ranks)))
            divisor = ops.concatenate([ops.repeat(divisor, units, axis=1), ones], axis=1)
        gradients = backend.one_by_one(of_one, columns / divisor)
        products = [ops.matmul(matrix, ops.transpose(matrix)) for matrix in gradients]
        gramians = ops.stack(
            [matrix * many for matrix, (_, many) in zip(products, self._samples, strict=True)]
        )
        return gramians * (scale[:, None] * scale[None, :])

    @staticmethod
    def _of_rank(means: Any, chosen: np.ndarray, raw: Tensor) -> Tensor:
        """Return the gradient of the sum of some terms by the raw outputs, [n, columns]."""

        def loss(at: Tensor) -> Tensor:
            return ops.sum(ops.where(ops.convert_to_tensor(chosen), means(at), 0.0))

        return backend.gradient(loss, raw)

    def _values_in_place(
        self, shared: list[Tensor], others: list[Tensor]
    ) -> AbstractContextManager[Any]:
        """Return a scope in which the model has these values and stores nothing that it writes."""
        mapping = [*zip(self._shared, shared, strict=True), *zip(self._others, others, strict=True)]
        return keras.StatelessScope(state_mapping=mapping, collect_losses=True)

    def _at_layers(self, gradients: list[Tensor]) -> list[Tensor]:
        """Return the gradient at each layer as a vector, or a sample of it."""
        vectors = []
        for positions, (sample, _) in zip(self._where, self._samples, strict=True):
            gradients_of_layer = [
                ops.reshape(ops.cast(gradients[i], "float32"), (-1,)) for i in positions
            ]
            vector = (
                gradients_of_layer[0]
                if len(gradients_of_layer) == 1
                else ops.concatenate(gradients_of_layer)
            )
            vectors.append(vector if sample is None else ops.take(vector, sample))
        return vectors
