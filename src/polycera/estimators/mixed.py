"""Numbers, classes, labels and counts from one network: the estimator for columns of several kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils import check_consistent_length

from polycera.data import Table, columns_of
from polycera.errors import InputError, UnknownName, listing
from polycera.estimators.base import Learner
from polycera.estimators.feature_table import table_of
from polycera.estimators.labels import came_as, given_back, is_named, labels_of
from polycera.tasks import Binary, Multiclass, Multilabel, Quantile, Task
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName


class PolyceraEstimator(Learner):
    """One network for columns of several kinds, any label of which may be missing.

    y is a data frame, a dict of columns, a matrix or one column; missing labels are NaN, None or
    NaT. What each column is, is inferred as `pc.fit` does (two values are binary, text is
    multiclass, many numbers are regression), or declared by `tasks`. What `predict` gives has the
    columns of y, in their order, and comes as y came.

    X may be a matrix, a SciPy sparse matrix (made dense up to 100 million cells) or a data frame
    with text, categories, booleans and dates; missing values in X are legal.

    Args:
        tasks: name of a column of y -> kind (`"count"`) or task (`pc.Regression("price",
            loss="mae")`); or a list of tasks. A `pc.Multilabel` takes the columns that its labels
            are named after. Columns that are not named are inferred.
        threshold: the metric by which it is chosen, on the validation rows, from which probability
            on yes is said of a binary task or a label: `f1`, `balanced_accuracy`, `accuracy`;
            `none`: above one half.
        joint: task -> weight in the score by which training stops and that `score` gives; default:
            all alike.
        width, depth, dropout: of the trunk. None, here and below: as `pc.fit` has it.
        folds: parts of the rows, each held out from as many of the members of the network, so that
            no row is wasted; 1:
            the validation rows are held out from all. Default: 5, and 1 of more than 20,000 rows.
        learning_rate, weight_decay: of AdamW.
        batch_size: rows a step; None: by the number of rows.
        max_steps: steps at most.
        patience_steps: steps without a better score before the training stops.
        weighting, balancing: methods by name, or mappings of a name and hyperparameters; `polycera
            methods`.
        weights: task -> factor in the total loss, where it is not the task's own (1).
        columns: column of X -> role, where the inferred one is wrong: number, category, boolean,
            date, ignore. Columns without a name are x0, x1, ...
        validation: share of the rows on which the training stops and thresholds are chosen; 0 for
            none.
        random_state: an int, a `numpy.random.RandomState`, or None for another result each time.
        verbose: whether to draw a progress bar.

    Attributes:
        tasks_: what is predicted, in the order of y.
        classes_: task -> its classes [classes], of those tasks that have some.
        n_features_in_, feature_names_in_: of X; the names only where X had them, all of them text.
        n_outputs_: columns of y.
        history_: name -> one value an epoch.
        learned_: the network, and what makes features of a table.

    Raises:
        UnknownName, InputError, ValueError: from `fit` and `predict`, one sentence for whatever
            cannot be used.

    Examples:
        >>> import numpy as np, polycera as pc
        >>> X = np.random.default_rng(0).normal(size=(80, 3))
        >>> y = {"churn": np.where(X[:, 0] > 0, "yes", "no"), "loss": np.where(X[:, 1] > 0, X[:, 1], np.nan)}
        >>> mixed = pc.PolyceraEstimator(max_steps=100, random_state=0).fit(X, y)
        >>> {name: answer.shape for name, answer in mixed.predict(X[:5]).items()}
        {'churn': (5,), 'loss': (5,)}
    """

    tasks_: list[Task]
    classes_: dict[TaskName, np.ndarray]
    n_outputs_: int

    def __init__(
        self,
        tasks: Any = None,
        *,
        threshold: str = "f1",
        joint: Mapping[str, float] | None = None,
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
        self.tasks = tasks
        self.threshold = threshold
        self.joint = joint
        super().__init__(
            width=width,
            depth=depth,
            dropout=dropout,
            folds=folds,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            batch_size=batch_size,
            max_steps=max_steps,
            patience_steps=patience_steps,
            weighting=weighting,
            balancing=balancing,
            weights=weights,
            columns=columns,
            validation=validation,
            random_state=random_state,
            verbose=verbose,
        )

    def fit(self, X: Any, y: Any) -> Self:
        """Train.

        Args:
            X: matrix, sparse matrix or data frame, [n, k].
            y: labels, as a data frame, a dict of name to [n], a matrix [n, outputs] or one column
                [n].
        """
        table = table_of(self, X, y, reset=True)
        labels = labels_of(y, table.names)
        if both := [name for name in labels.names if name in table]:
            raise InputError(
                f"X and y both have the columns {listing(both)}: leave them out of X, or rename them."
            )
        self._learn(
            table, {name: labels[name] for name in labels.names}, _asked(self.tasks, labels.names)
        )
        self._names, self.n_outputs_, self._like = labels.names, len(labels.names), came_as(y)
        self.tasks_ = self.learned_.tasks
        own = {
            task.name: task.known_classes() for task in self.tasks_ if isinstance(task, ClassTask)
        }
        self.classes_ = {name: np.array(classes) for name, classes in own.items()}
        return self

    def predict(self, X: Any) -> Any:
        """The answer one would give to each column of y: a number, a class, 0 or 1 for a label.

        Returns:
            the columns of y, [n] each, in what y was: a data frame of the same library, a dict, an
            array. A frame of pandas has the index of X, where that has one.
        """
        found = self._predicted(X)
        said: dict[str, np.ndarray] = {}
        for task in self.tasks_:
            said |= _said(task, found[task.name], self.learned_.thresholds.get(task.name))
        answers = given_back(self._like, {name: said[name] for name in self._names})
        return (
            answers.set_axis(X.index) if self._like == "pandas" and hasattr(X, "index") else answers
        )

    def predict_proba(self, X: Any) -> dict[TaskName, Array]:
        """Probabilities of each task that has classes or labels.

        Returns:
            task -> [n, classes], in the order of `classes_`; for a multilabel task [n, labels], of
            yes.
        """
        found = self._predicted(X)
        return {
            task.name: _shares(task, found[task.name]) for task in self.tasks_ if _has_shares(task)
        }

    def predict_quantiles(self, X: Any) -> dict[TaskName, Array]:
        """What each quantile task answers: task -> [n, quantiles], in the order of its levels."""
        found = self._predicted(X)
        return {task.name: found[task.name] for task in self.tasks_ if isinstance(task, Quantile)}

    def score(self, X: Any, y: Any) -> float:
        """The joint score: the mean of the tasks' skills, 0 for an answer that is always the same, 1 at best.

        Args:
            X: as for `predict`.
            y: as for `fit`; labels may be missing.
        """
        table = self._table(X)
        labels = labels_of(y, table.names)
        names = labels.names if is_named(y) else self._names
        if len(names) != len(labels.names):
            raise InputError(
                f"y has {len(labels.names)} columns without a name, and {len(names)} were learned."
            )
        for name in names:
            if name not in self._names:
                raise UnknownName("column of y:", name, self._names)
        check_consistent_length(table[table.names[0]], labels[labels.names[0]])
        own = zip(names, (labels[name] for name in labels.names), strict=True)
        return self.learned_.skill(Table([*((name, table[name]) for name in table.names), *own]))


def _asked(tasks: Any, names: Sequence[str]) -> list[Any]:
    """The tasks that were declared, and the columns of y that nobody declared anything about, in the order of y."""
    declared = _declared(tasks)
    covered: dict[str, TaskName] = {}
    for task, wish in declared.items():
        for column in columns_of(task, wish):
            if column not in names:
                raise UnknownName("column of y in tasks:", column, names)
            covered[column] = task
    order = dict.fromkeys(covered.get(name, name) for name in names)
    return [{task: declared[task]} if task in declared else task for task in order]


def _declared(tasks: Any) -> dict[TaskName, Any]:
    """What was declared, by the name of the task."""
    if tasks is None:
        return {}
    if isinstance(tasks, Mapping):
        return dict(tasks)
    listed: list[Any] = [tasks] if isinstance(tasks, Task | str) else list(tasks)
    if strange := [task for task in listed if not isinstance(task, Task)]:
        raise InputError(
            f"tasks holds {listing(strange, 3)}; tasks, or a dict of name to kind or task, are expected."
        )
    if len({task.name for task in listed}) < len(listed):
        raise InputError(f"tasks names one twice: {listing(task.name for task in listed)}.")
    return {task.name: task for task in listed}


def _said(task: Task, values: Array, at: Array | None) -> dict[str, np.ndarray]:
    """Column of y -> answers [n]."""
    if isinstance(task, Multilabel):
        return dict(zip(task.labels, task.answer(values, at).T, strict=True))
    if isinstance(task, Multiclass) and task.soft:  # a column for each class
        return {str(each): values[:, i] for i, each in enumerate(task.known_classes())}
    if isinstance(task, Binary):
        return {task.name: task.in_words(task.choose(values, None if at is None else float(at[0])))}
    return {task.name: task.answer(values)}


def _has_shares(task: Task) -> bool:
    return isinstance(task, ClassTask | Multilabel)


def _shares(task: Task, values: Array) -> Array:
    return np.concatenate([1.0 - values, values], axis=1) if isinstance(task, Binary) else values
