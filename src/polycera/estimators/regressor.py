"""Numbers from a network, by scikit-learn's rules."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from polycera.estimators.base import Learner
from polycera.estimators.feature_table import table_of
from polycera.estimators.labels import names_of, whole


class PolyceraRegressor(RegressorMixin, Learner):
    """One network for one number or many.

    X may be a matrix, a SciPy sparse matrix (made dense up to 100 million cells) or a data frame
    with text, categories, booleans and dates; missing values in X are legal. Labels are whole: for
    missing ones see `PolyceraEstimator`.

    Args:
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
        n_features_in_, feature_names_in_: of X; the names only where X had them, all of them text.
        n_outputs_: columns of y.
        history_: name -> one value an epoch.
        learned_: the network, and what makes features of a table.

    Raises:
        InputError, ValueError: from `fit` and `predict`, one sentence for whatever cannot be used.

    Examples:
        >>> import numpy as np, polycera as pc
        >>> X = np.random.default_rng(0).normal(size=(80, 3))
        >>> y = np.stack([X[:, 0], 10 * X[:, 1]], axis=1)
        >>> pc.PolyceraRegressor(max_steps=100, random_state=0).fit(X, y).predict(X[:5]).shape
        (5, 2)
    """

    n_outputs_: int

    def fit(self, X: Any, y: Any) -> Self:
        """Train.

        Args:
            X: matrix, sparse matrix or data frame, [n, k].
            y: numbers, [n] or [n, outputs].
        """
        table = table_of(self, X, y, reset=True)
        values = whole(y, self, np.float64)
        values = values[:, None] if values.ndim == 1 else values
        names = names_of(y, values.shape[1], table.names)
        self._learn(
            table, dict(zip(names, values.T, strict=True)), [dict.fromkeys(names, "regression")]
        )
        self.n_outputs_ = len(names)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Numbers in the units of y: [n], or [n, outputs] where y had several columns."""
        values = np.concatenate(list(self._predicted(X).values()), axis=1)
        return values[:, 0] if self.n_outputs_ == 1 else values
