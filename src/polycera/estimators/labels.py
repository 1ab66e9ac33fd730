"""y as scikit-learn lets it come -> labels, and answers in what y was."""

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


def whole(y: Any, estimator: BaseEstimator, dtype: Any) -> np.ndarray:
    """y as an array [n] or [n, outputs] without a gap; one column of several dimensions as [n], with a warning.

    Raises:
        ValueError: in scikit-learn's words, for another shape or infinite labels.
        InputError: for a label that is missing.
    """
    if isinstance(y, Mapping):
        raise InputError(
            f"y came as a {type(y).__name__}, which PolyceraEstimator takes; an array or frame is expected."
        )
    checks = dict(ensure_2d=False, dtype=dtype, estimator=estimator, input_name="y")
    found = check_array(dense(y, "y") if issparse(y) else y, ensure_all_finite=False, **checks)
    if (gone := missing(found)).any():
        raise InputError(
            f"Input y contains NaN, the first in row {int(np.argwhere(gone)[0][0])}: leave those rows out, or use "
            "PolyceraEstimator, to which a missing label is legal."
        )
    found = check_array(found, **checks)
    return column_or_1d(found, warn=True) if found.ndim == 1 or found.shape[1] == 1 else found


def names_of(y: Any, outputs: int, taken: Sequence[str]) -> list[str]:
    """Names for the columns of y: its own where it has any, else y, or y0, y1, ...; none is a column of X.

    Args:
        y: as it came.
        outputs: number of its columns.
        taken: names of the columns of X.
    """
    plain = ["y"] if outputs == 1 else [f"y{place}" for place in range(outputs)]
    if is_frame(y):
        own = list(nw.from_native(y).collect_schema().names())
    else:
        own = [getattr(y, "name", None)]
    fit = len(set(own)) == outputs and all(isinstance(name, str) for name in own)
    return [f"{name} (target)" if name in taken else name for name in (own if fit else plain)]


def is_named(y: Any) -> bool:
    """Whether the columns of y have names of their own."""
    return isinstance(y, Mapping) or is_frame(y) or isinstance(getattr(y, "name", None), str)


def labels_of(y: Any, taken: Sequence[str]) -> Table:
    """y as a table; columns without a name are called y, or y0, y1, ..."""
    if isinstance(y, Mapping) or is_frame(y):
        return read(y)
    y = dense(y, "y") if issparse(y) else y
    array = y if hasattr(y, "dtype") else np.asarray(y, dtype=object)
    shape = np.shape(array)
    if len(shape) not in (1, 2):
        raise InputError(f"y came with shape {list(shape)}; [n] or [n, outputs] is expected.")
    columns = [array] if len(shape) == 1 else list(np.asarray(array).T)
    return read(dict(zip(names_of(y, len(columns), taken), columns, strict=True)))


def came_as(y: Any) -> str:
    """What y is: a frame of some library, a dict, a matrix, one column."""
    if is_frame(y):
        return str(nw.from_native(y).implementation.value)
    return "dict" if isinstance(y, Mapping) else f"array of {np.ndim(y)}"


def given_back(kind: Any, columns: dict[str, np.ndarray]) -> Any:
    """Columns as what `came_as` named."""
    if kind == "dict":
        return columns
    if not kind.startswith("array"):
        return nw.from_dict(columns, backend=kind).to_native()
    each = list(columns.values())
    if kind.endswith("1"):
        return each[0]
    numbers = all(column.dtype.kind in "biuf" for column in each)
    return np.stack(each if numbers else [column.astype(object) for column in each], axis=1)
