"""Test habits from stock Keras on a model of tasks: log names, callbacks, metrics, lists."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import polycera as pc

ROWS = 48
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 3)).astype("float32")
SOLD = (X[:, 0] + RNG.normal(size=ROWS) > 0.3).astype("float32")
PRICE = (40 + 10 * X[:, 1] + 5 * RNG.normal(size=ROWS)).astype("float32")
Y = {"price": PRICE, "sold": SOLD}


def stock(outputs: str = "dict") -> keras.Model:
    """Two heads on one small layer; every start alike."""
    x = keras.Input((3,))
    start = [keras.initializers.GlorotUniform(seed=seed) for seed in range(3)]
    h = keras.layers.Dense(4, activation="tanh", kernel_initializer=start[0])(x)
    price = keras.layers.Dense(1, activation="softplus", name="price", kernel_initializer=start[1])(
        h
    )
    sold = keras.layers.Dense(1, activation="sigmoid", name="sold", kernel_initializer=start[2])(h)
    return keras.Model(x, {"price": price, "sold": sold} if outputs == "dict" else [price, sold])


def adopted(outputs: str = "dict", price: Any = None, **options: Any) -> pc.Model:
    tasks = [
        price or pc.Regression("price", metrics=["mae"]),
        pc.Binary("sold", metrics=["accuracy"]),
    ]
    model = pc.adopt(stock(outputs), tasks, **options)
    model.compile(keras.optimizers.SGD(0.01))
    return model


def heads(*tasks: Any, **options: Any) -> pc.Model:
    x = keras.Input((3,))
    model = pc.Model(
        x, pc.layers.Heads(list(tasks) or [pc.Regression("price"), pc.Binary("sold")])(x), **options
    )
    model.compile(keras.optimizers.SGD(0.01))
    return model


def fit(
    model: keras.Model, *callbacks: Any, y: Any = None, epochs: int = 1, **options: Any
) -> dict[str, list[float]]:
    y = Y if y is None else y
    held = options.pop("validation_data", (X, y))
    given = dict(
        epochs=epochs, batch_size=24, shuffle=False, verbose=0, callbacks=list(callbacks) or None
    )
    return model.fit(X, y, validation_data=held, **given, **options).history


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(pc.InputError) as caught:
        call()
    return str(caught.value)


def test_the_names_of_stock_keras_hold_its_numbers(tmp_path: Path) -> None:
    """Training and validation, with a metric object, and callbacks that watch these names."""
    theirs = stock()
    auc = keras.metrics.AUC(name="roc")
    theirs.compile(
        keras.optimizers.SGD(0.01),
        loss={"price": "mse", "sold": "binary_crossentropy"},
        metrics={"price": ["mae"], "sold": ["accuracy", keras.metrics.AUC(name="roc")]},
    )
    tasks = [pc.Regression("price", metrics=["mae"]), pc.Binary("sold", metrics=["accuracy", auc])]
    ours = pc.adopt(stock(), tasks)
    ours.compile(keras.optimizers.SGD(0.01))
    watch = [
        keras.callbacks.EarlyStopping(monitor="val_price_mae"),
        keras.callbacks.ReduceLROnPlateau(monitor="val_sold_roc"),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "{val_price_mae:.3f}.keras")),
    ]
    stock_history, history = fit(theirs, epochs=2), fit(ours, *watch, epochs=2)
    assert set(stock_history) < set(history)
    for name, values in stock_history.items():
        np.testing.assert_allclose(history[name], values, rtol=2e-6, atol=1e-6, err_msg=name)
    assert [callback.mode for callback in watch[:2]] == ["min", "max"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{v:.3f}.keras" for v in history["val_price_mae"]
    )
    measured = theirs.evaluate(X, Y, batch_size=24, verbose=0, return_dict=True)
    mine = ours.evaluate(X, Y, batch_size=24, verbose=0)
    for name, value in measured.items():
        assert mine[name] == pytest.approx(value, rel=1e-5), name
    assert ours.scores["sold"]["roc"].trivial == pytest.approx(0.5)
    assert ours.metrics_names == list(mine)
    assert ours.evaluate(X, Y, verbose=0, return_dict=False) == pytest.approx(list(mine.values()))


@pytest.mark.nobackend
def test_an_adopted_compile_logs_every_name_that_stock_keras_logs() -> None:
    """Also as written in `compile`, and with the AUC of Keras, not that of our histogram."""

    def compiled() -> keras.Model:
        model = stock("list")
        metrics = [["mean_absolute_error", "mse"], ["acc", "AUC"]]
        model.compile(
            keras.optimizers.SGD(0.01), loss=["mae", "binary_crossentropy"], metrics=metrics
        )
        return model

    theirs, ours = compiled(), pc.adopt(compiled())
    y = [PRICE, SOLD]
    stock_history = fit(theirs, y=y)
    history = fit(ours, keras.callbacks.EarlyStopping("val_sold_AUC"), y=y)
    assert (
        {"price_mean_absolute_error", "sold_acc", "sold_AUC", "price_loss"}
        <= set(stock_history)
        < set(history)
    )
    for name, values in stock_history.items():
        np.testing.assert_allclose(history[name], values, rtol=2e-6, atol=1e-6, err_msg=name)


@pytest.mark.nobackend
def test_the_names_of_stock_keras_can_be_left_out_and_asked_for() -> None:
    assert not [name for name in fit(adopted(keras_names=False)) if "price_" in name]
    assert not [name for name in fit(heads()) if "price_" in name]
    history = fit(heads(pc.Regression("price", metrics=["mae"]), keras_names=True), y=PRICE)
    assert history["val_mae"] == history["val_price/mae"] and "price_mae" not in history
    model = heads(keras_names=True)
    history = fit(model)
    by_hand = np.square(model.predict(X, verbose=0)["price"] - PRICE).mean()
    assert history["val_price_loss"][0] == pytest.approx(by_hand, rel=1e-5)  # in the user's units
    assert history["val_price/mse"][0] == pytest.approx(by_hand / np.var(PRICE), rel=1e-4)
    assert "price_loss" not in fit(
        heads(pc.Regression("price", loss="log_cosh"), pc.Binary("sold"), keras_names=True)
    )


@keras.saving.register_keras_serializable(package="habits")
class Off(keras.metrics.Metric):
    """The mean absolute error of a user's own making."""

    def __init__(self, name: str = "off", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.rows = self.add_weight(name="rows", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        error = ops.abs(y_true - y_pred)[..., 0]
        weight = ops.ones_like(error) if sample_weight is None else sample_weight
        self.total.assign_add(ops.sum(error * weight))
        self.rows.assign_add(ops.sum(weight))

    def result(self) -> Any:
        return self.total / self.rows


def test_metric_objects_see_the_users_units_and_no_missing_label(tmp_path: Path) -> None:
    holes, classes = PRICE.copy(), np.array(["a", "b", "c"])[np.arange(ROWS) % 3]
    holes[::4] = np.nan
    y = {"price": holes, "kind": classes}
    objects = [
        keras.metrics.SparseCategoricalAccuracy(name="sparse"),
        keras.metrics.CategoricalAccuracy(name="hot"),
    ]
    model = heads(
        pc.Regression("price", metrics=["mae", keras.metrics.MeanAbsoluteError(), Off()]),
        pc.Multiclass("kind", classes=["a", "b", "c"], metrics=["accuracy", *objects]),
    )
    history = fit(model, pc.callbacks.JointScore({"price/mean_absolute_error": 1.0}), y=y)
    for lead in ("", "val_"):
        own = history[f"{lead}price/mae"]
        for name in ("mean_absolute_error", "off"):
            assert history[f"{lead}price/{name}"] == pytest.approx(own, rel=1e-5)
        for name in ("sparse", "hot"):
            assert history[f"{lead}kind/{name}"] == pytest.approx(
                history[f"{lead}kind/accuracy"], rel=1e-5
            )
    by_hand = np.nanmean(np.abs(model.predict(X, verbose=0)["price"] - holes))
    assert model.evaluate(X, y, verbose=0)["price/off"] == pytest.approx(by_hand, rel=1e-5)
    scores = model.scores["price"]
    assert scores["mean_absolute_error"].trivial == pytest.approx(scores["mae"].trivial, rel=1e-5)
    assert history["val_joint"][0] == pytest.approx(scores["mae"].skill, rel=1e-3)
    assert "off" not in scores and model.tasks["price"].headline == "mae"
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.evaluate(X, y, verbose=0) == pytest.approx(model.evaluate(X, y, verbose=0))
    fit(again, y=y)


@pytest.mark.nobackend
def test_metric_objects_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    class Blind(Off):
        def update_state(self, y_true: Any, y_pred: Any) -> None:
            """One that cannot leave out rows."""

    assert "a third argument, sample_weight=None" in refused(
        lambda: pc.Regression("price", metrics=[Blind()])
    )
    two = [keras.metrics.MeanAbsoluteError(name="mae"), "mae"]
    assert "two metrics that are called 'mae'" in refused(
        lambda: pc.Regression("price", metrics=two)
    )
    model = heads(pc.Regression("price", metrics=[type("Mine", (Off,), {})()]))
    assert "register_keras_serializable() above the class Mine" in refused(
        lambda: model.save(tmp_path / "m.keras")
    )
    vector = heads(pc.Multiclass("price", classes=2, metrics=[keras.metrics.F1Score()]))
    assert "gives no single number" in refused(lambda: fit(vector, y=SOLD))
    watch = pc.callbacks.JointScore({"price/off": 1.0})
    assert "not known" in refused(
        lambda: fit(heads(pc.Regression("price", metrics=[Off()])), watch, y=PRICE)
    )
    strange = {"module": "os", "class_name": "system", "config": {}, "registered_name": None}
    assert "Unknown a metric of task 'price'" in refused(
        lambda: pc.Regression("price", metrics=[strange])
    )


@pytest.mark.nobackend
@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("val_price/rmse", "min"),
        ("val_sold/auc", "max"),
        ("val_joint", "max"),
        ("val_sold_skill", "max"),
        ("loss", "min"),
    ],
)
def test_stock_callbacks_find_the_direction(monitor: str, mode: str) -> None:
    watch = [keras.callbacks.EarlyStopping(monitor), keras.callbacks.ReduceLROnPlateau(monitor)]
    fit(heads(), pc.callbacks.JointScore(), *watch)
    assert [callback.mode for callback in watch] == [mode, mode]


@pytest.mark.nobackend
def test_a_name_to_monitor_that_is_not_logged_is_refused_before_training() -> None:
    message = refused(lambda: fit(heads(), keras.callbacks.EarlyStopping("val_prize/rmse")))
    assert "'val_prize/rmse'; did you mean 'val_price/rmse'" in message
    model = heads(pc.Quantile("price", metrics=["pinball", "coverage"]))
    message = refused(
        lambda: fit(model, keras.callbacks.EarlyStopping("val_price/coverage"), y=PRICE)
    )
    assert "best at a certain value" in message
    fit(
        heads(),
        keras.callbacks.ModelCheckpoint(
            "never{epoch}.keras", "val_mine", save_best_only=True, mode="max", save_freq=10_000
        ),
    )


@pytest.mark.nobackend
def test_lists_are_taken_where_the_outputs_are_a_list() -> None:
    weights = [np.ones(ROWS), np.ones(ROWS)]
    model = adopted("list")
    held = (X, [PRICE, SOLD])
    history = fit(
        model,
        pc.callbacks.JointScore([0.7, 0.3]),
        y=[PRICE, SOLD],
        sample_weight=weights,
        validation_data=held,
    )
    assert history == fit(adopted(), pc.callbacks.JointScore({"price": 0.7, "sold": 0.3}))
    assert model.evaluate(X, [PRICE, SOLD], verbose=0) == model.evaluate(X, Y, verbose=0)
    assert model.train_on_batch(X, [PRICE, SOLD]) > 0
    assert "list of 1 for the tasks" in refused(lambda: model.fit(X, [PRICE], verbose=0))
    for named in (adopted(), heads()):
        assert "write {'price': y[0], 'sold': y[1]}" in refused(
            lambda named=named: named.fit(X, [PRICE, SOLD], verbose=0)
        )
        message = refused(lambda named=named: named.fit(X, Y, sample_weight=weights, verbose=0))
        assert "write {'price': sample_weight[0], 'sold': sample_weight[1]}" in message
        message = refused(lambda named=named: named.fit(X, Y, validation_data=held, verbose=0))
        assert "validation_data must be given by name" in message


@pytest.mark.nobackend
def test_the_order_of_a_list_and_the_names_survive_saving(tmp_path: Path) -> None:
    model = adopted("list")
    fit(model)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.evaluate(X, [PRICE, SOLD], verbose=0) == pytest.approx(
        model.evaluate(X, Y, verbose=0)
    )


@pytest.mark.nobackend
def test_one_batch_at_a_time() -> None:
    model = heads()
    fit(model)
    loss = model.test_on_batch(X, Y)
    named = model.test_on_batch(X, Y, return_dict=True)
    evaluated = model.evaluate(X, Y, verbose=0)
    assert isinstance(loss, float) and loss == pytest.approx(named["loss"])
    assert named["price/rmse"] == pytest.approx(evaluated["price/rmse"], rel=1e-5)
    assert {"loss", "price/mse", "sold/auc"} <= set(model.train_on_batch(X, Y, return_dict=True))
    for name, values in model.predict(X, verbose=0).items():
        np.testing.assert_allclose(model.predict_on_batch(X)[name], values, rtol=1e-6)
    assert tuple(model(X).shape) == (ROWS, 2)


@pytest.mark.nobackend
@pytest.mark.parametrize("name", ["m.h5", "m", "m.weights.h5", "runs/v0.9"])
def test_other_formats_are_refused_with_the_name_to_write(name: str, tmp_path: Path) -> None:
    message = refused(lambda: heads().save(tmp_path / name))
    stem = name.removesuffix(".h5").removesuffix(".weights")
    assert f"{stem}.keras" in message and ".weights.h5" in message
    assert not list(tmp_path.iterdir())
    if not name.endswith(".weights.h5"):
        assert f"{stem}.weights.h5" in refused(lambda: heads().save_weights(tmp_path / name))
        if name != "m":
            return
        watch = keras.callbacks.ModelCheckpoint(str(tmp_path / "m.h5"))
        assert "m.keras" in refused(lambda: fit(heads(), watch))


@pytest.mark.nobackend
def test_stock_tools_go_on_working(tmp_path: Path) -> None:
    model, seen = heads(), []
    fit(
        model,
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs))),
        keras.callbacks.BackupAndRestore(str(tmp_path / "backup")),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "{val_price/rmse:.3f}.keras")),
        epochs=2,
    )
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_price/rmse"]) for row in rows] == pytest.approx(
        [logs["val_price/rmse"] for logs in seen]
    )
    assert len(list(tmp_path.glob("*.keras"))) == 2  # a / in a placeholder makes no folder
    model.summary(print_fn=lambda *text, **more: None)


@pytest.mark.nobackend
def test_mlflow_logs_every_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's autolog adds its callback to a list, and fails on None."""
    how = "is not installed: pip install mlflow-skinny sqlalchemy alembic"
    mlflow = pytest.importorskip("mlflow", reason=f"mlflow-skinny {how}")
    pytest.importorskip("alembic", reason=f"alembic {how}")
    monkeypatch.chdir(tmp_path)  # where it makes a folder for artefacts
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'runs.db'}")
    mlflow.keras.autolog(log_models=False)
    try:
        with mlflow.start_run() as run:
            heads().fit(X, Y, verbose=0)
        assert {"loss", "price/mse", "price/rmse", "sold/auc"} <= set(
            mlflow.get_run(run.info.run_id).data.metrics
        )
    finally:
        mlflow.keras.autolog(disable=True)
