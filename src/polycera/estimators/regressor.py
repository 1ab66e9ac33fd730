"""Predict numbers with one network, by the rules of scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from polycera.estimators.base import Learner
from polycera.estimators.labels import complete_labels, names_of


class PolyceraRegressor(RegressorMixin, Learner):
    """Predicts one number or several with one network.

    X may be a matrix, a SciPy sparse matrix (made dense, up to 100 million cells) or a data frame
    with text, categories, booleans and dates. X may have missing values. Labels must be complete:
    `PolyceraEstimator` accepts missing labels.

    Args:
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
        >>> y = np.stack([X[:, 0], 10 * X[:, 1]], axis=1)
        >>> pc.PolyceraRegressor(max_steps=100, random_state=0).fit(X, y).predict(X[:5]).shape
        (5, 2)
    """

    n_outputs_: int

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None) -> Self:
        """Train the network.

        Args:
            X: matrix, sparse matrix or data frame, [n, k].
            y: numbers, [n] or [n, outputs].
            sample_weight: weights of the rows: [n]; or for each output, [n, outputs] or a dict of
                its name to [n]. They weigh what is fitted and what validates.
            groups: group of each row, [n]; no group is divided among training and validation rows.

        Returns:
            the estimator itself.
        """
        table = self._first_table(X, y)
        values = complete_labels(y, self, np.float64)
        values = values[:, None] if values.ndim == 1 else values
        names = names_of(y, values.shape[1], table.names)
        self._learn(
            table,
            dict(zip(names, values.T, strict=True)),
            [dict.fromkeys(names, "regression")],
            sample_weight,
            groups,
        )
        self.n_outputs_ = len(names)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return numbers in the units of y: [n], or [n, outputs] for several columns of y."""
        values = np.concatenate(list(self._predicted(X).values()), axis=1)
        return values[:, 0] if self.n_outputs_ == 1 else values
