"""What `activations=` declares of an output, held against the values of a first batch.

Where no layer shows what an output ends in, the user's word is taken. A word that cannot be right
(a sigmoid of a sigmoid) trains a network that answers wrongly, in silence.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, shorten
from polycera.layers import Outputs
from polycera.layers.output_endings import LINEAR, RANGES

ROWS = 64
"""Rows that are looked at."""

ROUNDING = 1e-4
BEYOND = 0.01
"""Part of the labels that may lie where an output does not reach before it is said: a few are outliers."""


def check(model: Any, x: Any) -> None:
    """Raise or warn where the first rows contradict a declared activation; looked at once, and only if there is one.

    Raises:
        InputError: naming the output, what was declared and what its values are.
    """
    for head in model.heads:
        if not isinstance(head, Outputs) or not head.declared:
            continue
        rows = _first(x)
        if rows is None:
            return
        tensors = dict(zip(head.layout.tasks, head._inbound_nodes[0].input_tensors, strict=True))
        probe = keras.Model(model.input, {name: tensors[name] for name in head.declared})
        try:
            found = probe(rows)
        except Exception:  # features that the model does not take: fit itself says so
            return
        for name, declared in head.declared.items():
            exact = keras.backend.standardize_dtype(tensors[name].dtype) in ("float32", "float64")
            values = np.asarray(ops.convert_to_numpy(ops.cast(found[name], "float32")), float)
            _check_one(head, name, declared, values, 1e-3 if exact else 5e-2)
        head.declared = {}


def _check_one(
    head: Outputs, name: str, declared: str, values: np.ndarray, rounding: float
) -> None:
    kind = head.layout.tasks[name].kind
    low, high = float(values.min()), float(values.max())
    shown = f"activations= says that output {shorten(name)!r} ends in {declared!r}, but its values"
    lowest, highest = RANGES.get(declared, (-np.inf, np.inf))
    if low < lowest - ROUNDING or high > highest + ROUNDING:
        raise InputError(
            f"{shown} on the first rows lie between {low:.6g} and {high:.6g}: say what it ends in, 'linear' perhaps."
        )
    sums_to_one = values.shape[1] > 1 and bool(np.allclose(values.sum(axis=1), 1.0, atol=rounding))
    if declared == "softmax" and values.shape[1] > 1 and not sums_to_one:
        raise InputError(f"{shown} do not add up to 1 in a row: say what it ends in.")
    if declared != LINEAR or low < 0.0 or high > 1.0 or kind in ("count", "ordinal"):
        return
    bounded = head.behind.get(name)
    if sums_to_one or bounded is not None:
        what = "softmax" if sums_to_one else bounded
        reason = (
            "add up to 1 in every row"
            if sums_to_one
            else f"all lie between 0 and 1, and a {what!r} is behind it"
        )
        raise InputError(f"{shown} {reason}: say {what!r}.")
    if kind in ("binary", "multilabel", "proportion", "multiclass"):
        warnings.warn(
            f"{shown} on the first rows all lie between 0 and 1, as those of a sigmoid do: if it ends in one, say "
            "'sigmoid', for else its sigmoid is taken twice.",
            stacklevel=5,
        )


def _first(x: Any) -> Any:
    """Return the first rows of features, or None where taking them would use a source up."""
    if isinstance(x, keras.utils.PyDataset) or not _is_data(x):
        batch = x[0] if isinstance(x, keras.utils.PyDataset) else _next(x)
        x = batch[0] if isinstance(batch, tuple | list) else batch
    if x is None:
        return None
    return keras.tree.map_structure(lambda part: _array(part)[:ROWS], x)


def _next(source: Any) -> Any:
    """Return the first batch of a source that can be begun again, else None."""
    if not hasattr(source, "__iter__") or iter(source) is source:
        return None
    return next(iter(source), None)


def _is_data(x: Any) -> bool:
    return hasattr(x, "shape") or isinstance(x, dict | list | tuple)


def _array(part: Any) -> Any:
    return (
        part.to_numpy()
        if hasattr(part, "to_numpy")
        else part
        if ops.is_tensor(part)
        else np.asarray(part)
    )


def beyond_reach(model: Any, labels: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each regression whose output cannot reach its labels, as a sigmoid never says 150.

    Args:
        model: whose heads may be someone's own.
        labels: task -> encoded labels [n, width], NaN where missing.
    """
    found = []
    for head in model.heads:
        for name, (low, high) in getattr(head, "reach", {}).items():
            known = np.asarray(labels[name], "float64").ravel()
            known = known[~np.isnan(known)]
            slack = ROUNDING * max(abs(bound) for bound in (low, high, 1.0) if np.isfinite(bound))
            beyond = (
                float(((known < low - slack) | (known > high + slack)).mean())
                if len(known)
                else 0.0
            )
            if beyond > BEYOND:
                least, most = known.min(), known.max()
                found.append(
                    f"Task {shorten(name)!r}: {beyond:.0%} of the labels lie where its output never reaches: they go "
                    f"from {least:.6g} to {most:.6g}, the output from {low:g} to {high:g}. Let the output end linear, "
                    "or bring the labels into its range."
                )
    return found
