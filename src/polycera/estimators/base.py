"""Hold what all estimators share: their parameters, and training a network in memory."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from polycera import renamed
from polycera.data import Table, columns_of
from polycera.data.cells import CellFormat
from polycera.data.column import kind_of
from polycera.errors import UnknownName
from polycera.estimators.feature_table import table_of
from polycera.estimators.row_metadata import free_name, weights_by_output
from polycera.runs import Data, Network, Parts, Spec, Training, checked
from polycera.tabular import row_weights
from polycera.tabular.cell_options import cell_options
from polycera.tabular.headline import with_metric
from polycera.tabular.in_memory import FittedNetwork, learn
from polycera.tabular.prepare import Declared, prepare
from polycera.tasks import Task
from polycera.typing import Array, TaskName

OLD_PARAMETERS = {"weights": "loss_weights", "joint": "score_weights"}
"""Old names of parameters -> new names."""


class Learner(BaseEstimator):
    """Trains one network for all columns of y; the estimators are subclasses.

    Its parameters are those of the spec of a run, under the same names. None is the default of
    `pc.fit`. The estimators describe each parameter.
    """

    learned_: FittedNetwork
    cells_: dict[str, Any]
    n_features_in_: int

    weights = renamed.Attribute("loss_weights")

    @renamed.arguments(weights="loss_weights")
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
        loss_weights: Mapping[str, float] | None = None,
        columns: Mapping[str, str] | None = None,
        missing: Iterable[str] | Mapping[str, Iterable[str]] = (),
        date_format: Mapping[str, str] | None = None,
        number_format: Mapping[str, str] | None = None,
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
        self.loss_weights = loss_weights
        self.columns = columns
        self.missing = missing
        self.date_format = date_format
        self.number_format = number_format
        self.validation = validation
        self.random_state = random_state
        self.verbose = verbose

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, as scikit-learn does; old names are accepted with a warning."""
        super().set_params(**renamed.options(type(self).__name__, params, OLD_PARAMETERS))
        return self

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
        """Return the history of the training: name -> one value for each epoch.

        It holds the loss, its terms, metrics and skills. Values of validation rows have `val_`
        before their name.
        """
        check_is_fitted(self)
        return self.learned_.history

    def _learn(
        self,
        X: Table,
        y: Mapping[str, Any],
        targets: Sequence[Any],
        sample_weight: Any = None,
        groups: Any = None,
        class_weight: Mapping[TaskName, Any] | None = None,
    ) -> None:
        """Train the network and keep it in `learned_`.

        Args:
            X: columns of the inputs.
            y: name -> labels [n]; no name is the name of a column of X.
            targets: targets in a form that `polycera.data.tasks_for` takes.
            sample_weight: as `fit` takes it.
            groups: group of each row, [n], or None.
            class_weight: task -> its class weights, for those whose tasks do not have them.
        """
        for values in y.values():
            check_consistent_length(X[X.names[0]], values)
        columns = {**{name: X[name] for name in X.names}, **y}
        weight_columns = _add_weights(columns, sample_weight, list(y), X.rows, targets)
        group_column = None
        if groups is not None:
            check_consistent_length(X[X.names[0]], groups)
            group_column = free_name("groups", list(columns))
            columns[group_column] = np.asarray(groups)
        spec = self._spec(X, weight_columns, group_column)
        orders = getattr(self, "order", None)
        declared = Declared(seed=spec.seed, orders=orders)
        prepared = prepare(columns, targets, spec.data, declared)
        tasks = with_metric(prepared.tasks, getattr(self, "metric", None) or {})
        tasks = row_weights.with_class_weights(self._weighted(tasks), class_weight or {})
        prepared = dataclasses.replace(prepared, tasks=prepared.resolved(tasks))
        for sentence in prepared.warnings:
            warnings.warn(_of_estimator(sentence), stacklevel=3)
        leaks: list[str] = []
        self.learned_ = learn(prepared, spec, progress=bool(self.verbose), say=leaks.append)
        for sentence in leaks:
            warnings.warn(_of_estimator(sentence), stacklevel=3)

    def _spec(self, X: Table, sample_weight: Any = None, groups: str | None = None) -> Spec:
        """Return the parameters as a spec, with the columns of sample weights and groups.

        Columns of numbers get the role "number", whatever their values and names look like.
        """
        roles = {name: "number" for name in X.names if kind_of(X[name]) == "number"}
        parts = Parts(validation=self.validation, test=0.0, groups=groups)
        return checked(
            Spec(
                tasks=[],
                data=Data(
                    columns=roles | dict(self.columns or {}),
                    sample_weight=sample_weight,
                    parts=parts,
                ),
                network=Network(**self._fit_inputs(Network)),
                training=Training(**self._fit_inputs(Training)),
                seed=_seed(self.random_state),
            )
        )

    def _fit_inputs(self, part: Any) -> dict[str, Any]:
        """Return the parameters of one part of the spec that are not None."""
        parameters = self.get_params(deep=False)
        return {
            name: parameters[name]
            for name in part.__struct_fields__
            if parameters.get(name) is not None
        }

    def _weighted(self, tasks: list[Task]) -> list[Task]:
        """Return the tasks with the loss weights from the parameter `loss_weights`."""
        weights, names = dict(self.loss_weights or {}), [task.name for task in tasks]
        for name in weights:
            if name not in names:
                raise UnknownName("output in loss_weights:", name, names)
        return [
            task.replace(weight=weights[task.name]) if task.name in weights else task
            for task in tasks
        ]

    def _first_table(self, X: Any, y: Any) -> Table:
        """Return the X of training as a table, and keep how its cells of text are read.

        Raises:
            UnknownName: for an option on a column that X does not have.
            InputError: for a format that is not valid, and as `table_of`.
        """
        options, wishes = cell_options(self.missing, self.date_format, self.number_format)
        formats = {n: CellFormat.from_config(one, n) for n, one in options["cells"].items()}
        cells = {"formats": formats, "missing": options["missing"], "wishes": wishes}
        is_asked = bool(formats or options["missing"] or wishes.number_format or wishes.missing)
        table = table_of(self, X, y, reset=True, cells=cells if is_asked else None)
        for name in (*formats, *wishes.number_format, *wishes.missing):
            table[name]  # raises UnknownName
        pinned = {**formats, **table.reading.pinned}
        self.cells_ = {"formats": pinned, "missing": options["missing"]}
        return table

    def _table(self, X: Any) -> Table:
        """Return X as a table, with a warning where it differs from the X of training."""
        check_is_fitted(self)
        # The rows are read as those of the training were; estimators of old files have no formats.
        cells = getattr(self, "cells_", {})
        is_asked = any(cells.values())
        table = table_of(self, X, reset=False, cells=cells if is_asked else None)
        for notice in self.learned_.encoder.check(table):
            warnings.warn(notice, stacklevel=4)
        return table

    def _predicted(self, X: Any) -> dict[TaskName, Array]:
        """Return the predictions [n, p] of each task."""
        table = self._table(X)
        return self.learned_.predict(table)


def _of_estimator(sentence: str) -> str:
    """Return a sentence about the table as it is to be read beside an estimator.

    An estimator has no argument to exclude a column: the hint is to leave it out of X.
    """
    return sentence.replace("with exclude=", "of X: ").replace(" (--exclude)", "")


def _add_weights(
    columns: dict[str, Any],
    sample_weight: Any,
    names: Sequence[str],
    rows: int,
    targets: Sequence[Any],
) -> Any:
    """Add columns of sample weights to a table; return them as `data.sample_weight` of a spec."""
    weights = weights_by_output(sample_weight, rows, names)
    if weights is None:
        return None
    if not isinstance(weights, dict):
        column = free_name("sample_weight", list(columns))
        columns[column] = weights
        return column
    chosen: dict[str, str] = {}
    for name, values in weights.items():
        column = free_name(f"sample_weight of {name}", list(columns))
        columns[column] = values
        chosen[_task_of(name, targets)] = column
    return chosen


def _task_of(column: str, targets: Sequence[Any]) -> TaskName:
    """Return the task to which a column of y belongs: itself, or that of several columns."""
    for target in targets:
        pairs = target.items() if isinstance(target, Mapping) else ()
        for name, wish in pairs:
            if column in columns_of(name, wish) and name != column:
                return name
    return column


def _seed(random_state: Any) -> int:
    """Return an int as it is, so that it is the `seed` of `pc.fit`; else draw a seed."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
