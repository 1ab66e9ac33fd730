"""Compare what `activations=` declares of an output with the values of a first batch.

If no layer shows what an output ends in, the user's declaration is taken. A wrong one (a sigmoid of
a sigmoid) trains a network that predicts wrongly, in silence.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, shorten
from polycera.layers import Outputs, keras_graph
from polycera.layers.output_endings import LINEAR, RANGES

ROWS = 64
"""Number of rows that are checked."""

ROUNDING = 1e-4
"""Slack at the bounds of an activation, for rounding."""

BEYOND = 0.01
"""Share of labels outside an output's range above which it is reported: a few are outliers."""


def check(model: Any, x: Any) -> None:
    """Raise or warn if the first rows contradict a declared activation; this is checked once.

    Raises:
        InputError: naming the output, what was declared and what its values are.
    """
    for head in model.heads:
        if not isinstance(head, Outputs) or not head.declared:
            continue
        rows = _first(x)
        if rows is None:
            return
        head_inputs = dict(
            zip(head.layout.tasks, keras_graph.first_call(head).input_tensors, strict=True)
        )
        probe = keras.Model(model.input, {name: head_inputs[name] for name in head.declared})
        try:
            outputs = probe(rows)
        except Exception:  # features that the model does not take: `fit` raises a better error
            return
        for name, declared in head.declared.items():
            full_precision = keras.backend.standardize_dtype(head_inputs[name].dtype) in (
                "float32",
                "float64",
            )
            values = np.asarray(ops.convert_to_numpy(ops.cast(outputs[name], "float32")), float)
            _check_output(head, name, declared, values, 1e-3 if full_precision else 5e-2)
        head.declared = {}


def _check_output(
    head: Outputs, name: str, declared: str, values: np.ndarray, rounding: float
) -> None:
    """Raise or warn if the values [n, p] of one output contradict its declared activation."""
    kind = head.layout.tasks[name].kind
    low, high = float(values.min()), float(values.max())
    subject = (
        f"activations= says that output {shorten(name)!r} ends in {declared!r}, but its values"
    )
    lower_bound, upper_bound = RANGES.get(declared, (-np.inf, np.inf))
    if low < lower_bound - ROUNDING or high > upper_bound + ROUNDING:
        raise InputError(
            f"{subject} on the first rows lie between {low:.6g} and {high:.6g}: declare what it "
            "ends in, perhaps 'linear'."
        )
    # One column is no softmax, though a column of ones adds up to 1.
    sums_to_one = values.shape[1] > 1 and bool(np.allclose(values.sum(axis=1), 1.0, atol=rounding))
    if declared == "softmax" and values.shape[1] > 1 and not sums_to_one:
        raise InputError(f"{subject} do not add up to 1 in a row: declare what it ends in.")
    if declared != LINEAR or low < 0.0 or high > 1.0 or kind in ("count", "ordinal"):
        return
    hidden_activation = head.behind.get(name)
    if sums_to_one or hidden_activation is not None:
        activation = "softmax" if sums_to_one else hidden_activation
        reason = (
            "add up to 1 in every row"
            if sums_to_one
            else f"all lie between 0 and 1, and a {activation!r} is behind it"
        )
        raise InputError(f"{subject} {reason}: say {activation!r}.")
    if kind in ("binary", "multilabel", "proportion", "multiclass"):
        warnings.warn(
            f"{subject} on the first rows all lie between 0 and 1, as those of a sigmoid do: if "
            "it ends in one, declare 'sigmoid', otherwise the sigmoid is applied twice.",
            stacklevel=5,
        )


def _first(x: Any) -> Any:
    """Return the first rows of features, or None where taking them would use up a source."""
    if isinstance(x, keras.utils.PyDataset) or not _is_data(x):
        batch = x[0] if isinstance(x, keras.utils.PyDataset) else _next(x)
        x = batch[0] if isinstance(batch, tuple | list) else batch
    if x is None:
        return None
    return keras.tree.map_structure(lambda part: _array(part)[:ROWS], x)


def _next(source: Any) -> Any:
    """Return the first batch of a source that can be read again, else None."""
    if not hasattr(source, "__iter__") or iter(source) is source:
        return None
    return next(iter(source), None)


def _is_data(x: Any) -> bool:
    """Return whether features are arrays and not a source of batches."""
    return hasattr(x, "shape") or isinstance(x, dict | list | tuple)


def _array(part: Any) -> Any:
    """Return features as an array or tensor that can be sliced."""
    return (
        part.to_numpy()
        if hasattr(part, "to_numpy")
        else part
        if ops.is_tensor(part)
        else np.asarray(part)
    )


def beyond_reach(model: Any, labels: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each regression whose output cannot reach its labels.

    A sigmoid, for instance, never gives 150.

    Args:
        model: whose heads may be the user's own.
        labels: task -> encoded labels [n, width], NaN where missing.
    """
    messages = []
    for head in model.heads:
        for name, (low, high) in getattr(head, "reach", {}).items():
            values = np.asarray(labels[name], "float64").ravel()
            values = values[~np.isnan(values)]
            slack = ROUNDING * max(abs(bound) for bound in (low, high, 1.0) if np.isfinite(bound))
            share_beyond = (
                float(((values < low - slack) | (values > high + slack)).mean())
                if len(values)
                else 0.0
            )
            if share_beyond > BEYOND:
                smallest, largest = values.min(), values.max()
                messages.append(
                    f"Task {shorten(name)!r}: {share_beyond:.0%} of the labels lie outside the "
                    f"range of its output: they go from {smallest:.6g} to {largest:.6g}, the "
                    f"output from {low:g} to {high:g}. Let the output end linear, or bring the "
                    "labels into its range."
                )
    return messages
