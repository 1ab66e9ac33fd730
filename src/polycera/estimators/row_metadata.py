"""Read sample weights and groups that come beside X and y, one value a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np

from polycera.data.frames import is_frame
from polycera.errors import InputError, UnknownName, shorten
from polycera.typing import Array


def weights_by_output(
    sample_weight: Any, rows: int, names: Sequence[str]
) -> Array | dict[str, Array] | None:
    """Return sample weights as [rows], or output -> [rows], checked.

    Args:
        sample_weight: [rows]; [rows, outputs]; a dict or a data frame of outputs, whose names are
            those of columns of y, to [rows]; or None. Outputs that are not named have weight 1.
        rows: number of rows of X.
        names: names of the outputs.

    Raises:
        UnknownName: for a name that is no output.
        InputError: for another shape, a weight that is not a finite number of 0 or more, or weights
            that are all 0.
    """
    if sample_weight is None:
        return None
    if is_frame(sample_weight) and not hasattr(sample_weight, "name"):
        sample_weight = nw.from_native(sample_weight).to_dict(as_series=False)
    if isinstance(sample_weight, Mapping):
        for name in sample_weight:
            if name not in names:
                raise UnknownName("output in sample_weight:", str(name), names)
        return {
            name: _checked(values, rows, f"sample_weight of {shorten(name)!r}")
            for name, values in sample_weight.items()
        }
    array = np.asarray(sample_weight)
    if array.ndim == 2 and array.shape[1] == len(names) > 1:
        return {
            name: _checked(array[:, i], rows, f"sample_weight of {shorten(name)!r}")
            for i, name in enumerate(names)
        }
    return _checked(array, rows, "sample_weight")


def _checked(values: Any, rows: int, what: str) -> Array:
    """Return one weight a row, or raise InputError."""
    try:
        weights = np.asarray(values, "float64")
    except (TypeError, ValueError):
        raise InputError(
            f"{what} holds values that are not numbers: one a row is expected."
        ) from None
    if weights.shape != (rows,):
        raise InputError(
            f"{what} has shape {list(weights.shape)}; one weight a row is expected: [{rows}]."
        )
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{what} is {weights[row]:g} in row {row}; a finite number of 0 or more is expected."
        )
    if not (weights > 0).any():
        raise InputError(f"{what} is zero in every row, so nothing would be learned or measured.")
    return weights


def free_name(base: str, taken: Sequence[str]) -> str:
    """Return a name for a column beside those of X and y."""
    name = base
    while name in taken:
        name = f"{name}_"
    return name
