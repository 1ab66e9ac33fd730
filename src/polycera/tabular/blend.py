"""Blend landmarks with the trained members, and calibrate the members and the mixture.

The landmarks are solved for in closed form.
"""

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
from polycera.tabular.left_out import Blocks
from polycera.tabular.row_weights import RowWeights
from polycera.tasks import Layout, Multiclass, Multilabel
from polycera.typing import Array

SHARES = np.linspace(0.0, 1.0, 11)
"""Shares of the landmarks in the mixture that are tried."""
POOLED = 200
"""Weight of the loss pooled over all tasks, in rows, when the share of one task is chosen."""
HALVES = 20
"""Weight of a penalty that draws a share towards one half, in rows.

A mean of two predictors is seldom bad, and with few rows a better share is found by chance.
"""

Rows = tuple[Array, Array]
"""Features [n, features] and packed targets [n, width]."""


class BackgroundKernelFit:
    """Solves for the landmarks in a thread while the members train.

    Neither needs the other's result. Equal rows and seeds give equal bits, whenever the thread
    runs. The thread ends with the process, so an interrupted training does not wait for it.

    Args:
        model: built; only its layout and the number of its landmarks are read.
        rows: from which landmarks may learn.
        seed: of the choice of landmarks.
        blocks: which rows are left out together; None leaves out each row alone.
        weights: of the rows, or None.
    """

    def __init__(
        self,
        model: Model,
        rows: Rows,
        seed: int,
        blocks: Blocks | None = None,
        weights: RowWeights | None = None,
    ) -> None:
        self._solved: list[kernel_ridge.KernelMachine | None] = []
        self._failed: list[BaseException] = []
        count, layout = model.get_layer(LANDMARKS).count, model.layout

        def work() -> None:
            """Solve for the landmarks and store the solution or the error."""
            try:
                # One thread, because OpenBLAS threads wait for each other in a busy loop and
                # would take the training's core too.
                with ThreadpoolController().select(internal_api="openblas").limit(limits=1):
                    self._solved.append(
                        kernel_ridge.machine(
                            count,
                            layout,
                            bent(rows[0], np),
                            rows[1],
                            seed,
                            weights=weights,
                            blocks=blocks,
                        )
                    )
            # An exception in a thread would only be printed: `result` raises it for the caller.
            except BaseException as error:
                self._failed.append(error)

        self._thread = threading.Thread(target=work, name="polycera landmarks", daemon=True)
        self._thread.start()

    def result(self) -> kernel_ridge.KernelMachine | None:
        """Wait for the solution and return it; None where landmarks serve no task."""
        self._thread.join()
        if self._failed:
            raise self._failed[0]
        return self._solved[0]


def ahead(
    model: Model,
    rows: Rows,
    seed: int,
    blocks: Blocks | None = None,
    weights: RowWeights | None = None,
) -> BackgroundKernelFit | None:
    """Start to solve for the landmarks of a model; return None where it has none.

    Args:
        model, rows, seed, weights: as for `BackgroundKernelFit`.
        blocks: which rows are left out together; those of further rows may follow.
    """
    if LANDMARKS not in (layer.name for layer in model.layers):
        return None
    own = None if blocks is None else blocks.take(np.arange(len(rows[0])))
    return BackgroundKernelFit(model, rows, seed, own, weights)


def fit_blend(
    model: Model,
    training_rows: Rows,
    choice_rows: Rows,
    members: Array,
    seed: int,
    refit: bool,
    begun: BackgroundKernelFit | None = None,
    groups: np.ndarray | None = None,
    blocks: Blocks | None = None,
    weights: tuple[RowWeights, RowWeights] | None = None,
) -> Array:
    """Solve for the landmarks, mix them with the members, and calibrate the mixture.

    Args:
        model: its members have trained, and a blend is its last layer.
        training_rows: rows from which landmarks may learn.
        choice_rows: rows by which the mixture is chosen. With folds these are the training rows,
            and predictions for rows that were left out are used.
        members: raw outputs of members that did not train on these rows, [n, output columns].
        seed: of the choice of landmarks.
        refit: whether landmarks are fitted to the choice rows too, once all is chosen.
        begun: from `ahead`, with the training rows; None starts now.
        groups: the group of each choice row, [n]; None where each row is its own group.
        blocks: which rows the landmarks leave out together: of the training rows and, where these
            are others, then of the choice rows; None leaves out each row alone.
        weights: of the training rows and of the choice rows; None where all count the same.

    Returns:
        raw outputs of the network for the choice rows without having trained on them, [n, output
        columns].
    """
    mixture, blend_layer = members, model.get_layer(BLEND)
    separate_rows = choice_rows is not training_rows
    truth = {
        name: choice_rows[1][:, columns] for name, columns in model.layout.target_columns.items()
    }
    scale, shift = np.ones(model.layout.units), np.zeros(model.layout.units)
    training_weights, choice_weights = weights or (None, None)
    label_weights = None if choice_weights is None else choice_weights.of_labels(model.layout)
    begun = begun or ahead(model, training_rows, seed, blocks, training_weights)
    if begun is not None and (machine := begun.result()) is not None:
        landmark_outputs = (
            machine.predict(bent(choice_rows[0], np)) if separate_rows else machine.left_out
        )
        # Calibrated before mixing: overconfident members would spoil the mixture, and landmarks
        # would be preferred to them.
        member_calibration = _calibrated_members(
            model.layout, truth, members, groups, label_weights
        )
        # Chosen with calibrated members, because these are what the blend mixes.
        share, mixture = _mixed(
            model,
            choice_rows[1],
            member_calibration.applied(members),
            landmark_outputs,
            None if choice_weights is None else choice_weights.sample,
        )
        # The mixture is (1 - share) (a members + b) + share landmarks. The layer has no calibration
        # before mixing, so a and b are moved into its share, scale and shift.
        scale, shift = (
            (1.0 - share) * member_calibration.scale + share,
            (1.0 - share) * member_calibration.shift,
        )
        blend_layer.share.assign((share / scale).astype("float32"))
        layer = model.get_layer(LANDMARKS)
        if separate_rows and refit:
            x, y = (np.concatenate(parts) for parts in zip(training_rows, choice_rows, strict=True))
            # The kernel stays the one that was chosen on the training rows.
            refitted = kernel_ridge.machine(
                layer.count,
                model.layout,
                bent(x, np),
                y,
                seed,
                machine.kernel,
                None if weights is None else weights[0].joined(weights[1]),
                blocks,
            )
            machine = refitted or machine
        machine.give(layer)
        trim(model)
    # The mixture is calibrated as a whole, whether or not it has landmarks.
    calibration = evaluation.calibration(model.layout, truth, mixture, groups, label_weights)
    # Where all known training labels are equal, that value is predicted: any other output is noise.
    fixed, prior = (
        fixed_units(model.layout, training_rows[1]),
        np.asarray(model.units.prior, "float64"),
    )
    blend_layer.scale.assign(np.where(fixed, 0.0, calibration.scale * scale).astype("float32"))
    blend_layer.shift.assign(np.where(fixed, prior, calibration.applied(shift)).astype("float32"))
    return np.where(fixed, prior, calibration.applied(mixture))


def trim(model: Model) -> None:
    """Drop the landmarks whose coefficients are 0, often most of them, to save their time."""
    if LANDMARKS in (layer.name for layer in model.layers):
        model.get_layer(LANDMARKS).trim()
        # The compiled prediction function still has the old number of landmarks.
        model.trace_anew()


def _calibrated_members(
    layout: Layout,
    truth: dict[str, Array],
    raw: Array,
    groups: np.ndarray | None,
    weights: Array | None,
) -> evaluation.Calibration:
    """Return the scale and shift that calibrate the members before they are mixed.

    For classes the best temperature is used where it makes the members less confident, however few
    the rows: they stop at the best accuracy, and their probabilities go on growing. The members are
    never made more confident, because rows that are all predicted correctly would ask for an
    infinite scale.
    """
    calibration = evaluation.calibration(layout, truth, raw, groups, weights)
    scale = calibration.scale.copy()
    for group in layout.groups:
        if isinstance(group.task, Multiclass) and not group.task.soft:
            z, first, units = group.raw(raw, np), group.raw_start, group.task.units
            for i, task in enumerate(group.tasks):
                # All columns of the task have the weight of the row.
                row_weights = None if weights is None else weights[:, first + i * units][:, None]
                best = temperature(truth[task.name], z[:, i : i + 1], row_weights)[0]
                scale[first + i * units : first + (i + 1) * units] = min(best, 1.0)
    return replace(calibration, scale=scale)


def fixed_units(layout: Layout, y: Array) -> Array:
    """Return which raw outputs have nothing to learn, bool [output columns].

    These are the ones whose known labels are all equal.

    Args:
        layout: the tasks.
        y: packed targets [n, width], NaN where missing.
    """
    known = ~np.isnan(y)
    highest = np.where(known, y, -np.inf).max(axis=0, initial=-np.inf)
    lowest = np.where(known, y, np.inf).min(axis=0, initial=np.inf)
    constant_columns = known.any(axis=0) & (highest == lowest)
    fixed = np.zeros(layout.units, bool)
    for name, task in layout.tasks.items():
        constant = constant_columns[layout.target_columns[name]]
        fixed[layout.raw_columns[name]] = (
            constant if isinstance(task, Multilabel) else constant.all()
        )
    return fixed


def _mixed(
    model: Model, y: Array, members: Array, landmark_outputs: Array, weights: Array | None
) -> tuple[Array, Array]:
    """Return the landmarks' share in each raw output, [output columns], and the mixture.

    The mixture has the raw outputs of both for the held rows, [n, output columns].
    """
    layout = model.layout
    serves = np.isin(layout.owner, kernel_ridge.served(layout)) & ~np.isnan(landmark_outputs).any(
        axis=0
    )
    landmark_outputs = np.where(serves, landmark_outputs, 0.0)
    task_shares = shares(model, y, members, landmark_outputs, weights)
    share = np.where(serves, task_shares[layout.owner], 0.0)
    return share, members * (1.0 - share) + landmark_outputs * share


def shares(
    model: Model,
    y: Array,
    members: Array,
    landmark_outputs: Array,
    weights: Array | None = None,
) -> Array:
    """Return for each task the share of the landmarks with the lowest loss on these rows, [tasks].

    Args:
        model: has the losses.
        y: packed targets [n, width].
        members, landmark_outputs: raw outputs [n, output columns] of the members and of the
            landmarks.
        weights: sample weights [n, tasks], or None.

    The losses of all tasks together favour one common share. A task moves away from it as far as
    its own rows support that.
    """
    losses = np.stack(
        [
            model.losses_of(y, members * (1.0 - share) + landmark_outputs * share, weights)
            for share in SHARES
        ]
    )
    labelled_rows = np.array(
        [
            (
                (~np.isnan(y[:, columns])).any(axis=1)
                & (1 if weights is None else weights[:, i] > 0)
            ).sum()
            for i, columns in enumerate(model.layout.target_columns.values())
        ]
    )
    # Losses of different tasks have different scales: divide by the better of the two alone.
    relative_losses = losses / np.maximum(np.abs(losses[[0, -1]]).min(axis=0), 1e-9)
    pooled_loss = relative_losses @ (labelled_rows / max(labelled_rows.sum(), 1))
    # Once in the task's own loss, and in proportion in the pooled one.
    half_penalty = (
        HALVES * (SHARES[:, None] - 0.5) ** 2 * (1 + POOLED / max(labelled_rows.mean(), 1))
    )
    return SHARES[
        (relative_losses * labelled_rows + pooled_loss[:, None] * POOLED + half_penalty).argmin(
            axis=0
        )
    ]
