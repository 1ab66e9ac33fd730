"""Test balancing at any shared layers: the right weights get the right combination.

Nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from small import once

import polycera as pc
from polycera.balancing import StepGradients, get
from polycera.layers.call_graph import Graph

ROWS, FEATURES = 24, 6
ENGINES = ("features", "parameters")


def tasks() -> list[Any]:
    return [
        pc.Binary("sold"),
        pc.Regression("price", weight=3.0),
        pc.Regression("cost", weight=0.1),
    ]


def table() -> tuple[np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    cost = x[:, 3] - x[:, 0]
    cost[::3] = np.nan
    return x, {"sold": x[:, 0] > 0, "price": 9 * x[:, 1], "cost": cost}


class OwnDense(keras.layers.Dense):
    """A dense layer that the engine does not know for one."""


def dense(
    units: int, seed: int, activation: Any = None, kind: Any = keras.layers.Dense, **options: Any
) -> Any:
    return kind(
        units,
        activation=activation,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        **options,
    )


def branched(kind: Any = keras.layers.Dense, trunk: int = 8, plain: bool = True) -> keras.Model:
    """A trunk for all, a branch for two tasks of three, a branch for the third."""
    x = keras.Input((FEATURES,))
    h = dense(trunk, 1, "tanh", kind, name="trunk")(x)
    if not plain:
        h = keras.layers.Dropout(0.2, seed=3)(keras.layers.BatchNormalization()(h))
    both = dense(5, 2, "tanh", kind, name="both")(h)
    own = dense(4, 3, "tanh", kind, name="own")(h)
    ends = {"sold": (both, 4), "price": (both, 5), "cost": (own, 6)}
    return keras.Model(
        x, {name: dense(1, seed, name=name)(end) for name, (end, seed) in ends.items()}
    )


def adopted(network: keras.Model, **options: Any) -> pc.Model:
    model = pc.adopt(network, tasks(), **options)
    model.compile(keras.optimizers.SGD(0.05))
    return model


def fitted(model: pc.Model, epochs: int = 2, batch_size: int = 8) -> list[float]:
    x, y = table()
    return model.fit(x, y, epochs=epochs, batch_size=batch_size, shuffle=False, verbose=0).history[
        "loss"
    ]


# -- nothing else changes --------------------------------------------------------------------------


@pytest.mark.parametrize("gradients", ENGINES)
def test_the_mean_is_no_balancing(gradients: str) -> None:
    """With dropout and batch normalisation: their state goes on as in stock Keras."""
    plain, mean = (
        adopted(branched(plain=False), **o)
        for o in ({}, {"balancing": "mean", "gradients": gradients})
    )
    np.testing.assert_allclose(fitted(mean), fitted(plain), rtol=1e-5)
    kept = {
        v.path.split("/", 1)[-1]: ops.convert_to_numpy(v)
        for v in plain.variables
        if "seed" not in v.path
    }
    after = {v.path.split("/", 1)[-1]: ops.convert_to_numpy(v) for v in mean.variables}
    for name, value in kept.items():
        if name in after:
            np.testing.assert_allclose(after[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_models_within_a_model_are_taken_apart() -> None:
    inner, x = branched(), keras.Input((FEATURES,))
    outer = keras.Model(
        x, {n: keras.layers.Activation("linear", name=n)(t) for n, t in inner(x).items()}
    )
    flat, nested = (
        adopted(m, balancing="mgda", gradients="parameters") for m in (branched(), outer)
    )
    np.testing.assert_allclose(fitted(nested), fitted(flat), rtol=1e-5)
    assert [g.tasks for g in nested.gradients] == [g.tasks for g in flat.gradients]


def test_answers_are_those_of_the_model_itself() -> None:
    model = adopted(branched(plain=False), balancing="upgrad")
    fitted(model)
    x = table()[0]
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model(x)), ops.convert_to_numpy(model(x, training=False))
    )


# -- who shares what -------------------------------------------------------------------------------


def regions_of(model: pc.Model) -> dict[tuple[str, ...], set[str]]:
    """Tasks -> the layers whose weights they share."""
    plan = model.task_weighting.engine.plan
    return {
        region.balance.names: {plan.trained[i].path.split("/")[-2] for i in region.variables}
        for region in plan.regions
    }


@pytest.mark.nobackend
@pytest.mark.parametrize("gradients", ENGINES)
def test_each_branch_is_balanced_between_those_it_serves(gradients: str) -> None:
    found = regions_of(adopted(branched(), balancing="mean", gradients=gradients))
    assert found == {("sold", "price", "cost"): {"trunk"}, ("sold", "price"): {"both"}}


@pytest.mark.nobackend
@pytest.mark.parametrize("gradients", ENGINES)
def test_a_merged_branch_serves_two_trunks(gradients: str) -> None:
    """Two separate trunks and a branch on both: each serves its own task and the merged one."""
    x = keras.Input((FEATURES,))
    left, right = dense(5, 1, "tanh", name="left")(x), dense(5, 2, "tanh", name="right")(x)
    merged = keras.layers.Concatenate()([left, right])
    ends = {"sold": left, "price": right, "cost": dense(4, 3, "tanh", name="merged")(merged)}
    model = keras.Model(x, {name: dense(1, 4, name=name)(end) for name, end in ends.items()})
    balanced = adopted(model, balancing="upgrad", gradients=gradients)
    assert regions_of(balanced) == {("price", "cost"): {"right"}, ("sold", "cost"): {"left"}}
    assert np.isfinite(fitted(balanced)).all()


@pytest.mark.parametrize("gradients", [pytest.param("features", marks=once), "parameters"])
def test_a_layer_called_twice_is_shared_by_both(gradients: str) -> None:
    x, shared = keras.Input((FEATURES,)), dense(5, 1, "tanh", name="shared")
    left, right = shared(dense(4, 2, name="a")(x)), shared(dense(4, 3, name="b")(x))
    model = keras.Model(
        x,
        {
            n: dense(1, 4, name=n)(t)
            for n, t in {"sold": left, "price": right, "cost": right}.items()
        },
    )
    balanced = adopted(model, balancing="mean", gradients=gradients)
    assert regions_of(balanced) == {("sold", "price", "cost"): {"shared"}, ("price", "cost"): {"b"}}
    plain = adopted(keras.models.clone_model(model), balancing=None)
    for one, other in zip(plain.layers, balanced.layers, strict=True):
        one.set_weights(other.get_weights())
    np.testing.assert_allclose(fitted(balanced), fitted(plain), rtol=1e-5)


@pytest.mark.parametrize("gradients", [pytest.param("features", marks=once), "parameters"])
def test_several_heads_share_a_lower_trunk(gradients: str) -> None:
    x = keras.Input((FEATURES,))
    low = dense(6, 1, "tanh", name="low")(x)
    first = pc.layers.Heads(tasks()[:2], name="first")(dense(5, 2, "tanh", name="upper")(low))
    second = pc.layers.Heads(tasks()[2:], name="second")(low)
    model = pc.Model(x, [first, second], balancing="upgrad", gradients=gradients)
    model.compile("sgd")
    assert regions_of(model) == {("sold", "price", "cost"): {"low"}, ("sold", "price"): {"upper"}}
    losses = fitted(model, epochs=5)
    assert losses[-1] < losses[0]


@pytest.mark.nobackend
def test_separate_networks_are_refused() -> None:
    x = keras.Input((FEATURES,))
    ends = {
        name: dense(1, 1, name=name)(dense(4, i, name=f"own{i}")(x))
        for i, name in enumerate(["sold", "price", "cost"])
    }
    with pytest.raises(pc.InputError, match="separate networks in one object"):
        adopted(keras.Model(x, ends), balancing="upgrad")


# -- the right gradients ---------------------------------------------------------------------------


def on_first_rows(model: pc.Model) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Trained weights before and after one step of gradient descent on all rows."""
    x, y = table()
    model.adapt(y)
    before = [ops.convert_to_numpy(v).copy() for v in model.task_weighting.engine.plan.trained]
    model.fit(x, y, batch_size=ROWS, verbose=0)
    return before, [ops.convert_to_numpy(v) for v in model.task_weighting.engine.plan.trained]


def task_losses(model: pc.Model) -> Callable[[list[np.ndarray]], np.ndarray]:
    """The tasks' weighted losses [3] as a float64 NumPy function of the trained weights."""
    x, y = table()
    plan, units = model.task_weighting.engine.plan, model.units
    place = {v.path: i for i, v in enumerate(plan.trained)}

    def weights(layer: str, values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        kernel, bias = (
            next(i for p, i in place.items() if p.endswith(f"{layer}/{w}"))
            for w in ("kernel", "bias")
        )
        return values[kernel], values[bias]

    def layer(name: str, inputs: np.ndarray, values: list[np.ndarray]) -> np.ndarray:
        kernel, bias = weights(name, values)
        return inputs @ kernel + bias

    def losses(values: list[np.ndarray]) -> np.ndarray:
        h = np.tanh(layer("trunk", x.astype("float64"), values))
        both, own = np.tanh(layer("both", h, values)), np.tanh(layer("own", h, values))
        names = list(model.tasks)
        found = []
        for name in names:
            raw = layer(name, own if name == "cost" else both, values)[:, 0]
            i = names.index(name)
            label = (np.asarray(y[name], "float64") - units.location[i]) / units.scale[i]
            each = np.logaddexp(0, raw) - label * raw if name == "sold" else (raw - label) ** 2
            found.append(
                model.tasks[name].weight * np.nanmean(np.where(np.isnan(label), np.nan, each))
            )
        return np.array(found)

    return losses


def differences(
    function: Callable[[list[np.ndarray]], np.ndarray], at: list[np.ndarray], i: int
) -> np.ndarray:
    """Central differences of the losses with respect to the i-th array: [tasks, size]."""
    found, step = [], 1e-5
    for j in range(at[i].size):
        pair = []
        for sign in (1, -1):
            moved = [a.copy() for a in at]
            moved[i].flat[j] += sign * step
            pair.append(function(moved))
        found.append((pair[0] - pair[1]) / (2 * step))
    return np.stack(found, axis=1)


@pytest.mark.parametrize(
    ("kind", "trunk"),
    [(keras.layers.Dense, 8), pytest.param(keras.layers.Dense, 30, marks=once), (OwnDense, 8)],
    ids=["more rows than features", "more features than rows", "not known for dense"],
)
def test_parameter_gradients_are_those_of_finite_differences(kind: Any, trunk: int) -> None:
    """In float64, with missing labels and task weights: each region's Gramian and its step."""
    model = adopted(branched(kind, trunk), balancing="mgda", gradients="parameters")
    before, after = on_first_rows(model)
    function, at = task_losses(model), [b.astype("float64") for b in before]
    jacobians = [differences(function, at, i) for i in range(len(at))]
    alone = set(range(len(at)))
    for region, seen in zip(
        model.task_weighting.engine.plan.regions, model.task_weighting.last(), strict=True
    ):
        chosen = list(region.tasks)
        rows = np.concatenate([jacobians[i][chosen] for i in region.variables], axis=1)
        np.testing.assert_allclose(seen[1], rows @ rows.T, rtol=2e-4, atol=1e-7)
        ones = np.ones(len(chosen), "float32")
        method = get("mgda")
        weights = method.update(
            method.init(len(chosen)), StepGradients(rows @ rows.T, ones, ones, ones, ones)
        )[1]
        np.testing.assert_allclose(seen[2], ops.convert_to_numpy(weights), atol=2e-3)
        for i in region.variables:
            alone.discard(i)
            moved = 0.05 * (seen[2] @ jacobians[i][chosen]).reshape(at[i].shape)
            np.testing.assert_allclose(before[i] - after[i], moved, rtol=2e-3, atol=2e-6)
    for i in alone:
        np.testing.assert_allclose(
            before[i] - after[i],
            0.05 * jacobians[i].sum(0).reshape(at[i].shape),
            rtol=2e-3,
            atol=2e-6,
        )


def test_the_engines_agree_on_a_linear_trunk_with_orthonormal_rows() -> None:
    """Then the gradients at the features and those of the kernel are one another's rotation."""
    rng = np.random.default_rng(0)
    x = np.linalg.qr(rng.normal(size=(40, ROWS)))[0].T.astype("float32")
    y = table()[1]
    found = []
    for gradients in ENGINES:
        inputs = keras.Input((40,))
        hidden = dense(5, 1, use_bias=False, name="trunk")(inputs)
        ends = {name: dense(1, 2 + i, name=name)(hidden) for i, name in enumerate(y)}
        model = adopted(keras.Model(inputs, ends), balancing="upgrad", gradients=gradients)
        model.fit(x, y, batch_size=ROWS, verbose=0)
        found.append(model.task_weighting.last()[0])
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-3)


def test_features_agree_with_the_fork_of_fused_heads() -> None:
    """The fork's closed form is the general engine's Gramian."""
    found = []
    for own, whole in (({"balancing": "upgrad"}, {}), ({}, {"balancing": "upgrad"})):
        x = keras.Input((FEATURES,))
        many = [*tasks(), pc.Multiclass("colour", classes=3)]
        heads = pc.layers.Heads(many, kernel_initializer=keras.initializers.GlorotUniform(7), **own)
        model = pc.Model(x, heads(dense(8, 1, "tanh")(x)), **whole)
        model.compile(keras.optimizers.SGD(0.05))
        rows, y = table()
        model.fit(
            rows,
            y | {"colour": rows[:, :3].argmax(1)},
            epochs=2,
            batch_size=8,
            shuffle=False,
            verbose=0,
        )
        found.append((model.gradients[0], model.get_layer(index=1).get_weights()))
    (one, weights), (other, others) = found
    for a, b in zip(one[1:5], other[1:5], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(weights[0], others[0], atol=1e-5)


# -- any network -----------------------------------------------------------------------------------


def sequences() -> tuple[keras.Model, Any]:
    x = keras.Input((7, 3))
    h = keras.layers.LSTM(4, name="lstm")(keras.layers.Masking()(x))
    return keras.Model(x, {n: dense(1, 1, name=n)(h) for n in ("sold", "price", "cost")}), (
        ROWS,
        7,
        3,
    )


def images() -> tuple[keras.Model, Any]:
    x = keras.Input((8, 8, 1))
    h = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation="relu", name="conv")(x))
    return keras.Model(x, {n: dense(1, 1, name=n)(h) for n in ("sold", "price", "cost")}), (
        ROWS,
        8,
        8,
        1,
    )


@pytest.mark.parametrize("gradients", [pytest.param("features", marks=once), "parameters"])
@pytest.mark.parametrize(
    "network", [sequences, pytest.param(images, marks=once)], ids=["lstm", "conv"]
)
def test_any_layer_may_be_shared(network: Any, gradients: str) -> None:
    model, shape = network()
    plain, balanced = (
        adopted(model, **o) for o in ({}, {"balancing": "mean", "gradients": gradients})
    )
    start = model.get_weights()
    x, y = np.random.default_rng(0).normal(size=shape).astype("float32"), table()[1]
    found = []
    for each in (plain, balanced):
        model.set_weights(start)
        found.append(
            each.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0).history["loss"]
        )
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.nobackend
@pytest.mark.parametrize("gradients", ENGINES)
def test_inputs_go_by_name(gradients: str) -> None:
    ins = {"left": keras.Input((3,), name="left"), "right": keras.Input((3,), name="right")}
    h = dense(5, 1, "tanh", name="trunk")(
        keras.layers.Concatenate()([ins["left"], 2 * ins["right"]])
    )
    model = adopted(
        keras.Model(ins, {n: dense(1, 1, name=n)(h) for n in ("sold", "price", "cost")}),
        balancing="cagrad",
        gradients=gradients,
    )
    x, y = table()
    losses = model.fit(
        {"right": x[:, 3:], "left": x[:, :3]}, y, epochs=6, batch_size=8, verbose=0
    ).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("gradients", [pytest.param("features", marks=once), "parameters"])
def test_a_training_is_saved_and_goes_on(gradients: str, tmp_path: Any) -> None:
    model = adopted(branched(), balancing="nash_mtl", weighting="dwa", gradients=gradients, every=2)
    fitted(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.task_weighting.to_config() == model.task_weighting.to_config()
    assert fitted(loaded, 1) == pytest.approx(fitted(model, 1), rel=1e-5)


@pytest.mark.parametrize(
    ("gradients", "policy"), [("features", "mixed_bfloat16"), ("parameters", "mixed_float16")]
)
def test_half_precision_trains(gradients: str, policy: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = adopted(branched(), balancing="upgrad", gradients=gradients)
        losses = fitted(model, epochs=8)
    finally:
        keras.config.set_dtype_policy(before)
    assert losses[-1] < losses[0]
    assert {str(v.dtype) for v in model.trainable_variables} == {"float32"}


def test_a_layer_with_a_loss_of_its_own_is_refused() -> None:
    x = keras.Input((FEATURES,))
    h = dense(4, 1, activity_regularizer="l2", name="trunk")(x)
    model = adopted(
        keras.Model(x, {n: dense(1, 1, name=n)(h) for n in ("sold", "price", "cost")}),
        balancing="mean",
    )
    with pytest.raises(Exception, match="adds a loss of its own"):
        fitted(model)


@pytest.mark.parametrize("frozen", ["before", pytest.param("after", marks=once)])
def test_frozen_layers(frozen: str) -> None:
    """Frozen before, a layer takes no part; frozen after, the plan would be wrong."""
    network = branched()
    if frozen == "before":
        network.get_layer("trunk").trainable = False
    model = adopted(network, balancing="mean", gradients="parameters")
    if frozen == "before":
        assert regions_of(model) == {("sold", "price"): {"both"}}
        assert np.isfinite(fitted(model)).all()
    else:
        network.get_layer("trunk").trainable = False
        with pytest.raises(pc.InputError, match="trunk/kernel"):
            fitted(model)


@pytest.mark.nobackend
def test_features_of_unknown_length_are_refused() -> None:
    x = keras.Input((None, 3))
    h = keras.layers.GlobalAveragePooling1D()
    steps = keras.layers.LSTM(4, return_sequences=True)(x)
    model = keras.Model(x, {n: dense(1, 1, name=n)(h(steps)) for n in ("sold", "price", "cost")})
    with pytest.raises(pc.InputError, match='gradients="parameters"'):
        adopted(model, balancing="mean")
    adopted(model, balancing="mean", gradients="parameters")


@pytest.mark.nobackend
def test_the_graph_is_in_an_order_in_which_calls_can_be_made() -> None:
    graph = Graph.of(branched())
    known = set(graph.inputs)
    for call in graph.calls:
        assert set(call.inputs) <= known or not call.inputs
        known |= set(call.outputs)
    assert set(graph.outputs) <= known
