"""Test the fork: the trunk receives the method's combination, and nothing else changes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from small import value_and_gradient

import polycera as pc

ROWS, FEATURES = 24, 6


def tasks() -> list[Any]:
    """One unit, several units, different weights, one with holes."""
    return [
        pc.Binary("sold"),
        pc.Regression("price", weight=3.0),
        pc.Multiclass("colour", classes=3),
        pc.Regression("cost", weight=0.01),
    ]


def table() -> tuple[np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    cost = x[:, 3] - x[:, 0]
    cost[::3] = np.nan
    return x, {
        "sold": x[:, 0] > 0,
        "price": 9 * x[:, 1],
        "colour": x[:, :3].argmax(1),
        "cost": cost,
    }


def network(balancing: Any, seed: int = 1, **options: Any) -> pc.Model:
    """A small network, always with the same first weights."""
    inputs = keras.Input((FEATURES,))
    first = keras.initializers.GlorotUniform(seed)
    hidden = keras.layers.Dense(5, activation="tanh", kernel_initializer=first, name="trunk")(
        inputs
    )
    heads = pc.layers.Heads(
        tasks(),
        balancing=balancing,
        kernel_initializer=keras.initializers.GlorotUniform(seed + 1),
        **options,
    )
    model = pc.Model(inputs, heads(hidden))
    model.compile(keras.optimizers.SGD(0.05))
    return model


def trained(balancing: Any, epochs: int = 3, **options: Any) -> tuple[pc.Model, list[float]]:
    x, y = table()
    model = network(balancing, **options)
    return model, model.fit(x, y, epochs=epochs, batch_size=8, shuffle=False, verbose=0).history[
        "loss"
    ]


def test_the_mean_is_no_balancing() -> None:
    plain, losses = trained(None)
    mean, balanced = trained("mean")
    np.testing.assert_allclose(balanced, losses, rtol=1e-5)
    for one, other in zip(
        plain.get_layer("trunk").get_weights(), mean.get_layer("trunk").get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_gramian_is_that_of_the_tasks_gradients() -> None:
    """Against gradients that the backend computes task by task, with respect to the features."""
    x, y = table()
    model = network("upgrad")
    model.fit(x, y, epochs=1, batch_size=ROWS, verbose=0)
    again = network("upgrad")  # the gradients of the very first step
    again.adapt(y)
    features = keras.Model(again.inputs, again.get_layer("trunk").output)(x)
    head = again.heads[0]
    from polycera.model.targets import encode, pack

    packed = ops.convert_to_tensor(pack(again.layout, encode(again.layout, y), again.units))
    objective, names = again.objective, list(again.tasks)

    def loss_of(name: str) -> Any:
        def loss(hidden: Any) -> Any:
            raw = ops.matmul(hidden, ops.convert_to_tensor(head.kernel)) + head.bias + head.prior
            means = objective.means(objective(packed, raw, None, again.scaling.constants()))
            return again.tasks[name].weight * objective.by_task(means)[names.index(name)]

        return loss

    gradients = [
        np.asarray(ops.convert_to_numpy(value_and_gradient(loss_of(name))(features)[1]))
        for name in names
    ]
    expected = np.array([[np.sum(a * b) for b in gradients] for a in gradients])
    found = model.heads[0].balanced()
    assert found is not None
    np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-7)


def test_a_task_without_labels_takes_no_part() -> None:
    x, y = table()
    model = network("upgrad")
    model.adapt(y)
    model.fit(x, y | {"cost": None}, epochs=1, batch_size=ROWS, verbose=0)
    gramian, weights = model.heads[0].balanced()  # type: ignore[misc]
    place = list(model.tasks).index("cost")
    assert weights[place] == 0
    assert (gramian[place] == 0).all()
    assert (np.delete(weights, place) > 0).all()


def test_a_preference_moves_the_weights() -> None:
    plain = trained("dualproj", epochs=1)[0].heads[0].balanced()
    bent = trained("dualproj", epochs=1, preference={"price": 5.0})[0].heads[0].balanced()
    assert plain is not None and bent is not None
    place = list(network(None).tasks).index("price")
    assert bent[1][place] / bent[1].sum() > plain[1][place] / plain[1].sum()


def test_half_precision_trains() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        losses = trained("upgrad")[1]
    finally:
        keras.config.set_dtype_policy(before)
    assert losses[-1] < losses[0]


@pytest.mark.nobackend
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"balancing": "upgrat"}, "upgrad"),
        ({"balancing": "pcgrad", "preference": {"price": 2.0}}, "supports preferences"),
        ({"balancing": "upgrad", "preference": {"prise": 2.0}}, "price"),
        ({"balancing": "upgrad", "preference": {"price": -1.0}}, "0 or more"),
        (
            {
                "balancing": "upgrad",
                "preference": {name: 0.0 for name in ("sold", "price", "colour", "cost")},
            },
            "above 0",
        ),
        ({"balancing": "upgrad", "every": 0}, "1 or more"),
        ({"balancing": "upgrad", "gradients": "parameter"}, "parameters"),
        ({"balancing": None, "every": 2}, "balancing="),
        ({"balancing": None, "preference": {"price": 2.0}}, "a weighting or balancing"),
    ],
)
def test_bad_input_is_one_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(pc.InputError, match=said):
        network(**options)


@pytest.mark.nobackend
def test_one_task_cannot_be_balanced() -> None:
    with pytest.raises(pc.InputError, match="two or more tasks"):
        pc.layers.Heads([pc.Binary("sold")], balancing="upgrad")


@pytest.mark.nobackend
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gradients": "parameters"}, "part of a balancing"),
        ({"gradients": "parameters", "weighting": "log"}, "part of a balancing"),
        ({"every": 2}, "part of a balancing"),
        ({"balancing": "upgrad", "every": 0}, "every=0"),
        ({"balancing": "upgrad", "gradients": "weights"}, "features"),
        ({"balancing": "log"}, "'log' is a weighting, not a balancing"),
        ({"weighting": "upgrad"}, "'upgrad' is a balancing, not a weighting"),
    ],
)
def test_what_would_be_ignored_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(pc.InputError, match=said):
        pc.layers.Heads(tasks(), **options)


@pytest.mark.nobackend
def test_skills_of_an_evaluation() -> None:
    model, _ = trained("mean", epochs=1)
    x, y = table()
    model.evaluate(x, y, verbose=0)
    assert list(model.skills) == list(model.tasks)
    assert model.skills["price"] == model.scores["price"]["rmse"].skill
