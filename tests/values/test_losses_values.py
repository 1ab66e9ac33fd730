"""Test losses against stock Keras and scikit-learn; foreign losses; stability; a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import losses as kl
from keras import ops
from sklearn.metrics import mean_pinball_loss
from small import compiled, from_numpy, loss_of, unscaled, value_and_gradient

import polycera as pc
from polycera.model.objective import Objective
from polycera.tasks import Layout

N = 12
CLASSES = 4
LEVELS = (0.1, 0.5, 0.9)


def task(kind: str, **options: Any) -> Any:
    made: dict[str, Callable[..., Any]] = {
        "regression": lambda **o: pc.Regression("t", standardize=False, **o),
        "binary": lambda **o: pc.Binary("t", **o),
        "multiclass": lambda **o: pc.Multiclass("t", CLASSES, **o),
        "multilabel": lambda **o: pc.Multilabel("t", CLASSES, **o),
        "ordinal": lambda **o: pc.Ordinal("t", CLASSES, **o),
        "count": lambda **o: pc.Count("t", **o),
        "quantile": lambda **o: pc.Quantile("t", quantiles=LEVELS, standardize=False, **o),
        "proportion": lambda **o: pc.Proportion("t", **o),
        "soft multilabel": lambda **o: pc.Multilabel("t", CLASSES, soft=True, **o),
        "soft multiclass": lambda **o: pc.Multiclass("t", CLASSES, soft=True, **o),
    }
    return made[kind](**options)


def outputs(kind: str, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels as encoded, and raw outputs."""
    rng = np.random.default_rng(5)
    own = task(kind)
    labels = {
        "regression": rng.normal(size=(N, 1)),
        "quantile": rng.normal(size=(N, 1)),
        "count": rng.poisson(2, (N, 1)),
        "binary": rng.integers(0, 2, (N, 1)),
        "multilabel": rng.integers(0, 2, (N, CLASSES)),
        "multiclass": rng.integers(0, CLASSES, (N, 1)),
        "ordinal": rng.integers(0, CLASSES, (N, 1)),
        "proportion": rng.random((N, 1)),
        "soft multilabel": rng.random((N, CLASSES)),
        "soft multiclass": rng.dirichlet(np.ones(CLASSES), N),
    }
    return labels[kind].astype("float32"), rng.normal(0, spread, (N, own.units)).astype("float32")


def ours(own: Any, y: np.ndarray, raw: Any) -> Any:
    layout = Layout.of([own])
    step = compiled(lambda y, raw, kept: loss_of(Objective(layout), y, raw, None, kept))
    return step(ops.convert_to_tensor(y), ops.convert_to_tensor(raw), unscaled(layout))


def one_hot(y: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES, dtype="float32")[y[:, 0].astype(int)]


def stock(loss: Any) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda y, raw: float(loss(y, raw))


def by_label(loss: Any) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda y, raw: float(
        np.mean([loss(y[:, i : i + 1], raw[:, i : i + 1]) for i in range(y.shape[1])])
    )


def of_answers(loss: Any) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda y, raw: float(loss(y, 1 / (1 + np.exp(-raw))))


def of_classes(loss: Any) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda y, raw: float(loss(one_hot(y), raw))


def of_rates(y: np.ndarray, raw: np.ndarray) -> float:
    return float(kl.Poisson()(y, np.exp(raw)))


def of_levels(y: np.ndarray, raw: np.ndarray) -> float:
    """CORN by hand: the conditional probability of each step that was asked for."""
    total = 0.0
    for level, steps in zip(y[:, 0].astype(int), raw.astype("float64"), strict=True):
        passed = 1 / (1 + np.exp(-steps))
        total -= np.log(passed[:level]).sum() + (
            np.log(1 - passed[level]) if level < CLASSES - 1 else 0.0
        )
    return total / N


def of_quantiles(y: np.ndarray, raw: np.ndarray) -> float:
    return float(
        np.mean([mean_pinball_loss(y[:, 0], raw[:, i], alpha=q) for i, q in enumerate(LEVELS)])
    )


def weighted_positives(y: np.ndarray, raw: np.ndarray) -> float:
    """pos_weight as torch defines it."""
    y, raw = y.astype("float64"), raw.astype("float64")
    return float(np.mean(3.0 * y * np.logaddexp(0, -raw) + (1 - y) * np.logaddexp(0, raw)))


BCE, CE = kl.BinaryCrossentropy, kl.CategoricalCrossentropy
AGAINST = {
    "mse": ("regression", {"loss": "mse"}, stock(kl.MeanSquaredError())),
    "mae": ("regression", {"loss": "mae"}, stock(kl.MeanAbsoluteError())),
    "huber": ("regression", {"loss": "huber"}, stock(kl.Huber())),
    "log_cosh": ("regression", {"loss": "log_cosh"}, stock(kl.LogCosh())),
    "long name": ("regression", {"loss": "mean_absolute_error"}, stock(kl.MeanAbsoluteError())),
    "bce": ("binary", {}, stock(BCE(from_logits=True))),
    "bce smooth": (
        "binary",
        {"label_smoothing": 0.2},
        stock(BCE(from_logits=True, label_smoothing=0.2)),
    ),
    "pos_weight": ("binary", {"pos_weight": 3.0}, weighted_positives),
    "labels": ("multilabel", {}, stock(BCE(from_logits=True))),
    "labels smooth": (
        "multilabel",
        {"label_smoothing": 0.3},
        stock(BCE(from_logits=True, label_smoothing=0.3)),
    ),
    "labels pos_weight": ("multilabel", {"pos_weight": [3.0] * CLASSES}, weighted_positives),
    "ce": ("multiclass", {}, of_classes(CE(from_logits=True))),
    "ce smooth": (
        "multiclass",
        {"label_smoothing": 0.2},
        of_classes(CE(from_logits=True, label_smoothing=0.2)),
    ),
    "sparse name": (
        "multiclass",
        {"loss": "sparse_categorical_crossentropy"},
        of_classes(CE(from_logits=True)),
    ),
    "poisson": ("count", {}, of_rates),
    "corn": ("ordinal", {}, of_levels),
    "pinball": ("quantile", {}, of_quantiles),
    "shares": ("proportion", {}, stock(BCE(from_logits=True))),
    "shares brier": ("proportion", {"loss": "brier"}, of_answers(kl.MeanSquaredError())),
    "shares mae": (
        "proportion",
        {"loss": "mean_absolute_error"},
        of_answers(kl.MeanAbsoluteError()),
    ),
    "shares huber": ("proportion", {"loss": "huber"}, of_answers(kl.Huber())),
    "soft labels": ("soft multilabel", {}, stock(BCE(from_logits=True))),
    "soft labels smooth": (
        "soft multilabel",
        {"label_smoothing": 0.2},
        stock(BCE(from_logits=True, label_smoothing=0.2)),
    ),
    "soft classes": ("soft multiclass", {}, stock(CE(from_logits=True))),
    "soft classes smooth": (
        "soft multiclass",
        {"label_smoothing": 0.2},
        stock(CE(from_logits=True, label_smoothing=0.2)),
    ),
    "brier": ("binary", {"loss": "brier"}, of_answers(kl.MeanSquaredError())),
    # from Keras
    "msle": (
        "regression",
        {"loss": "mean_squared_logarithmic_error"},
        stock(kl.MeanSquaredLogarithmicError()),
    ),
    "object": ("regression", {"loss": kl.Huber(delta=0.3)}, stock(kl.Huber(delta=0.3))),
    "hinge": ("binary", {"loss": "hinge"}, stock(kl.Hinge())),
    "hinge function": ("binary", {"loss": kl.hinge}, stock(kl.Hinge())),
    "squared hinge": ("binary", {"loss": kl.SquaredHinge()}, stock(kl.SquaredHinge())),
    "bce of logits": ("binary", {"loss": BCE(from_logits=True)}, stock(BCE(from_logits=True))),
    "bce of probabilities": ("binary", {"loss": BCE()}, stock(BCE(from_logits=True))),
    "bce function": ("binary", {"loss": kl.binary_crossentropy}, stock(BCE(from_logits=True))),
    "focal": (
        "binary",
        {"loss": "binary_focal_crossentropy"},
        stock(kl.BinaryFocalCrossentropy(from_logits=True)),
    ),
    "focal object": (
        "binary",
        {"loss": kl.BinaryFocalCrossentropy(gamma=3.0)},
        stock(kl.BinaryFocalCrossentropy(gamma=3.0, from_logits=True)),
    ),
    "labels hinge": ("multilabel", {"loss": "hinge"}, by_label(kl.Hinge())),
    "labels object": ("multilabel", {"loss": BCE(from_logits=True)}, stock(BCE(from_logits=True))),
    "ce of logits": (
        "multiclass",
        {"loss": CE(from_logits=True)},
        of_classes(CE(from_logits=True)),
    ),
    "ce of probabilities": ("multiclass", {"loss": CE()}, of_classes(CE(from_logits=True))),
    "sparse object": (
        "multiclass",
        {"loss": kl.SparseCategoricalCrossentropy(from_logits=True)},
        of_classes(CE(from_logits=True)),
    ),
    "sparse function": (
        "multiclass",
        {"loss": kl.sparse_categorical_crossentropy},
        of_classes(CE(from_logits=True)),
    ),
    "focal classes": (
        "multiclass",
        {"loss": "categorical_focal_crossentropy"},
        of_classes(kl.CategoricalFocalCrossentropy(from_logits=True)),
    ),
    "categorical hinge": (
        "multiclass",
        {"loss": "categorical_hinge"},
        of_classes(kl.CategoricalHinge()),
    ),
    "Keras poisson": ("count", {"loss": kl.Poisson()}, of_rates),
    # a user's own
    "function": (
        "regression",
        {"loss": lambda y, p: ops.abs(y - p)},
        stock(kl.MeanAbsoluteError()),
    ),
    "function [n]": (
        "regression",
        {"loss": lambda y, p: ops.abs(y - p)[:, 0]},
        stock(kl.MeanAbsoluteError()),
    ),
    "function of classes": (
        "multiclass",
        {"loss": lambda y, p: -ops.sum(y * ops.log(p), axis=-1)},
        of_classes(CE(from_logits=True)),
    ),
    "function of rates": ("count", {"loss": lambda y, rate: rate - y * ops.log(rate)}, of_rates),
}


@pytest.mark.parametrize("name", AGAINST)
def test_value_is_that_of_the_peer(name: str) -> None:
    kind, options, peer = AGAINST[name]
    y, raw = outputs(kind)
    if name == "msle":
        y, raw = np.abs(y), np.abs(raw)
    assert float(ours(task(kind, **options), y, raw)) == pytest.approx(peer(y, raw), rel=2e-5)


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_pos_weight_is_that_of_torch(kind: str, backend: str) -> None:
    if backend != "torch":
        pytest.skip("torch's own function, where torch is there anyway")
    import torch

    y, raw = outputs(kind)
    weight = 2.5 if kind == "binary" else [0.5, 2.0, 3.0, 1.0]
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(raw), torch.tensor(y), pos_weight=torch.tensor(weight)
    )
    assert float(ours(task(kind, pos_weight=weight), y, raw)) == pytest.approx(
        float(theirs), rel=1e-6
    )


OWN_LOSSES = [(kind, name) for kind, losses in pc.tasks.terms.LOSSES.items() for name in losses]


@pytest.mark.parametrize(("kind", "name"), OWN_LOSSES)
def test_finite_at_raw_outputs_of_ten_thousand(kind: str, name: str) -> None:
    y, raw = outputs(kind)
    own = task(kind, loss=name)
    both = value_and_gradient(lambda at: ours(own, y, at))
    for sign in (1, -1):
        value, gradient = both(np.full_like(raw, sign * 1e4))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        assert value >= 0 or kind == "count"
        if kind in ("binary", "multilabel") and name == "bce":
            assert value > 100  # not clipped at log(1e-7) = 16, as probabilities are


@pytest.mark.parametrize("kind", ["binary", "multilabel", "multiclass", "ordinal"])
def test_gradient_is_alive_where_probabilities_would_be_clipped(kind: str) -> None:
    y, raw = outputs(kind)
    gradient = value_and_gradient(lambda at: ours(task(kind), y, at))(np.full_like(raw, -40.0))[1]
    assert np.abs(gradient).max() > 0.01


def test_several_losses_add_up_with_their_weights() -> None:
    y, raw = outputs("regression")
    single = {
        loss: float(ours(task("regression", loss=loss), y, raw)) for loss in ("mse", "mae", "huber")
    }
    mixed = float(
        ours(task("regression", loss={"mse": 0.5, "mae": 2.0, "huber": 0.0}, weight=3.0), y, raw)
    )
    assert mixed == pytest.approx(3 * (0.5 * single["mse"] + 2 * single["mae"]), rel=1e-6)
    pairs = task("regression", loss=[("mse", 0.5), (kl.MeanAbsoluteError(), 2.0)], weight=3.0)
    assert float(ours(pairs, y, raw)) == pytest.approx(mixed, rel=1e-6)


def test_tasks_that_share_a_function_are_told_apart() -> None:
    """A foreign loss is called once for all tasks that share it."""

    def cubed(y: Any, p: Any) -> Any:
        return ops.abs(y - p) ** 3

    y, raw = outputs("regression")
    other_y, other_raw = y[::-1] * 2.0, raw[::-1] + 1.0
    tasks = [
        pc.Regression(name, standardize=False, loss=cubed, weight=w)
        for name, w in (("a", 1.0), ("b", 10.0))
    ]
    layout = Layout.of(tasks)
    both = [np.concatenate(pair, axis=1) for pair in ((y, other_y), (raw, other_raw))]
    together = loss_of(Objective(layout), *map(ops.convert_to_tensor, both), None, unscaled(layout))
    by_hand = np.mean(np.abs(y - raw) ** 3) + 10 * np.mean(np.abs(other_y - other_raw) ** 3)
    assert float(together) == pytest.approx(float(by_hand), rel=1e-5)


def test_tasks_with_different_losses_in_one_group() -> None:
    tasks = [
        pc.Binary("a"),
        pc.Binary("b", loss={"bce": 1.0, "hinge": 2.0}),
        pc.Binary("c", loss="hinge"),
        pc.Binary("d", pos_weight=2.0),
    ]
    rng = np.random.default_rng(0)
    y, raw = rng.integers(0, 2, (N, 4)).astype("float32"), rng.normal(size=(N, 4)).astype("float32")
    layout = Layout.of(tasks)
    tensors = map(ops.convert_to_tensor, (y, raw))
    value = float(loss_of(Objective(layout), *tensors, None, unscaled(layout)))
    bce, hinge = BCE(from_logits=True), kl.Hinge()
    y64, raw64 = y.astype("float64"), raw.astype("float64")
    weighted = np.mean(
        2 * y64 * np.logaddexp(0, -raw64) + (1 - y64) * np.logaddexp(0, raw64), axis=0
    )[3]
    expected = float(bce(y[:, :1], raw[:, :1])) + float(bce(y[:, 1:2], raw[:, 1:2])) + weighted
    expected += 2 * float(hinge(y[:, 1:2], raw[:, 1:2])) + float(hinge(y[:, 2:3], raw[:, 2:3]))
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 3)).astype("float32")
    y = {"price": (x[:, 0] - x[:, 1]).astype("float32"), "sold": (x[:, 2] > 0).astype("float32")}
    weights = {
        "price": rng.uniform(0.1, 2, 40).astype("float32"),
        "sold": rng.uniform(0.1, 2, 40).astype("float32"),
    }
    return x, y, weights


def test_training_is_that_of_stock_keras(rows: Any) -> None:
    """Two tasks, complete labels, task and row weights: equal losses and weights, step by step."""
    x, y, sample_weight = rows
    trunk = lambda inputs: keras.layers.Dense(5, activation="tanh")(inputs)  # noqa: E731
    inputs = keras.Input((3,))
    tasks = [pc.Regression("price", standardize=False, weight=0.5), pc.Binary("sold", weight=2.0)]
    mine = pc.Model(inputs, pc.layers.Heads(tasks)(trunk(inputs)))
    mine.compile(keras.optimizers.SGD(0.1))
    mine.adapt(y)
    mine.heads[0].prior.assign(np.zeros(2))
    from_numpy(mine)

    inputs = keras.Input((3,))
    h = trunk(inputs)
    theirs = keras.Model(inputs, {name: keras.layers.Dense(1, name=name)(h) for name in y})
    theirs.compile(
        keras.optimizers.SGD(0.1),
        loss={"price": "mse", "sold": BCE(from_logits=True)},
        loss_weights={"price": 0.5, "sold": 2.0},
    )
    kernel, bias, head, head_bias = [ops.convert_to_numpy(v) for v in mine.trainable_variables]
    start = [kernel, bias, head[:, :1], head_bias[:1], head[:, 1:], head_bias[1:]]
    for variable, value in zip(theirs.trainable_variables, start, strict=True):
        variable.assign(value)

    options = dict(sample_weight=sample_weight, batch_size=40, epochs=5, verbose=0, shuffle=False)
    ours_losses = mine.fit(x, y, **options).history["loss"]
    columns = {name: values[:, None] for name, values in y.items()}
    stock_losses = theirs.fit(x, columns, **options).history["loss"]
    assert ours_losses == pytest.approx(stock_losses, rel=1e-5)
    assert ours_losses[-1] < ours_losses[0]
    trained = [ops.convert_to_numpy(v) for v in mine.trainable_variables]
    moved = [
        trained[0],
        trained[1],
        trained[2][:, :1],
        trained[3][:1],
        trained[2][:, 1:],
        trained[3][1:],
    ]
    for variable, value in zip(theirs.trainable_variables, moved, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(variable), value, rtol=1e-4, atol=1e-6)


def test_class_weight_is_a_sample_weight_by_class(rows: Any) -> None:
    x, y, _ = rows
    model = pc.Model(
        (inputs := keras.Input((3,))),
        pc.layers.Heads([pc.Binary("sold"), pc.Regression("price")])(inputs),
    )
    model.compile(keras.optimizers.SGD(0.0))
    by_class = {"sold": {0: 0.5, 1: 3.0}}
    by_row = {"sold": np.where(y["sold"] > 0, 3.0, 0.5)}
    first = model.fit(x, y, class_weight=by_class, verbose=0).history
    second = model.fit(x, y, sample_weight=by_row, verbose=0).history
    assert first["sold/bce"] == pytest.approx(second["sold/bce"], rel=1e-6)
    balanced = model.fit(x, y, class_weight={"sold": "balanced"}, verbose=0).history["sold/bce"]
    share = y["sold"].mean()
    half = {"sold": np.where(y["sold"] > 0, 0.5 / share, 0.5 / (1 - share))}
    assert balanced == pytest.approx(
        model.fit(x, y, sample_weight=half, verbose=0).history["sold/bce"], rel=1e-6
    )


def test_class_weight_leaves_validation_rows_alone(rows: Any) -> None:
    x, y, _ = rows
    model = pc.Model(
        (inputs := keras.Input((3,))),
        pc.layers.Heads([pc.Binary("sold"), pc.Regression("price")])(inputs),
    )
    model.compile(keras.optimizers.SGD(0.0))
    plain = model.fit(x, y, validation_split=0.5, verbose=0).history
    for weight in ({0: 0.5, 1: 3.0}, "balanced"):
        weighted = model.fit(
            x, y, class_weight={"sold": weight}, validation_split=0.5, verbose=0
        ).history
        assert weighted["val_sold/bce"] == pytest.approx(plain["val_sold/bce"], rel=1e-6)
        assert weighted["sold/bce"] != pytest.approx(plain["sold/bce"], rel=1e-3)
    separate = model.fit(
        x[:20], {n: v[:20] for n, v in y.items()}, class_weight={"sold": "balanced"}, verbose=0
    )
    assert weighted["sold/bce"] == pytest.approx(separate.history["sold/bce"], rel=1e-5)
