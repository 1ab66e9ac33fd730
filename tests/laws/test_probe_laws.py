"""Test what holds of every look at the gradients: it changes neither training nor its time."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import dense, once

import polycera as pc
from polycera.callbacks import gradient_probe
from polycera.callbacks.gradient_history import MOST, GradientHistory
from polycera.callbacks.gradient_probe import GradientProbe
from polycera.callbacks.step_allowance import StepAllowance, cost_of
from polycera.layers import backend
from polycera.model import gramians, variables
from polycera.runs import Folder
from polycera.storage import arrays

ROWS, FEATURES = 32, 3
ALWAYS = {"rows": 16, "batches": 2, "budget": math.inf}


def table() -> tuple[np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    return x, {
        "sold": x[:, 0] > 0,
        "price": 9 * x[:, 1],
        "cost": np.where(x[:, 2] > 1, np.nan, x[:, 2] - x[:, 0]),
    }


def tasks() -> list[Any]:
    return [
        pc.Binary("sold"),
        pc.Regression("price", weight=3.0),
        pc.Regression("cost", loss="mae"),
    ]


def network(order: slice = slice(None), **model: Any) -> pc.Model:
    """With all that has a state beside its weights: dropout and batch normalisation."""
    first = keras.initializers.GlorotUniform(1)
    inputs = keras.Input((FEATURES,))
    hidden = keras.layers.Dense(5, activation="tanh", kernel_initializer=first, name="trunk")(
        inputs
    )
    hidden = keras.layers.BatchNormalization(name="norm")(hidden)
    hidden = keras.layers.Dropout(0.3, seed=3)(hidden)
    heads = [pc.layers.Heads([task], kernel_initializer="ones")(hidden) for task in tasks()[order]]
    made = pc.Model(inputs, heads, **model)
    made.compile(keras.optimizers.AdamW(0.01))
    return made


def fit(model: pc.Model, *callbacks: Any, epochs: int = 3) -> dict[str, list[float]]:
    backend.seed(0)
    return model.fit(
        *table(), epochs=epochs, batch_size=8, verbose=0, callbacks=list(callbacks)
    ).history


def everything(model: pc.Model) -> list[np.ndarray]:
    """All that a training changes: weights, statistics, seeds, the optimizer, metrics."""
    kept = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in kept]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


WAYS = [pytest.param({}, marks=once), {"weighting": "dwa", "balancing": "upgrad"}]


@pytest.mark.parametrize("given", WAYS, ids=str)
def test_a_look_changes_nothing(given: dict[str, Any]) -> None:
    """Neither weights, statistics, seeds, optimizer, metrics nor random number generators."""

    class Watched(GradientProbe):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            variables.settle(self.model)
            before, random = everything(self.model), backend.random_state()
            super().on_epoch_end(epoch, logs)
            same(before, everything(self.model))
            assert repr(random) == repr(backend.random_state())

    probe = Watched(*table(), **ALWAYS)
    fit(network(**given), probe)
    assert probe.epochs == [0, 1, 2]


@pytest.mark.parametrize("given", WAYS, ids=str)
def test_a_training_with_looks_is_the_one_without(given: dict[str, Any]) -> None:
    plain, watched = network(**given), network(**given)
    one, other = fit(plain), fit(watched, GradientProbe(*table(), **ALWAYS))
    # whose sums differ in the last digit from training to training
    if keras.backend.backend() == "tensorflow":
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-4)
    else:
        assert one == other
        same(everything(plain), everything(watched))


@pytest.mark.nobackend
def test_a_training_that_is_cut_off_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    class Cut(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2 and int(self.model.optimizer.iterations) > 4:
                raise InterruptedError

    def trained(place: str, *others: Any) -> tuple[pc.Model, GradientProbe]:
        model, probe = network(), GradientProbe(*table(), **ALWAYS)
        fit(model, probe, pc.callbacks.Checkpoint(tmp_path / place, every="1 batch"), *others)
        return model, probe

    whole, seen = trained("whole")
    with pytest.raises(InterruptedError):
        trained("cut", Cut())
    again, found = trained("cut")
    close = keras.backend.backend() == "tensorflow"  # see above
    for a, b in zip(everything(whole), everything(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3 if close else 0, atol=1e-5 if close else 0)
    assert found.epochs == seen.epochs == [0, 1, 2]
    for name in ("weights", "norms", "cosines", "conflicts"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(seen, name), rtol=1e-2 if close else 0
        )


@pytest.mark.nobackend
def test_the_order_of_the_tasks_does_not_matter() -> None:
    found = []
    for order in (slice(None), slice(None, None, -1)):
        probe = GradientProbe(*table(), **ALWAYS)
        model = network(order)
        model.compile(keras.optimizers.SGD(0.0))
        fit(model, probe, epochs=1)
        found.append(probe)
    one, other = found
    place = [other.tasks.index(name) for name in one.tasks]
    assert place == [2, 1, 0]
    np.testing.assert_allclose(one.norms, other.norms[..., place], rtol=1e-5)
    np.testing.assert_allclose(one.cosines, other.cosines[..., place, :][..., place], atol=1e-5)
    np.testing.assert_allclose(one.conflicts, other.conflicts[..., place, :][..., place])


def branched() -> keras.Model:
    """A trunk for three outputs, a branch for two, a layer for one; one layer is frozen."""
    inputs = keras.Input((FEATURES,))
    trunk = keras.layers.Dense(4, activation="tanh", name="trunk")(inputs)
    frozen = keras.layers.Dense(4, name="frozen", trainable=False)(trunk)
    branch = keras.layers.Dense(3, name="branch")(frozen)
    own = keras.layers.Dense(3, name="own")(frozen)
    ends = {"sold": branch, "price": branch, "cost": own}
    return keras.Model(
        inputs, {name: keras.layers.Dense(1, name=name)(end) for name, end in ends.items()}
    )


def test_each_layer_is_seen_by_those_that_it_serves() -> None:
    model = pc.adopt(branched(), tasks())
    model.compile("adam")
    probe = GradientProbe(*table(), **ALWAYS)
    fit(model, probe, epochs=1)
    assert probe.places == ("trunk", "branch")
    cost = probe.tasks.index("cost")
    assert np.isfinite(probe.norms[0, 0]).all() and np.isfinite(probe.cosines[0, 0]).all()
    assert np.isnan(probe.norms[0, 1, cost]) and np.isnan(probe.weights[0, 1, cost])
    assert (
        np.isnan(probe.cosines[0, 1, cost]).all() and np.isnan(probe.conflicts[0, 1, :, cost]).all()
    )
    assert np.isfinite(np.delete(probe.norms[0, 1], cost)).all()


@pytest.mark.nobackend
def test_weights_in_force_are_the_tasks_times_the_methods() -> None:
    model = pc.adopt(branched(), tasks(), balancing="upgrad", weighting="dwa")
    model.compile("adam")
    watch, probe = pc.callbacks.Gradients(), GradientProbe(*table(), **ALWAYS)
    logs = fit(model, watch, probe)
    last = {name: logs[f"{name}/weight"][-1] for name in probe.tasks}
    assert watch.regions[-1][0].place == "trunk" and watch.regions[-1][1].place == "branch"
    for place, (names, _, weights) in enumerate(model.task_weighting.last()):
        for name, weight in zip(names, weights, strict=True):
            ours = probe.weights[-1, place, probe.tasks.index(name)]
            assert ours == pytest.approx(last[name] * weight, rel=0.2), (
                "the logs have the mean over the epoch"
            )


@pytest.mark.nobackend
def test_towers_share_nothing() -> None:
    inputs = keras.Input((FEATURES,))
    ends = {
        name: keras.layers.Dense(2, name=f"{name}_own")(inputs)
        for name in ("sold", "price", "cost")
    }
    towers = keras.Model(
        inputs, {name: keras.layers.Dense(1, name=name)(end) for name, end in ends.items()}
    )
    model = pc.adopt(towers, tasks())
    model.compile("adam")
    probe = GradientProbe(*table(), **ALWAYS)
    with pytest.warns(
        UserWarning, match="nothing to measure: no two of these tasks share a trainable layer"
    ):
        fit(model, probe, epochs=1)
    assert (probe.places, probe.epochs, probe.pulls) == ((), [], None)


@pytest.mark.nobackend
def test_the_network_is_the_one_that_predicts() -> None:
    """Dropout would draw, batch normalisation would use the batch: two looks give the same."""
    model = network()
    model.compile(keras.optimizers.SGD(0.0))
    model.get_layer("norm").trainable = False
    probe = GradientProbe(*table(), **ALWAYS)
    fit(model, probe, epochs=2)
    np.testing.assert_array_equal(probe.cosines[0], probe.cosines[1])


@pytest.mark.nobackend
def test_a_row_without_weight_is_not_there() -> None:
    x, y = table()
    kept = np.arange(ROWS) % 4 > 0
    found = []
    for rows, weights in ((slice(None), kept.astype("float64")), (kept, None)):
        model = dense(tasks(), optimizer=keras.optimizers.SGD(0.0))
        model.get_layer("trunk").kernel.assign(np.linspace(-1, 1, 12).reshape(3, 4))
        model.heads[0].kernel.assign(np.linspace(-1, 1, 12).reshape(4, 3))
        model.adapt(y)
        own = {name: labels[rows] for name, labels in y.items()}
        probe = GradientProbe(x[rows], own, weights, rows=ROWS, budget=math.inf)
        model.fit(x, y, epochs=1, verbose=0, callbacks=[probe])
        found.append(probe)
    np.testing.assert_allclose(found[0].norms, found[1].norms, rtol=1e-5)
    np.testing.assert_allclose(found[0].cosines, found[1].cosines, atol=1e-5)


@pytest.mark.nobackend
def test_a_large_layer_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for most in (gramians.MOST, 3 * 600):
        monkeypatch.setattr(gramians, "MOST", most)
        model = dense(tasks(), units=600, optimizer=keras.optimizers.SGD(0.0))
        model.get_layer("trunk").kernel.assign(np.random.default_rng(0).normal(size=(3, 600)))
        model.heads[0].kernel.assign(np.random.default_rng(1).normal(size=(600, 3)))
        probe = GradientProbe(*table(), rows=ROWS, budget=math.inf)
        fit(model, probe, epochs=1)
        found.append(probe)
    whole, sampled = found
    assert (whole.cosines != sampled.cosines).any()
    np.testing.assert_allclose(whole.norms, sampled.norms, rtol=0.1)
    np.testing.assert_allclose(whole.cosines, sampled.cosines, atol=0.1)


# -- cost ------------------------------------------------------------------------------------------


@pytest.mark.nobackend
@pytest.mark.parametrize("gradients", [2, 40])
def test_looks_stay_within_their_part_of_the_steps(gradients: int) -> None:
    """Never more than 5 % is spent, and no less, for any number of steps between looks."""
    for steps in (1, 30, 1000):
        allowance, looks, cost = StepAllowance(0.05), 0, cost_of(8, gradients)
        for _ in range(200_000 // steps):
            allowance.trained += steps
            if allowance.allows(cost):
                looks += 1
                allowance.spent += cost
            assert allowance.spent <= 0.05 * allowance.trained
        assert looks == pytest.approx(0.05 * 200_000 / max(cost, 0.05 * steps), rel=0.1)


@pytest.mark.nobackend
def test_an_account_goes_on() -> None:
    first = StepAllowance(0.05)
    first.trained, first.spent = 60, 2.5
    state = json.loads(json.dumps(first.state()))
    assert state == {"spent": 2.5, "trained": 60.0}
    again = StepAllowance(0.05)
    again.set_state(state)
    again.trained += 40
    assert (again.spent, again.trained) == (2.5, 100)
    assert [again.allows(cost) for cost in (2.5, 2.6)] == [True, False]


@pytest.mark.parametrize("steps_per_execution", [1, pytest.param(3, marks=once)])
def test_looks_are_taken_after_the_same_epochs_on_any_machine(
    steps_per_execution: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They depend on numbers of steps alone, and a look that compiles costs more."""
    if steps_per_execution > 1 and keras.backend.backend() == "torch":
        pytest.skip("Keras executes one step at a time on PyTorch")
    monkeypatch.setattr(gradient_probe, "COMPILING", 4.0)
    x, y = table()
    model = network()
    probe = GradientProbe(x, y, rows=16, batches=1, budget=0.05)
    model.compile("adam", steps_per_execution=steps_per_execution)
    steps = math.ceil(len(x) / 16)
    epochs = 400 // steps
    model.fit(x, y, batch_size=16, epochs=epochs, verbose=0, callbacks=[probe])
    cost, spent, expected = cost_of(1, len(probe.tasks)), 0.0, []
    for epoch in range(epochs):
        first = 4.0 if not expected and backend.compiles(len(probe.tasks)) else 0.0
        if spent + cost + first <= 0.05 * steps * (epoch + 1):
            spent += cost + first
            expected.append(epoch)
    assert probe.epochs == expected
    assert len(expected) > 3


@pytest.mark.nobackend
def test_a_short_training_is_not_looked_at() -> None:
    probe = GradientProbe(*table(), budget=1e-9)
    fit(network(), probe)
    assert (probe.epochs, probe.seconds, probe.norms.shape) == ([], 0.0, (0, 2, 3))


# -- what is kept ----------------------------------------------------------------------------------


@pytest.mark.nobackend
@given(epochs=st.integers(1, 60), most=st.integers(2, 12))
def test_evenly_spaced_looks_are_kept_and_the_newest(epochs: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("polycera.callbacks.gradient_history.MOST", 2 * 4 * most)
        pulls = GradientHistory(["a", "b"], ["trunk"], [[0, 1]], "probe")
        for epoch in range(0, 3 * epochs, 3):
            vector, matrix = np.full((1, 2), epoch), np.full((1, 2, 2), epoch)
            pulls.add(epoch, vector, vector, matrix, matrix)
            pulls = GradientHistory.of(pulls.state())
            assert pulls.looks[-1] == epoch
        assert 1 <= len(pulls.looks) <= most
        assert len(pulls.looks) >= min(epochs, most // 2)
        assert len(set(np.diff(pulls.looks)[:-1])) <= 1
        assert pulls.epochs == list(range(0, 3 * epochs, 3))
        np.testing.assert_array_equal(pulls.cosines[:, 0, 0, 1], pulls.looks)
        np.testing.assert_array_equal(pulls.norms[:, 0, 0], pulls.epochs)


@pytest.mark.nobackend
def test_the_numbers_that_are_kept_have_a_bound() -> None:
    tasks = [f"t{i}" for i in range(200)]
    pulls = GradientHistory(tasks, ["a", "b", "c"], [range(200)] * 3, "balancing")
    matrix = np.zeros((3, 200, 200))
    for epoch in range(40):
        pulls.add(epoch, matrix[0, :3], matrix[0, :3], matrix, matrix)
    assert pulls.cosines.size + pulls.conflicts.size <= MOST
    assert pulls.norms.shape == (40, 3, 200)


# -- in a run --------------------------------------------------------------------------------------


def frame(rows: int = 120) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, rows))
    return {"a": a, "b": b, "price": a - b, "<script>": b - a + rng.normal(size=rows)}


@pytest.mark.nobackend
@pytest.mark.parametrize("balancing", [None, "upgrad"], ids=str)
def test_a_run_has_its_gradients(
    balancing: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepAllowance, "allows", lambda self, cost: True)
    training, network = {"max_steps": 200, "balancing": balancing}, {"width": 16, "members": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"training": training, "network": network, "progress": False}
        run = pc.fit(frame(), ["price", "<script>"], out=tmp_path / "run", **options)
    found = Folder(run.path).gradients
    assert found is not None
    epochs = run.metrics["epochs"]
    notes = {"tasks": ["price", "<script>"], "source": "balancing" if balancing else "probe"}
    places = ["trunk"] if balancing else ["bins", "hidden_0", "hidden_1"]
    numbers = list(range(epochs))
    assert found.notes == notes | {"places": places, "epochs": numbers, "looks": numbers}
    p = len(places)
    shapes = {name: array.shape for name, array in found.arrays.items()}
    assert shapes == {
        **dict.fromkeys(("weights", "norms"), (epochs, p, 2)),
        **dict.fromkeys(("cosines", "conflicts"), (epochs, p, 2, 2)),
    }
    assert {str(found.arrays[name].dtype) for name in ("cosines", "conflicts")} == {"float32"}
    assert (found.arrays["conflicts"] >= 0).all() and (found.arrays["conflicts"] <= 1).all()
    assert arrays.StoredArrays(run.path / "gradients.safetensors").notes["tasks"] == [
        "price",
        "<script>",
    ]


@pytest.mark.nobackend
def test_a_run_with_one_task_has_none(tmp_path: Path) -> None:
    few = {"training": {"max_steps": 20}, "network": {"width": 8, "members": 1}}
    run = pc.fit(frame(), ["price"], out=tmp_path / "run", progress=False, **few)
    assert Folder(run.path).gradients is None


# -- the loss terms of tasks -----------------------------------------------------------------------


def test_terms_of_one_task_are_seen_by_hand() -> None:
    """In a linear head of its own, where both gradients are known."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 2)).astype("float32")
    y = {"price": 5 + 3 * x[:, 0] - x[:, 1] + rng.normal(size=16)}
    inputs = keras.Input((2,))
    price = pc.Regression("price", loss={"mse": 0.8, "mae": 0.2}, weight=2.0)
    model = pc.Model(inputs, pc.layers.Heads([price], name="heads")(inputs))
    model.compile(keras.optimizers.SGD(0.0))
    probe = GradientProbe(x, y, terms=True, rows=16, budget=math.inf)
    model.fit(x, y, epochs=1, batch_size=16, verbose=0, callbacks=[probe])
    assert probe.tasks == ("price/mse", "price/mae") and probe.places == ("heads",)
    raw = np.asarray(
        keras.ops.convert_to_numpy(keras.Model(inputs, model.outputs[0])(x)), "float64"
    )[:, 0]
    off = raw - (y["price"] - y["price"].mean()) / y["price"].std()
    columns = np.column_stack([x, np.ones(16)])
    by_hand = np.stack([2 * off @ columns / 16, np.sign(off) @ columns / 16])
    norms = np.linalg.norm(by_hand, axis=1)
    np.testing.assert_allclose(probe.norms[0, 0], norms, rtol=1e-4)
    cosine = by_hand[0] @ by_hand[1] / norms.prod()
    np.testing.assert_allclose(probe.cosines[0, 0], [[1, cosine], [cosine, 1]], atol=1e-5)
    np.testing.assert_allclose(probe.weights[0, 0], [1.6, 0.4], rtol=1e-6)
    np.testing.assert_allclose(probe.shares[0, 0], norms / norms.sum(), rtol=1e-4)


@pytest.mark.nobackend
def test_terms_of_several_tasks_meet_in_the_trunk() -> None:
    """The weighted sum of a task's two terms is the task's; each layer is there, heads too."""
    own = [pc.Regression("price", loss={"mse": 0.7, "mae": 0.3}), pc.Binary("sold")]

    def made() -> pc.Model:
        inputs = keras.Input((FEATURES,))
        hidden = keras.layers.Dense(
            5, kernel_initializer=keras.initializers.GlorotUniform(1), name="trunk"
        )(inputs)
        heads = [
            pc.layers.Heads([task], kernel_initializer="ones", name=f"of_{task.name}")(hidden)
            for task in own
        ]
        model = pc.Model(inputs, heads)
        model.compile(keras.optimizers.SGD(0.0))
        return model

    x, y = table()
    y = {name: y[name] for name in ("price", "sold")}
    probes = [
        GradientProbe(x, y, rows=ROWS, budget=math.inf, terms=terms) for terms in (False, True)
    ]
    for probe in probes:
        made().fit(x, y, epochs=1, batch_size=8, verbose=0, callbacks=[probe])
    whole, parts = probes
    assert parts.tasks == ("price/mse", "price/mae", "sold/bce")
    assert parts.places == ("trunk", "of_price")  # the other head has a single term
    norms, cosines = parts.norms[0, 0], parts.cosines[0, 0]
    mixed = [0.7 * norms[0], 0.3 * norms[1]]
    total = np.sqrt(mixed[0] ** 2 + mixed[1] ** 2 + 2 * mixed[0] * mixed[1] * cosines[0, 1])
    order = [whole.tasks.index(name) for name in ("price", "sold")]
    np.testing.assert_allclose([total, norms[2]], whole.norms[0, 0][order], rtol=1e-4)
    assert np.isnan(parts.norms[0, 1, 2]) and not np.isnan(parts.norms[0, 1, :2]).any()


@pytest.mark.nobackend
def test_a_run_of_one_task_with_two_terms_has_the_gradients_of_the_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepAllowance, "allows", lambda self, cost: True)
    few = {"training": {"max_steps": 10}, "network": {"width": 8, "members": 1, "bins": 0}}
    price = pc.Regression("price", loss={"mse": 0.8, "mae": 0.2})
    run = pc.fit(frame(), [price], out=tmp_path / "run", progress=False, **few)
    found = Folder(run.path).gradients
    assert found is not None and found.notes["tasks"] == ["price/mse", "price/mae"]
    assert found.notes["places"] == ["hidden_0", "hidden_1", "heads"]
