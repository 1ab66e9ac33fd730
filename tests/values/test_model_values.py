"""Test that a polycera model is a Keras model: files, callbacks, precision, devices, batches."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from fresh import python
from keras import ops
from small import dense, from_numpy, raw_of

import polycera as pc

N = 32
COLOURS = ["red", "green", "blue"]


def rows(n: int = N, seed: int = 0, holes: bool = True) -> tuple[np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype("float32")
    y: dict[str, Any] = {
        "price": 50 + 9 * x[:, 0] + rng.normal(size=n),
        "sold": (x[:, 1] + 0.3 * rng.normal(size=n) > 0).astype("float64"),
        "colour": np.array(COLOURS, object)[(x + rng.normal(size=(n, 3))).argmax(axis=1)],
    }
    if holes:
        y["price"][rng.random(n) < 0.2] = np.nan
        y["colour"][rng.random(n) < 0.2] = None
    return x, y


def tasks() -> list[Any]:
    return [
        pc.Regression("price", loss={"mse": 0.7, "mae": 0.3}, weight=0.5),
        pc.Binary("sold"),
        pc.Multiclass("colour", COLOURS),
    ]


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [ops.convert_to_numpy(v) for v in model.variables]


PLAIN = dict(batch_size=8, epochs=2, shuffle=False, verbose=0)


def trained(model: pc.Model, **options: Any) -> dict[str, list[float]]:
    """The history of two short epochs from the same start."""
    from_numpy(model)
    x, y = rows()
    return model.fit(x, y, **(PLAIN | options)).history


@pytest.fixture(scope="module")
def usual() -> dict[str, list[float]]:
    """What every other way to run the same training must repeat."""
    return trained(dense(tasks()), validation_data=rows(16, 1))


def same(
    history: dict[str, list[float]], expected: dict[str, list[float]], rel: float = 1e-4
) -> None:
    for name, values in history.items():
        assert values == pytest.approx(expected[name], rel=rel, abs=rel, nan_ok=True), name


# -- files -----------------------------------------------------------------------------------------

RELOAD = """
import keras, numpy as np
import polycera
from test_model_values import PLAIN, rows
folder = {folder!r}
model = keras.models.load_model(folder + "/m.keras")
x, y = rows()
predicted = model.predict(x, verbose=0)
np.savez(folder + "/predicted.npz", **{{n: v.astype("float64") for n, v in predicted.items()}})
assert list(model.predict_labels(x, verbose=0)["colour"][:1])[0] in ("red", "green", "blue")
history = model.fit(x, y, **PLAIN).history
trained = [np.asarray(keras.ops.convert_to_numpy(v)) for v in model.variables]
np.savez(folder + "/trained.npz", *trained)
print(history["loss"])
"""


def test_saved_and_loaded_elsewhere(tmp_path: Path) -> None:
    """The same bits of every prediction; and training goes on as if nothing had happened."""
    model = dense(tasks(), optimizer="adam", kernel_regularizer="l2")
    trained(model)
    model.save(tmp_path / "m.keras")
    x, y = rows()
    predicted = model.predict(x, verbose=0)
    history = model.fit(x, y, **PLAIN).history
    printed = python(RELOAD.format(folder=str(tmp_path)))
    with np.load(tmp_path / "predicted.npz") as there:
        for name, values in predicted.items():
            np.testing.assert_array_equal(there[name], values)
    assert json.loads(printed) == history["loss"]
    with np.load(tmp_path / "trained.npz") as there:
        for one, other in zip(weights_of(model), there.values(), strict=True):
            np.testing.assert_array_equal(one, other)


@keras.saving.register_keras_serializable(package="tests")
def beyond(y: Any, p: Any) -> Any:
    return ops.relu(ops.abs(y - p) - 1.0)


@keras.saving.register_keras_serializable(package="tests")
def agree(y: Any, p: Any) -> Any:
    return ops.abs(p["price"] - p["sold"])[:, 0]


def test_all_that_a_task_can_hold_is_saved(tmp_path: Path) -> None:
    made = [
        pc.Regression(
            "price",
            loss=[("mse", 1.0), (beyond, 0.5), (keras.losses.LogCosh(), 0.1)],
            metrics=["mae"],
        ),
        pc.Binary("sold", classes=("no", "yes"), pos_weight=3.0, label_smoothing=0.1, weight=2.0),
        pc.Multiclass("colour", COLOURS, label_smoothing=0.2),
        pc.Multilabel("tags", ["a", "b"], pos_weight=[1.0, 2.0]),
        pc.Ordinal("grade", ["poor", "fair", "good"]),
        pc.Count("visits"),
        pc.Quantile("delay", quantiles=(0.2, 0.8), standardize=False),
        pc.Joint(agree, ["price", "sold"], weight=0.3),
    ]
    model = dense(made)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.tasks == model.tasks
    assert [j.to_config() for j in again.layout.joints] == [made[-1].to_config()]
    assert again.layout.joints[0].fn is agree
    x = rows()[0]
    np.testing.assert_array_equal(raw_of(again, x), raw_of(model, x))


def test_named_answers_like_predict() -> None:
    model = dense(tasks())
    trained(model, epochs=1)
    x = rows()[0]
    plain = model.named()
    assert not isinstance(plain, pc.Model)
    named, predicted = plain(x), model.predict(x, verbose=0)
    assert set(named) == set(predicted)
    for name, values in predicted.items():
        there = ops.convert_to_numpy(named[name])
        assert there.ndim == 2
        np.testing.assert_allclose(there.reshape(values.shape), values, rtol=1e-5, atol=1e-5)


# -- callbacks -------------------------------------------------------------------------------------


def test_stock_callbacks_watch_the_joint_score(tmp_path: Path) -> None:
    model = dense(tasks(), optimizer=keras.optimizers.Adam(0.3))
    from_numpy(model)
    x, y = rows()
    stop = keras.callbacks.EarlyStopping(
        "val_joint", mode="max", patience=2, restore_best_weights=True
    )
    best = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "best.keras"), "val_joint", mode="max", save_best_only=True
    )
    slower = keras.callbacks.ReduceLROnPlateau(
        "val_joint", mode="max", factor=0.5, patience=1, min_delta=0.5
    )
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    validation = rows(16, 1)
    history = model.fit(
        x,
        y,
        validation_data=validation,
        epochs=30,
        verbose=0,
        callbacks=[pc.callbacks.JointScore(), best, slower, log, stop],
    ).history
    joint = history["val_joint"]
    assert len(joint) < 30
    assert stop.best == max(joint)
    assert history["learning_rate"][-1] < 0.3
    with (tmp_path / "log.csv").open(encoding="utf-8", newline="") as file:
        logged = list(csv.DictReader(file))
    assert [float(row["val_joint"]) for row in logged] == pytest.approx(joint)
    assert {"price/mse", "price/mae", "sold/bce", "val_colour/accuracy"} <= set(logged[0])
    again = keras.models.load_model(tmp_path / "best.keras")
    loss = again.evaluate(*validation, verbose=0)["loss"]
    assert loss == pytest.approx(history["val_loss"][int(np.argmax(joint))], rel=1e-5)
    assert loss == pytest.approx(model.evaluate(*validation, verbose=0)["loss"], rel=1e-5), (
        "restored"
    )


@pytest.mark.nobackend
def test_joint_score_is_the_mean_of_skills_by_hand() -> None:
    model = dense(tasks())
    trained(model)
    vx, vy = rows(16, 1)
    x, y = rows()
    watch = pc.callbacks.JointScore({"price": 2.0, "sold/accuracy": 1.0, "colour": 0.0})
    logs = {
        n: v[-1]
        for n, v in model.fit(
            x, y, validation_data=(vx, vy), callbacks=[watch], **PLAIN
        ).history.items()
    }
    known = ~np.isnan(vy["price"])
    trivial = np.sqrt(np.mean((vy["price"][known] - np.nanmean(y["price"])) ** 2))
    says_yes = y["sold"].mean() > 0.5
    at_best = (vy["sold"] == says_yes).mean()
    price = 1 - logs["val_price/rmse"] / trivial
    sold = (logs["val_sold/accuracy"] - at_best) / (1 - at_best)
    assert logs["val_price_skill"] == pytest.approx(price, rel=1e-4)
    assert logs["val_sold_skill"] == pytest.approx(sold, rel=1e-4)
    assert logs["val_joint"] == pytest.approx((2 * price + sold) / 3, rel=1e-4)
    assert list(model.scores["price"]) == ["rmse", "r2"]


@pytest.mark.nobackend
def test_two_hundred_tasks_by_name() -> None:
    names = [f"label {i}" for i in range(200)]
    model = dense([pc.Binary(n, metrics=["accuracy"]) for n in names])
    x = rows()[0]
    y = {n: (x[:, i % 3] > 0.1 * (i % 7)).astype(int) for i, n in enumerate(names)}
    logs = model.fit(x, y, verbose=0).history
    assert {f"{n}/accuracy" for n in names} | {f"{n}/bce" for n in names} | {
        "loss",
        "skipped_steps",
    } == set(logs)
    assert logs["loss"][0] == pytest.approx(sum(logs[f"{n}/bce"][0] for n in names), rel=1e-5)
    assert len(model.trainable_variables) == 4
    # handed over in any other order, every task gets its own labels
    backwards = model.evaluate(x, dict(reversed(y.items())), verbose=0)
    assert backwards == pytest.approx(model.evaluate(x, y, verbose=0))


# -- ways to run -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_trains(policy: str) -> None:
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
        model = dense(tasks(), optimizer=keras.optimizers.Adam(0.05))
    finally:
        keras.config.set_dtype_policy(before)
    assert (type(model.optimizer).__name__ == "LossScaleOptimizer") == (policy == "mixed_float16")
    x, y = rows()
    history = model.fit(x, y, batch_size=8, epochs=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]
    assert keras.backend.standardize_dtype(model(x).dtype) == "float32"
    assert keras.backend.standardize_dtype(
        model.get_layer("trunk").compute_dtype
    ) == policy.removeprefix("mixed_")


def test_several_steps_at_once(usual: dict[str, list[float]], backend: str) -> None:
    if backend == "torch":
        pytest.skip("Keras has no steps_per_execution on torch")
    model = dense(tasks())
    model.compile(keras.optimizers.SGD(0.05), steps_per_execution=3)  # 4 batches: 3 and a rest
    same(trained(model, validation_data=rows(16, 1)), usual)


def test_eagerly(usual: dict[str, list[float]]) -> None:
    model = dense(tasks())
    model.compile(keras.optimizers.SGD(0.05), run_eagerly=True)
    history = trained(model, validation_data=rows(16, 1), epochs=1)
    same(history, {name: values[:1] for name, values in usual.items()})


def test_accumulated_gradients() -> None:
    """Two half batches, complete labels: the gradient of the whole batch."""
    x, y = rows(holes=False)
    ends = []
    for options, batch in ({}, 16), ({"gradient_accumulation_steps": 2}, 8):
        model = dense(tasks(), optimizer=keras.optimizers.SGD(0.05, **options))
        from_numpy(model)
        model.fit(x, y, batch_size=batch, shuffle=False, epochs=1, verbose=0)
        ends.append([ops.convert_to_numpy(v) for v in model.trainable_variables])
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The scaling of the targets comes from the first")
def test_batch_by_batch() -> None:
    """train_on_batch and test_on_batch by name."""
    model = dense(tasks())
    from_numpy(model)
    x, y = rows()
    first = model.test_on_batch(x, y, return_dict=True)
    model.reset_metrics()
    assert model.train_on_batch(x, y, return_dict=True)["loss"] == pytest.approx(
        first["loss"], rel=1e-5
    )
    model.reset_metrics()
    assert model.test_on_batch(x, y, return_dict=True)["loss"] < first["loss"]


# -- where batches come from -----------------------------------------------------------------------


def batches(x: np.ndarray, y: dict[str, Any], weight: Any = None) -> list[Any]:
    parts = [slice(i, i + 8) for i in range(0, len(x), 8)]
    pairs = [(x[p], {n: v[p] for n, v in y.items()}) for p in parts]
    return (
        pairs
        if weight is None
        else [(*pair, weight[p]) for pair, p in zip(pairs, parts, strict=True)]
    )


class Sequence(keras.utils.PyDataset):
    def __init__(self, batches: list[Any]) -> None:
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        return self.batches[index]


def test_generator_and_dataset_are_the_array_path(usual: dict[str, list[float]]) -> None:
    x, y = rows()
    model = dense(tasks())
    from_numpy(model)
    validation = Sequence(batches(*rows(16, 1)))
    same(
        model.fit(
            Sequence(batches(x, y)), validation_data=validation, epochs=2, shuffle=False, verbose=0
        ).history,
        usual,
    )
    from_numpy(model)
    forever = (batch for _ in range(2) for batch in batches(x, y))
    same(model.fit(forever, steps_per_epoch=4, epochs=2, verbose=0).history, usual)
    streamed = model.evaluate(Sequence(batches(x, y)), verbose=0)
    arrays = model.evaluate(x, y, verbose=0)
    assert set(streamed) == set(arrays)
    assert streamed["loss"] == pytest.approx(arrays["loss"], rel=1e-5)


@pytest.mark.parametrize("source", ["tf.data", "DataLoader"])
def test_sources_packed_in_the_graph(source: str, backend: str) -> None:
    """Targets by name in batches that only the backend sees; with one weight a row."""
    if source == "DataLoader" and backend != "torch":
        pytest.skip("torch's loader, where torch is there anyway")
    x, y = rows()
    y = {n: y[n].astype("float32") for n in ("price", "sold")}
    weight = np.linspace(0, 2, N).astype("float32")
    expected = dense(tasks()[:2])
    from_numpy(expected)
    usual = expected.fit(x, y, sample_weight=weight, **PLAIN).history
    data: Any
    if source == "tf.data":
        tf = pytest.importorskip("tensorflow")
        data = tf.data.Dataset.from_tensor_slices((x, y, weight)).batch(8)
    else:
        import torch

        items = [(x[i], {n: v[i] for n, v in y.items()}, weight[i]) for i in range(N)]
        data = torch.utils.data.DataLoader(items, batch_size=8)
    model = dense(tasks()[:2])
    from_numpy(model)
    same(model.fit(data, epochs=2, verbose=0).history, usual)


def test_dict_of_features_and_several_trunks() -> None:
    inputs = {"left": keras.Input((1,), name="left"), "right": keras.Input((2,), name="right")}
    both = keras.layers.Concatenate()(list(inputs.values()))
    heads = [
        pc.layers.Heads(tasks()[:2], name="one")(both),
        pc.layers.Heads(tasks()[2:], name="other")(inputs["right"]),
    ]
    model = pc.Model(inputs, heads)
    model.compile(keras.optimizers.SGD(0.05))
    x, y = rows()
    x = {"right": x[:, 1:], "left": x[:, :1]}
    logs = model.fit(x, y, validation_split=0.25, epochs=6, verbose=0).history
    assert logs["loss"][-1] < logs["loss"][0]
    predicted = model.predict(x, verbose=0)
    assert predicted["colour"].shape == (N, 3)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.named()(x)["price"])[:, 0], predicted["price"], rtol=1e-5
    )


# -- several devices, several backends -------------------------------------------------------------


def compared() -> dict[str, list[float]]:
    """What training and evaluation log, with missing labels, weights and a regulariser."""
    model = dense(tasks(), kernel_regularizer="l2")
    from_numpy(model)
    validation = rows(16, 1)
    options = PLAIN | {"sample_weight": np.linspace(0, 2, N), "validation_data": validation}
    history = model.fit(*rows(), **options).history
    return history | {"exact": list(model.evaluate(*validation, batch_size=8, verbose=0).values())}


TOLD = "import json\nfrom test_model_values import compared\nprint(json.dumps(compared()))\n"
FOUR_DEVICES = """
import keras
keras.distribution.set_distribution(keras.distribution.DataParallel())
assert len(keras.distribution.list_devices()) == 4
"""
TWO_REPLICAS = """
import json
import tensorflow as tf
from test_model_values import compared
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    story = compared()
print(json.dumps(story))
"""


def told(printed: str) -> dict[str, list[float]]:
    return json.loads(printed.splitlines()[-1])


def test_several_devices_are_one(backend: str) -> None:
    """keras.distribution on four JAX devices, tf.distribute on two: logs equal one device's."""
    if backend == "torch":
        pytest.skip("torch's data parallelism arrives with Keras 3.16")
    if backend == "jax":
        many = python(FOUR_DEVICES + TOLD, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    else:
        many = python(TWO_REPLICAS)
    same(told(many), compared())


@pytest.mark.nobackend
def test_three_backends_tell_the_same_story() -> None:
    """The same start and the same rows: the same losses and metrics, to float tolerance."""
    stories = {name: told(python(TOLD, KERAS_BACKEND=name)) for name in ("tensorflow", "torch")}
    here = compared()
    for story in stories.values():
        assert set(story) == set(here)
        same(story, here)


# -- other people's models -------------------------------------------------------------------------


def shared() -> keras.Model:
    x = keras.Input((3,))
    h = keras.layers.Dense(4, activation="tanh")(x)
    ends = {"price": 1, "sold": 1, "colour": 3}
    return keras.Model(x, {n: keras.layers.Dense(units, name=n)(h) for n, units in ends.items()})


def branches() -> keras.Model:
    """Separate branches; outputs known by their layers' names, in an unsorted order."""
    x = keras.Input((3,))
    outputs = []
    for name, units in (("sold", 1), ("price", 1), ("colour", 3)):
        h = keras.layers.Dense(4, activation="tanh")(x)
        outputs.append(keras.layers.Dense(units, name=name)(h))
    return keras.Model(x, outputs)


def merged() -> keras.Model:
    """What one head says goes into another's; probabilities at the end."""
    x = keras.Input((3,))
    price = keras.layers.Dense(1, name="price")(keras.layers.Dense(4, activation="tanh")(x))
    h = keras.layers.Concatenate()([keras.layers.Dense(4, activation="tanh")(x), price])
    sold = keras.layers.Dense(1, activation="sigmoid", name="sold")(h)
    colour = keras.layers.Softmax(name="colour")(keras.layers.Dense(3)(h))
    return keras.Model(x, {"price": price, "sold": sold, "colour": colour})


def recurrent() -> keras.Model:
    x = keras.Input((3,))
    h = keras.layers.LSTM(3)(keras.layers.Reshape((3, 1))(x))
    return keras.Model(
        x,
        {
            n: keras.layers.Dense(u)(h)
            for n, u in (("price", 1), ("sold", 1), ("colour", 3), ("idle", 2))
        },
    )


@pytest.mark.parametrize(
    "network",
    [
        *(pytest.param(f, marks=pytest.mark.nobackend) for f in (shared, branches)),
        merged,
        recurrent,
    ],
    ids=lambda f: f.__name__,
)
def test_adopted(network: Any, tmp_path: Path) -> None:
    """Trains under the same contract, trains the given layers, and is saved like any other."""
    theirs = network()
    model = pc.adopt(theirs, tasks())
    model.compile(keras.optimizers.Adam(0.03))
    before = [ops.convert_to_numpy(v) for v in theirs.trainable_variables]
    x, y = rows()
    logs = model.fit(
        x, y, validation_split=0.25, epochs=8, callbacks=[pc.callbacks.JointScore()], verbose=0
    ).history
    assert logs["loss"][-1] < logs["loss"][0]
    by_hand = (
        0.5 * (0.7 * logs["price/mse"][-1] + 0.3 * logs["price/mae"][-1]) + logs["sold/bce"][-1]
    )
    assert logs["loss"][-1] == pytest.approx(by_hand + logs["colour/cross_entropy"][-1], rel=1e-5)
    moved = [
        not np.array_equal(one, ops.convert_to_numpy(v))
        for one, v in zip(before, theirs.trainable_variables, strict=True)
    ]
    # the kernel and bias of `idle`
    assert sum(not m for m in moved) == (2 if network is recurrent else 0)
    predicted = model.predict(x, verbose=0)
    assert abs(np.nanmean(predicted["price"]) - 50) < 15, "in the user's units"
    np.testing.assert_allclose(predicted["colour"].sum(axis=1), 1, rtol=1e-6)
    if network is merged:
        direct = theirs.predict(x, verbose=0)
        np.testing.assert_allclose(direct["sold"][:, 0], predicted["sold"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(direct["colour"], predicted["colour"], rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras").predict(x, verbose=0)
    for name, values in predicted.items():
        np.testing.assert_array_equal(again[name], values)


@pytest.mark.nobackend
def test_adopted_endings_are_the_same_training() -> None:
    """Sigmoid and softmax endings, undone before the loss, train like logits and our own heads."""
    histories = []
    for endings in ((None, None), ("sigmoid", "softmax")):
        x = keras.Input((3,))
        sold = keras.layers.Dense(1, activation=endings[0], name="sold")(x)
        colour = keras.layers.Dense(3, activation=endings[1], name="colour")(x)
        model = pc.adopt(keras.Model(x, [sold, colour]), tasks()[1:])
        model.compile(keras.optimizers.SGD(0.1))
        from_numpy(model)
        data, y = rows()
        histories.append(model.fit(data, {n: y[n] for n in ("sold", "colour")}, **PLAIN).history)
    same(histories[1], histories[0])


def test_adopted_sequential_and_relu(backend: str) -> None:
    """A Sequential's output has its last layer's name; a head with relu answers in user scale."""
    x, y = rows(holes=False)
    last = [keras.layers.Dense(1, activation="relu", name="price", bias_initializer="ones")]
    if backend == "jax":
        last = [keras.layers.Dense(1, bias_initializer="ones"), keras.layers.ReLU(name="price")]
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), *last])
    model = pc.adopt(theirs, [pc.Regression("price")])
    assert not model.tasks["price"].standardize
    model.compile(keras.optimizers.Adam(0.1))
    logs = model.fit(x, {"price": y["price"]}, epochs=4, verbose=0).history
    assert logs["price/mse"][0] > 100, "in squared units of the user"
    assert logs["loss"][-1] < logs["loss"][0]
    np.testing.assert_allclose(
        model.predict(x, verbose=0)["price"], theirs.predict(x, verbose=0)[:, 0], rtol=1e-5
    )


def test_adopted_outputs_without_a_task_and_one_model_twice() -> None:
    theirs = shared()
    x, y = rows()
    first = pc.adopt(theirs, tasks()[:1])
    first.compile("sgd")
    assert set(first.predict(x, verbose=0)) == {"price"}
    first.fit(x, {"price": y["price"]}, verbose=0)
    second = pc.adopt(theirs, [pc.Multiclass("colour")])
    assert second.tasks["colour"].classes == (0, 1, 2)
    assert second.get_layer("colour") is theirs.get_layer("colour")
