"""Predict classes with one network, by the rules of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from polycera import renamed
from polycera.errors import UnknownName
from polycera.estimators.base import Learner
from polycera.estimators.labels import complete_labels, names_of
from polycera.tasks import Binary, Multiclass, Task
from polycera.typing import Array


class PolyceraClassifier(ClassifierMixin, Learner):
    """Predicts one class, several labels, or several columns of classes with one network.

    | y | `predict` | `predict_proba` | `classes_` |
    |---|---|---|---|
    | [n] of classes | [n] | [n, classes] | [classes] |
    | [n, labels] of 0 and 1 | [n, labels] | [n, labels], of label 1 | [labels], 0, 1, ... |
    | [n, outputs] of classes | [n, outputs] | list of [n, classes] | list of [classes] |

    `predict_proba` has the form of `MLPClassifier` for labels, and of scikit-learn's forests for
    several columns of classes.

    X may be a matrix, a SciPy sparse matrix (made dense, up to 100 million cells) or a data frame
    with text, categories, booleans and dates. X may have missing values. Labels must be complete:
    `PolyceraEstimator` accepts missing labels.

    Args:
        threshold: metric used to choose the decision threshold on validation rows, for a label or
            for the second of two classes: `f1`, `balanced_accuracy`, `accuracy`. Default: `none`, a
            threshold of one half, so that `predict` gives the class of the highest probability.
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
        loss_weights: output -> factor of its loss; 1 for outputs that are not named. Outputs have
            the names of y's columns, or y0, y1, ... where y has none.
        class_weight: output -> "balanced", or {label: weight}; for a single column of y also
            without its name. It multiplies the loss of the rows of a class and is in no metric.
        columns: column of X -> role, where the inferred role is wrong: number, category, boolean,
            date, ignore. Columns without a name are x0, x1, ...
        missing: further words for missing values in columns of text; or column -> the words of that
            column, in place of the usual ones.
        date_format: column of X -> order of its dates where they have two readings, "%d/%m/%Y".
        number_format: column of X -> a number as it is written there where its signs have two
            readings, such as "1.234,5".
        validation: share of the rows that are validation rows, whose score stops the training; 0
            for none.
        random_state: an int, a `numpy.random.RandomState`, or None for another result each time.
        verbose: whether to show a progress bar.

    Attributes:
        classes_: the classes, in the form that the table above shows.
        n_features_in_, feature_names_in_: number and names of the columns of X; the names only
            where all columns of X had a name that is text.
        n_outputs_: number of columns of y.
        history_: name -> one value for each epoch.
        learned_: the network and the encoder of its inputs.

    Raises:
        InputError, ValueError: from `fit` and `predict`, for input that cannot be used.

    Examples:
        >>> import numpy as np, polycera as pc
        >>> X = np.random.default_rng(0).normal(size=(80, 3))
        >>> y = np.where(X[:, 0] > 0, "yes", "no")
        >>> pc.PolyceraClassifier(max_steps=100, random_state=0).fit(X, y).classes_.tolist()
        ['no', 'yes']
    """

    classes_: Any
    n_outputs_: int

    @renamed.arguments(weights="loss_weights")
    def __init__(
        self,
        *,
        threshold: str = "none",
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
        class_weight: Any = None,
        columns: Mapping[str, str] | None = None,
        missing: Iterable[str] | Mapping[str, Iterable[str]] = (),
        date_format: Mapping[str, str] | None = None,
        number_format: Mapping[str, str] | None = None,
        validation: float = 0.15,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.threshold = threshold
        self.class_weight = class_weight
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> Self:
        """Train the network.

        Args:
            X: matrix, sparse matrix or data frame, [n, k].
            y: classes of any type, [n] or [n, outputs]; or 0 and 1 for each label, [n, labels],
                which may be sparse.
            sample_weight: weights of the rows: [n]; or for each output, [n, outputs] or a dict of
                its name to [n]. They weigh what is fitted and what validates.
            groups: group of each row, [n]; no group is divided among training and validation rows.

        Returns:
            the estimator itself.
        """
        table = self._first_table(X, y)
        labels = complete_labels(y, self, None)
        columns = [labels] if labels.ndim == 1 else [_typed(column) for column in labels.T]
        for column in columns:
            check_classification_targets(column)
        names = names_of(y, len(columns), table.names)
        self._multilabel = len(columns) > 1 and all(map(_is_label, columns))
        classes = [
            np.array([0, 1]) if self._multilabel else np.unique(column) for column in columns
        ]
        # The network learns indices; `predict` maps them back to the user's classes.
        codes = [
            np.searchsorted(column_classes, column)
            for column_classes, column in zip(classes, columns, strict=True)
        ]
        class_weights = self._class_weights(names)
        tasks = [
            _task(name, column_classes, class_weights.get(name))
            for name, column_classes in zip(names, classes, strict=True)
        ]
        self._learn(table, dict(zip(names, codes, strict=True)), tasks, sample_weight, groups)
        self._classes, self._dtype, self.n_outputs_ = classes, labels.dtype, len(names)
        if self._multilabel:
            self.classes_ = np.arange(len(names))
        else:
            self.classes_ = classes if len(names) > 1 else classes[0]
        return self

    def _class_weights(self, names: Sequence[str]) -> Mapping[str, Any]:
        """Return the class weights by output; a single output may leave out its name."""
        given: Any = self.class_weight or {}
        if len(names) == 1 and not (isinstance(given, Mapping) and names[0] in given):
            return {names[0]: given or None}
        if isinstance(given, str):
            return dict.fromkeys(names, given)
        for name in given:
            if name not in names:
                raise UnknownName("output in class_weight:", str(name), names)
        return dict(given)

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted class: [n], or [n, outputs] for several columns of y."""
        predictions, thresholds = self._predicted(X), self.learned_.thresholds
        labels = [
            classes[_chosen(task, predictions[task.name], thresholds.get(task.name), len(classes))]
            for task, classes in zip(self.learned_.tasks, self._classes, strict=True)
        ]
        return (
            labels[0]
            if self.n_outputs_ == 1
            else np.stack([column.astype(self._dtype) for column in labels], axis=1)
        )

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities in the order of `classes_`.

        Returns:
            [n, classes]; for labels [n, labels]; for several columns a list of [n, classes].
        """
        predictions = list(self._predicted(X).values())
        if self._multilabel:
            return np.concatenate(predictions, axis=1)
        probabilities = [
            _class_probabilities(values, len(classes))
            for values, classes in zip(predictions, self._classes, strict=True)
        ]
        return probabilities if self.n_outputs_ > 1 else probabilities[0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of rows in which every output is right.

        Args:
            X: as for `predict`.
            y: as for `fit`.
            sample_weight: [n], or None.
        """
        check_is_fitted(self)
        if self.n_outputs_ == 1 or self._multilabel:
            return float(super().score(X, y, sample_weight))
        # scikit-learn's accuracy refuses several columns of classes.
        right = (self.predict(X) == np.asarray(y)).all(axis=1)
        return float(np.average(right, weights=sample_weight))


def _typed(column: np.ndarray) -> np.ndarray:
    """Return a column of a matrix of objects with a type of its own."""
    return np.array(column.tolist()) if column.dtype.kind == "O" else column


def _is_label(column: np.ndarray) -> bool:
    """Return whether a column holds only 0 and 1."""
    return column.dtype.kind in "biuf" and bool(np.isin(column, (0, 1)).all())


def _task(name: str, classes: np.ndarray, class_weight: Any) -> Task:
    """Return the task for these classes, which it learns as 0, 1, ..."""
    weights = class_weight
    if isinstance(class_weight, Mapping):
        # By the user's classes here, by their indices in the task.
        known = classes.tolist()
        weights = {
            known.index(label) if label in known else str(label): value
            for label, value in class_weight.items()
        }
    if len(classes) <= 2:
        return Binary(name, class_weight=weights)
    return Multiclass(name, len(classes), class_weight=weights)


def _chosen(task: Task, values: Array, at: Array | None, classes: int) -> np.ndarray:
    """Return the index of the predicted class, [n]; there may be only one class."""
    if isinstance(task, Binary):
        # A binary task has two classes, also where y has only one.
        return np.minimum(task.choose(values, None if at is None else float(at[0])), classes - 1)
    return values.argmax(axis=1)


def _class_probabilities(values: Array, classes: int) -> Array:
    """Return the probability of each class, [n, classes].

    For two classes the network gives the probability of the second class only.
    """
    if classes == 1:
        return np.ones((len(values), 1))
    return np.concatenate([1.0 - values, values], axis=1) if classes == 2 else values
