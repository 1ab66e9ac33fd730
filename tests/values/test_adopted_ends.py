"""Test an adopted output's end, whether its head was trained, and logits behind activations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.layers import Dense

import polycera as pc
from polycera.layers.adopted_outputs import Outputs

N = 48
X = np.random.default_rng(0).normal(size=(N, 4)).astype("float32")
EURO = (300_000 + 80_000 * X[:, 0]).astype("float32")


def ending_in(end: Callable[[Any], Any], name: str = "price") -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, {name: end(Dense(6, activation="relu")(x))})


def own_sigmoid(x: Any) -> Any:
    return 500.0 * ops.sigmoid(x)


own_sigmoid.__name__ = "linear"

OWN_UNITS: dict[str, Callable[[Any], Any]] = {
    "Activation": lambda h: layers.Activation("sigmoid")(Dense(1)(h)),
    "operation": lambda h: ops.softplus(Dense(1)(h)),
    "Reshape": lambda h: layers.Reshape((1,))(Dense(1, activation="relu")(h)),
    "Flatten": lambda h: layers.Flatten()(layers.Reshape((1, 1))(Dense(1, activation="tanh")(h))),
    "Identity": lambda h: layers.Identity()(Dense(1, activation="sigmoid")(h)),
    "Dropout": lambda h: layers.Dropout(0.1)(Dense(1, activation="relu")(h)),
    "slice": lambda h: Dense(2, activation="sigmoid")(h)[:, :1],
    "slice that drops the axis": lambda h: Dense(2, activation="sigmoid")(h)[:, 0],
    "slice of a softmax": lambda h: Dense(3, activation="softmax")(h)[:, 1:2],
    "Rescaling": lambda h: layers.Rescaling(500.0)(Dense(1, activation="sigmoid")(h)),
    "Rescaling of a linear head": lambda h: layers.Rescaling(500.0, 20.0)(Dense(1)(h)),
    "times a number": lambda h: 500.0 * Dense(1, activation="sigmoid")(h) + 3.0,
    "Average": lambda h: layers.Average()([Dense(1, activation="sigmoid")(h) for _ in range(2)]),
    "Add": lambda h: layers.Add()([Dense(1, activation="relu")(h) for _ in range(2)]),
    "a cut of Concatenate": lambda h: layers.Concatenate()(
        [Dense(1, activation="relu")(h), Dense(1)(h)]
    )[:, :1],
    "cosine": lambda h: layers.Dot(axes=1, normalize=True)([h, Dense(6)(h)]),
    "dot of what is above 0": lambda h: layers.Dot(axes=1)([h, h]),
    "unit norm": lambda h: layers.UnitNormalization()(Dense(3)(h))[:, :1],
    "a model within": lambda h: keras.Sequential(
        [keras.Input((6,)), Dense(1, activation="sigmoid")]
    )(h),
    "pooling": lambda h: layers.GlobalAveragePooling1D()(layers.Reshape((6, 1))(h)),
    "wrapper": lambda h: layers.TimeDistributed(Dense(1, activation="tanh"))(
        layers.Reshape((6, 1))(h)
    )[:, 0],
    "recurrent": lambda h: layers.GRU(1)(layers.Reshape((6, 1))(h)),
    "a function that calls itself linear": lambda h: Dense(1, activation=own_sigmoid)(h),
    "absolute value": lambda h: ops.abs(Dense(1)(h)),
    "maximum": lambda h: ops.maximum(Dense(1)(h), 0.0),
    "Normalization undone": lambda h: layers.Normalization(mean=3.0, variance=4.0, invert=True)(
        Dense(1)(h)
    ),
}

STANDARDISED: dict[str, Callable[[Any], Any]] = {
    "linear": lambda h: Dense(1)(h),
    "linear, moved": lambda h: layers.Reshape((1,))(Dense(2)(h)[:, :1]),
    "linear without bias": lambda h: Dense(1, use_bias=False)(h),
    "random bias": lambda h: Dense(1, bias_initializer="random_normal")(h),
    "Dropout": lambda h: layers.Dropout(0.1)(Dense(1)(h)),
    "Add with a linear one": lambda h: layers.Add()([Dense(1, activation="relu")(h), Dense(1)(h)]),
    "dot of linear ones": lambda h: layers.Dot(axes=1)([Dense(3)(h), Dense(3)(h)]),
    "batch norm": lambda h: layers.BatchNormalization()(Dense(1)(h)),
    "Rescaling by 1": lambda h: layers.Rescaling(1.0)(Dense(1)(h)),
    "sum": lambda h: ops.sum(Dense(3)(h), axis=-1, keepdims=True),
}

HIDDEN: dict[str, Callable[[Any], Any]] = {
    "Lambda": lambda h: layers.Lambda(lambda t: t[:, :1], output_shape=(1,))(Dense(2)(h)),
    "Rescaling of a Lambda": lambda h: layers.Rescaling(2.0)(
        layers.Lambda(ops.sigmoid)(Dense(1)(h))
    ),
    "one of two": lambda h: layers.Average()([Dense(1)(h), layers.Lambda(ops.tanh)(Dense(1)(h))]),
    "a layer of one's own": lambda h: Bent(1)(h),
}


class Bent(Dense):
    def call(self, inputs: Any, training: Any = None) -> Any:
        return 500.0 * ops.sigmoid(super().call(inputs))


@pytest.mark.nobackend
@pytest.mark.parametrize("end", OWN_UNITS)
def test_an_end_that_is_not_linear_answers_in_the_users_units(end: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pc.adopt(ending_in(OWN_UNITS[end]), [pc.Regression("price")])
    assert not model.tasks["price"].standardize


@pytest.mark.nobackend
@pytest.mark.parametrize("end", STANDARDISED)
def test_a_new_linear_end_is_standardised_without_a_word(end: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = pc.adopt(ending_in(STANDARDISED[end]), [pc.Regression("price")])
    assert model.tasks["price"].standardize


@pytest.mark.nobackend
@pytest.mark.parametrize("task", [pc.Regression, pc.Binary], ids=["regression", "binary"])
@pytest.mark.parametrize("end", HIDDEN)
def test_an_end_that_is_hidden_is_asked_for(end: str, task: Any) -> None:
    model = ending_in(HIDDEN[end])
    with pytest.raises(
        pc.InputError, match="The final activation of output 'price' cannot be read behind the"
    ) as asked:
        pc.adopt(model, [task("price")])
    assert "activations={'price': 'linear'}" in str(asked.value)
    if task is pc.Regression:
        for standardize in (True, False):
            made = pc.adopt(model, [pc.Regression("price", standardize=standardize)])
            assert made.tasks["price"].standardize is standardize
        declared = pc.adopt(model, [pc.Regression("price")], activations={"price": "sigmoid"})
        assert not declared.tasks["price"].standardize


@pytest.mark.nobackend
def test_a_class_that_only_inherits_is_its_base() -> None:
    class Mine(Dense):
        pass

    assert (
        not pc.adopt(ending_in(Mine(1, activation="relu")), [pc.Regression("price")])
        .tasks["price"]
        .standardize
    )
    assert pc.adopt(ending_in(Mine(1)), [pc.Regression("price")]).tasks["price"].standardize


# -- trained heads ---------------------------------------------------------------------------------


def stock(**head: Any) -> keras.Model:
    return ending_in(Dense(1, name="price", **head))


def trained_by_fit(tmp_path: Path) -> keras.Model:
    model = stock()
    model.compile("adam", "mse")
    model.train_on_batch(X, {"price": EURO})
    return model


def read_from_a_file(tmp_path: Path) -> keras.Model:
    trained_by_fit(tmp_path).save(tmp_path / "m.keras")
    return keras.saving.load_model(tmp_path / "m.keras")


def head_of_a_trained_one(tmp_path: Path) -> keras.Model:
    model = trained_by_fit(tmp_path)
    return keras.Model(model.input, {"price": layers.Reshape((1,))(model.output["price"])})


def given_its_weights(tmp_path: Path) -> keras.Model:
    model = stock()
    model.set_weights([w + 1.0 for w in model.get_weights()])
    return model


def given_a_kernel(tmp_path: Path) -> keras.Model:
    model = stock(use_bias=False)
    model.set_weights([w * 80_000.0 for w in model.get_weights()])
    return model


def a_constant_bias(tmp_path: Path) -> keras.Model:
    return stock(bias_initializer=keras.initializers.Constant(300_000.0))


def within_a_model(tmp_path: Path) -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, {"price": trained_by_fit(tmp_path)(x)["price"]})


@pytest.mark.nobackend
@pytest.mark.parametrize(
    "made",
    [
        *(trained_by_fit, read_from_a_file, head_of_a_trained_one, given_its_weights),
        *(given_a_kernel, a_constant_bias, within_a_model),
    ],
    ids=lambda f: f.__name__,
)
def test_a_trained_linear_head_keeps_the_users_units(made: Any, tmp_path: Path) -> None:
    theirs = made(tmp_path)
    with pytest.warns(UserWarning, match="predict in the units of your labels") as said:
        model = pc.adopt(theirs, [pc.Regression("price")])
    (sentence,) = [str(w.message) for w in said if w.category is UserWarning]
    assert "'price'" in sentence
    assert not model.tasks["price"].standardize
    assert pc.adopt(theirs, [pc.Regression("price", standardize=True)]).tasks["price"].standardize


@pytest.mark.nobackend
def test_a_trained_head_whose_units_cannot_be_seen_is_asked_for() -> None:
    model = stock(use_bias=False)
    model.set_weights([w * 1.5 for w in model.get_weights()])
    with pytest.raises(
        pc.InputError,
        match=r"Whether output 'price' has been trained cannot be determined.*standardize=False",
    ):
        pc.adopt(model, [pc.Regression("price")])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for standardize in (True, False):
            assert pc.adopt(model, [pc.Regression("price")], standardize=standardize).tasks[
                "price"
            ].standardize is (standardize)


@pytest.mark.nobackend
def test_a_new_head_on_a_trained_trunk_is_new() -> None:
    """Transfer learning: the model is trained, the head is not."""
    base = stock()
    base.compile("adam", "mse")
    base.train_on_batch(X, {"price": EURO})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = pc.adopt(
            keras.Model(base.input, {"size": Dense(1)(base.layers[1].output)}),
            [pc.Regression("size")],
        )
    assert model.tasks["size"].standardize


@pytest.mark.nobackend
def test_a_model_adopted_twice_is_not_taken_for_trained_in_euro() -> None:
    theirs = stock()
    first = pc.adopt(theirs, [pc.Regression("price")])
    first.compile("adam")
    first.adapt({"price": EURO})
    first.train_on_batch(X, {"price": EURO})
    assert pc.adopt(theirs, [pc.Regression("price")]).tasks["price"].standardize


@pytest.mark.nobackend
def test_standardize_is_refused_where_the_head_cannot() -> None:
    with pytest.raises(pc.InputError, match="standardize=True, but its output ends in 'sigmoid'"):
        pc.adopt(stock(activation="sigmoid"), [pc.Regression("price", standardize=True)])


@pytest.mark.nobackend
def test_one_output_with_two_standardisations_is_noticed() -> None:
    x = keras.Input((4,))
    end = Dense(1)(x)
    model = keras.Model(x, {"close": end, "high": end})
    with pytest.warns(UserWarning, match="'close', 'high' share one output"):
        pc.adopt(model, [pc.Regression("close"), pc.Regression("high")])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pc.adopt(
            model,
            [pc.Regression("close", standardize=False), pc.Regression("high", standardize=False)],
        )


# -- logits ----------------------------------------------------------------------------------------


def saturated(head: Any) -> keras.Model:
    """A head whose probabilities are 0 or 1 to the last digit."""
    x = keras.Input((4,))
    model = keras.Model(
        x, {"sold": head(Dense(1, bias_initializer=keras.initializers.Constant(-40.0))(x))}
    )
    return model


@pytest.mark.parametrize(
    "end",
    [
        lambda: saturated(layers.Activation("sigmoid")),
        lambda: saturated(lambda z: layers.Reshape((1,))(ops.sigmoid(z))),
        lambda: ending_in(
            Dense(1, activation="sigmoid", bias_initializer=keras.initializers.Constant(-40.0)),
            name="sold",
        ),
    ],
    ids=["Activation", "operation", "Dense"],
)
@pytest.mark.filterwarnings("ignore:Task 'sold'")
def test_a_saturated_head_learns(end: Any) -> None:
    """Its probabilities pass no gradient, its logits do; its weights are the user's own ones."""
    theirs = end()
    model = pc.adopt(theirs, [pc.Binary("sold")])
    model.compile(keras.optimizers.SGD(1.0))
    before = theirs.get_weights()[-1].copy()
    model.fit(X, {"sold": np.ones(N)}, epochs=1, batch_size=N, verbose=0)
    assert theirs.get_weights()[-1] - before == pytest.approx(1.0, abs=1e-4)
    assert model.predict(X[:2], verbose=0)["sold"] == pytest.approx(
        theirs.predict(X[:2], verbose=0)["sold"][:, 0]
    )


def many() -> keras.Model:
    x = keras.Input((4,))
    h = Dense(6, activation="tanh")(x)
    five = Dense(4, activation="sigmoid")(h)
    kind = layers.Reshape((3,))(Dense(3, activation="softmax", name="kinds")(h))
    visits = Dense(1, activation="exponential")(h)
    tags = layers.Concatenate()(
        [Dense(1, activation="sigmoid")(h), Dense(1, activation="sigmoid")(h)]
    )
    return keras.Model(
        x, {"a": five[:, :1], "b": five[:, 2], "kind": kind, "visits": visits, "tags": tags}
    )


MANY = [
    pc.Binary("a"),
    pc.Binary("b"),
    pc.Multiclass("kind"),
    pc.Count("visits"),
    pc.Multilabel("tags"),
]


def test_logits_are_found_behind_cuts_and_train_as_the_probabilities_do(tmp_path: Path) -> None:
    """Found, shared, saved, loaded; equal to stock Keras on the same losses if not saturated."""
    theirs, beside = many(), many()
    beside.set_weights(theirs.get_weights())
    model = pc.adopt(theirs, MANY)
    outputs = model.heads[0]
    assert isinstance(outputs, Outputs)
    assert set(outputs.activations.values()) == {None}, "nothing is left to be undone"
    model.compile(keras.optimizers.SGD(0.1))
    rng = np.random.default_rng(1)
    yes = (X[:, :4] > 0).astype("float32")
    y: dict[str, Any] = {
        "a": yes[:, 0],
        "b": yes[:, 1],
        "kind": rng.integers(0, 3, N),
        "tags": yes[:, 2:],
    }
    y["visits"] = rng.poisson(2.0, N)
    model.fit(X, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    beside.compile(
        keras.optimizers.SGD(0.1),
        loss={n: "binary_crossentropy" for n in ("a", "b", "tags")}
        | {"kind": "sparse_categorical_crossentropy", "visits": "poisson"},
    )
    given = {n: np.asarray(v, "float32").reshape(N, -1) for n, v in y.items()} | {"b": yes[:, 1]}
    beside.fit(X, given, epochs=2, batch_size=16, shuffle=False, verbose=0)
    for own, stock_weight in zip(theirs.get_weights(), beside.get_weights(), strict=True):
        np.testing.assert_allclose(own, stock_weight, atol=2e-5)
    direct, answers = theirs.predict(X, verbose=0), model.predict(X, verbose=0)
    for name, values in answers.items():
        np.testing.assert_allclose(values.ravel(), np.ravel(direct[name]), rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    for name, values in again.predict(X, verbose=0).items():
        np.testing.assert_array_equal(values, answers[name])
    assert again.count_params() == model.count_params()


@pytest.mark.nobackend
def test_a_probability_that_is_used_elsewhere_stays_one_layer(tmp_path: Path) -> None:
    """Otherwise a file would hold the head twice, and the two would part."""
    x = keras.Input((4,))
    sold = Dense(1, activation="sigmoid", name="sold")(x)
    theirs = keras.Model(x, {"sold": sold, "price": Dense(1)(layers.Concatenate()([x, sold]))})
    model = pc.adopt(theirs, [pc.Binary("sold"), pc.Regression("price")])
    assert model.heads[0].activations == {"sold": "sigmoid", "price": None}
    assert model.get_layer("sold") is theirs.get_layer("sold")
    model.save(tmp_path / "m.keras")
    assert keras.saving.load_model(tmp_path / "m.keras").count_params() == model.count_params()


@pytest.mark.nobackend
def test_a_head_called_twice_is_one_layer_without_its_activation_too(tmp_path: Path) -> None:
    x, z = keras.Input((4,)), keras.Input((4,))
    head = Dense(1, activation="sigmoid", name="head")
    theirs = keras.Model([x, z], {"left": head(x), "right": head(z)})
    model = pc.adopt(theirs, [pc.Binary("left"), pc.Binary("right")])
    assert model.heads[0].activations == {"left": None, "right": None}
    assert model.get_layer("head").kernel is head.kernel
    head.trainable = False
    assert not model.trainable_variables
    model.save(tmp_path / "m.keras")
    assert keras.saving.load_model(tmp_path / "m.keras").count_params() == model.count_params()


@pytest.mark.nobackend
def test_a_head_with_a_regularised_answer_keeps_its_activation() -> None:
    x = keras.Input((4,))
    theirs = keras.Model(x, {"sold": Dense(1, activation="sigmoid", activity_regularizer="l2")(x)})
    assert pc.adopt(theirs, [pc.Binary("sold")]).heads[0].activations == {"sold": "sigmoid"}


@pytest.mark.nobackend
@pytest.mark.parametrize(
    "end, answer",
    {
        "share of two": (lambda h: Dense(2, activation="softmax")(h)[:, 1:], lambda p: p[:, 0]),
        "the other one": (lambda h: 1.0 - Dense(1, activation="sigmoid")(h), lambda p: p[:, 0]),
        "hard": (lambda h: Dense(1, activation="hard_sigmoid")(h), lambda p: p[:, 0]),
    }.values(),
    ids=["share of two", "the other one", "hard"],
)
def test_any_number_from_0_to_1_is_a_probability(end: Any, answer: Any) -> None:
    theirs = ending_in(end, name="sold")
    model = pc.adopt(theirs, [pc.Binary("sold")])
    got = model.predict(X[:5], verbose=0)["sold"]
    np.testing.assert_allclose(
        got, answer(theirs.predict(X[:5], verbose=0)["sold"]), rtol=1e-4, atol=1e-6
    )


@pytest.mark.nobackend
@pytest.mark.parametrize(
    ("activation", "labels", "said"),
    [
        (
            "sigmoid",
            np.linspace(100, 200, N),
            "100% of the labels lie outside the range of its output",
        ),
        ("relu", np.linspace(-1, 1, N), "the output from 0 to inf"),
        ("sigmoid", np.linspace(0, 1, N), ""),
        ("linear", np.linspace(100, 200, N), ""),
    ],
)
def test_labels_that_an_output_never_reaches_are_said(
    activation: str, labels: np.ndarray, said: str
) -> None:
    x = keras.Input((X.shape[1],))
    mine = keras.Model(x, {"price": keras.layers.Dense(1, activation=activation)(x)})
    model = pc.adopt(mine, [pc.Regression("price")])
    model.compile("sgd")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.fit(X, {"price": labels}, epochs=1, verbose=0)
    messages = " ".join(str(one.message) for one in seen)
    assert said in messages
    assert said or "outside the range" not in messages
