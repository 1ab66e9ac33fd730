"""Tasks that pc.adopt reads from what a stock Keras model was compiled with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from keras.layers import Dense

import polycera as pc

N = 32
X = np.random.default_rng(0).normal(size=(N, 4)).astype("float32")
ENDS: dict[str, tuple[int, str | None]] = {
    "churn": (1, "sigmoid"),
    "loss_eur": (1, None),
    "topic": (3, "softmax"),
    "tags": (4, "sigmoid"),
    "visits": (1, "exponential"),
}


def network(*names: str, structure: type = dict) -> keras.Model:
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    h = Dense(6, activation="tanh")(x)
    outputs = {n: Dense(ENDS[n][0], activation=ENDS[n][1], name=n)(h) for n in names}
    return keras.Model(x, outputs if structure is dict else list(outputs.values()))


def large_error(y: Any, p: Any) -> Any:
    return ops.mean(ops.relu(ops.abs(y - p) - 10.0), axis=-1)


def compiled(*names: str, structure: type = dict, **given: Any) -> keras.Model:
    model = network(*names, structure=structure)
    model.compile(keras.optimizers.SGD(0.05), **given)
    return model


L = keras.losses
READ: dict[str, tuple[Callable[[], keras.Model], list[Any]]] = {
    "dicts": (
        lambda: compiled(
            *("churn", "loss_eur"),
            loss={"churn": "binary_crossentropy", "loss_eur": "mse"},
            loss_weights={"churn": 2.0, "loss_eur": 0.5},
            metrics={"churn": ["accuracy"], "loss_eur": ["mae"]},
        ),
        [
            pc.Binary("churn", weight=2.0, metrics=["accuracy"]),
            pc.Regression("loss_eur", weight=0.5, metrics=["mae"], standardize=False),
        ],
    ),
    "lists in the order of the outputs": (
        lambda: compiled(
            *("loss_eur", "churn"),
            structure=list,
            loss=["mae", "bce"],
            loss_weights=[0.25, 1],
            metrics=[["mae"], []],
        ),
        [
            pc.Regression("loss_eur", loss="mae", weight=0.25, metrics=["mae"], standardize=False),
            pc.Binary("churn"),
        ],
    ),
    "one output": (
        lambda: compiled("loss_eur", structure=list, loss="mse", metrics=["mae"]),
        [pc.Regression("loss_eur", metrics=["mae"], standardize=False)],
    ),
    "one loss for all": (
        lambda: compiled("churn", "tags", loss="binary_crossentropy"),
        [pc.Binary("churn"), "tags"],
    ),
    "objects": (
        lambda: compiled(
            *("churn", "topic", "visits"),
            loss={
                "churn": L.BinaryCrossentropy(label_smoothing=0.1),
                "topic": L.CategoricalCrossentropy(),
                "visits": L.Poisson(),
            },
        ),
        [pc.Binary("churn", label_smoothing=0.1), pc.Multiclass("topic", 3), pc.Count("visits")],
    ),
    "functions of Keras": (
        lambda: compiled(
            "topic",
            "loss_eur",
            loss={"topic": L.sparse_categorical_crossentropy, "loss_eur": L.huber},
        ),
        [pc.Multiclass("topic", 3), pc.Regression("loss_eur", loss="huber", standardize=False)],
    ),
    "several losses of one output": (
        lambda: compiled(
            "loss_eur", loss={"loss_eur": ["mse", "mae"]}, loss_weights={"loss_eur": [0.8, 0.2]}
        ),
        [pc.Regression("loss_eur", loss={"mse": 0.8, "mae": 0.2}, standardize=False)],
    ),
    "an output without a loss": (
        lambda: compiled("loss_eur", "churn", loss={"churn": "binary_crossentropy"}),
        [pc.Binary("churn")],
    ),
}


@pytest.mark.nobackend
@pytest.mark.parametrize("case", READ)
def test_what_is_read(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Kinds, losses, weights and metrics; and what is printed is code that makes the same tasks."""
    make, expected = READ[case]
    model = pc.adopt(make())
    if case == "one loss for all":
        expected = [expected[0], pc.Multilabel("tags", 4)]
    assert list(model.tasks.values()) == expected
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert printed.startswith("pc.adopt read from compile: tasks=[pc.")
    written = eval(printed.split("tasks=", 1)[1], {"pc": pc, "keras": keras})
    assert list(pc.adopt(network(*model.tasks), written).tasks.values()) == expected


@pytest.mark.nobackend
def test_a_loss_of_ones_own_on_a_linear_head_is_a_regression_in_the_users_units() -> None:
    model = pc.adopt(compiled("loss_eur", loss=large_error))
    assert isinstance(model.tasks["loss_eur"], pc.Regression)
    assert not model.tasks["loss_eur"].standardize
    assert model.tasks["loss_eur"].terms[0].loss is large_error


@pytest.mark.nobackend
def test_kinds_by_name() -> None:
    """Without a compile they are the kinds' defaults; with one, the rest is read."""
    plain = pc.adopt(network("churn", "loss_eur"), {"churn": "binary", "loss_eur": "regression"})
    assert list(plain.tasks.values()) == [pc.Binary("churn"), pc.Regression("loss_eur")]
    assert not plain.compiled
    mixed = pc.adopt(compiled("churn", loss=large_error), {"churn": "binary"})
    assert mixed.tasks["churn"].terms[0].loss is large_error
    ready = pc.adopt(
        network("churn", "visits"), {"churn": pc.Binary("churn", weight=2.0), "visits": "count"}
    )
    assert ready.tasks["churn"].weight == 2.0


@pytest.mark.nobackend
def test_standardize_for_all() -> None:
    assert (
        pc.adopt(compiled("loss_eur", loss="mse"), standardize=True).tasks["loss_eur"].standardize
    )


REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "not compiled": (
        lambda: pc.adopt(network("churn")),
        ["not compiled", "{'churn': 'regression', ...}"],
    ),
    "no loss": (lambda: pc.adopt(compiled("churn")), ["without a loss", "'churn'"]),
    "a list on a dict of outputs": (
        lambda: pc.adopt(compiled("loss_eur", "churn", loss=["mse", "binary_crossentropy"])),
        ["sorted order", "loss={'loss_eur': 'mse', 'churn': 'binary_crossentropy'}"],
    ),
    "weights for nobody": (
        lambda: pc.adopt(compiled("loss_eur", loss="mse", loss_weights={"Loss_eur": 2.0})),
        ["loss_weights", "did you mean 'loss_eur'"],
    ),
    "a loss of nobody": (
        lambda: pc.adopt(compiled("loss_eur", "churn", loss={"price": "mse"})),
        ["'price'", "'loss_eur', 'churn'"],
    ),
    "probabilities that are none": (
        lambda: pc.adopt(compiled("loss_eur", loss="binary_crossentropy")),
        ["takes probabilities", "linear", "from_logits=True"],
    ),
    "logits that are none": (
        lambda: pc.adopt(compiled("churn", loss=L.BinaryCrossentropy(from_logits=True))),
        ["from_logits=True", "'sigmoid'"],
    ),
    "a sum over the batch": (
        lambda: pc.adopt(compiled("loss_eur", loss=L.MeanSquaredError(reduction="sum"))),
        ["reduction='sum'", "batch size"],
    ),
    "a loss of one's own on a sigmoid": (
        lambda: pc.adopt(compiled("churn", loss=large_error)),
        ["'churn'", "large_error", "'sigmoid'", "pc.adopt(model, {'churn': 'regression', ...})"],
    ),
    "another length": (
        lambda: pc.adopt(
            compiled("loss_eur", "churn", structure=list, loss="mse", loss_weights=[1.0])
        ),
        ["loss_weights", "1 entries for 2 outputs"],
    ),
    "a kind of nobody": (
        lambda: pc.adopt(network("churn"), {"churn": "binery"}),
        ["did you mean 'binary'"],
    ),
    "a kind for nobody": (
        lambda: pc.adopt(network("churn"), {"chrun": "binary"}),
        ["did you mean 'churn'"],
    ),
    "a kind that is none": (
        lambda: pc.adopt(network("churn"), {"churn": 3}),
        ["'churn'", "int", "'binary'"],
    ),
    "classes that are labels": (
        lambda: pc.adopt(compiled("tags", loss="categorical_crossentropy")),
        ["'tags'", "'sigmoid'", "pc.Multilabel('tags')"],
    ),
}


@pytest.mark.nobackend
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    call, words = REFUSED[case]
    with pytest.raises(pc.InputError) as error:
        call()
    for word in words:
        assert word in str(error.value)


@pytest.mark.nobackend
def test_a_metric_without_a_counterpart_is_left_out_and_said() -> None:
    with pytest.warns(UserWarning, match="'loss_eur'.*'cosine_similarity'"):
        model = pc.adopt(compiled("loss_eur", loss="mse", metrics=["mae", "cosine_similarity"]))
    assert model.tasks["loss_eur"].metrics == ("mae",)


def test_one_line_trains_as_stock_keras_does() -> None:
    """A script's own model and compile, adopted in one line: equal weights after equal steps."""
    names = ("churn", "loss_eur", "topic", "tags")
    rng = np.random.default_rng(1)
    y: dict[str, Any] = {
        "churn": (X[:, :1] > 0).astype("float32"),
        "loss_eur": 10 + X[:, 1:2],
        "topic": rng.integers(0, 3, (N, 1)),
        "tags": rng.integers(0, 2, (N, 4)).astype("float32"),
    }
    losses = [
        "binary_crossentropy",
        "mse",
        "sparse_categorical_crossentropy",
        "binary_crossentropy",
    ]
    given = {
        "loss": dict(zip(names, losses, strict=True)),
        "loss_weights": {"loss_eur": 0.1, **dict.fromkeys(("churn", "topic", "tags"), 1.0)},
    }
    theirs, beside = (compiled(*names, **given) for _ in range(2))
    model = pc.adopt(theirs)
    logs = model.fit(X, y, epochs=2, batch_size=16, shuffle=False, verbose=0).history
    kept = beside.fit(X, y, epochs=2, batch_size=16, shuffle=False, verbose=0).history
    assert logs["loss"][-1] == pytest.approx(kept["loss"][-1], rel=1e-5)
    for own, stock in zip(theirs.get_weights(), beside.get_weights(), strict=True):
        np.testing.assert_allclose(own, stock, atol=1e-5)
