"""Read y in any form that scikit-learn accepts, and return predictions in the form of y."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, column_or_1d

from polycera.data import Table, read
from polycera.data.frames import is_frame
from polycera.errors import InputError
from polycera.estimators.feature_table import dense
from polycera.tasks.user_labels import missing


def complete_labels(y: Any, estimator: BaseEstimator, dtype: Any) -> np.ndarray:
    """Return y as an array [n] or [n, outputs] without missing labels.

    One column [n, 1] becomes [n], with a warning.

    Raises:
        ValueError: from scikit-learn, for another shape or infinite labels.
        InputError: for a dict, or for a label that is missing.
    """
    if isinstance(y, Mapping):
        raise InputError(
            f"y is a {type(y).__name__}; an array or a frame is expected. PolyceraEstimator "
            "accepts dicts."
        )
    checks = dict(ensure_2d=False, dtype=dtype, estimator=estimator, input_name="y")
    # Missing labels first, to raise an error that names the row and another estimator; then all
    # other checks of scikit-learn.
    labels = check_array(dense(y, "y") if issparse(y) else y, ensure_all_finite=False, **checks)
    if (is_missing := missing(labels)).any():
        raise InputError(
            f"Input y contains NaN, the first in row {int(np.argwhere(is_missing)[0][0])}: leave "
            "those rows out, or use PolyceraEstimator, which accepts missing labels."
        )
    labels = check_array(labels, **checks)
    return column_or_1d(labels, warn=True) if labels.ndim == 1 or labels.shape[1] == 1 else labels


def names_of(y: Any, outputs: int, taken: Sequence[str]) -> list[str]:
    """Return names for the columns of y: its own if it has any, else y, or y0, y1, ...

    A name that is also a column of X gets " (target)" behind it.

    Args:
        y: y as the user passed it.
        outputs: number of columns of y.
        taken: names of the columns of X.
    """
    default_names = ["y"] if outputs == 1 else [f"y{place}" for place in range(outputs)]
    if is_frame(y):
        column_names = list(nw.from_native(y).collect_schema().names())
    else:
        column_names = [getattr(y, "name", None)]
    usable = len(set(column_names)) == outputs and all(
        isinstance(name, str) for name in column_names
    )
    return [
        f"{name} (target)" if name in taken else name
        for name in (column_names if usable else default_names)
    ]


def is_named(y: Any) -> bool:
    """Return whether the columns of y have names of their own."""
    return isinstance(y, Mapping) or is_frame(y) or isinstance(getattr(y, "name", None), str)


def labels_of(y: Any, taken: Sequence[str]) -> Table:
    """Return y as a table; columns without a name are called y, or y0, y1, ..."""
    if isinstance(y, Mapping) or is_frame(y):
        return read(y)
    y = dense(y, "y") if issparse(y) else y
    # A list is read as objects, because NumPy would turn mixed values into text.
    array = y if hasattr(y, "dtype") else np.asarray(y, dtype=object)
    shape = np.shape(array)
    if len(shape) not in (1, 2):
        raise InputError(f"y has shape {list(shape)}; [n] or [n, outputs] is expected.")
    columns = [array] if len(shape) == 1 else list(np.asarray(array).T)
    return read(dict(zip(names_of(y, len(columns), taken), columns, strict=True)))


def form_of(y: Any) -> str:
    """Return the form of y: the library of a data frame, "dict", or "array of" its dimensions."""
    if is_frame(y):
        return str(nw.from_native(y).implementation.value)
    return "dict" if isinstance(y, Mapping) else f"array of {np.ndim(y)}"


def in_form(kind: Any, columns: dict[str, np.ndarray]) -> Any:
    """Return columns in the form that `form_of` returned."""
    if kind == "dict":
        return columns
    if not kind.startswith("array"):
        return nw.from_dict(columns, backend=kind).to_native()
    arrays = list(columns.values())
    if kind.endswith("1"):
        return arrays[0]
    # Objects where a column is not of numbers, because NumPy would turn all columns into text.
    all_numbers = all(column.dtype.kind in "biuf" for column in arrays)
    return np.stack(arrays if all_numbers else [column.astype(object) for column in arrays], axis=1)
