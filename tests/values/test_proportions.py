"""Test shares from 0 to 1: weights as in stock Keras by every door; answers and refusals."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from small import once

import polycera as pc

rng = np.random.default_rng(0)
ROWS, FEATURES, OUTPUTS = 32, 5, 4
X = rng.normal(size=(ROWS, FEATURES)).astype("float32")
SHARES = (1 / (1 + np.exp(-(X @ rng.normal(size=(FEATURES, OUTPUTS)))))).astype("float32")
VOTES = (SHARES / SHARES.sum(axis=1, keepdims=True)).astype("float32")
NAMES = [f"p{i}" for i in range(OUTPUTS)]


def one_output(activation: str) -> keras.Model:
    """A user's model with one output of several numbers."""
    x = keras.Input((FEATURES,))
    h = layers.Dense(
        6, activation="tanh", kernel_initializer=keras.initializers.GlorotUniform(seed=1)
    )(x)
    last = layers.Dense(
        OUTPUTS, activation=activation, kernel_initializer=keras.initializers.GlorotUniform(seed=2)
    )
    return keras.Model(x, {"out": last(h)})


def several_outputs() -> keras.Model:
    """A user's model with one output for each number."""
    x = keras.Input((FEATURES,))
    h = layers.Dense(
        6, activation="tanh", kernel_initializer=keras.initializers.GlorotUniform(seed=1)
    )(x)
    first = [keras.initializers.GlorotUniform(seed=i + 2) for i in range(OUTPUTS)]
    heads = {
        n: layers.Dense(1, "sigmoid", kernel_initializer=i, name=n)(h)
        for n, i in zip(NAMES, first, strict=True)
    }
    return keras.Model(x, heads)


class Batches(keras.utils.PyDataset):
    """The rows in batches of 8."""

    def __init__(self, y: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.y = y

    def __len__(self) -> int:
        return ROWS // 8

    def __getitem__(self, index: int) -> Any:
        rows = slice(8 * index, 8 * index + 8)
        return X[rows], {name: values[rows] for name, values in self.y.items()}


def through(door: str, y: dict[str, np.ndarray]) -> tuple[Any, ...]:
    """The arguments of `fit` for rows that come in this way."""
    if door == "arrays":
        return X, y
    if door == "PyDataset":
        return (Batches(y),)
    tf = pytest.importorskip("tensorflow")
    return (tf.data.Dataset.from_tensor_slices((X, y)).batch(8),)


CASES: dict[str, tuple[Any, str, Any, dict[str, np.ndarray]]] = {
    "soft labels": (
        lambda: one_output("sigmoid"),
        "binary_crossentropy",
        lambda: [pc.Multilabel("out", soft=True)],
        {"out": SHARES},
    ),
    "soft labels of logits": (
        lambda: one_output("linear"),
        "logits",
        lambda: [pc.Multilabel("out", soft=True)],
        {"out": SHARES},
    ),
    "votes": (
        lambda: one_output("softmax"),
        "categorical_crossentropy",
        lambda: [pc.Multiclass("out", soft=True)],
        {"out": VOTES},
    ),
    "proportions": (
        several_outputs,
        "binary_crossentropy",
        lambda: [pc.Proportion(name) for name in NAMES],
        {name: SHARES[:, i : i + 1] for i, name in enumerate(NAMES)},
    ),
    "proportions by their distance": (
        several_outputs,
        "mse",
        lambda: [pc.Proportion(name, loss="brier") for name in NAMES],
        {name: SHARES[:, i : i + 1] for i, name in enumerate(NAMES)},
    ),
}
DOORS = ("arrays", "PyDataset", "tf.data")


def trained(model: keras.Model, *given: Any) -> list[np.ndarray]:
    options = {} if len(given) == 1 else {"batch_size": 8}
    model.fit(*given, epochs=2, shuffle=False, verbose=0, **options)
    return [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]


@pytest.fixture(scope="module")
def stock() -> Any:
    """Case -> the weights that stock Keras comes to, trained once each."""
    known: dict[str, list[np.ndarray]] = {}

    def weights(case: str) -> list[np.ndarray]:
        if case not in known:
            build, loss, _, y = CASES[case]
            model = build()
            loss = keras.losses.BinaryCrossentropy(from_logits=True) if loss == "logits" else loss
            model.compile(keras.optimizers.SGD(0.5), loss=dict.fromkeys(y, loss))
            known[case] = trained(model, X, y)
        return known[case]

    return weights


# On each backend every door with one case, and the case with an output for each number.
EVERYWHERE = {("proportions", "arrays"), *(("votes", door) for door in DOORS)}
WAYS = [
    pytest.param(case, door, marks=() if (case, door) in EVERYWHERE else once)
    for case in CASES
    for door in DOORS
]


@pytest.mark.parametrize(("case", "door"), WAYS)
def test_weights_are_those_of_stock_keras(case: str, door: str, stock: Any) -> None:
    if case in ("soft labels of logits", "proportions by their distance") and door != "arrays":
        pytest.skip("the way in does not matter to the loss")
    if keras.backend.backend() == "torch" and door == "tf.data":
        pytest.skip("once is enough")
    build, _, tasks, y = CASES[case]
    activations = {"out": "linear"} if case == "soft labels of logits" else None
    mine = pc.adopt(build(), tasks(), activations=activations)
    mine.compile(keras.optimizers.SGD(0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = trained(mine, *through(door, y))
    for one, other in zip(found, stock(case), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.fixture(scope="module")
def heads() -> tuple[pc.Model, dict[str, np.ndarray]]:
    """Proportions, some of them missing, through fused heads."""
    x = keras.Input((FEATURES,))
    model = pc.Model(
        x, pc.layers.Heads([pc.Proportion(name, metrics=["rmse", "r2"]) for name in NAMES])(x)
    )
    model.compile(keras.optimizers.Adam(0.1))
    y = {name: SHARES[:, i].astype("float64") for i, name in enumerate(NAMES)}
    y["p0"][:5] = np.nan
    model.fit(X, y, epochs=30, verbose=0)
    return model, y


def test_answers_are_shares_and_better_than_the_mean(
    heads: tuple[pc.Model, dict[str, np.ndarray]],
) -> None:
    model, y = heads
    model.evaluate(X, y, verbose=0)
    for name, values in model.predict(10 * X, verbose=0).items():
        assert values.shape == (ROWS,), name
        assert ((values >= 0) & (values <= 1)).all()
    assert all(skill > 0.5 for skill in model.skills.values())
    assert model.scores["p1"]["rmse"].trivial == pytest.approx(y["p1"].std(), rel=1e-3)
    assert len(model.layout.groups) == 1  # 200 of them cost what one layer costs


def test_a_saved_model_has_the_same_answers(heads: tuple[pc.Model, Any], tmp_path: Any) -> None:
    model, _ = heads
    model.save(tmp_path / "shares.keras")
    again = keras.saving.load_model(tmp_path / "shares.keras")
    for name, values in again.predict(X, verbose=0).items():
        np.testing.assert_allclose(values, model.predict(X, verbose=0)[name], atol=1e-6)


@pytest.mark.nobackend
def test_the_trivial_predictor_of_shares_is_their_mean() -> None:
    encoded = np.array([[0.0], [0.001], [np.nan], [0.002]])
    prior = pc.Proportion("rare").prior(encoded)
    assert 1 / (1 + np.exp(-prior[0])) == pytest.approx(0.001)
    votes = pc.Multiclass("votes", 3, soft=True)
    y = votes.encode([[0.2, 0.3, 0.5], [1, 0, 0], [np.nan] * 3])
    np.testing.assert_allclose(np.exp(votes.prior(y)), [0.6, 0.15, 0.25])
    np.testing.assert_array_equal(votes.encode([2, None]), [[0, 0, 1], [np.nan] * 3])


@pytest.mark.nobackend
def test_the_columns_of_a_frame_go_by_name() -> None:
    """Columns in another order are put right, and a strange one is refused."""
    import pandas as pd

    frame = pd.DataFrame({"b": [0.1, 0.2], "a": [0.9, 0.8]})
    for task in (
        pc.Multilabel("m", ["a", "b"], soft=True),
        pc.Multiclass("c", ["a", "b"], soft=True),
    ):
        np.testing.assert_array_equal(task.encode(frame), [[0.9, 0.1], [0.8, 0.2]])
    one_hot = pd.DataFrame({"b": [1, 0], "a": [0, 1]})
    np.testing.assert_array_equal(pc.Multiclass("c", ["a", "b"]).encode(one_hot), [[1], [0]])
    np.testing.assert_array_equal(pc.Multilabel("m", ["a", "b"]).encode(one_hot), [[0, 1], [1, 0]])
    # labels without names
    np.testing.assert_array_equal(pc.Multilabel("m", 2).encode(one_hot), [[1, 0], [0, 1]])
    with pytest.raises(pc.InputError, match=r"'m'.* 'c'.*known: 'a', 'b'"):
        pc.Multilabel("m", ["a", "b"]).encode(one_hot.rename(columns={"b": "c"}))


@pytest.mark.nobackend
def test_a_perfect_answer_has_skill_1_in_the_cross_entropy() -> None:
    """The cross-entropy of shares is lowest at their entropy, and not at 0."""
    task = pc.Proportion("p", metrics=["log_loss"])
    x = keras.Input((1,))
    model = pc.Model(x, pc.layers.Heads([task], kernel_initializer="ones", use_bias=False)(x))
    model.compile(keras.optimizers.SGD(0.0))
    shares = np.array([0.0, 0.1, 0.5, 0.8, 1.0])
    model.adapt({"p": shares})
    prior = model.units.prior[0]
    logits = np.log(np.clip(shares, 1e-9, 1 - 1e-9) / np.clip(1 - shares, 1e-9, 1 - 1e-9)) - prior
    model.evaluate(logits[:, None].astype("float32"), {"p": shares}, verbose=0)
    score = model.scores["p"]["log_loss"]
    assert score.ideal == pytest.approx(np.mean([0, 0.325083, 0.693147, 0.500402, 0]), rel=1e-4)
    assert score.value == pytest.approx(score.ideal, abs=1e-5)
    assert score.skill == pytest.approx(1.0, abs=1e-4)


REFUSED: dict[str, tuple[Any, list[str]]] = {
    "a share for Binary": (
        lambda: pc.Binary("b").encode([0, 1, 0.37]),
        ["'b'", "0.37", "pc.Proportion('b')"],
    ),
    "no share for Binary": (
        lambda: pc.Binary("b").encode([0, 1, 2]),
        ["'b'", "2", "where one is missing."],
    ),
    "a share for Multilabel": (
        lambda: pc.Multilabel("m", 2).encode([[0, 0.37]]),
        ["'m'", "0.37", "pc.Multilabel('m', soft=True)"],
    ),
    "shares for Multiclass": (
        lambda: pc.Multiclass("c", 2).encode([[0.4, 0.6], [1, 0]]),
        ["'c'", "row 0", "soft=True"],
    ),
    "a percentage": (
        lambda: pc.Proportion("p").encode([37, 12.5]),
        ["'p'", "37 in row 0", "divide", "100"],
    ),
    "a number": (
        lambda: pc.Proportion("p").encode([0.5, -3]),
        ["'p'", "-3 in row 1", "pc.Regression"],
    ),
    "a text": (lambda: pc.Proportion("p").encode(["37 %"]), ["'p'", "37 %"]),
    "shares that do not add up": (
        lambda: pc.Multiclass("c", 2, soft=True).encode([[0.5, 0.5], [0.5, 0.2]]),
        ["'c'", "row 1", "0.2", "add up to 1"],
    ),
    "half a row": (
        lambda: pc.Multiclass("c", 2, soft=True).encode([[0.5, np.nan]]),
        ["'c'", "row 0"],
    ),
    "accuracy of shares": (
        lambda: pc.Proportion("p", metrics=["accuracy"]),
        ["'accuracy'", "hard", "pc.Binary"],
    ),
    "f1 of shares": (
        lambda: pc.Multilabel("m", 2, soft=True, metrics=["f1"]),
        ["'f1'", "hard", "soft=True"],
    ),
    "auc of votes": (
        lambda: pc.Multiclass("c", 2, soft=True, metrics=["AUC"]),
        ["'AUC'", "hard", "soft=True"],
    ),
    "a head of several": (
        lambda: pc.adopt(one_output("sigmoid"), [pc.Regression("out")]),
        ["'out'", "4 columns", "pc.Multilabel('out', soft=True)"],
    ),
    "class weights": (
        lambda: _fit_votes(class_weight={"out": "balanced"}),
        ["'out'", "class_weight", "sample_weight"],
    ),
}


def _fit_votes(**options: Any) -> None:
    x = keras.Input((FEATURES,))
    model = pc.Model(x, pc.layers.Heads([pc.Multiclass("out", OUTPUTS, soft=True)])(x))
    model.compile("sgd")
    model.fit(X, {"out": VOTES}, verbose=0, **options)


@pytest.mark.nobackend
@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_the_way_out(case: str) -> None:
    call, words = REFUSED[case]
    with pytest.raises(pc.InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.nobackend
def test_a_numeric_target_within_0_and_1_stays_regression_and_names_the_kind() -> None:
    from polycera.data import read, tasks_for

    table = read({"p": [0.1, 0.2, 0.5, 0.9], "x": [1.0, 2.0, 3.0, 4.0]})
    tasks, reasons = tasks_for(table, ["p"])
    assert tasks == [pc.Regression("p")]
    assert "'proportion'" in reasons["p"]
    tasks, reasons = tasks_for(table, {"p": "proportion"})
    assert tasks == [pc.Proportion("p")]
    percent = read({"p": [10.0, 20.0, 50.0, 90.0], "x": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(pc.InputError, match=r"10 in row 0.*divide percentages by 100"):
        tasks_for(percent, {"p": "proportion"})


@pytest.mark.nobackend  # nothing in it that depends on one: the slow part of these tests runs once
@pytest.mark.filterwarnings("ignore:Column 'x[01]' is nearly a copy")
def test_a_table_of_shares_becomes_a_run(tmp_path: Any) -> None:
    """Members, landmarks, blend, quality, importance, predictions for proportions, soft labels."""
    n = 60
    columns: dict[str, Any] = {f"x{i}": rng.normal(size=n) for i in range(3)}
    z = np.stack([columns["x0"], columns["x1"] - columns["x0"], -columns["x1"]], axis=1)
    share = 1 / (1 + np.exp(-z))
    votes = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    columns |= {"share": share[:, 0], "a": share[:, 1], "b": share[:, 2]}
    columns |= {"u": votes[:, 0], "v": votes[:, 1], "w": votes[:, 2]}
    columns["a"][3] = np.nan
    targets = [
        {"share": "proportion"},
        pc.Multilabel("parts", labels=["a", "b"], soft=True),
        pc.Multiclass("votes", classes=["u", "v", "w"], soft=True),
    ]
    run = pc.fit(
        columns,
        targets=targets,
        out=tmp_path / "run",
        training={"max_steps": 60},
        network={"width": 16},
        progress=False,
    )
    found = run.predict({name: columns[name] for name in ("x0", "x1", "x2")})
    assert set(found.pop("votes")) <= {"u", "v", "w"}
    for name, values in found.items():
        assert ((np.asarray(values) >= 0) & (np.asarray(values) <= 1)).all(), name
    test = run.metrics["test"]
    assert test["share"]["rmse"]["skill"] > 0.7
    assert test["parts"]["rmse"]["skill"] > 0.7
    assert test["votes"]["log_loss"]["skill"] > 0.7
    assert "threshold" not in str(run.thresholds or "")
