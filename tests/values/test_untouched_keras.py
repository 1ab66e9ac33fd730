"""A Keras model that polycera has not touched: joint callbacks read the names in its logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import polycera as pc

ROWS = 48
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 3)).astype("float32")
CHURN = (X[:, 0] + RNG.normal(size=ROWS) > 0.5).astype("float32")
PRICE = (4 + X[:, 1] + 0.5 * RNG.normal(size=ROWS)).astype("float32")
HALF = ROWS // 2
WEIGHTS = {"val_churn_auc": 0.7, "val_price_mae": 0.3}


def stock(outputs: str = "dict", metrics: Any = None) -> keras.Model:
    """Two heads on one small layer, compiled as one does."""
    x = keras.Input((3,))
    h = keras.layers.Dense(4, activation="tanh")(x)
    churn = keras.layers.Dense(1, activation="sigmoid", name="churn")(h)
    price = keras.layers.Dense(1, name="price")(h)
    model = keras.Model(
        x, {"churn": churn, "price": price} if outputs == "dict" else [churn, price]
    )
    metrics = metrics or {"churn": [keras.metrics.AUC(name="auc"), "accuracy"], "price": ["mae"]}
    losses = {"churn": "binary_crossentropy", "price": "mse"}
    if outputs == "list":
        metrics, losses = list(metrics.values()), list(losses.values())
    model.compile(keras.optimizers.SGD(0.1), loss=losses, metrics=metrics)
    return model


def labels(model: keras.Model) -> Any:
    named = {"churn": CHURN, "price": PRICE}
    return named if isinstance(model.output, dict) else list(named.values())


def trained(
    model: keras.Model, *callbacks: Any, epochs: int = 3, **options: Any
) -> dict[str, list[float]]:
    """The history of a short training whose second half of rows validates."""
    y = labels(model)
    first, second = (
        keras.tree.map_structure(lambda part, own=own: part[own], y)
        for own in (slice(HALF), slice(HALF, None))
    )
    held = options.pop("validation_data", (X[HALF:], second))
    return model.fit(
        X[:HALF],
        first,
        validation_data=held,
        epochs=epochs,
        verbose=0,
        callbacks=list(callbacks),
        **options,
    ).history


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(pc.InputError) as caught:
        call()
    return str(caught.value)


def test_the_joint_score_of_an_untouched_model_is_as_by_hand(tmp_path: Path) -> None:
    model = stock()
    stop = pc.callbacks.JointEarlyStopping(WEIGHTS, patience=5)
    save = pc.callbacks.JointCheckpoint(tmp_path / "best.keras", WEIGHTS)
    keep = pc.callbacks.ParetoCheckpoint(tmp_path / "front", list(WEIGHTS))
    history = trained(model, stop, save, keep, epochs=4)
    trivial = np.abs(PRICE[HALF:] - PRICE[HALF:].mean()).mean()
    auc, mae = np.array(history["val_churn_auc"]), np.array(history["val_price_mae"])
    by_hand = 0.7 * (auc - 0.5) / 0.5 + 0.3 * (1 - mae / trivial)
    np.testing.assert_allclose(history["val_joint"], by_hand, rtol=1e-5)
    np.testing.assert_allclose(history["val_churn_auc_skill"], (auc - 0.5) / 0.5, rtol=1e-5)
    best = int(np.argmax(by_hand))
    assert stop.best_epoch == save.saved_epoch == best
    for found in (model, keras.saving.load_model(tmp_path / "best.keras")):
        logs = found.evaluate(
            X[HALF:], {"churn": CHURN[HALF:], "price": PRICE[HALF:]}, verbose=0, return_dict=True
        )
        assert logs["price_mae"] == pytest.approx(mae[best], rel=1e-5)
    assert keep.pick({"val_price_mae": 1.0}) == int(np.argmin(mae))


def test_a_name_that_is_not_in_the_logs_is_refused_early() -> None:
    """On TensorFlow names are known after the first batch, elsewhere before it."""
    model = stock()
    message = refused(lambda: trained(model, pc.callbacks.JointScore({"val_churn_acc": 1.0})))
    assert "'val_churn_acc'; did you mean 'val_churn_" in message and "'val_price_mae'" in message


@pytest.mark.nobackend
@pytest.mark.parametrize("name", ["churn_accuracy", "val_churn_accuracy"])
def test_names_go_with_and_without_val(name: str) -> None:
    history = trained(stock(), pc.callbacks.JointScore({name: 1.0}), epochs=1)
    share = max(CHURN[HALF:].mean(), 1 - CHURN[HALF:].mean())
    skill = (history["val_churn_accuracy"][0] - share) / (1 - share)
    assert history["val_joint"][0] == pytest.approx(skill, abs=1e-6)
    assert history["val_churn_accuracy_skill"] == history["val_joint"]


@pytest.mark.nobackend
def test_a_list_of_weights_goes_with_a_list_of_outputs() -> None:
    history = trained(stock("list"), pc.callbacks.JointScore([0.7, 0.3]), epochs=1)
    parts = 0.7 * history["val_churn_auc_skill"][0] + 0.3 * history["val_price_mae_skill"][0]
    assert history["val_joint"][0] == pytest.approx(parts)
    message = refused(lambda: trained(stock(), pc.callbacks.JointScore([0.7, 0.3]), epochs=1))
    assert "write {'val_churn_auc': 0.7, 'val_price_mae': 0.3}" in message


@pytest.mark.nobackend
def test_without_weights_the_names_are_asked_for() -> None:
    message = refused(lambda: trained(stock(), pc.callbacks.JointEarlyStopping()))
    assert "such as {'val_churn_auc': 0.5, 'val_price_mae': 0.5}" in message


@pytest.mark.nobackend
def test_one_output_has_names_without_a_prefix() -> None:
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(3, activation="softmax")(x))
    model.compile("sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    classes = np.arange(ROWS) % 3
    classes[:6] = 2
    history = model.fit(
        X,
        classes,
        validation_data=(X[:10], classes[:10]),
        verbose=0,
        callbacks=[pc.callbacks.JointScore([1])],
    ).history
    share = np.bincount(classes[:10]).max() / 10
    assert history["val_joint"][0] == pytest.approx(
        (history["val_accuracy"][0] - share) / (1 - share), abs=1e-6
    )


def tilted(y: Any, p: Any) -> Any:
    """A metric of the user's own."""
    return keras.ops.mean(keras.ops.abs(y - p), axis=-1)


@pytest.mark.nobackend
def test_what_is_not_known_of_a_metric_is_asked_for() -> None:
    def train(**given: Any) -> dict[str, list[float]]:
        metrics = {"churn": [], "price": [tilted]}
        return trained(
            stock(metrics=metrics),
            pc.callbacks.JointScore({"val_price_tilted": 1.0}, **given),
            epochs=2,
        )

    name = "val_price_tilted"
    assert "mode={'val_price_tilted': 'max'}" in refused(train)
    assert "ideal={'val_price_tilted': ...}" in refused(lambda: train(mode={name: "min"}))
    assert "trivial={'val_price_tilted': ...}" in refused(
        lambda: train(mode={name: "min"}, ideal={name: 0.0})
    )
    history = train(mode={name: "min"}, ideal={name: 0.0}, trivial={name: 2.0})
    np.testing.assert_allclose(history["val_joint"], 1 - np.array(history[name]) / 2.0)
    history = train(mode={name: "min"}, scale="minmax")
    assert history["val_joint"] == [1.0, float(history[name][1] <= history[name][0])]
    assert "'min', got 'down'" in refused(lambda: train(mode={name: "down"}))
    assert "finite number" in refused(lambda: train(mode={name: "min"}, trivial={name: np.nan}))


@pytest.mark.nobackend
def test_losses_are_watched_too() -> None:
    """Their trivial values are variance and entropy; that of a sum of losses is asked for."""
    history = trained(
        stock(), pc.callbacks.JointScore({"val_churn_loss": 1.0, "val_price_loss": 1.0}), epochs=1
    )
    share = CHURN[HALF:].mean()
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    for name, trivial in (("churn", entropy), ("price", PRICE[HALF:].var())):
        skill = 1 - history[f"val_{name}_loss"][0] / trivial
        assert history[f"val_{name}_loss_skill"][0] == pytest.approx(skill, rel=1e-4), name
    message = refused(lambda: trained(stock(), pc.callbacks.JointScore({"val_loss": 1.0})))
    assert "trivial={'val_loss': ...}" in message


@pytest.mark.nobackend
def test_labels_that_can_be_read_only_once_are_not_guessed() -> None:
    def batches() -> Any:
        while True:
            yield X[:8], {"churn": CHURN[:8], "price": PRICE[:8]}

    def train(**given: Any) -> Any:
        watch = pc.callbacks.JointScore({"val_price_mae": 1.0}, **given)
        return trained(stock(), watch, epochs=1, validation_data=batches(), validation_steps=1)

    assert "trivial={'val_price_mae': ...}, or scale='first'" in refused(train)
    assert len(train(scale="first")["val_joint"]) == 1


@pytest.mark.nobackend
def test_a_number_that_another_callback_logs() -> None:
    class Mine(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["val_mine"] = float(epoch)

    known = dict(mode={"val_mine": "max"}, trivial={"val_mine": 0.0}, ideal={"val_mine": 4.0})
    history = trained(
        stock(), Mine(), pc.callbacks.JointScore({"val_mine": 1.0}, **known), epochs=3
    )
    assert history["val_joint"] == [0.0, 0.25, 0.5]
    late = [pc.callbacks.JointScore({"val_mine": 1.0}, **known), Mine()]
    assert "put that callback first" in refused(lambda: trained(stock(), *late, epochs=1))


@pytest.mark.nobackend
def test_scales_of_ones_own() -> None:
    tasks = [pc.Binary("churn"), pc.Regression("price")]
    x = keras.Input((3,))
    model = pc.Model(x, pc.layers.Heads(tasks)(x))
    model.compile("sgd")
    y = {"churn": CHURN, "price": PRICE}
    own = {"churn": lambda auc: auc, "price": lambda rmse: 1 - rmse / 6}
    history = model.fit(
        X,
        y,
        validation_data=(X, y),
        verbose=0,
        callbacks=[pc.callbacks.JointScore({"churn": 3, "price": 1}, scale=own)],
    ).history
    by_hand = 0.75 * history["val_churn/auc"][0] + 0.25 * (1 - history["val_price/rmse"][0] / 6)
    assert history["val_joint"][0] == pytest.approx(by_hand)

    def fit(scale: Any) -> Any:
        return model.fit(
            X,
            y,
            validation_data=(X, y),
            verbose=0,
            callbacks=[pc.callbacks.JointScore(scale=scale)],
        )

    history = fit(lambda metrics: -metrics.value).history
    assert history["val_price_skill"][0] == pytest.approx(-history["val_price/rmse"][0])
    assert "lacks 'price'" in refused(lambda: fit({"churn": float}))
    assert "did you mean 'price'" in refused(lambda: fit({"churn": float, "prices": float}))
    assert "array of shape [1, 2]" in refused(lambda: fit(lambda seen: 1.0))
    assert "a scale of your own" in refused(lambda: fit("skil"))
    assert "expected a function" in refused(lambda: fit({"churn": 1.0, "price": float}))


@pytest.mark.nobackend
def test_improvements_are_printed_as_keras_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own = dict(
        mode={"val_mine": "max"}, trivial={"val_mine": 0.0}, ideal={"val_mine": 1.0}, verbose=1
    )

    class Mine(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["val_mine"] = [0.25, 0.5, 0.375, 0.125][epoch]

    stop = pc.callbacks.JointEarlyStopping({"val_mine": 1.0}, patience=2, **own)
    save = pc.callbacks.JointCheckpoint(tmp_path / "best.keras", {"val_mine": 1.0}, **own)
    trained(stock(), Mine(), stop, save, epochs=5)
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines[:2] == [
        "Epoch 1: val_joint improved from None to 0.25000",
        (
            "Epoch 1: val_joint improved from None to 0.25000, saving model to "
            f"{tmp_path / 'best.keras'}"
        ),
    ]
    assert "Epoch 2: val_joint improved from 0.25000 to 0.50000" in lines
    assert lines.count("Epoch 3: val_joint did not improve from 0.50000") == 2
    assert lines[-2:] == [
        "Epoch 4: early stopping",
        "Restoring model weights from the end of the best epoch: 2.",
    ]


@pytest.mark.nobackend
@pytest.mark.parametrize("kind", ["Guard", "Checkpoint", "Gradients", "GradientProbe"])
def test_what_needs_tasks_names_the_way_to_them(kind: str, tmp_path: Path) -> None:
    made = {
        "Checkpoint": (tmp_path / "c",),
        "GradientProbe": (X, {"churn": CHURN}),
    }
    callback = getattr(pc.callbacks, kind)(*made.get(kind, ()))
    message = refused(lambda: trained(stock(), callback, epochs=1))
    assert kind in message and "pc.adopt(model, tasks)" in message


@pytest.mark.nobackend
def test_a_list_for_named_tasks_is_refused_with_the_dict() -> None:
    x = keras.Input((3,))
    model = pc.Model(x, pc.layers.Heads([pc.Binary("churn"), pc.Regression("price")])(x))
    model.compile("sgd")

    def fit(callback: Any) -> Any:
        y = {"churn": CHURN, "price": PRICE}
        return model.fit(X, y, validation_data=(X, y), verbose=0, callbacks=[callback])

    for made in (pc.callbacks.JointScore, pc.callbacks.JointEarlyStopping):
        assert "write {'churn': 0.7, 'price': 0.3}" in refused(
            lambda made=made: fit(made([0.7, 0.3]))
        )
    assert "list of 3 for 2 names" in refused(lambda: fit(pc.callbacks.JointScore([1, 1, 1])))
    assert "got only names" in refused(lambda: pc.callbacks.JointScore(["churn", "price"]))
    assert "is a dict from a name to its weight" in refused(lambda: pc.callbacks.JointScore(0.7))
    # as logs call them
    history = fit(pc.callbacks.JointScore({"val_churn_auc": 0.7, "val_price/r2": 0.3})).history
    assert history["val_price_skill"] == pytest.approx(history["val_price/r2"], abs=1e-5)


def test_outputs_go_by_the_keys_of_the_dict_whatever_their_layers_are_called() -> None:
    x = keras.Input((3,))
    outputs = {
        "price": keras.layers.Dense(1)(x),
        "churn": keras.layers.Dense(1, activation="sigmoid")(x),
    }
    model = keras.Model(x, outputs)
    model.compile(
        "sgd",
        loss={"churn": "binary_crossentropy", "price": "mse"},
        metrics={"churn": [keras.metrics.AUC(name="auc")], "price": ["mae"]},
    )
    logs = trained(
        model, pc.callbacks.JointScore({"val_churn_auc": 0.5, "val_price_loss": 0.5}), epochs=1
    )
    held = PRICE[HALF:].astype("float64")
    skills = (logs["val_churn_auc"][0] - 0.5) / 0.5, 1 - logs["val_price_loss"][0] / held.var()
    assert logs["val_joint"][0] == pytest.approx(sum(skills) / 2, abs=1e-5)
