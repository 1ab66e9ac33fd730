"""Classes from a network, by scikit-learn's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from polycera.estimators.base import Learner
from polycera.estimators.feature_table import table_of
from polycera.estimators.labels import names_of, whole
from polycera.tasks import Binary, Multiclass, Task
from polycera.typing import Array


class PolyceraClassifier(ClassifierMixin, Learner):
    """One network for one class, for many labels, or for several columns of classes.

    | y | `predict` | `predict_proba` | `classes_` |
    |---|---|---|---|
    | [n] of classes | [n] | [n, classes] | [classes] |
    | [n, labels] of 0 and 1 | [n, labels] | [n, labels], of yes, as `MLPClassifier` | 0, 1, ..., one a label |
    | [n, outputs] of classes | [n, outputs] | list of [n, classes], as forests | list of [classes] |

    X may be a matrix, a SciPy sparse matrix (made dense up to 100 million cells) or a data frame
    with text, categories, booleans and dates; missing values in X are legal. Labels are whole: for
    missing ones see `PolyceraEstimator`.

    Args:
        threshold: the metric by which it is chosen, on the validation rows, from which probability
            on yes is said to a label or to the second of two classes: `f1`, `balanced_accuracy`,
            `accuracy`. Default
                `none`: above one
            half, so that `predict` says what `predict_proba` holds for most likely.
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
        weights: output -> factor in the total loss; 1 where it is not named. Outputs have the names
            of y's columns, y0, y1, ... where it has none.
        columns: column of X -> role, where the inferred one is wrong: number, category, boolean,
            date, ignore. Columns without a name are x0, x1, ...
        validation: share of the rows on which the training stops; 0 for none.
        random_state: an int, a `numpy.random.RandomState`, or None for another result each time.
        verbose: whether to draw a progress bar.

    Attributes:
        classes_: see above.
        n_features_in_, feature_names_in_: of X; the names only where X had them, all of them text.
        n_outputs_: columns of y.
        history_: name -> one value an epoch.
        learned_: the network, and what makes features of a table.

    Raises:
        InputError, ValueError: from `fit` and `predict`, one sentence for whatever cannot be used.

    Examples:
        >>> import numpy as np, polycera as pc
        >>> X = np.random.default_rng(0).normal(size=(80, 3))
        >>> y = np.where(X[:, 0] > 0, "yes", "no")
        >>> pc.PolyceraClassifier(max_steps=100, random_state=0).fit(X, y).classes_.tolist()
        ['no', 'yes']
    """

    classes_: Any
    n_outputs_: int

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
        weights: Mapping[str, float] | None = None,
        columns: Mapping[str, str] | None = None,
        validation: float = 0.15,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.threshold = threshold
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Train.

        Args:
            X: matrix, sparse matrix or data frame, [n, k].
            y: classes of any type, [n] or [n, outputs]; or 0 and 1 for each label, [n, labels],
                sparse too.
        """
        table = table_of(self, X, y, reset=True)
        labels = whole(y, self, None)
        columns = [labels] if labels.ndim == 1 else [_typed(column) for column in labels.T]
        for column in columns:
            check_classification_targets(column)
        names = names_of(y, len(columns), table.names)
        self._multilabel = len(columns) > 1 and all(map(_is_label, columns))
        classes = [
            np.array([0, 1]) if self._multilabel else np.unique(column) for column in columns
        ]
        codes = [np.searchsorted(own, column) for own, column in zip(classes, columns, strict=True)]
        tasks = [_task(name, len(own)) for name, own in zip(names, classes, strict=True)]
        self._learn(table, dict(zip(names, codes, strict=True)), tasks)
        self._each, self._dtype, self.n_outputs_ = classes, labels.dtype, len(names)
        if self._multilabel:
            self.classes_ = np.arange(len(names))
        else:
            self.classes_ = classes if len(names) > 1 else classes[0]
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The class one would say: [n], or [n, outputs] where y had several columns."""
        found, at = self._predicted(X), self.learned_.thresholds
        said = [
            classes[_chosen(task, found[task.name], at.get(task.name), len(classes))]
            for task, classes in zip(self.learned_.tasks, self._each, strict=True)
        ]
        return (
            said[0]
            if self.n_outputs_ == 1
            else np.stack([one.astype(self._dtype) for one in said], axis=1)
        )

    def predict_proba(self, X: Any) -> Any:
        """Probabilities, in the order of `classes_`: [n, classes]; [n, labels]; or a list of [n, classes]."""
        found = list(self._predicted(X).values())
        if self._multilabel:
            return np.concatenate(found, axis=1)
        shares = [
            _of_each(values, len(classes))
            for values, classes in zip(found, self._each, strict=True)
        ]
        return shares if self.n_outputs_ > 1 else shares[0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of rows in which every output is right.

        Args:
            X: as for `predict`.
            y: as for `fit`.
            sample_weight: [n], or None.
        """
        check_is_fitted(self)
        if self.n_outputs_ == 1 or self._multilabel:
            return float(super().score(X, y, sample_weight))
        right = (self.predict(X) == np.asarray(y)).all(axis=1)
        return float(np.average(right, weights=sample_weight))


def _typed(column: np.ndarray) -> np.ndarray:
    """A column of a matrix of objects in its own type."""
    return np.array(column.tolist()) if column.dtype.kind == "O" else column


def _is_label(column: np.ndarray) -> bool:
    return column.dtype.kind in "biuf" and bool(np.isin(column, (0, 1)).all())


def _task(name: str, classes: int) -> Task:
    return Binary(name) if classes <= 2 else Multiclass(name, classes)


def _chosen(task: Task, values: Array, at: Array | None, classes: int) -> np.ndarray:
    """Index of the class one would say, [n]; there may be one class only."""
    if isinstance(task, Binary):
        return np.minimum(task.choose(values, None if at is None else float(at[0])), classes - 1)
    return values.argmax(axis=1)


def _of_each(values: Array, classes: int) -> Array:
    """The probability of each class, [n, classes], where a network gives that of the second of two alone."""
    if classes == 1:
        return np.ones((len(values), 1))
    return np.concatenate([1.0 - values, values], axis=1) if classes == 2 else values
