"""Predict numbers, classes, labels and counts with one network: columns of several kinds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils import check_consistent_length

from polycera import renamed
from polycera.data import Table, columns_of
from polycera.errors import InputError, UnknownName, listing
from polycera.estimators.base import Learner
from polycera.estimators.labels import form_of, in_form, is_named, labels_of
from polycera.estimators.row_metadata import weights_by_output
from polycera.tasks import Binary, Multiclass, Multilabel, Quantile, Task
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

if TYPE_CHECKING:
    from polycera.model.scores import Score


class PolyceraEstimator(Learner):
    """Predicts columns of several kinds with one network; any label may be missing.

    y is a data frame, a dict of columns, a matrix or one column. Missing labels are NaN, None or
    NaT. The kind of each column is inferred as in `pc.fit` (two values are binary, text is
    multiclass, many numbers are regression), or declared by `tasks`. `predict` returns the columns
    of y, in their order and in the container type of y.

    X may be a matrix, a SciPy sparse matrix (made dense, up to 100 million cells) or a data frame
    with text, categories, booleans and dates. X may have missing values.

    Args:
        tasks: name of a column of y -> kind (`"count"`) or task (`pc.Regression("price",
            loss="mae")`); or a list of tasks. A `pc.Multilabel` takes the columns that have the
            names of its labels. The kinds of other columns are inferred.
        threshold: metric used to choose the decision threshold of a binary task or a label on
            validation rows: `f1`, `balanced_accuracy`, `accuracy`. `none`: a threshold of one half.
        metric: task -> the metric by which it counts in the joint score; default: that of its kind.
        order: target -> its levels, from the lowest to the highest; the target is then ordinal.
        score_weights: task -> weight in the joint score, which stops the training and which `score`
            returns; default: equal weights.
        width, depth, dropout: sizes and dropout of the shared trunk. None, here and below: the
            default of `pc.fit`.
        folds: parts of the rows. Each part is a validation part for equally many ensemble members,
            so no row is wasted. 1: the validation rows are hidden from all members. Default: 5,
            and 1 for more than 20,000 rows.
        learning_rate, weight_decay: settings of AdamW.
        batch_size: rows a step; None: chosen by the number of rows.
        max_steps: most steps.
        patience_steps: steps without a better score before the training stops.
        weighting, balancing: methods by name, or mappings of `name` and hyperparameters; see
            `polycera methods`.
        loss_weights: task -> factor of its loss, in place of the task's own weight (1).
        class_weight: task -> "balanced", or {label: weight}: factors of the loss of the rows of a
            class, which are in no metric.
        columns: column of X -> role, where the inferred role is wrong: number, category, boolean,
            date, ignore. Columns without a name are x0, x1, ...
        missing: further words for missing values in columns of text; or column -> the words of that
            column, in place of the usual ones.
        date_format: column of X -> order of its dates where they have two readings, "%d/%m/%Y".
        number_format: column of X -> a number as it is written there where its signs have two
            readings, such as "1.234,5".
        validation: share of the rows that are validation rows, whose score stops the training and
            on which decision thresholds are chosen; 0 for none.
        random_state: an int, a `numpy.random.RandomState`, or None for another result each time.
        verbose: whether to show a progress bar.

    Attributes:
        tasks_: the tasks, in the order of y.
        classes_: task -> its classes [classes], for the tasks that have classes.
        n_features_in_, feature_names_in_: number and names of the columns of X; the names only
            where all columns of X had a name that is text.
        n_outputs_: number of columns of y.
        history_: name -> one value for each epoch.
        learned_: the network and the encoder of its inputs.

    Raises:
        UnknownName, InputError, ValueError: from `fit` and `predict`, for unusable input.

    Examples:
        >>> import numpy as np, polycera as pc
        >>> X = np.random.default_rng(0).normal(size=(80, 3))
        >>> y = {
        ...     "churn": np.where(X[:, 0] > 0, "yes", "no"),
        ...     "loss": np.where(X[:, 1] > 0, X[:, 1], np.nan),
        ... }
        >>> mixed = pc.PolyceraEstimator(max_steps=100, random_state=0).fit(X, y)
        >>> {name: answer.shape for name, answer in mixed.predict(X[:5]).items()}
        {'churn': (5,), 'loss': (5,)}
    """

    tasks_: list[Task]
    classes_: dict[TaskName, np.ndarray]
    n_outputs_: int

    joint = renamed.Attribute("score_weights")

    @renamed.arguments(weights="loss_weights", joint="score_weights")
    def __init__(
        self,
        tasks: Any = None,
        *,
        threshold: str = "f1",
        metric: Mapping[str, str] | None = None,
        order: Mapping[str, Iterable[Any]] | None = None,
        score_weights: Mapping[str, float] | None = None,
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
        class_weight: Mapping[str, Any] | None = None,
        columns: Mapping[str, str] | None = None,
        missing: Iterable[str] | Mapping[str, Iterable[str]] = (),
        date_format: Mapping[str, str] | None = None,
        number_format: Mapping[str, str] | None = None,
        validation: float = 0.15,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.tasks = tasks
        self.threshold = threshold
        self.class_weight = class_weight
        self.metric = metric
        self.order = order
        self.score_weights = score_weights
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
            loss_weights=loss_weights,
            columns=columns,
            missing=missing,
            date_format=date_format,
            number_format=number_format,
            validation=validation,
            random_state=random_state,
            verbose=verbose,
        )

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> Self:
        """Train the network.

        Args:
            X: matrix, sparse matrix or data frame, [n, k].
            y: labels, as a data frame, a dict of name to [n], a matrix [n, outputs] or one column
                [n].
            sample_weight: weights of the rows: [n]; or for each output, [n, outputs] or a dict of
                its name to [n]. They weigh what is fitted and what validates.
            groups: group of each row, [n]; no group is divided among training and validation rows.

        Returns:
            the estimator itself.
        """
        table = self._first_table(X, y)
        labels = labels_of(y, table.names)
        if shared_names := [name for name in labels.names if name in table]:
            raise InputError(
                f"X and y both have the columns {listing(shared_names)}: leave them out of X, or "
                "rename them."
            )
        self._learn(
            table,
            {name: labels[name] for name in labels.names},
            _targets_of(self.tasks, labels.names),
            sample_weight,
            groups,
            self.class_weight,
        )
        self._names, self.n_outputs_, self._like = labels.names, len(labels.names), form_of(y)
        self.tasks_ = self.learned_.tasks
        known_classes = {
            task.name: task.known_classes() for task in self.tasks_ if isinstance(task, ClassTask)
        }
        self.classes_ = {name: np.array(classes) for name, classes in known_classes.items()}
        return self

    def predict(self, X: Any) -> Any:
        """Return the prediction for each column of y: a number, a class, or 0 or 1 for a label.

        Returns:
            the columns of y, [n] each, in the container type of y: a data frame of the same
            library, a dict, or an array. A frame of pandas has the index of X if X has one.
        """
        predictions = self._predicted(X)
        columns: dict[str, np.ndarray] = {}
        for task in self.tasks_:
            columns |= _prediction_columns(
                task, predictions[task.name], self.learned_.thresholds.get(task.name)
            )
        labels = in_form(self._like, {name: columns[name] for name in self._names})
        return (
            labels.set_axis(X.index) if self._like == "pandas" and hasattr(X, "index") else labels
        )

    def predict_proba(self, X: Any) -> dict[TaskName, Array]:
        """Return the probabilities of each task that has classes or labels.

        Returns:
            task -> [n, classes], in the order of `classes_`; for a multilabel task the probability
            of label 1, [n, labels].
        """
        predictions = self._predicted(X)
        return {
            task.name: _shares(task, predictions[task.name])
            for task in self.tasks_
            if _has_shares(task)
        }

    def predict_quantiles(self, X: Any) -> dict[TaskName, Array]:
        """Return predictions [n, quantiles] of each quantile task, in the order of its levels."""
        predictions = self._predicted(X)
        return {
            task.name: predictions[task.name] for task in self.tasks_ if isinstance(task, Quantile)
        }

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the joint score: the weighted mean of the tasks' skills.

        It is 0 for a constant prediction and 1 for a perfect one.

        Args:
            X: as for `predict`.
            y: as for `fit`; labels may be missing.
            sample_weight: weights of the rows, as for `fit`, or None.
        """
        table, weights = self._labelled(X, y, sample_weight)
        return self.learned_.skill(table, weights)

    def task_score(
        self, X: Any, y: Any, task: TaskName, metric: str, sample_weight: Any = None
    ) -> Score:
        """Return one metric of one task with its direction.

        Metrics of predicted classes are those at the decision threshold of the task.

        Args:
            X: as for `predict`.
            y: as for `fit`; labels may be missing.
            task: name of a task.
            metric: any metric of the task's kind.
            sample_weight: weights of the rows, as for `fit`, or None.

        Raises:
            UnknownName: for a task or metric that does not exist.
        """
        table, weights = self._labelled(X, y, sample_weight)
        return self.learned_.score_of(table, task, metric, weights)

    def _labelled(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[Table, dict[TaskName, Array] | None]:
        """Return a table of features and labels, and the sample weights of its tasks."""
        table = self._table(X)
        labels = labels_of(y, table.names)
        names = labels.names if is_named(y) else self._names
        if len(names) != len(labels.names):
            raise InputError(
                f"y has {len(labels.names)} columns without a name, but {len(names)} were learned."
            )
        for name in names:
            if name not in self._names:
                raise UnknownName("column of y:", name, self._names)
        check_consistent_length(table[table.names[0]], labels[labels.names[0]])
        named_labels = zip(names, (labels[name] for name in labels.names), strict=True)
        weights = weights_by_output(sample_weight, table.rows, names)
        by_task: dict[TaskName, Array] | None = None
        if isinstance(weights, dict):
            owner = {
                column: task.name for task in self.tasks_ for column in columns_of(task.name, task)
            }
            ones = np.ones(table.rows)
            by_task = {task.name: ones for task in self.tasks_}
            by_task |= {owner[name]: values for name, values in weights.items()}
        elif weights is not None:
            by_task = {task.name: weights for task in self.tasks_}
        return Table([*((name, table[name]) for name in table.names), *named_labels]), by_task


def _targets_of(tasks: Any, names: Sequence[str]) -> list[Any]:
    """Return the declared tasks and the columns of y without one, in the order of y."""
    declared = _declared(tasks)
    task_of_column: dict[str, TaskName] = {}
    for task, declaration in declared.items():
        for column in columns_of(task, declaration):
            if column not in names:
                raise UnknownName("column of y in tasks:", column, names)
            task_of_column[column] = task
    # A task over several columns has the position of its first column.
    order = dict.fromkeys(task_of_column.get(name, name) for name in names)
    return [{task: declared[task]} if task in declared else task for task in order]


def _declared(tasks: Any) -> dict[TaskName, Any]:
    """Return the declared tasks or kinds, by the name of the task."""
    if tasks is None:
        return {}
    if isinstance(tasks, Mapping):
        return dict(tasks)
    task_list: list[Any] = [tasks] if isinstance(tasks, Task | str) else list(tasks)
    if others := [task for task in task_list if not isinstance(task, Task)]:
        raise InputError(
            f"tasks holds {listing(others, 3)}; tasks, or a dict of name to kind or task, are "
            "expected."
        )
    if len({task.name for task in task_list}) < len(task_list):
        raise InputError(f"tasks names one twice: {listing(task.name for task in task_list)}.")
    return {task.name: task for task in task_list}


def _prediction_columns(task: Task, values: Array, at: Array | None) -> dict[str, np.ndarray]:
    """Return predicted labels [n] for each column of y that belongs to a task."""
    if isinstance(task, Multilabel):
        return dict(zip(task.labels, task.answer(values, at).T, strict=True))
    # A task with soft labels has a column of y for each class.
    if isinstance(task, Multiclass) and task.soft:
        return {
            str(label_class): values[:, i] for i, label_class in enumerate(task.known_classes())
        }
    if isinstance(task, Binary):
        return {task.name: task.in_words(task.choose(values, None if at is None else float(at[0])))}
    return {task.name: task.answer(values)}


def _has_shares(task: Task) -> bool:
    """Return whether a task predicts probabilities."""
    return isinstance(task, ClassTask | Multilabel)


def _shares(task: Task, values: Array) -> Array:
    """Return the probability of each class or label; binary tasks predict the second class only."""
    return np.concatenate([1.0 - values, values], axis=1) if isinstance(task, Binary) else values
