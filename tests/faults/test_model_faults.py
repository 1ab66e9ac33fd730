"""Test bad input to tasks, models and adopt: one sentence that names the thing, before training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from small import dense

import polycera as pc

N = 12
X = np.linspace(-1, 1, 3 * N).reshape(N, 3).astype("float32")
Y: dict[str, Any] = {
    "price": np.linspace(0, 9, N),
    "sold": np.arange(N) % 2,
    "colour": np.array(["red", "blue", "green"] * 4, object),
    "tags": np.arange(2 * N).reshape(N, 2) % 3 % 2,
}


def tasks() -> list[Any]:
    return [
        pc.Regression("price"),
        pc.Binary("sold"),
        pc.Multiclass("colour", ["red", "green", "blue"]),
        pc.Multilabel("tags", ["new", "rare"]),
    ]


def refused(call: Callable[[], Any], *names: str) -> str:
    """The message with which the call is refused: ours, short, naming the thing."""
    with pytest.raises(pc.PolyceraError) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, pc.InputError)
    assert len(message) <= 300, message
    assert "\n" not in message
    assert message.count(". ") <= 1, message
    for name in names:
        assert name in message, message
    return message


@pytest.fixture(scope="module")
def model() -> pc.Model:
    """Never trained: every call is refused before."""
    return dense(tasks())


@pytest.fixture(scope="module")
def single() -> pc.Model:
    return dense([pc.Binary("sold")])


def without(name: str) -> dict[str, Any]:
    return {n: values for n, values in Y.items() if n != name}


def changed(values: Any, row: int, value: Any) -> Any:
    values = np.asarray(values).astype(
        object if isinstance(value, str) else np.asarray(values).dtype
    )
    values[row] = value
    return values


class Iterable:
    def __init__(self, *batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        return iter(self.batches)


TARGETS: dict[str, tuple[Any, list[str]]] = {
    "unknown name": (without("price") | {"prize": Y["price"]}, ["prize", "did you mean 'price'"]),
    "name too many": (Y | {"size": Y["price"]}, ["size", "price"]),
    "missing name": (without("sold"), ["sold", "None"]),
    "no names": (Y["price"], ["price", "dict"]),
    "list": (list(Y.values()), ["a list", "{'price': y[0]"]),
    "None": (dict.fromkeys(Y), ["labels"]),
    "two columns": (Y | {"price": np.zeros((N, 2))}, ["price", "[12, 2]"]),
    "two columns, binary": (Y | {"sold": np.eye(2)[Y["sold"]]}, ["sold", "[12, 2]"]),
    "three dimensions": (Y | {"price": np.zeros((N, 1, 2))}, ["price", "[12, 1, 2]"]),
    "labels as a column": (Y | {"tags": np.zeros(N)}, ["tags", "[12]", "[n, 2]"]),
    "labels too many": (Y | {"tags": np.zeros((N, 3))}, ["tags", "[12, 3]"]),
    "not one-hot": (Y | {"colour": np.ones((N, 3))}, ["colour", "row 0", "one-hot"]),
    "other lengths": (Y | {"price": np.zeros(5)}, ["price", "5", "12"]),
    "ragged": (Y | {"price": [[1.0], [1.0, 2.0]] * 6}, ["price"]),
    "single number": (Y | {"price": 3.0}, ["price", "one label a row"]),
    "label 2 in binary": (Y | {"sold": changed(Y["sold"], 3, 2)}, ["sold", "2", "0, 1"]),
    "unknown class": (Y | {"colour": changed(Y["colour"], 3, "pink")}, ["colour", "pink", "red"]),
    "2 in multilabel": (Y | {"tags": Y["tags"] * 2}, ["tags", "2"]),
    "text for a number": (
        Y | {"price": changed(Y["price"], 4, "cheap")},
        ["price", "row 4", "cheap"],
    ),
    "text that spells a number": (
        Y | {"price": changed(Y["price"], 4, "7")},
        ["price", "row 4", "'7'"],
    ),
    "infinite label": (Y | {"price": changed(Y["price"], 5, np.inf)}, ["price", "row 5"]),
    "no label": (Y | {"price": np.full(N, np.nan)}, ["price", "no label"]),
    "0 rows": ({n: v[:0] for n, v in Y.items()}, ["0 rows"]),
}


@pytest.mark.parametrize("case", TARGETS)
def test_targets(model: pc.Model, case: str) -> None:
    y, names = TARGETS[case]
    x = X[:0] if case == "0 rows" else X
    refused(lambda: model.fit(x, y, verbose=0), *names)
    assert not model.fitted, "nothing half-done"
    if case != "no label":  # which evaluate may miss
        refused(lambda: model.fit(X, Y, validation_data=(x, y), verbose=0), *names)
        refused(lambda: model.evaluate(x, y, verbose=0), *names)
        refused(lambda: model.train_on_batch(x, y), *names)
    for head in model.heads:
        head.fitted.assign(0.0)


FEATURES: dict[str, tuple[Any, list[str]]] = {
    "NaN": (changed(X, 3, np.nan), ["row 3", "NaN"]),
    "infinite": (changed(X, 4, -np.inf), ["row 4", "infinite"]),
    "text": (X.astype(str), ["numbers"]),
    "objects": (X.astype(object), ["numbers"]),
    "other rows": (X[:7], ["7", "12"]),
}


@pytest.mark.parametrize("case", FEATURES)
def test_features(model: pc.Model, case: str) -> None:
    x, names = FEATURES[case]
    refused(lambda: model.fit(x, Y, verbose=0), *names)
    refused(lambda: model.evaluate(x, Y, verbose=0), *names)
    refused(lambda: model.fit(X, Y, validation_data=(x, Y), verbose=0), *names)
    if case != "other rows":
        refused(lambda: model.predict(x, verbose=0), *names)
        refused(lambda: model.train_on_batch(x, Y), *names)


def test_nan_features_of_other_kinds(model: pc.Model) -> None:
    """A data frame, and batches: they reach the weights as well."""
    import pandas as pd

    bad = changed(X, 3, np.nan)
    refused(lambda: model.fit(pd.DataFrame(bad, columns=["a", "b", "c"]), Y, verbose=0), "NaN")
    model.adapt(Y)
    refused(lambda: model.fit((pair for pair in [(bad, Y)]), verbose=0), "NaN")


WEIGHTS: dict[str, tuple[Any, list[str]]] = {
    "negative": (changed(np.ones(N), 2, -1.0), ["row 2", "-1"]),
    "NaN": (changed(np.ones(N), 2, np.nan), ["row 2", "nan"]),
    "infinite": (changed(np.ones(N), 2, np.inf), ["row 2", "inf"]),
    "length": (np.ones(5), ["[5]", "[12]"]),
    "shape": (np.ones((N, 4)), ["[12, 4]"]),
    "unknown task": ({"solt": np.ones(N)}, ["solt", "did you mean 'sold'"]),
    "negative for a task": ({"sold": -np.ones(N)}, ["sold", "row 0"]),
    "text": (np.array(["heavy"] * N), ["sample_weight", "heavy"]),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_sample_weight(model: pc.Model, case: str) -> None:
    weight, names = WEIGHTS[case]
    refused(lambda: model.fit(X, Y, sample_weight=weight, verbose=0), *names)
    refused(lambda: model.evaluate(X, Y, sample_weight=weight, verbose=0), *names)
    refused(lambda: model.fit(X, Y, validation_data=(X, Y, weight), verbose=0), *names)
    refused(lambda: model.train_on_batch(X, Y, sample_weight=weight), *names)


CLASS_WEIGHTS: dict[str, tuple[Any, list[str]]] = {
    "not by task": ({0: 1.0, 1: 2.0}, ["class_weight", "sold"]),
    "unknown task": ({"solt": {0: 1.0}}, ["solt", "did you mean 'sold'"]),
    "unknown label": ({"sold": {0: 1.0, 3: 2.0}}, ["sold", "3"]),
    "negative": ({"sold": {0: 1.0, 1: -2.0}}, ["sold", "-2"]),
    "of a number": ({"price": {0: 1.0}}, ["price", "regression"]),
    "unknown word": ({"sold": "even"}, ["sold", "even", "balanced"]),
    "one word for all": ("balanced", ["class_weight", "balanced"]),
    "text": ({"sold": {0: "a lot"}}, ["sold", "a lot"]),
    "a list": ({"sold": [1.0, 2.0]}, ["sold", "list"]),
}


@pytest.mark.parametrize("case", CLASS_WEIGHTS)
def test_class_weight(model: pc.Model, case: str) -> None:
    weight, names = CLASS_WEIGHTS[case]
    refused(lambda: model.fit(X, Y, class_weight=weight, verbose=0), *names)


TASKS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "no name": (lambda: pc.Binary(""), ["name"]),
    "a number for a name": (lambda: pc.Regression(3), ["name", "3"]),
    "negative weight": (lambda: pc.Binary("a", weight=-1.0), ["'a'", "-1"]),
    "huge weight": (lambda: pc.Binary("a", weight=10**400), ["'a'", "1000"]),
    "NaN weight": (lambda: pc.Binary("a", weight=float("nan")), ["'a'", "nan"]),
    "text for a weight": (lambda: pc.Binary("a", weight="much"), ["'a'", "much"]),
    "unknown loss": (
        lambda: pc.Regression("a", loss="hubr"),
        ["'a'", "hubr", "did you mean 'huber'"],
    ),
    "a number for a loss": (lambda: pc.Regression("a", loss=3), ["'a'", "int"]),
    "no loss": (lambda: pc.Regression("a", loss={}), ["'a'", "no loss"]),
    "a loss twice": (
        lambda: pc.Regression("a", loss=["mse", "mean_squared_error"]),
        ["'a'", "mse"],
    ),
    "a loss of three": (lambda: pc.Regression("a", loss=[("mse", 1.0, 2.0)]), ["'a'", "pair", "3"]),
    "negative term": (lambda: pc.Regression("a", loss={"mse": -0.5}), ["'a'", "-0.5"]),
    "unknown metric": (
        lambda: pc.Binary("a", metrics=["acuracy"]),
        ["'a'", "did you mean 'accuracy'"],
    ),
    "metric of another kind": (lambda: pc.Binary("a", metrics=["r2"]), ["'a'", "r2", "auc"]),
    "no metric": (lambda: pc.Binary("a", metrics=[]), ["'a'"]),
    "metric twice": (lambda: pc.Binary("a", metrics=["auc", "auc"]), ["'a'", "auc"]),
    "one class": (lambda: pc.Multiclass("a", ["x"]), ["'a'", "two"]),
    "same classes": (lambda: pc.Multiclass("a", [1, 1.0, 2]), ["'a'", "different"]),
    "three for binary": (lambda: pc.Binary("a", classes=[0, 1, 2]), ["'a'", "two"]),
    "smoothing": (lambda: pc.Binary("a", label_smoothing=1.5), ["'a'", "1.5"]),
    "quantile 1": (lambda: pc.Quantile("a", quantiles=[0.5, 1.0]), ["'a'", "between 0 and 1"]),
    "quantiles that fall": (lambda: pc.Quantile("a", quantiles=[0.9, 0.1]), ["'a'", "ascend"]),
    "text for quantiles": (lambda: pc.Quantile("a", quantiles=["low"]), ["'a'", "low"]),
    "pos_weights": (lambda: pc.Multilabel("a", 3, pos_weight=[1.0, 2.0]), ["'a'", "3", "2"]),
    "labels twice": (lambda: pc.Multilabel("a", ["x", "x"]), ["'a'", "different"]),
    "classes unknown yet": (lambda: pc.layers.Heads([pc.Multiclass("a")]), ["'a'", "classes"]),
    "two of a name": (lambda: pc.layers.Heads([pc.Binary("a"), pc.Regression("a")]), ["'a'"]),
    "no task": (lambda: pc.layers.Heads([]), ["task"]),
    "no tasks at all": (lambda: pc.layers.Heads(["a"]), ["'a'", "pc.Binary"]),
    "a name for the logs": (
        lambda: pc.layers.Heads([pc.Binary("a"), pc.Binary("val_a")]),
        ["val_a"],
    ),
    "joint of nobody": (lambda: pc.Joint(max, tasks=[]), ["one or more"]),
    "joint of one text": (lambda: pc.Joint(max, tasks="price"), ["price", "list"]),
    "joint of a stranger": (
        lambda: pc.layers.Heads([pc.Binary("price"), pc.Joint(max, tasks=["prize"])]),
        ["prize", "did you mean 'price'"],
    ),
    "joint called loss": (
        lambda: pc.layers.Heads([pc.Binary("a"), pc.Joint(max, tasks=["a"], name="loss")]),
        ["'loss'"],
    ),
    "two joints of a name": (
        lambda: pc.layers.Heads(
            [pc.Binary("a"), pc.Joint(max, tasks=["a"]), pc.Joint(max, tasks=["a"])]
        ),
        ["max"],
    ),
    "unknown kind": (
        lambda: pc.tasks.task_from_config({"kind": "binry", "name": "a"}),
        ["did you mean 'binary'"],
    ),
    "unknown option": (
        lambda: pc.tasks.task_from_config({"kind": "binary", "name": "a", "colour": 1}),
        ["'a'", "colour"],
    ),
    "weights of the joint score": (lambda: pc.callbacks.JointScore({"a": 0.0}), ["above 0"]),
    "negative in the joint score": (lambda: pc.callbacks.JointScore({"a": -1.0}), ["'a'", "-1"]),
}


@pytest.mark.nobackend
@pytest.mark.parametrize("case", TASKS)
def test_tasks(case: str) -> None:
    call, names = TASKS[case]
    refused(call, *names)


def test_joint_score_of_a_stranger(model: pc.Model) -> None:
    for weights, names in (
        ({"solt": 1.0}, ["solt", "did you mean 'sold'"]),
        ({"sold/acuracy": 1.0}, ["sold", "did you mean 'accuracy'"]),
        ({"sold": 1.0, "sold/accuracy": 1.0}, ["sold"]),
    ):
        refused(
            lambda w=weights: model.fit(X, Y, callbacks=[pc.callbacks.JointScore(w)], verbose=0),
            *names,
        )


class TestCompile:
    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            ("loss", "mse"),
            ("loss_weights", {"sold": 1.0}),
            ("metrics", ["accuracy"]),
            ("weighted_metrics", ["auc"]),
        ],
    )
    def test_what_tasks_decide_is_refused(self, argument: str, value: Any) -> None:
        model = dense([pc.Binary("sold")])
        model.compile("adam", **{argument: value})
        y = {"sold": Y["sold"]}
        refused(lambda: model.fit(X, y, verbose=0), argument, "sold")
        refused(lambda: model.evaluate(X, y, verbose=0), argument)
        refused(lambda: model.train_on_batch(X, y), argument)
        refused(lambda: model.test_on_batch(X, y), argument)

    def test_not_at_all(self) -> None:
        x = keras.Input((3,))
        refused(
            lambda: pc.Model(x, pc.layers.Heads([pc.Binary("sold")])(x)).fit(
                X, {"sold": Y["sold"]}
            ),
            "compile",
        )


WRONG_SHAPES: dict[str, Any] = {
    "scalar": lambda y, p: ops.mean(ops.square(y - p)),
    "one for all": lambda y, p: ops.mean(ops.square(y - p), keepdims=True),
    "two columns": lambda y, p: ops.concatenate([y, p], axis=-1),
    "twice the rows": lambda y, p: ops.concatenate([y[:, 0], p[:, 0]], axis=0),
    "a dimension too much": lambda y, p: (y - p)[None],
}


class TestLosses:
    @pytest.mark.parametrize("case", WRONG_SHAPES)
    def test_wrong_shape(self, case: str, backend: str) -> None:
        model = dense([pc.Regression("price", loss=WRONG_SHAPES[case])])
        call = lambda: model.fit(X, {"price": Y["price"]}, verbose=0)  # noqa: E731
        if (case, backend) == ("twice the rows", "tensorflow"):
            # a graph does not know how many rows will come
            with pytest.raises(Exception, match="broadcast"):
                call()
        else:
            refused(call, "price", "one value a row")

    def test_joint_of_wrong_shape(self) -> None:
        joint = pc.Joint(
            lambda y, p: p["price"] * p["sold"] * ops.ones((1, 2)), ["price", "sold"], name="both"
        )
        model = dense([pc.Regression("price"), pc.Binary("sold"), joint])
        refused(
            lambda: model.fit(X, {n: Y[n] for n in ("price", "sold")}, verbose=0),
            "both",
            "one value a row",
        )

    def test_unregistered_function_cannot_be_saved(self, tmp_path: Path) -> None:
        def mine(y: Any, p: Any) -> Any:
            return ops.abs(y - p)

        path = tmp_path / "m.keras"
        refused(
            lambda: dense([pc.Regression("price", loss=mine)]).save(path),
            "mine",
            "register_keras_serializable",
        )
        assert not path.exists()
        joint = pc.Joint(lambda y, p: p["price"][:, 0], ["price"], name="mine")
        refused(
            lambda: dense([pc.Regression("price"), joint]).save(path),
            "mine",
            "register_keras_serializable",
        )


class TestNetworks:
    def test_heads_on_a_sequence(self) -> None:
        refused(
            lambda: pc.layers.Heads([pc.Binary("a")])(keras.Input((5, 3))),
            "[None, 5, 3]",
            "Flatten",
        )

    def test_outputs_that_are_no_heads(self) -> None:
        x = keras.Input((3,))
        refused(lambda: pc.Model(x, keras.layers.Dense(1, name="mine")(x)), "mine", "pc.adopt")

    def test_two_heads_with_a_task_of_one_name(self) -> None:
        x = keras.Input((3,))
        heads = [pc.layers.Heads([pc.Binary("a")])(x) for _ in range(2)]
        refused(lambda: pc.Model(x, heads), "'a'")


def theirs(units: int = 1, activation: str | None = None, name: str = "sold") -> keras.Model:
    x = keras.Input((3,))
    return keras.Model(x, {name: keras.layers.Dense(units, activation=activation, name="last")(x)})


ADOPTED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "unknown output": (
        lambda: pc.adopt(theirs(), [pc.Binary("solt")]),
        ["solt", "did you mean 'sold'"],
    ),
    "units": (lambda: pc.adopt(theirs(2), [pc.Binary("sold")]), ["sold", "2 columns", "needs 1"]),
    "units of classes": (
        lambda: pc.adopt(theirs(2), [pc.Multiclass("sold", 3)]),
        ["sold", "2 columns", "needs 3"],
    ),
    "activation": (
        lambda: pc.adopt(theirs(1, "tanh"), [pc.Binary("sold")]),
        ["sold", "tanh", "sigmoid"],
    ),
    "softmax for labels": (
        lambda: pc.adopt(theirs(3, "softmax"), [pc.Multilabel("sold", 3)]),
        ["sold", "softmax", "sigmoid"],
    ),
    "sigmoid for classes": (
        lambda: pc.adopt(theirs(3, "sigmoid"), [pc.Multiclass("sold", 3)]),
        ["sold", "sigmoid", "softmax"],
    ),
    "activation of nobody": (
        lambda: pc.adopt(theirs(), [pc.Binary("sold")], activations={"solt": "linear"}),
        ["solt", "did you mean 'sold'"],
    ),
    "no input yet": (
        lambda: pc.adopt(keras.Sequential([keras.layers.Dense(1)]), [pc.Binary("a")]),
        ["keras.Input"],
    ),
    "no model": (lambda: pc.adopt(3, [pc.Binary("a")]), ["keras.Model"]),
    "no task": (lambda: pc.adopt(theirs(), []), ["task"]),
    "a text for a task": (lambda: pc.adopt(theirs(), ["sold"]), ["'sold'", "pc.Binary"]),
    "rank 3": (
        lambda: pc.adopt(
            keras.Sequential([keras.Input((4, 3)), keras.layers.Dense(1, name="sold")]),
            [pc.Binary("sold")],
        ),
        ["sold", "[None, 4, 1]"],
    ),
    "out of sight": (
        lambda: pc.adopt(
            keras.Sequential([keras.Input((1,)), keras.layers.Lambda(ops.sigmoid, name="sold")]),
            [pc.Binary("sold")],
        ),
        ["sold", "activations="],
    ),
}


@pytest.mark.nobackend
@pytest.mark.parametrize("case", ADOPTED)
def test_adopt(case: str) -> None:
    call, names = ADOPTED[case]
    refused(call, *names)


class TestBatches:
    """Sources of batches: packed on the host, or in the graph."""

    def test_generator_before_adapt(self) -> None:
        refused(
            lambda: dense(tasks()).fit((pair for pair in [(X, Y)]), verbose=0), "generator", "adapt"
        )

    @pytest.mark.parametrize(
        "case", ["unknown name", "missing name", "two columns", "label 2 in binary"]
    )
    def test_generator_with_bad_targets(self, model: pc.Model, case: str) -> None:
        y, names = TARGETS[case]
        model.adapt(Y)
        refused(lambda: model.fit((pair for pair in [(X, y)]), verbose=0), *names)

    def test_no_pairs(self) -> None:
        refused(lambda: dense(tasks()).fit(Iterable(X, X), verbose=0), "pair")

    def test_weights_beside(self, model: pc.Model) -> None:
        refused(
            lambda: model.fit((p for p in [(X, Y)]), sample_weight=np.ones(N), verbose=0),
            "sample_weight",
        )
        refused(lambda: model.fit(X, verbose=0), "y is missing", "price")

    def dataset(self, y: dict[str, Any], *weights: Any) -> Any:
        tf = pytest.importorskip("tensorflow")
        return tf.data.Dataset.from_tensor_slices((X, y, *weights)).batch(6)

    @pytest.mark.parametrize("case", ["unknown name", "missing name", "two columns"])
    def test_dataset_with_bad_targets(self, case: str) -> None:
        """Seen when units are learned from it, and also where they are known already."""
        y, names = TARGETS[case]
        y = {n: v for n, v in y.items() if n != "colour"}
        model = dense([tasks()[0], tasks()[1], tasks()[3]])
        refused(lambda: model.fit(self.dataset(y), verbose=0), *names[:1])
        model.adapt({n: v for n, v in Y.items() if n != "colour"})
        refused(lambda: model.fit(self.dataset(y), verbose=0), *names[:1])

    def test_dataset_with_weights_of_a_stranger(self, single: pc.Model) -> None:
        data = self.dataset({"sold": Y["sold"]}, {"solt": np.ones(N, "float32")})
        refused(lambda: single.fit(data, verbose=0), "solt", "did you mean 'sold'")


class TestLittle:
    """What is odd, but can be learned from."""

    @pytest.mark.nobackend
    def test_one_row(self) -> None:
        model = dense(tasks())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logs = model.fit(X[:1], {n: v[:1] for n, v in Y.items()}, verbose=0).history
        assert np.isfinite(logs["loss"]).all()
        assert np.isnan(logs["sold/auc"]).all()
        assert np.isfinite(model.predict(X[:1], verbose=0)["price"]).all()

    def test_predict_no_rows(self, model: pc.Model) -> None:
        assert {n: v.shape for n, v in model.predict(X[:0]).items()} == {
            "price": (0,),
            "sold": (0,),
            "colour": (0, 3),
            "tags": (0, 2),
        }

    @pytest.mark.nobackend
    def test_what_does_not_vary_is_said(self) -> None:
        """One sentence for all such tasks; the metric that compares is NaN; the rest trains on."""
        model = dense(tasks())
        y = Y | {"price": np.full(N, 0.1), "sold": np.zeros(N)}
        with pytest.warns(UserWarning) as said:
            logs = model.fit(X, y, validation_data=(X, y), epochs=2, verbose=0).history
        (message,) = (str(w.message) for w in said if "training part" in str(w.message))
        assert len(message) < 300
        assert "price" in message and "sold" in message
        for name in ("price/r2", "sold/auc"):
            assert np.isnan(logs[name] + logs[f"val_{name}"]).all()
        assert np.isfinite(logs["loss"]).all()
        assert model.predict(X, verbose=0)["price"] == pytest.approx(0.1, abs=3)

    @pytest.mark.nobackend
    def test_what_hardly_varies_is_no_unit(self) -> None:
        """Rounding is not spread: 0.1 twelve times has a standard deviation of 1e-17."""
        model = dense([pc.Regression("price")])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.adapt({"price": np.full(N, 0.1)})
            assert model.units.scale == [1.0]
            model.adapt({"price": np.array([0.3, 0.1 + 0.2])})
        assert model.units.scale == [1.0]

    @pytest.mark.nobackend
    def test_joint_score_leaves_out_what_is_undefined(self) -> None:
        model = dense([pc.Regression("price"), pc.Binary("sold")])
        y = {"price": Y["price"], "sold": Y["sold"]}
        watched = pc.callbacks.JointScore()
        with pytest.warns(UserWarning, match="'sold': auc is undefined") as said:
            logs = model.fit(
                X,
                y,
                validation_data=(X, y | {"sold": np.zeros(N)}),
                epochs=2,
                callbacks=[watched],
                verbose=0,
            ).history
        assert len([w for w in said if "undefined" in str(w.message)]) == 1
        assert logs["val_joint"] == pytest.approx(logs["val_price_skill"])
        assert np.isnan(logs["val_sold_skill"]).all()

    @pytest.mark.nobackend
    def test_a_network_that_diverged_says_so(self) -> None:
        """A loss that is no number is never logged as 0."""
        model = dense(
            [pc.Regression("price", standardize=False)], optimizer=keras.optimizers.SGD(1e20)
        )
        logs = model.fit(X, {"price": Y["price"]}, epochs=6, verbose=0).history
        assert not np.isfinite(logs["loss"][-1])


ODD = [
    "a/b",
    "../up",
    'it\'s "so"',
    "Umsatz 💶",
    "x" * 300,
    "with space",
    "a.b:c",
    "loss",
    "joint",
    "tasks",
    "%s{}",
    "\\n",
]


def test_any_name_goes(tmp_path: Path) -> None:
    """Trains, is logged, saved, loaded, and answers by the same name."""
    made = [pc.Regression(n) if i % 2 else pc.Binary(n) for i, n in enumerate(ODD)]
    model = dense(made)
    rng = np.random.default_rng(0)
    y = {n: rng.normal(size=N) if i % 2 else np.arange(N) % 2 for i, n in enumerate(ODD)}
    log = tmp_path / "log.csv"
    watch = [pc.callbacks.JointScore(), keras.callbacks.CSVLogger(str(log))]
    history = model.fit(X, y, validation_data=(X, y), epochs=2, callbacks=watch, verbose=0).history
    terms = [f"{n}/{'mse' if i % 2 else 'bce'}" for i, n in enumerate(ODD)]
    assert {*terms, *(f"val_{t}" for t in terms)} <= set(history)
    assert history["loss"][-1] == pytest.approx(sum(history[t][-1] for t in terms), rel=1e-5)
    assert log.read_text(encoding="utf-8").count("\n") >= 3
    path = tmp_path / "odd.keras"
    model.save(path)
    again = keras.models.load_model(path)
    first, second = model.predict(X, verbose=0), again.predict(X, verbose=0)
    assert set(first) == set(second) == set(ODD)
    for name in ODD:
        np.testing.assert_array_equal(first[name], second[name])
    assert set(again.evaluate(X, y, verbose=0)) == {
        n for n in history if not n.startswith("val_")
    } - {"skipped_steps"}
    assert set(model.named()(X)) == set(first)


@pytest.mark.nobackend
def test_adopted_names_need_no_manners() -> None:
    x = keras.Input((3,))
    model = keras.Model(x, {n: keras.layers.Dense(1)(x) for n in ODD})
    ours = pc.adopt(model, [pc.Regression(n) for n in ODD])
    ours.compile("sgd")
    logs = ours.fit(X, dict.fromkeys(ODD, Y["price"]), verbose=0).history
    assert {f"{n}/mse" for n in ODD} <= set(logs)


@pytest.mark.nobackend
def test_a_loss_is_written_down_with_its_settings_or_not_at_all() -> None:
    """Keras 3.15.1 writes `Huber(delta=0.3)` as `Huber()`, which would train differently later."""
    for loss in (
        keras.losses.Huber(),
        keras.losses.hinge,
        keras.losses.BinaryFocalCrossentropy(gamma=3.0),
        "hinge",
    ):
        made = pc.Binary("a", loss=loss)
        again = pc.tasks.task_from_config(made.to_config())
        assert again == made
        assert getattr(again.terms[0].loss, "gamma", None) == getattr(loss, "gamma", None)
    refused(
        pc.Regression("a", loss=keras.losses.Huber(delta=0.3)).to_config,
        "huber",
        "0.3",
        "registered function",
    )

    class Mine(keras.losses.Loss):
        def call(self, y: Any, p: Any) -> Any:
            return ops.abs(y - p)

    refused(
        pc.Regression("a", loss=Mine(name="mine")).to_config, "mine", "register_keras_serializable"
    )
