"""Models that pc.adopt cannot take as they are: one sentence that says what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.layers import Dense

import polycera as pc

pytestmark = pytest.mark.nobackend

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")


def model(units: int = 1, activation: Any = None, name: str = "y", **others: Any) -> keras.Model:
    x = keras.Input((3,))
    outputs = {name: Dense(units, activation=activation)(x)}
    return keras.Model(x, outputs | {other: Dense(1)(x) for other in others})


def unnamed() -> keras.Model:
    x = keras.Input((3,))
    return keras.Model(x, [Dense(1, name="first")(x), Dense(1, name="second")(x)])


def one_layer_twice() -> keras.Model:
    x, z = keras.Input((3,)), keras.Input((3,))
    head = Dense(1, name="head")
    return keras.Model([x, z], [head(x), head(z)])


def nested_outputs() -> keras.Model:
    x = keras.Input((3,))
    return keras.Model(x, {"y": {"a": Dense(1)(x), "b": Dense(1)(x)}})


class Mine(keras.Model):
    def __init__(self, end: Any = None) -> None:
        super().__init__()
        self.hidden, self.price, self.sold = Dense(4), Dense(1), Dense(1, activation="sigmoid")

    def call(self, x: Any) -> Any:
        h = self.hidden(x)
        return {"price": self.price(h), "sold": self.sold(h)}


def called(subclassed: keras.Model) -> keras.Model:
    subclassed(X)
    return subclassed


SENTENCES: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "four numbers as one": (
        lambda: pc.adopt(model(4, price=1), [pc.Regression("y")]),
        [
            "'y' has 4 columns",
            "needs 1",
            "model.output['y'][:, i:i + 1] for i in range(4)",
            "'price'",
            "pc.Regression('y_0')",
        ],
    ),
    "200 percentages as one number": (
        lambda: pc.adopt(model(200, "sigmoid"), [pc.Regression("y")]),
        ["200 columns", "pc.Multilabel('y', soft=True)"],
    ),
    "labels as one": (
        lambda: pc.adopt(model(5, "sigmoid"), [pc.Binary("y")]),
        ["5 columns", "pc.Multilabel('y')"],
    ),
    "classes as one": (
        lambda: pc.adopt(model(5, "softmax"), [pc.Binary("y")]),
        ["5 columns", "pc.Multiclass('y')"],
    ),
    "classes of one": (
        lambda: pc.adopt(model(1, "sigmoid"), [pc.Multiclass("y")]),
        ["1 column", "pc.Binary('y')"],
    ),
    "labels for classes": (
        lambda: pc.adopt(model(3, "sigmoid"), [pc.Multiclass("y")]),
        ["'sigmoid'", "linear or softmax", "pc.Multilabel('y')"],
    ),
    "number for yes or no": (
        lambda: pc.adopt(model(1, "relu"), [pc.Binary("y")]),
        ["'relu'", "linear or sigmoid", "pc.Regression('y')"],
    ),
    "percent for yes or no": (
        lambda: pc.adopt(
            keras.Sequential(
                [
                    keras.Input((3,)),
                    Dense(1, activation="sigmoid"),
                    layers.Rescaling(100.0, name="y"),
                ]
            ),
            [pc.Binary("y")],
        ),
        ["between 0 and 100"],
    ),
    "outputs that have no names": (
        lambda: pc.adopt(unnamed(), [pc.Regression("price"), pc.Regression("size")]),
        ["'price'", "'first', 'second'", "dict(zip(['price', 'size'], model.outputs))"],
    ),
    "one layer twice": (
        lambda: pc.adopt(one_layer_twice(), [pc.Regression("head")]),
        ["'head'", "dict(zip(", "model.outputs"],
    ),
    "several tensors": (
        lambda: pc.adopt(nested_outputs(), [pc.Regression("y")]),
        ["'y'", "dict", "one tensor"],
    ),
    "an activation that nobody knows": (
        lambda: pc.adopt(model(), [pc.Regression("y")], activations={"y": "sigmod"}),
        ["'sigmod'", "did you mean 'sigmoid'"],
    ),
    "an activation that is another": (
        lambda: pc.adopt(model(1, "sigmoid"), [pc.Binary("y")], activations={"y": "linear"}),
        ["'y' ends in 'sigmoid'", "'linear'"],
    ),
    "a subclass that was not called": (
        lambda: pc.adopt(Mine(), [pc.Regression("price")]),
        ["subclassed", "x = keras.Input(shape)", "keras.Model(x, model(x))"],
    ),
    "a subclass": (
        lambda: pc.adopt(called(Mine()), [pc.Regression("price"), pc.Binary("sold")]),
        ["'price'", "the subclassed model", "activations={'price': 'linear'}"],
    ),
    "not built": (
        lambda: pc.adopt(keras.Sequential([Dense(1)]), [pc.Regression("y")]),
        ["keras.Input", "call it once"],
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_the_sentence_says_what_to_write(case: str) -> None:
    call, words = SENTENCES[case]
    with pytest.raises(pc.InputError) as error:
        call()
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_what_the_sentences_advise_works() -> None:
    """One output's columns as tasks; a called or wrapped subclass; an output without an axis."""
    theirs = model(4, price=1)
    outputs = {
        "price": theirs.output["price"],
        **{f"y_{i}": theirs.output["y"][:, i : i + 1] for i in range(4)},
    }
    cut = pc.adopt(keras.Model(theirs.input, outputs), [pc.Regression(n) for n in outputs])
    assert list(cut.layout.tasks) == list(outputs)
    listed = unnamed()
    named = keras.Model(listed.input, dict(zip(["price", "size"], listed.outputs, strict=True)))
    assert list(pc.adopt(named, [pc.Regression("price")]).layout.tasks) == ["price"]
    ends = {"price": "linear", "sold": "sigmoid"}
    tasks = [pc.Regression("price"), pc.Binary("sold")]
    x = keras.Input((3,))
    for subclassed in (called(Mine()), keras.Model(x, Mine()(x))):
        adopted = pc.adopt(subclassed, tasks, activations=ends)
        assert adopted.tasks["price"].standardize
        assert set(adopted.predict(X, verbose=0)) == {"price", "sold"}


def test_an_output_without_an_axis_gets_one() -> None:
    x = keras.Input((3,))
    theirs = keras.Model(x, {"y": Dense(2, activation="sigmoid")(x)[..., 0]})
    adopted = pc.adopt(theirs, [pc.Binary("y")])
    np.testing.assert_allclose(
        adopted.predict(X, verbose=0)["y"], theirs.predict(X, verbose=0)["y"], rtol=1e-5
    )
    hidden = keras.Model(
        x, {"y": layers.Lambda(lambda t: ops.sigmoid(t)[..., 0], output_shape=())(Dense(2)(x))}
    )
    assert pc.adopt(hidden, [pc.Binary("y")], activations={"y": "sigmoid"}).layout.units == 1


def behind_a_lambda(activation: str, units: int = 1) -> keras.Model:
    x = keras.Input((3,))
    return keras.Model(x, {"y": layers.Lambda(lambda t: t)(Dense(units, activation=activation)(x))})


WRONG: dict[str, tuple[keras.Model, pc.Task, str, list[str]]] = {
    "a sigmoid of a sigmoid": (
        behind_a_lambda("sigmoid"),
        pc.Binary("y"),
        "linear",
        ["'y'", "'sigmoid'", "0 and 1"],
    ),
    "a sigmoid that leaves 0 to 1": (
        behind_a_lambda("linear"),
        pc.Binary("y"),
        "sigmoid",
        ["'y'", "perhaps 'linear'"],
    ),
    "a softmax that is none": (
        behind_a_lambda("sigmoid", 3),
        pc.Multiclass("y"),
        "softmax",
        ["do not add up to 1"],
    ),
    "a softmax of a softmax": (
        behind_a_lambda("softmax", 3),
        pc.Multiclass("y"),
        "linear",
        ["add up to 1", "softmax"],
    ),
    "a number below 0": (
        behind_a_lambda("tanh"),
        pc.Regression("y"),
        "relu",
        ["'relu'", "lie between -"],
    ),
    "a number from 0 to 1": (
        behind_a_lambda("sigmoid"),
        pc.Regression("y"),
        "linear",
        ["'sigmoid'"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_declared_activation_that_cannot_be_right_is_noticed_before_the_first_step(
    case: str,
) -> None:
    theirs, task, declared, words = WRONG[case]
    adopted = pc.adopt(theirs, [task], activations={"y": declared})
    adopted.compile("sgd")
    before = theirs.get_weights()
    y = {"y": np.arange(len(X)) % (3 if task.kind == "multiclass" else 2)}
    for train in (adopted.fit, adopted.train_on_batch):
        with pytest.raises(pc.InputError) as error:
            train(5.0 * X, y)
        for word in words:
            assert word in str(error.value)
    for own, first in zip(theirs.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, first)


def test_logits_that_all_lie_between_0_and_1_are_remarked_upon() -> None:
    x = keras.Input((3,))
    theirs = keras.Model(x, {"y": layers.Lambda(lambda t: 0.5 + 0.1 * ops.tanh(t))(Dense(1)(x))})
    adopted = pc.adopt(theirs, [pc.Binary("y")], activations={"y": "linear"})
    adopted.compile("sgd")
    with pytest.warns(UserWarning, match="'y'.*applied twice"):
        adopted.train_on_batch(X, {"y": np.arange(len(X)) % 2})


def test_a_model_of_ones_own_is_compared_by_hand() -> None:
    for given in (model(), pc.adopt(model(), [pc.Regression("y")])):
        with pytest.raises(
            pc.InputError,
            match=r"pc.compare_separate takes a run of pc.fit.*model.skills.*separate-networks.md",
        ):
            pc.compare_separate(given, X)
    with pytest.raises(pc.InputError, match="got ndarray"):
        pc.compare_separate(X)


def test_a_loss_that_averages_by_itself_is_refused_with_what_to_write() -> None:
    class Whole(keras.losses.Loss):
        def call(self, y: Any, p: Any) -> Any:
            return ops.mean(ops.square(y - p))

    for loss in (lambda y, p: ops.mean(ops.abs(y - p)), Whole(name="whole")):
        adopted = pc.adopt(model(), [pc.Regression("y", loss=loss)])
        adopted.compile("sgd")
        with pytest.raises(pc.InputError, match=r"returned shape \[\].*ops.mean\(..., axis=-1\)"):
            adopted.train_on_batch(X, {"y": X[:, 0]})
