"""Test that batch sources are checked like arrays: by name, labels, features, on every backend."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from small import dense, from_numpy

import polycera as pc

N = 48
X = np.random.default_rng(0).normal(size=(N, 3)).astype("float32")
PRICE = (100 + 20 * X[:, 0]).astype("float32")
SOLD = (X[:, 1] > 0).astype("float32")
KIND = (np.arange(N) % 3).astype("float32")
Y = {"price": PRICE, "sold": SOLD, "kind": KIND}


def tasks() -> list[Any]:
    return [pc.Regression("price"), pc.Binary("sold"), pc.Multiclass("kind", 3)]


@pytest.fixture(scope="module")
def model() -> pc.Model:
    """Two tasks of classes and one of numbers, scaling known; for tests without fresh weights."""
    made = dense(tasks())
    made.adapt(Y)
    return made


def tensors(x: Any, y: Any, *weights: Any, size: int = 16) -> Any:
    """A source that only the backend reads: `tf.data`, or torch's loader on the torch backend."""
    if keras.backend.backend() == "torch":
        import torch

        rows = [
            keras.tree.map_structure(lambda part, i=i: part[i], (x, y, *weights)) for i in range(N)
        ]
        return torch.utils.data.DataLoader(rows, batch_size=size)
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x, y, *weights)).batch(size)


class Dataset(keras.utils.PyDataset):
    """Batches that are encoded on the host."""

    def __init__(self, x: Any, y: Any, *weights: Any, size: int = 16) -> None:
        super().__init__()
        self.parts, self.size = (x, y, *weights), size

    def __len__(self) -> int:
        return N // self.size

    def __getitem__(self, index: int) -> Any:
        rows = slice(index * self.size, (index + 1) * self.size)
        return keras.tree.map_structure(lambda part: part[rows], self.parts)


def generator(*parts: Any) -> Iterator[Any]:
    source = Dataset(*parts)
    return (source[i] for i in range(len(source)))


def said(call: Callable[[], Any]) -> str:
    """What is said on the way, as warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call()
    return " ".join(str(each.message) for each in seen if issubclass(each.category, UserWarning))


def refused(call: Callable[[], Any], *words: str) -> None:
    with pytest.raises(pc.InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400, message
    for word in words:
        assert word in message, message


def all_finite(model: pc.Model) -> bool:
    """Weights, statistics and the optimizer's moments."""
    owned = [*model.variables, *model.optimizer.variables]
    return all(np.isfinite(ops.convert_to_numpy(v)).all() for v in owned if "float" in str(v.dtype))


# -- by name ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["[n, 1]", "int64"])
def test_the_only_task_needs_no_name(form: str) -> None:
    """Its labels are standardised as they are by name."""
    y = {"[n, 1]": PRICE[:, None].astype("float64"), "int64": PRICE.astype("int64")}
    one = dense([pc.Regression("price")])
    one.fit(tensors(X, y[form]), epochs=2, verbose=0)
    assert one.units.location[0] == pytest.approx(np.mean(y[form]), rel=1e-4)
    found = one.evaluate(tensors(X, y[form]), verbose=0)["price/rmse"]
    assert found < 2 * PRICE.std()
    assert found == pytest.approx(one.evaluate(X, y[form], verbose=0)["price/rmse"], rel=1e-3)


def test_labels_by_place_are_refused_after_the_first_fit_and_the_model_stays_whole(
    model: pc.Model,
) -> None:
    """An array of as many columns as there are tasks is not taken for packed targets."""
    before = [np.array(w) for w in model.get_weights()]
    by_place = np.stack([PRICE, SOLD, KIND], 1)
    for call in (
        lambda: model.fit(tensors(X, by_place), verbose=0),
        lambda: model.evaluate(tensors(X, by_place), verbose=0),
        lambda: model.fit(X, Y, validation_data=tensors(X, by_place), verbose=0),
        lambda: model.fit(generator(X, by_place), verbose=0),
        lambda: model.evaluate(Dataset(X, by_place), verbose=0),
        lambda: model.train_on_batch(X, by_place),
        lambda: model.test_on_batch(X, by_place),
        lambda: model.fit(X, by_place, verbose=0),
    ):
        refused(call, "price", "sold")
    model.set_weights(before)
    assert model.evaluate(X, Y, verbose=0)["loss"] > 0, (
        "the model can be used after a batch was refused"
    )


def test_features_alone_are_no_batch(model: pc.Model) -> None:
    source = tensors(X, X)
    refused(
        lambda: model.fit(
            source.map(lambda x, y: x) if hasattr(source, "map") else _alone(source), verbose=0
        ),
        "pair",
    )


def _alone(source: Any) -> Any:
    import torch

    return torch.utils.data.DataLoader(list(X), batch_size=16)


# -- labels ----------------------------------------------------------------------------------------

STRANGE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "class 9": ({"kind": np.where(np.arange(N) > 44, 9, KIND)}, ["'kind' 3", "9", "0, 1, 2"]),
    "classes from 1": ({"kind": KIND + 1}, ["'kind' 16", "3"]),
    "half a class": ({"kind": KIND + 0.5}, ["'kind' 48"]),
    "-1 and 1": ({"sold": 2 * SOLD - 1}, ["'sold'", "-1", "0, 1"]),
    "a share": ({"sold": 0.4 * SOLD}, ["'sold'", "0.4"]),
    "infinite": (
        {"price": np.where(np.arange(N) == 40, np.inf, PRICE)},
        ["'price' 1", "inf", "finite"],
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_labels_that_are_none_are_counted_named_and_do_not_train(
    model: pc.Model, case: str
) -> None:
    changed, words = STRANGE[case]
    changed = {name: np.asarray(values, "float32") for name, values in changed.items()}
    message = said(lambda: model.fit(tensors(X, Y | changed), verbose=0))
    assert "left out in training" in message
    for word in words:
        assert word in message, message
    assert all_finite(model)
    assert "when measuring" in said(lambda: model.evaluate(tensors(X, Y | changed), verbose=0))


def test_what_is_left_out_trains_as_a_missing_label() -> None:
    """Strange labels, a NaN feature or a negative weight in rows: weights as without these rows."""
    strange, holed = KIND.copy(), X.copy()
    strange[[3, 20]] = 7
    holed[5, 1] = np.nan
    weight = np.ones(N, "float32")
    weight[[8, 9]] = -1, np.nan
    missing, ends = KIND.copy(), []
    missing[[3, 20]] = np.nan
    harmless, fine = X.copy(), np.ones(N, "float32")
    harmless[5, 1], fine[[5, 8, 9]] = 0, 0
    for x, kind, w in ((holed, strange, weight), (harmless, missing, fine)):
        made = dense(tasks())
        made.adapt(Y)
        from_numpy(made)
        source = tensors(x, Y | {"kind": kind}, w)
        message = said(lambda m=made, s=source: m.fit(s, epochs=2, verbose=0))
        ends.append(made.get_weights())
        if x is holed:
            assert "2 sample weights" in message
            assert "1 of 48 rows were left out" in message
            assert "column 1 (1)" in message
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_labels_for_which_a_loss_is_not_defined_are_left_out() -> None:
    """A relative loss divides by the label, a logarithm takes none below 0.

    Arrays with such labels are refused.
    """
    ratio, logarithm = "mean_absolute_percentage_error", "mean_squared_logarithmic_error"
    made = dense(
        [pc.Regression("price", loss=[ratio, logarithm]), pc.Regression("cost", loss=logarithm)]
    )
    wrong = {"price": PRICE.copy(), "cost": PRICE.copy()}
    wrong["price"][[3, 20]] = 0
    wrong["cost"][7] = -50
    source = tensors(X, wrong)
    made.adapt({"price": PRICE, "cost": PRICE})
    message = said(lambda: made.fit(source, epochs=2, verbose=0))
    assert (
        "'price' 2 (expected a finite number; the loss 'mean_absolute_percentage_error' divides"
        in message
    )
    assert "'cost' 1, such as -50" in message
    assert "takes labels of 0 and above" in message
    assert all_finite(made)
    logs = made.evaluate(source, verbose=0)
    assert np.isfinite(logs["loss"]) and logs[f"price/{ratio}"] < 1000
    refused(lambda: made.fit(X, wrong, verbose=0), "divides by the label")


def test_grain_is_a_source_as_the_others_are() -> None:
    """Its batches are NumPy's own."""
    grain = pytest.importorskip("grain", reason="grain is not installed: pip install grain")

    def batches(labels: dict[str, Any]) -> Any:
        rows = grain.MapDataset.source(np.arange(N))
        return rows.map(
            lambda i: (X[i], {name: values[i] for name, values in labels.items()})
        ).batch(16)

    ends = []
    for source in (batches(Y), Dataset(X, Y)):
        made = dense(tasks())
        made.adapt(Y)
        from_numpy(made)
        made.fit(source, shuffle=False, verbose=0)
        ends.append((made.get_weights(), made.evaluate(source, verbose=0)["loss"]))
    np.testing.assert_allclose(ends[0][1], ends[1][1], rtol=1e-5)
    for one, other in zip(ends[0][0], ends[1][0], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert "'kind' 16" in said(lambda: made.fit(batches(Y | {"kind": KIND + 1}), verbose=0))


def test_classes_that_are_numbers_go_by_value_and_one_hot_is_taken() -> None:
    """Stars from 1 to 3 are not places 0 to 2; arrays and sources agree."""
    stars = dense([pc.Multiclass("kind", [1, 2, 3])])
    stars.fit(tensors(X, {"kind": KIND + 1}), verbose=0)
    by_arrays = stars.evaluate(X, {"kind": KIND + 1}, verbose=0)["loss"]
    assert stars.evaluate(tensors(X, {"kind": KIND + 1}), verbose=0)["loss"] == pytest.approx(
        by_arrays, rel=1e-4
    )
    one_hot = np.eye(3, dtype="float32")[KIND.astype(int)]
    assert stars.evaluate(tensors(X, {"kind": one_hot}), verbose=0)["loss"] == pytest.approx(
        by_arrays, rel=1e-4
    )
    assert "'kind' 16" in said(lambda: stars.evaluate(tensors(X, {"kind": KIND}), verbose=0))


@pytest.mark.nobackend
def test_text_classes_come_as_their_places() -> None:
    named = dense([pc.Multiclass("kind", ["red", "green", "blue"])])
    named.fit(tensors(X, KIND), verbose=0)
    text = np.array(["red", "green", "blue"])[KIND.astype(int)]
    found = named.evaluate(X, text, verbose=0)["loss"]
    assert named.evaluate(tensors(X, KIND), verbose=0)["loss"] == pytest.approx(found, rel=1e-4)
    assert named.evaluate(Dataset(X, text), verbose=0)["loss"] == pytest.approx(found, rel=1e-4)


# -- features --------------------------------------------------------------------------------------


def test_a_nan_feature_reaches_nothing() -> None:
    """Neither a weight nor a moment nor a statistic of BatchNormalization."""
    x = keras.Input((3,), name="age")
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(4, activation="relu")(x))
    made = pc.Model(x, pc.layers.Heads(tasks())(hidden))
    made.compile(keras.optimizers.Adam(0.05))
    made.adapt(Y)
    holed = X.copy()
    holed[40, 2], holed[41, 0] = np.nan, np.inf
    message = said(lambda: made.fit(tensors(holed, Y), epochs=1, verbose=0))
    assert "2 of 48 rows were left out in training" in message
    assert "input 'age' column 0 (1), input 'age' column 2 (1)" in message
    assert all_finite(made)
    assert "2 of 48 rows" in said(lambda: made.evaluate(tensors(holed, Y), verbose=0))
    refused(lambda: made.predict(tensors(holed, Y), verbose=0), "2 of 48 rows", "row 40")
    assert np.isfinite(made.predict(tensors(X, Y), verbose=0)["price"]).all()
    for call in (
        lambda: made.fit(generator(holed, Y), verbose=0),
        lambda: made.fit(Dataset(holed, Y), verbose=0),
        lambda: made.evaluate(Dataset(holed, Y), verbose=0),
        lambda: made.fit(X, Y, validation_data=Dataset(holed, Y), verbose=0),
        lambda: made.fit(ops.convert_to_tensor(holed), Y, verbose=0),
        lambda: made.predict(ops.convert_to_tensor(holed), verbose=0),
        lambda: made.train_on_batch(ops.convert_to_tensor(holed), Y),
    ):
        refused(call, "NaN")


@pytest.mark.nobackend
def test_inputs_go_by_name() -> None:
    """An extra, misspelt or missing key, a wrong number or width: one sentence by every door."""
    left, right = keras.Input((2,), name="left"), keras.Input((3,), name="right")
    both = keras.layers.Concatenate()([left, right])
    by_dict = pc.Model(
        {"left": left, "right": right}, pc.layers.Heads([pc.Regression("price")])(both)
    )
    by_list = pc.Model([left, right], pc.layers.Heads([pc.Regression("price")])(both))
    good = {"left": X[:, :2], "right": X}
    bad: dict[str, tuple[Any, list[str]]] = {
        "extra": (good | {"aux": X}, ["aux", "left"]),
        "misspelt": ({"Left": X[:, :2], "right": X}, ["Left", "did you mean 'left'"]),
        "missing": ({"left": X[:, :2]}, ["right"]),
        "width": ({"left": X, "right": X}, ["left", "[48, 3]", "[n, 2]"]),
        "an array": (X, ["left", "right"]),
        "three": ([X[:, :2], X, X], ["3 arrays", "left"]),
    }
    for made in (by_dict, by_list):
        made.compile("adam")
        made.fit(good, PRICE, verbose=0)
        for x, words in bad.values():
            refused(lambda m=made, x=x: m.fit(x, PRICE, verbose=0), *words)
            refused(lambda m=made, x=x: m.evaluate(x, PRICE, verbose=0), *words)
            refused(lambda m=made, x=x: m.predict(x, verbose=0), *words)
            refused(lambda m=made, x=x: m.train_on_batch(x, PRICE), *words)
            refused(
                lambda m=made, x=x: m.fit(good, PRICE, validation_data=(x, PRICE), verbose=0),
                *words,
            )
        x, words = bad["extra"]
        refused(lambda m=made, x=x: m.fit(Dataset(x, PRICE), verbose=0), *words)
        refused(lambda m=made, x=x: m.fit(tensors(x, PRICE), verbose=0), *words)
        refused(lambda m=made, x=x: m.predict(tensors(x, PRICE), verbose=0), *words)
        assert made.predict(good, verbose=0)["price"].shape == (N,)
    refused(lambda: by_dict.fit([X[:, :2], X], PRICE, verbose=0), "dict", "left")
    one = dense([pc.Regression("price")])
    name = one.layers[0].name
    one.fit({name: X}, PRICE, verbose=0)
    assert np.array_equal(
        one.predict({name: X}, verbose=0)["price"], one.predict([X], verbose=0)["price"]
    )
    refused(lambda: one.predict(X[:, :2], verbose=0), "[48, 2]", "[n, 3]")
    refused(lambda: one.fit(X.tolist(), PRICE, verbose=0), "list", "[n, 3]")


# -- scaling ---------------------------------------------------------------------------------------


def shifted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """72 rows whose first 64 look otherwise than the rest of many."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(640, 3)).astype("float32")
    price = np.where(np.arange(640) < 64, 100, 400) + rng.normal(size=640)
    return (
        x,
        price.astype("float32"),
        (np.arange(640) % np.where(np.arange(640) < 64, 16, 2) == 0).astype("float32"),
    )


class Rows(Dataset):
    """One row a batch, or more."""

    def __len__(self) -> int:
        return len(keras.tree.flatten(self.parts)[0]) // self.size


@pytest.mark.nobackend
def test_scaling_from_the_first_batches_is_said_and_held_against_the_epoch() -> None:
    x, price, sold = shifted()
    made = dense([pc.Regression("price"), pc.Binary("sold")])
    message = said(
        lambda: made.fit(Rows(x, {"price": price, "sold": sold}, size=1), epochs=2, verbose=0)
    )
    assert message.count("the first 64 batches (64 rows): 'price' mean") == 1
    assert message.count("The targets of the first epoch differ") == 1
    assert "'price' mean 37" in message
    assert "'sold' share 0.4" in message
    again = dense([pc.Regression("price"), pc.Binary("sold")])
    again.adapt(Rows(x, {"price": price, "sold": sold}, size=1), steps=640)
    assert again.units.location[0] == pytest.approx(price.mean(), rel=1e-5)
    assert (
        said(lambda: again.fit(Rows(x, {"price": price, "sold": sold}, size=64), verbose=0)) == ""
    )


def test_the_epoch_is_held_against_given_numbers() -> None:
    made = dense(tasks())
    made.adapt(
        {
            "price": {"mean": 0, "std": 1},
            "sold": {"shares": 0.5},
            "kind": {"shares": [0.98, 0.01, 0.01]},
        }
    )
    message = said(lambda: made.fit(tensors(X, Y), epochs=1, verbose=0))
    assert "the given numbers" in message
    assert f"'price' mean {PRICE.mean():.4g}" in message
    assert "'kind' share of 1" in message
    assert "'sold'" not in message


@pytest.mark.nobackend
def test_scaling_of_many_tasks_is_one_sentence() -> None:
    many = dense([pc.Regression(f"t{i}") for i in range(200)])
    labels = {f"t{i}": np.arange(70.0, dtype="float32") for i in range(200)}
    x = np.ones((70, 3), "float32")
    message = said(lambda: many.fit(Rows(x, labels, size=1), verbose=0))
    assert message.count("the first 64 batches") == 1
    assert "200 tasks in all" in message
    assert len(message) < 700


@pytest.mark.nobackend
def test_adapt_takes_numbers_and_sources() -> None:
    made = dense(
        [
            *tasks(),
            pc.Multilabel("tags", 2),
            pc.Count("visits"),
            pc.Quantile("delay"),
            pc.Ordinal("grade", 3),
        ]
    )
    numbers = {
        "price": {"mean": 100, "std": 20},
        "sold": {"shares": {0: 0.75, 1: 0.25}},
        "kind": {"shares": [0.5, 0.3, 0.2]},
        "tags": {"shares": [0.1, 0.6]},
        "visits": {"mean": 3.0},
        "delay": {"mean": 5.0, "std": 2.0},
        "grade": {"shares": [0.2, 0.3, 0.5]},
    }
    made.adapt(numbers)
    answers = {name: values[0] for name, values in _trivial(made).items()}
    assert answers["price"] == pytest.approx([100])
    assert answers["sold"] == pytest.approx([0.25], rel=1e-3)
    assert answers["kind"] == pytest.approx([0.5, 0.3, 0.2], rel=1e-3)
    assert answers["tags"] == pytest.approx([0.1, 0.6], rel=1e-3)
    assert answers["visits"] == pytest.approx([3.0], rel=1e-5)
    assert answers["delay"] == pytest.approx([5 - 2 * 1.28155, 5, 5 + 2 * 1.28155], rel=1e-4)
    assert answers["grade"] == pytest.approx([0.2, 0.3, 0.5], rel=1e-3)
    for wrong, words in (
        ({"price": {"mean": 1}}, ["price", "std"]),
        ({"price": {"mean": 1, "sdt": 1}}, ["sdt", "did you mean 'std'"]),
        ({"price": {"mean": 1, "std": 0}}, ["price", "above 0"]),
        ({"kind": {"shares": [0.5, 0.5]}}, ["kind", "3 numbers"]),
        ({"kind": {"shares": [0.5, 0.5, 0.5]}}, ["kind", "add up to 1"]),
        ({"sold": {"shares": 1.5}}, ["sold"]),
    ):
        refused(lambda w=wrong: made.adapt(numbers | w), *words)
    refused(lambda: made.adapt({"price": {"mean": 1, "std": 1}}), "lacks")
    refused(lambda: dense(tasks()).adapt(generator(X, Y)), "steps")
    some = dense(tasks())
    some.adapt(generator(X, Y), steps=2)
    assert some.units.location[0] == pytest.approx(PRICE[:32].mean(), rel=1e-5)


def _trivial(model: pc.Model) -> dict[str, np.ndarray]:
    from polycera.model import scores

    units = model.units
    return scores.predictions(model.layout, units.prior[None, :], units)


@pytest.mark.nobackend
@pytest.mark.parametrize(
    "weights", [{"kind": "balanced"}, {"kind": {0: 1.0, 1: 3.0, 2: 0.5}, "sold": "balanced"}]
)
def test_class_weights_go_with_sources_of_the_host(weights: Any) -> None:
    """The same as with arrays."""
    ends = []
    for source in ((X, Y), (Dataset(X, Y),), (generator(X, Y),)):
        made = dense(tasks())
        made.adapt(Y)
        from_numpy(made)
        made.fit(*source, batch_size=16, shuffle=False, class_weight=weights, verbose=0) if len(
            source
        ) == 2 else (made.fit(*source, shuffle=False, class_weight=weights, verbose=0))
        ends.append(made.get_weights())
    for end in ends[1:]:
        for one, other in zip(ends[0], end, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    refused(
        lambda: made.fit(Dataset(X, Y), class_weight={"price": "balanced"}, verbose=0),
        "price",
        "regression",
    )
    refused(
        lambda: made.fit(tensors(X, Y), class_weight=weights, verbose=0),
        "class_weight",
        "sample_weight",
    )


class Plain:
    """An iterable that Keras does not know."""

    def __init__(self, *parts: Any, size: bool = True) -> None:
        self.source = Dataset(*parts)
        if size:
            self.__class__ = Sized

    def __iter__(self) -> Iterator[Any]:
        return (self.source[i] for i in range(len(self.source)))


class Sized(Plain):
    def __len__(self) -> int:
        return len(self.source)


@pytest.mark.nobackend
def test_a_plain_iterable_is_a_source_too() -> None:
    made, by_arrays = dense(tasks()), dense(tasks())
    for each in (made, by_arrays):
        from_numpy(each)
    made.fit(Plain(X, Y), validation_data=Plain(X, Y), epochs=2, verbose=0)
    by_arrays.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for one, other in zip(made.get_weights(), by_arrays.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    found = made.evaluate(Plain(X, Y), verbose=0)
    assert found["loss"] == pytest.approx(made.evaluate(X, Y, verbose=0)["loss"], rel=1e-4)
    refused(lambda: made.fit(Plain(X, Y, size=False), verbose=0), "Plain", "length")


# -- numbers that are lost -------------------------------------------------------------------------


def test_weights_that_are_lost_are_named() -> None:
    """Without a Guard a diverged training says so at the end of the epoch, and in predictions."""
    huge = dense(tasks(), optimizer=keras.optimizers.SGD(1e38))
    message = said(lambda: huge.fit(X, Y, batch_size=16, epochs=1, verbose=0))
    assert "steps were skipped" in message or "weights are NaN" in message
    lost = dense(tasks(), optimizer=keras.optimizers.SGD(np.inf))
    message = said(lambda: lost.fit(X, Y, batch_size=16, epochs=2, verbose=0))
    assert message.count("weights are NaN or infinite") == 1
    assert "Guard" in message
    assert "weights of the model are NaN" in said(lambda: lost.predict(X, verbose=0))
    adam = dense(tasks(), optimizer="adam")
    message = said(lambda: adam.fit(X, Y, sample_weight=np.full(N, 1e30), batch_size=16, verbose=0))
    assert "moments are NaN or infinite" in message or "weights are NaN or infinite" in message
    assert "sample" in message


@pytest.mark.nobackend
def test_an_enormous_weight_of_a_task_is_named_as_the_cause() -> None:
    y = {"price": PRICE, "sold": SOLD}
    for watch in ([], [pc.callbacks.Guard()]):
        made = dense([pc.Regression("price", weight=1e38), pc.Binary("sold")])
        try:
            message = said(
                lambda m=made, w=watch: m.fit(X, y, batch_size=16, epochs=2, callbacks=w, verbose=0)
            )
        except pc.PolyceraError as error:
            message = str(error)
        assert "The weight of task 'price' is 1e+38" in message, message


# -- files -----------------------------------------------------------------------------------------


def test_an_optimizer_of_one_backend_is_written_and_read_by_its_public_name() -> None:
    """PyTorch has optimizers of its own, which train nothing on JAX."""
    if keras.backend.backend() == "tensorflow":
        pytest.skip("as on JAX, and importing PyTorch beside TensorFlow takes half a minute")
    pytest.importorskip("torch")
    made = dense([pc.Regression("price")], optimizer="adam")
    assert made.get_compile_config()["optimizer"]["module"] == "keras.optimizers"
    own = {
        "module": "keras.src.backend.torch.optimizers.torch_adam",
        "class_name": "Adam",
        "config": {"learning_rate": 0.25},
        "registered_name": "Adam",
    }
    made.compile_from_config({"optimizer": own})
    assert float(made.optimizer.learning_rate) == 0.25
    made.fit(X, PRICE, verbose=0)
