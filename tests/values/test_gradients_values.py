"""Test gradient norms, shares, cosines and conflicts against float64 NumPy, on two networks."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
from small import from_numpy

import polycera as pc
from polycera.callbacks.gradient_probe import GradientProbe

ROWS, FEATURES, HIDDEN = 24, 3, 4
NAMES = ("up", "down", "side")


def table() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    side = x[:, 1] + rng.normal(size=ROWS)
    side[::3] = np.nan
    return x, {"up": x[:, 0] + 0.2, "down": -x[:, 0] + x[:, 2], "side": side}


def network(activation: str, **heads: Any) -> pc.Model:
    """A trunk of two layers, heads for three numbers; it does not move."""
    inputs = keras.Input((FEATURES,))
    hidden = keras.layers.Dense(HIDDEN, activation=activation, name="first")(inputs)
    hidden = keras.layers.Dense(HIDDEN, activation=activation, name="second")(hidden)
    tasks = [
        pc.Regression(name, loss="mse", weight=weight)
        for name, weight in zip(NAMES, (1.0, 2.0, 0.5), strict=True)
    ]
    model = pc.Model(inputs, pc.layers.Heads(tasks, **heads)(hidden))
    model.compile(keras.optimizers.SGD(0.0))
    from_numpy(model)
    return model


def layers(model: pc.Model) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of first, second, heads."""
    parts = [*(model.get_layer(name) for name in ("first", "second")), model.heads[0]]
    values = [
        [np.asarray(keras.ops.convert_to_numpy(v), "float64") for v in (p.kernel, p.bias)]
        for p in parts
    ]
    values[-1][1] = values[-1][1] + keras.ops.convert_to_numpy(model.heads[0].prior)
    return [(kernel, bias) for kernel, bias in values]


def by_hand(
    model: pc.Model, x: np.ndarray, y: dict[str, np.ndarray], bent: bool
) -> list[np.ndarray]:
    """The gradients [m, weights] of each task's scaled mean squared error, at first and second."""
    (first, b1), (second, b2), (head, b3) = layers(model)
    bend = np.tanh if bent else (lambda z: z)
    slope = (lambda a: 1 - a**2) if bent else np.ones_like
    a1 = bend(x @ first + b1)
    a2 = bend(a1 @ second + b2)
    units, raw = model.units, a2 @ head + b3
    found: list[list[np.ndarray]] = [[], []]
    for i, name in enumerate(model.layout.tasks):
        label = (y[name] - units.location[i]) / units.scale[i]
        known = ~np.isnan(label)
        d = np.where(known, 2 * (raw[:, i] - np.where(known, label, 0.0)) / known.sum(), 0.0)
        d2 = np.outer(d, head[:, i]) * slope(a2)
        d1 = (d2 @ second.T) * slope(a1)
        found[0].append(np.concatenate([(x.T @ d1).ravel(), d1.sum(0)]))
        found[1].append(np.concatenate([(a1.T @ d2).ravel(), d2.sum(0)]))
    return [np.array(part) for part in found]


def cosines_of(gradients: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(gradients, axis=1)
    return gradients @ gradients.T / np.outer(norms, norms)


@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_a_probe_of_all_rows_is_the_gradient_by_hand(activation: str) -> None:
    model, (x, y) = network(activation), table()
    probe = GradientProbe(x, y, rows=ROWS, budget=math.inf)
    model.fit(x, y, epochs=1, verbose=0, callbacks=[probe])
    expected = by_hand(model, x.astype("float64"), y, activation == "tanh")
    assert (probe.tasks, probe.places, probe.epochs) == (
        tuple(model.layout.tasks),
        ("first", "second"),
        [0],
    )
    norms = np.array([np.linalg.norm(g, axis=1) for g in expected])
    np.testing.assert_allclose(probe.norms[0], norms, rtol=2e-5)
    np.testing.assert_allclose(probe.shares[0], norms / norms.sum(1, keepdims=True), rtol=2e-5)
    weights = np.array([1.0, 2.0, 0.5])
    weighted = norms * weights
    np.testing.assert_allclose(probe.weights[0], [weights, weights])
    np.testing.assert_allclose(
        probe.weighted_shares[0], weighted / weighted.sum(1, keepdims=True), rtol=2e-5
    )
    cosines = np.array([cosines_of(g) for g in expected])
    np.testing.assert_allclose(probe.cosines[0], cosines, atol=2e-6)
    np.testing.assert_array_equal(probe.conflicts[0], cosines < 0)


def test_the_gradient_by_hand_is_that_of_the_loss() -> None:
    """By finite differences of the model's own loss: so the reference itself is right."""
    model, (x, y) = network("tanh"), table()
    model.adapt(y)
    alone = {"up": y["up"], "down": np.full(ROWS, np.nan), "side": np.full(ROWS, np.nan)}
    expected = by_hand(model, x.astype("float64"), y, True)[1][0]
    kernel, step = model.get_layer("second").kernel, 1e-2
    before = np.array(keras.ops.convert_to_numpy(kernel))
    for place in ((0, 0), (1, 2), (3, 3)):
        losses = []
        for sign in (1, -1):
            moved = before.copy()
            moved[place] += sign * step
            kernel.assign(moved)
            losses.append(model.evaluate(x, alone, verbose=0)["up/mse"])
        kernel.assign(before)
        difference = (losses[0] - losses[1]) / (2 * step)
        assert difference == pytest.approx(
            expected[place[0] * HIDDEN + place[1]], rel=2e-3, abs=2e-4
        )


@pytest.mark.nobackend
def test_batches_are_averaged_and_conflicts_counted() -> None:
    model, (x, y) = network("tanh"), table()
    probe = GradientProbe(x, y, batches=3, rows=8, budget=math.inf)
    model.fit(x, y, epochs=1, verbose=0, callbacks=[probe])
    each = []
    for rows in np.random.default_rng(0).permutation(ROWS).reshape(3, 8):
        each.append(
            by_hand(
                model,
                x[rows].astype("float64"),
                {name: labels[rows] for name, labels in y.items()},
                True,
            )
        )
    for place in range(2):
        cosines = np.array([cosines_of(g[place]) for g in each])
        np.testing.assert_allclose(probe.cosines[0, place], cosines.mean(0), atol=2e-6)
        np.testing.assert_allclose(probe.conflicts[0, place], (cosines < 0).mean(0))
        norms = np.array([np.linalg.norm(g[place], axis=1) for g in each])
        np.testing.assert_allclose(probe.norms[0, place], norms.mean(0), rtol=2e-5)


@pytest.mark.nobackend
def test_opposite_targets_conflict_in_every_batch() -> None:
    """Two heads that begin alike with opposite centred targets conflict, whatever the batch."""
    inputs = keras.Input((FEATURES,))
    hidden = keras.layers.Dense(HIDDEN, kernel_initializer="zeros", name="trunk")(inputs)
    tasks = [pc.Regression(name, loss="mse") for name in ("up", "down")]
    model = pc.Model(inputs, pc.layers.Heads(tasks, kernel_initializer="ones")(hidden))
    model.compile(keras.optimizers.SGD(0.0))
    x, _ = table()
    y = {"up": x[:, 0], "down": -x[:, 0]}
    probe = GradientProbe(x, y, batches=4, rows=6, budget=math.inf)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[probe])
    assert probe.looks == [0, 1]
    np.testing.assert_allclose(probe.cosines[:, 0, 0, 1], -1.0, atol=1e-6)
    np.testing.assert_array_equal(probe.conflicts[:, 0], [[[0, 1], [1, 0]]] * 2)
    np.testing.assert_allclose(probe.shares, 0.5, rtol=1e-5)


def test_what_balancing_saw_counts_conflicts_too() -> None:
    """At the features, for each step of an epoch, against float64 by hand."""
    model, (x, y) = network("tanh", balancing="mean"), table()
    watch = pc.callbacks.Gradients()
    model.fit(x, y, epochs=1, batch_size=8, shuffle=False, verbose=0, callbacks=[watch])
    _, _, (head, b3) = layers(model)
    features = keras.Model(model.inputs, model.get_layer("second").output)
    units, seen = model.units, []
    weights = [task.weight for task in model.layout.tasks.values()]
    for i in range(3):
        rows = slice(8 * i, 8 * i + 8)
        h = np.asarray(keras.ops.convert_to_numpy(features([x[rows]])), "float64")
        each = []
        for t, name in enumerate(model.layout.tasks):
            label = (y[name][rows] - units.location[t]) / units.scale[t]
            known = ~np.isnan(label)
            d = np.where(
                known, 2 * (h @ head[:, t] + b3[t] - np.where(known, label, 0)) / known.sum(), 0
            )
            each.append(weights[t] * np.outer(d, head[:, t]).ravel())
        seen.append(np.array(each))
    cosines = np.array([cosines_of(g) for g in seen])
    norms = np.array([np.linalg.norm(g, axis=1) for g in seen]).mean(0)
    np.testing.assert_allclose(watch.cosines[0], cosines.mean(0), atol=1e-5)
    np.testing.assert_allclose(watch.conflicts[0], (cosines < 0).mean(0), atol=1e-6)
    np.testing.assert_allclose(watch.shares[0], norms / norms.sum(), rtol=1e-4)
    np.testing.assert_allclose(watch.weighted_shares[0], watch.shares[0], rtol=1e-6)
    assert watch.conflicts[0][np.triu_indices(3, 1)].max() > 0, "there is something to count"
