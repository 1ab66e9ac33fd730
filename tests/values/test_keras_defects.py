"""What stock Keras 3.15.1 does in silence with several outputs, and what happens here instead.

Each test is one line of the list in the design's first promise: by name, and loud.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from small import dense, from_numpy, straight

import polycera as pc

N = 24
X = np.random.default_rng(0).normal(size=(N, 3)).astype("float32")
PRICE = 10 + 3 * X[:, 0]
SOLD = (X[:, 1] > 0).astype(int)


def fitted(model: pc.Model, y: dict[str, Any], **options: Any) -> dict[str, float]:
    from_numpy(model)
    history = model.fit(X, y, batch_size=N, shuffle=False, verbose=0, **options).history
    return {name: values[-1] for name, values in history.items()}


def test_a_list_of_losses_trains_all_of_them() -> None:
    """Keras: `loss=['mse', 'mae']` on one output trains the first, and logs `price_loss: 0.0`."""
    ends = {}
    for losses in (["mse"], ["mae"], ["mse", "mae"]):
        model = dense([pc.Regression("price", loss=losses)])
        logs = fitted(model, {"price": PRICE})
        assert all(logs[f"price/{loss}"] > 0 for loss in losses)
        assert logs["loss"] == pytest.approx(
            sum(logs[f"price/{loss}"] for loss in losses), rel=1e-6
        )
        ends[len(losses), losses[0]] = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    start = dense([pc.Regression("price")])
    from_numpy(start)
    begin = [ops.convert_to_numpy(v) for v in start.trainable_variables]
    for s, a, b, both in zip(begin, ends[1, "mse"], ends[1, "mae"], ends[2, "mse"], strict=True):
        # one SGD step is linear
        np.testing.assert_allclose(both - s, (a - s) + (b - s), rtol=1e-3, atol=1e-6)


def test_weights_under_a_wrong_name_are_refused() -> None:
    """Keras: a loss_weights dict with wrong keys is accepted, and applied by sorted position."""
    y = {"price": PRICE, "sold": SOLD}
    model = dense([pc.Regression("price"), pc.Binary("sold")])
    for wrong in ({"prize": np.ones(N)}, {"output_1": np.ones(N)}):
        with pytest.raises(pc.InputError, match="known: 'price', 'sold'"):
            model.fit(X, y, sample_weight=wrong, verbose=0)
    with pytest.raises(pc.InputError, match="known: 'price', 'sold'"):
        model.fit(X, y, class_weight={"slod": "balanced"}, verbose=0)
    with pytest.raises(pc.InputError, match="known: 'price', 'sold'"):
        model.fit(X, y, callbacks=[pc.callbacks.JointScore({"prices": 1.0})], verbose=0)
    model.compile("sgd", loss_weights={"prize": 2.0})
    with pytest.raises(pc.InputError, match="loss_weights"):
        model.fit(X, y, verbose=0)


@pytest.mark.parametrize("adopted", [False, True], ids=["heads", "adopted"])
def test_heads_are_not_swapped_by_the_alphabet(adopted: bool) -> None:
    """Keras: a list of losses on dict outputs follows the sorted keys, not the outputs' order."""
    tasks = [
        pc.Regression("z", loss="mae", standardize=False),
        pc.Regression("a", loss="huber", standardize=False),
    ]
    if adopted:
        x = keras.Input((3,))
        model = pc.adopt(keras.Model(x, {t.name: keras.layers.Dense(1)(x) for t in tasks}), tasks)
        model.compile(keras.optimizers.SGD(0.2))
    else:
        model = dense(tasks, optimizer=keras.optimizers.SGD(0.2))
    y = {"a": 3.0 + X[:, 0], "z": -5.0 + X[:, 1]}
    first = fitted(model, y, epochs=50)
    assert {"z/mae", "a/huber"} < set(first)
    predicted = model.predict(X, verbose=0)
    assert predicted["a"].mean() == pytest.approx(3.0, abs=1)
    assert predicted["z"].mean() == pytest.approx(-5.0, abs=1)
    measured = model.evaluate(X, y, verbose=0)
    assert measured["z/mae"] == pytest.approx(np.abs(predicted["z"] - y["z"]).mean(), rel=1e-4)
    assert measured["a/rmse"] == pytest.approx(
        np.sqrt(np.mean((predicted["a"] - y["a"]) ** 2)), rel=1e-4
    )


def test_a_missing_label_of_weight_0_is_nothing() -> None:
    """Keras: a NaN label with sample weight 0 still makes the loss NaN, and then all weights."""
    price = PRICE.copy()
    price[:7] = np.nan
    weight = np.where(np.isnan(price), 0.0, 1.0)
    results = []
    for options in ({}, {"sample_weight": weight}, {"sample_weight": {"price": weight}}):
        model = dense([pc.Regression("price")], optimizer="adam")
        logs = fitted(model, {"price": price}, epochs=3, **options)
        assert np.isfinite(logs["loss"])
        assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in model.variables)
        results.append(logs["loss"])
    assert results[1:] == pytest.approx([results[0]] * 2, rel=1e-6)


def test_accuracy_of_200_labels_is_their_accuracy() -> None:
    """Keras: `accuracy` on 200 sigmoids becomes categorical accuracy: 0.0 where 0.50 is true."""
    names = [f"y{i}" for i in range(200)]
    model = straight([pc.Binary(n, metrics=["accuracy"]) for n in names])
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(100, 200)).astype("float32"), rng.integers(0, 2, (100, 200))
    logs = model.fit(x, {n: y[:, i] for i, n in enumerate(names)}, verbose=0).history
    truth = ((np.asarray(ops.convert_to_numpy(model(x))) > 0) == y).mean(axis=0)
    assert [logs[f"{n}/accuracy"][0] for n in names] == pytest.approx(truth, abs=1e-6)
    assert truth.mean() == pytest.approx(0.5, abs=0.03)


def test_a_target_too_wide_is_refused() -> None:
    """Keras: a target [n, 2] broadcasts against a head [n, 1]."""
    model = dense([pc.Regression("price"), pc.Binary("sold")])
    wide = {"price": np.stack([PRICE, PRICE], 1), "sold": SOLD}
    with pytest.raises(pc.InputError, match=r"'price'.*\[24, 2\]"):
        model.fit(X, wide, verbose=0)
    square = {"price": np.tile(PRICE[:, None], (1, N)), "sold": SOLD}
    with pytest.raises(pc.InputError, match=r"'price'.*\[24, 24\]"):
        model.evaluate(X, square, verbose=0)
    with pytest.raises(pc.InputError, match=r"weight.*\[24, 24\]"):
        model.fit(X, {"price": PRICE, "sold": SOLD}, sample_weight=np.ones((N, N)), verbose=0)


def test_a_column_beside_a_row_is_no_square() -> None:
    """A target [n, 1] is a target [n]; their difference is never [n, n]."""
    results = []
    for price in (PRICE, PRICE[:, None]):
        results.append(fitted(dense([pc.Regression("price")]), {"price": price})["loss"])
    assert results[0] == results[1]
    assert results[0] < 50


def test_class_weight_goes_by_task() -> None:
    """Keras refuses class_weight for several outputs."""
    tasks = [pc.Binary("sold"), pc.Binary("paid"), pc.Regression("price")]
    y = {"sold": SOLD, "paid": 1 - SOLD, "price": PRICE}
    plain = fitted(dense(tasks, optimizer=keras.optimizers.SGD(0.0)), y)
    heavy = fitted(
        dense(tasks, optimizer=keras.optimizers.SGD(0.0)),
        y,
        class_weight={"paid": {0: 2.0, 1: 2.0}},
    )
    assert heavy["paid/bce"] == pytest.approx(2 * plain["paid/bce"], rel=1e-5)
    assert {n: heavy[n] for n in ("sold/bce", "price/mse")} == pytest.approx(
        {n: plain[n] for n in ("sold/bce", "price/mse")}, rel=1e-6
    )
