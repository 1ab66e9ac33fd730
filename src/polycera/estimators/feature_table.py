"""Turn X, in any form that scikit-learn accepts, into a table of named columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from polycera.data import Table, read
from polycera.data.frames import is_frame
from polycera.errors import InputError, shorten

DENSE = 100_000_000
"""Most cells, zeros included, of a sparse X that is made dense: 0.8 GB as float64."""


def table_of(
    estimator: BaseEstimator,
    X: Any,
    y: Any = "no_validation",
    *,
    reset: bool,
    cells: Mapping[str, Any] | None = None,
) -> Table:
    """Return X, checked by the rules of scikit-learn, as a table.

    Columns keep the names of a data frame whose names are all text. Otherwise they are called x0,
    x1, ... The columns of a data frame keep their types: numbers, text, categories, booleans,
    dates. The columns of a matrix of numbers are numbers.

    Args:
        estimator: stores the names and the number of the columns in `fit`, and has them afterwards.
        X: matrix, list of rows, SciPy sparse matrix or data frame, [n, k].
        y: labels; only checked for None.
        reset: whether to store the names and the number of the columns, as `fit` does.
        cells: how cells of text are read: `formats`, `missing` and `wishes` of
            `polycera.data.read`.

    Returns:
        the table; its `reading` says how cells of text were read.

    Raises:
        ValueError: from scikit-learn, for another number of columns, other names, no rows, or
            infinite numbers.
        InputError: for a sparse X of more cells than `DENSE`, or for a single row in `fit`.
    """
    # "no_validation" is scikit-learn's value for "do not check y": `labels.py` checks the labels.
    y_check = None if y is None else "no_validation"
    options = dict(cells or {})
    if is_frame(X):
        # scikit-learn checks names and their number only: its check of values would make one
        # matrix.
        validate_data(estimator, X, y_check, reset=reset, skip_check_array=True)
        is_named = hasattr(estimator, "feature_names_in_")
        table = _of_frame(estimator, X, reset, options if is_named else {})
        columns = [table[name] for name in table.names]
        table = Table(zip(_names(estimator, columns), columns, strict=True)).read_as(table.reading)
        if is_named:
            return table
    else:
        columns = _of_matrix(estimator, X, y_check, reset)
        table = Table(zip(_names(estimator, columns), columns, strict=True))
    # Only now the columns have the names by which options speak of them: x0, x1, ...
    return read({name: table[name] for name in table.names}, **options) if options else table


def _names(estimator: BaseEstimator, columns: list[Any]) -> list[str]:
    """Return the names that the estimator gives to the columns of X."""
    names = getattr(estimator, "feature_names_in_", [f"x{place}" for place in range(len(columns))])
    return [str(name) for name in names]


def _of_frame(estimator: BaseEstimator, X: Any, reset: bool, options: Mapping[str, Any]) -> Table:
    """Return a data frame as a table, by its own names."""
    table = read(X, **options)
    for name, unread in table.unread.items():
        raise InputError(
            f"Column {shorten(name)!r} of X cannot be used: {unread.reason} One number, text, "
            "boolean or date is expected in each row: leave the column out of X."
        )
    if table.rows < _least(reset):
        name = type(estimator).__name__
        raise InputError(
            f"X has {table.rows} sample; {name} needs 2, one to train on and one to validate on."
        )
    return table


def _of_matrix(estimator: BaseEstimator, X: Any, y: str | None, reset: bool) -> list[Any]:
    """Return the columns of a matrix, a sparse matrix or a list of rows."""
    matrix = validate_data(
        estimator,
        _in_its_types(X),
        y,
        reset=reset,
        accept_sparse=("csr", "csc"),
        dtype=None,
        ensure_all_finite="allow-nan",
        ensure_min_samples=_least(reset),
    )
    matrix = dense(matrix, "X") if issparse(matrix) else matrix
    matrix = matrix.astype(np.float64, copy=False) if matrix.dtype.kind in "biuf" else matrix
    return list(matrix.T)


def _least(reset: bool) -> int:
    """Return the least number of rows: in `fit` one training row and one validation row."""
    return 2 if reset else 1


def _in_its_types(X: Any) -> Any:
    """Return rows that mix numbers and text as objects; NumPy would turn all into text."""
    if issparse(X) or isinstance(X, np.ndarray) or np.asarray(X).dtype.kind not in "US":
        return X
    return np.asarray(X, dtype=object)


def dense(matrix: Any, what: str) -> np.ndarray:
    """Return a sparse matrix as a dense one, [n, k].

    Raises:
        InputError: for a matrix of more cells than `DENSE`.
    """
    rows, columns = matrix.shape
    if rows * columns > DENSE:
        raise InputError(
            f"The sparse {what} has {rows} x {columns} cells, and up to {DENSE:,} are made dense: "
            "give fewer rows at a time, or fewer columns (sklearn.feature_selection, "
            "sklearn.decomposition.TruncatedSVD)."
        )
    return np.asarray(matrix.toarray())
