"""What the estimators share: parameters, columns of X and of y -> a network in memory."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from polycera.data import Table
from polycera.data.column import kind_of
from polycera.errors import UnknownName
from polycera.estimators.feature_table import table_of
from polycera.runs import Data, Network, Parts, Spec, Training, checked
from polycera.tabular.in_memory import FittedNetwork, learn
from polycera.tabular.prepare import prepare
from polycera.tasks import Task
from polycera.typing import Array, TaskName


class Learner(BaseEstimator):
    """An estimator whose `fit` trains one network for all columns of y.

    Its parameters are those of the spec of a run under the same names, None where `pc.fit`'s own
    default is meant; the estimators say what each does.
    """

    learned_: FittedNetwork
    n_features_in_: int

    def __init__(
        self,
        *,
        width: int | None = None,
        depth: int | None = None,
        dropout: float | None = None,
        folds: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        batch_size: int | None = None,
        max_steps: int | None = None,
        patience_steps: int | None = None,
        weighting: Any = None,
        balancing: Any = None,
        weights: Mapping[str, float] | None = None,
        columns: Mapping[str, str] | None = None,
        validation: float = 0.15,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.folds = folds
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_steps = max_steps
        self.patience_steps = patience_steps
        self.weighting = weighting
        self.balancing = balancing
        self.weights = weights
        self.columns = columns
        self.validation = validation
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "learned_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    @property
    def history_(self) -> dict[str, list[float]]:
        """Name -> one value an epoch: loss, terms, metrics and skills, `val_` before those of the validation rows."""
        check_is_fitted(self)
        return self.learned_.history

    def _learn(self, X: Table, y: Mapping[str, Any], targets: Sequence[Any]) -> None:
        """Train.

        Args:
            X: columns to learn from.
            y: name -> labels [n]; no name is one of X.
            targets: what `polycera.data.tasks_for` takes.
        """
        for values in y.values():
            check_consistent_length(X[X.names[0]], values)
        spec = self._spec(X)
        prepared = prepare(
            {**{name: X[name] for name in X.names}, **y}, targets, spec.data, seed=spec.seed
        )
        prepared = dataclasses.replace(prepared, tasks=self._weighted(prepared.tasks))
        for sentence in prepared.warnings:  # columns are left out of X here, not by an argument
            warnings.warn(
                sentence.replace("with exclude=", "of X: ").replace(" (--exclude)", ""),
                stacklevel=3,
            )
        self.learned_ = learn(prepared, spec, progress=bool(self.verbose))

    def _spec(self, X: Table) -> Spec:
        """The parameters as a spec; a column of numbers is one, whatever it looks like or is called."""
        roles = {name: "number" for name in X.names if kind_of(X[name]) == "number"}
        parts = Parts(validation=self.validation, test=0.0)
        return checked(
            Spec(
                tasks=[],
                data=Data(columns=roles | dict(self.columns or {}), parts=parts),
                network=Network(**self._given(Network)),
                training=Training(**self._given(Training)),
                seed=_seed(self.random_state),
            )
        )

    def _given(self, part: Any) -> dict[str, Any]:
        """The parameters that belong to a part of the spec, as far as they were given."""
        own = self.get_params(deep=False)
        return {name: own[name] for name in part.__struct_fields__ if own.get(name) is not None}

    def _weighted(self, tasks: list[Task]) -> list[Task]:
        weights, names = dict(self.weights or {}), [task.name for task in tasks]
        for name in weights:
            if name not in names:
                raise UnknownName("output in weights:", name, names)
        return [
            task.replace(weight=weights[task.name]) if task.name in weights else task
            for task in tasks
        ]

    def _table(self, X: Any) -> Table:
        """X as the network was trained on it; what is unlike is said in a warning."""
        check_is_fitted(self)
        table = table_of(self, X, reset=False)
        for notice in self.learned_.encoder.check(table):
            warnings.warn(notice, stacklevel=4)
        return table

    def _predicted(self, X: Any) -> dict[TaskName, Array]:
        """Task -> what the network says of each row, [n, p]."""
        table = self._table(X)
        return self.learned_.predict(table)


def _seed(random_state: Any) -> int:
    """An int as it is, so that it is the `seed` of `pc.fit`; else one that is drawn."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
