"""After the members have trained: landmarks are solved for, both are calibrated and mixed, and so is the mixture."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
from threadpoolctl import ThreadpoolController

from polycera import evaluation
from polycera.evaluation.logit_scaling import temperature
from polycera.layers.embedding import bent
from polycera.layers.trunk import BLEND, LANDMARKS
from polycera.model.model import Model
from polycera.tabular import kernel_ridge
from polycera.tasks import Layout, Multiclass, Multilabel
from polycera.typing import Array

SHARES = np.linspace(0.0, 1.0, 11)
"""Of the landmarks in the mixture."""
POOLED = 200
"""Rows that all tasks together count for, when the share of one is chosen."""
HALVES = 20
"""Rows that speak for one half each, as a mean of two is seldom bad: what few rows say is chance."""

Rows = tuple[Array, Array]
"""Features [n, features] and packed targets [n, width]."""


class BackgroundKernelFit:
    """Solves for the landmarks in a thread while the members train: neither needs what the other one finds.

    Equal rows and seeds give equal bits, whenever the thread runs. It ends with the process: where
    a training is cut off, nobody waits for it.

    Args:
        model: built; only its layout and the number of its landmarks are read.
        rows: from which landmarks may learn.
        seed: of the landmarks.
    """

    def __init__(self, model: Model, rows: Rows, seed: int) -> None:
        self._found: list[kernel_ridge.KernelMachine | None] = []
        self._failed: list[BaseException] = []
        count, layout = model.get_layer(LANDMARKS).count, model.layout

        def work() -> None:
            try:
                # One core: NumPy's threads wait for each other by counting, and would take the
                # training's core too.
                with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
                    self._found.append(
                        kernel_ridge.machine(count, layout, bent(rows[0], np), rows[1], seed)
                    )
            except BaseException as error:
                self._failed.append(error)

        self._thread = threading.Thread(target=work, name="polycera landmarks", daemon=True)
        self._thread.start()

    def result(self) -> kernel_ridge.KernelMachine | None:
        """Wait for the solution and return it; None where landmarks serve no task."""
        self._thread.join()
        if self._failed:
            raise self._failed[0]
        return self._found[0]


def ahead(model: Model, rows: Rows, seed: int) -> BackgroundKernelFit | None:
    """Begin to solve for the landmarks of a model; None where it has none."""
    has_landmarks = LANDMARKS in (layer.name for layer in model.layers)
    return BackgroundKernelFit(model, rows, seed) if has_landmarks else None


def fit_blend(
    model: Model,
    known: Rows,
    held: Rows,
    members: Array,
    seed: int,
    refit: bool,
    begun: BackgroundKernelFit | None = None,
    groups: np.ndarray | None = None,
) -> Array:
    """Solve for the landmarks, mix them with the members, and calibrate what comes of it.

    Args:
        model: whose members have trained, with a blend at its end.
        known: rows from which landmarks may learn.
        held: rows by which the mixture is chosen; the same ones, where each was left out in its
            turn.
        members: what members that did not learn from the held rows say of them, [n, units].
        seed: of the landmarks.
        refit: whether landmarks learn from the held rows too, once all is chosen.
        begun: from `ahead`, with the known rows; None begins now.
        groups: the group of each held row, [n]; None where each is its own.

    Returns:
        what the network says of the held rows without having learned from them, [n, units].
    """
    told, last = members, model.get_layer(BLEND)
    apart = held is not known
    truth = {name: held[1][:, columns] for name, columns in model.layout.target_columns.items()}
    scale, shift = np.ones(model.layout.units), np.zeros(model.layout.units)
    begun = begun or ahead(model, known, seed)
    if begun is not None and (alone := begun.result()) is not None:
        beside = alone.says(bent(held[0], np)) if apart else alone.left_out
        # Members that are too sure of themselves would spoil the mixture, and landmarks be taken in
        # their place.
        first = _calibrated_members(model.layout, truth, members, groups)
        share, told = _mixed(model, held[1], first.applied(members), beside)
        # What is mixed is (1 - share) (a members + b) + share landmarks; the layer calibrates after
        # mixing.
        scale, shift = (1.0 - share) * first.scale + share, (1.0 - share) * first.shift
        last.share.assign((share / scale).astype("float32"))
        layer = model.get_layer(LANDMARKS)
        if apart and refit:
            x, y = (np.concatenate(parts) for parts in zip(known, held, strict=True))
            again = kernel_ridge.machine(
                layer.count, model.layout, bent(x, np), y, seed, alone.kernel
            )
            alone = again or alone
        alone.give(layer)
        trim(model)
    found = evaluation.calibration(model.layout, truth, told, groups)
    # Where all labels that were learned from are one, the answer is that one: whatever else comes
    # out is noise.
    fixed, prior = fixed_units(model.layout, known[1]), np.asarray(model.units.prior, "float64")
    last.scale.assign(np.where(fixed, 0.0, found.scale * scale).astype("float32"))
    last.shift.assign(np.where(fixed, prior, found.applied(shift)).astype("float32"))
    return np.where(fixed, prior, found.applied(told))


def trim(model: Model) -> None:
    """Have a network of a table compute nothing of the landmarks whose coefficients are 0, which are often most."""
    if LANDMARKS in (layer.name for layer in model.layers):
        model.get_layer(LANDMARKS).trim()
        model.trace_anew()


def _calibrated_members(
    layout: Layout, truth: dict[str, Array], raw: Array, groups: np.ndarray | None
) -> evaluation.Calibration:
    """Return scale and shift of what the members say, before it is mixed.

    Of classes the best temperature is taken where it makes them less sure, however few the rows:
    members stop by how many answers are right, and their probabilities go on growing. More sure
    than they are they are never made, as rows that are all answered rightly would ask for it
    without end.
    """
    found = evaluation.calibration(layout, truth, raw, groups)
    scale = found.scale.copy()
    for group in layout.groups:
        if isinstance(group.task, Multiclass) and not group.task.soft:
            z, first, units = group.raw(raw, np), group.raw_start, group.task.units
            for i, task in enumerate(group.tasks):
                best = temperature(truth[task.name], z[:, i : i + 1])[0]
                scale[first + i * units : first + (i + 1) * units] = min(best, 1.0)
    return replace(found, scale=scale)


def fixed_units(layout: Layout, y: Array) -> Array:
    """Return which raw outputs have nothing to learn, bool [units]: all labels that are known are one.

    Args:
        layout: the tasks.
        y: packed targets [n, width], NaN where missing.
    """
    known = ~np.isnan(y)
    highest = np.where(known, y, -np.inf).max(axis=0, initial=-np.inf)
    lowest = np.where(known, y, np.inf).min(axis=0, initial=np.inf)
    alike = known.any(axis=0) & (highest == lowest)
    found = np.zeros(layout.units, bool)
    for name, task in layout.tasks.items():
        own = alike[layout.target_columns[name]]
        found[layout.raw_columns[name]] = own if isinstance(task, Multilabel) else own.all()
    return found


def _mixed(model: Model, y: Array, members: Array, beside: Array) -> tuple[Array, Array]:
    """Choose how much of the landmarks goes into each answer, [units]; what both say of the held rows, [n, units]."""
    layout = model.layout
    serves = np.isin(layout.owner, kernel_ridge.served(layout)) & ~np.isnan(beside).any(axis=0)
    beside = np.where(serves, beside, 0.0)
    share = np.where(serves, shares(model, y, members, beside)[layout.owner], 0.0)
    return share, members * (1.0 - share) + beside * share


def shares(model: Model, y: Array, members: Array, beside: Array) -> Array:
    """The share of the second in the mixture with which each task loses least on these rows, [tasks].

    Args:
        model: has the losses.
        y: packed targets [n, width].
        members, beside: raw outputs [n, units].

    One share for all tasks is found from all their rows, and each task moves away from it as far as
    its own rows say.
    """
    losses = np.stack(
        [_losses(model, y, members * (1.0 - share) + beside * share) for share in SHARES]
    )
    rows = np.array(
        [
            (~np.isnan(y[:, columns])).any(axis=1).sum()
            for columns in model.layout.target_columns.values()
        ]
    )
    relative = losses / np.maximum(np.abs(losses[[0, -1]]).min(axis=0), 1e-9)
    together = relative @ (rows / max(rows.sum(), 1))
    halves = HALVES * (SHARES[:, None] - 0.5) ** 2 * (1 + POOLED / max(rows.mean(), 1))
    return SHARES[(relative * rows + together[:, None] * POOLED + halves).argmin(axis=0)]


def _losses(model: Model, y: Array, raw: Array) -> Array:
    """Each task's loss on these rows, its terms by their weights, [tasks]."""
    objective = model._objective
    totals, rows = objective.sums(y, raw, model._kept())
    return objective.shares.astype("float64") @ (totals / np.maximum(rows, 1.0))
