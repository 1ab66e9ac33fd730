"""After the members have trained: landmarks are solved for, both are mixed by task, and the mixture is calibrated."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from polycera import quality
from polycera.networks.trunks import BLEND, CLIP, LANDMARKS
from polycera.shapes import Array
from polycera.training import kernel
from polycera.training.features import PREDICTED
from polycera.training.model import Model

SHARES = np.linspace(0.0, 1.0, 11)
"""Of the landmarks in the mixture."""
POOLED = 200
"""Rows that all tasks together count for, when the share of one is chosen."""
HALVES = 20
"""Rows that speak for one half each, as a mean of two is seldom bad: what few rows say is chance."""

Rows = tuple[Array, Array]
"""Features [n, features] and packed targets [n, width]."""


def finish(model: Model, known: Rows, held: Rows, members: Array, seed: int, refit: bool) -> Array:
    """Solve for the landmarks, mix them with the members, and calibrate what comes of it.

    Args:
        model: whose members have trained, with a blend at its end.
        known: rows from which landmarks may learn.
        held: rows by which the mixture is chosen; the same ones, where each was left out in its turn.
        members: what members that did not learn from the held rows say of them, [n, units].
        seed: of the landmarks.
        refit: whether landmarks learn from the held rows too, once all is chosen.

    Returns:
        what the network says of the held rows without having learned from them, [n, units].
    """
    told, last = members, model.get_layer(BLEND)
    apart = held is not known
    if _has_landmarks(model) and (alone := solve(model, known, seed)) is not None:
        told = _mixed(model, held[1], told, _beside(model, held[0]) if apart else alone)
        if apart and refit:
            x, y = (np.concatenate(parts) for parts in zip(known, held, strict=True))
            solve(model, (x, y), seed)
    truth = {name: held[1][:, columns] for name, columns in model.layout.target_columns.items()}
    found = quality.calibration(model.layout, truth, told)
    last.scale.assign(found.scale.astype("float32"))
    last.shift.assign(found.shift.astype("float32"))
    return found.applied(told)


def solve(model: Model, rows: Rows, seed: int) -> Array | None:
    """Solve for the landmarks of a model on these rows.

    The kernel is chosen the first time, and kept when more rows are known.

    Returns:
        what they say of each row when it is left out, [n, units]; None where they serve no task.
    """
    layer = model.get_layer(LANDMARKS)
    rate, power = (float(ops.convert_to_numpy(value)) for value in (layer.rate, layer.power))
    known = kernel.Kernel(rate, power) if rate > 0 else None
    return kernel.fit(layer, model.layout, _clipped(model, rows[0]), rows[1], seed, known)


def _clipped(model: Model, x: Array) -> Array:
    """The features as landmarks see them."""
    return np.asarray(ops.convert_to_numpy(model.get_layer(CLIP)(x)))


def _beside(model: Model, x: Array) -> Array:
    """What landmarks say, [n, units]."""
    layer = model.get_layer(LANDMARKS)
    parts = [layer(model.get_layer(CLIP)(x[start : start + PREDICTED])) for start in range(0, len(x), PREDICTED)]
    return np.concatenate([ops.convert_to_numpy(part) for part in parts]).astype("float64")


def _has_landmarks(model: Model) -> bool:
    return LANDMARKS in (layer.name for layer in model.layers)


def _mixed(model: Model, y: Array, members: Array, beside: Array) -> Array:
    """Choose how much of the landmarks goes into the answers; what both say of the held rows, [n, units]."""
    last, layout = model.get_layer(BLEND), model.layout
    serves = np.isin(layout.owner, kernel.served(layout)) & ~np.isnan(beside).any(axis=0)
    beside = np.where(serves, beside, 0.0)
    share = np.where(serves, shares(model, y, members, beside)[layout.owner], 0.0)
    last.share.assign(share.astype("float32"))
    return members * (1.0 - share) + beside * share


def shares(model: Model, y: Array, members: Array, beside: Array) -> Array:
    """The share of the second in the mixture with which each task loses least on these rows, [tasks].

    Args:
        model: has the losses.
        y: packed targets [n, width].
        members, beside: raw outputs [n, units].

    One share for all tasks is found from all their rows, and each task moves away from it as far as its own rows say.
    """
    losses = np.stack([_losses(model, y, members * (1.0 - share) + beside * share) for share in SHARES])
    rows = np.array([(~np.isnan(y[:, columns])).any(axis=1).sum() for columns in model.layout.target_columns.values()])
    relative = losses / np.maximum(np.abs(losses[[0, -1]]).min(axis=0), 1e-9)
    together = relative @ (rows / max(rows.sum(), 1))
    halves = HALVES * (SHARES[:, None] - 0.5) ** 2 * (1 + POOLED / max(rows.mean(), 1))
    return SHARES[(relative * rows + together[:, None] * POOLED + halves).argmin(axis=0)]


def _losses(model: Model, y: Array, raw: Array) -> Array:
    """Each task's loss on these rows, its terms by their weights, [tasks]."""
    objective = model._objective
    totals, rows = objective.sums(_tensor(y), _tensor(raw), model._kept())
    means = totals / ops.maximum(rows, 1.0)
    return np.asarray(ops.convert_to_numpy(objective.by_task(means)), "float64")


def _tensor(values: Array) -> Any:
    return ops.convert_to_tensor(values.astype("float32"))
