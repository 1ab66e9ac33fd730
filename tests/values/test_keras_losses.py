"""Test all losses of Keras, in every form, for every kind: one value and scale, or a refusal."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from small import dense, from_numpy, once

import polycera as pc
from polycera.model.objective import Objective
from polycera.tasks import keras_losses
from polycera.tasks.keras_losses import FAMILIES, FITS, check_fit

CLASSES = sorted(
    name
    for name, value in vars(keras.losses).items()
    if isinstance(value, type)
    and issubclass(value, keras.losses.Loss)
    and value is not keras.losses.Loss
)
FUNCTIONS = sorted(
    name
    for name, value in vars(keras.losses).items()
    if callable(value)
    and not isinstance(value, type)
    and name not in ("get", "serialize", "deserialize")
)

TASKS: dict[str, Any] = {
    "regression": pc.Regression,
    "quantile": pc.Quantile,
    "count": pc.Count,
    "proportion": pc.Proportion,
    "binary": pc.Binary,
    "multilabel": functools.partial(pc.Multilabel, labels=3),
    "soft multilabel": functools.partial(pc.Multilabel, labels=3, soft=True),
    "multiclass": functools.partial(pc.Multiclass, classes=3),
    "soft multiclass": functools.partial(pc.Multiclass, classes=3, soft=True),
    "ordinal": functools.partial(pc.Ordinal, classes=3),
}


@pytest.mark.nobackend
def test_every_loss_of_this_keras_is_in_the_table() -> None:
    assert sorted(FAMILIES) == CLASSES
    for name in FUNCTIONS:
        assert keras_losses.named(name) is not None, name
        assert keras_losses.class_of(getattr(keras.losses, name)) is keras_losses.named(name)
    for short, long in {
        "mape": "MeanAbsolutePercentageError",
        "kld": "KLDivergence",
        "MSLE": "MeanSquaredLog",
    }.items():
        assert keras_losses.named(short).__name__.startswith(long)
    assert keras_losses.named("nothing") is None
    assert keras_losses.named("Loss") is None


def written(name: str) -> dict[str, Any]:
    """The three ways to write a loss."""
    own = getattr(keras.losses, name)
    found: dict[str, Any] = {"name": name, "object": own()}
    functions = [f for f in FUNCTIONS if keras_losses.named(f) is own]
    return found | ({"function": getattr(keras.losses, functions[0])} if functions else {})


@pytest.mark.nobackend
@pytest.mark.parametrize("kind", TASKS)
def test_a_loss_fits_or_is_refused_however_it_is_written(kind: str) -> None:
    for name in CLASSES:
        for way, loss in written(name).items():
            task = TASKS[kind]("t", loss=loss)
            foreign = not isinstance(task.terms[0].loss, str)
            if not foreign or FAMILIES[name] in FITS[kind]:
                check_fit(task)
                continue
            with pytest.raises(pc.InputError) as caught:
                pc.layers.Heads([task])
            said = str(caught.value)
            assert "'t'" in said and task.terms[0].name in said and "; use" in said, (way, said)


def labels(kind: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return {
        "regression": lambda: rng.uniform(50, 900, n),
        "quantile": lambda: rng.uniform(50, 900, n),
        "count": lambda: rng.integers(1, 6, n),
        "proportion": lambda: rng.uniform(0.05, 1, n),
        "binary": lambda: rng.integers(0, 2, n),
        "multilabel": lambda: rng.integers(0, 2, (n, 3)),
        "soft multilabel": lambda: rng.uniform(0.05, 1, (n, 3)),
        "multiclass": lambda: rng.integers(0, 3, n),
        "soft multiclass": lambda: rng.dirichlet(np.ones(3), n),
        "ordinal": lambda: rng.integers(0, 3, n),
    }[kind]()


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind in ("binary", "multiclass") else once) for kind in TASKS],
)
def test_name_function_and_object_have_one_value_and_it_is_that_of_keras(kind: str) -> None:
    """In the user's units where the loss depends on them; else of standardised numbers."""
    n, tasks, expected = 16, [], {}
    y = labels(kind, n)
    for name in CLASSES:
        if FAMILIES[name] not in FITS[kind]:
            continue
        for way, loss in written(name).items():
            tasks.append(TASKS[kind](f"{name} {way}", loss=loss))
            expected[f"{name} {way}"] = getattr(keras.losses, name)()
    model = dense(tasks)
    from_numpy(model)
    x = np.random.default_rng(2).normal(size=(n, 3)).astype("float32")
    given = dict.fromkeys(model.tasks, y)
    model.adapt(given)
    model.test_on_batch(x, given)
    predictions = model.predict(x, verbose=0)
    logs = model.evaluate(x, given, verbose=0)
    units = model.units
    raw = dict(
        zip(model.tasks, np.split(ops.convert_to_numpy(model(x)), len(tasks), axis=1), strict=True)
    )
    for i, task in enumerate(model.tasks.values()):
        loss = expected[task.name]
        family = FAMILIES[type(loss).__name__]
        encoded = task.encode(y).astype("float32")
        true = (
            encoded
            if family == "index"
            else np.asarray(task.as_prediction(ops.convert_to_tensor(encoded), ops))
        )
        said = predictions[task.name].reshape(n, -1)
        if kind in ("regression", "quantile") and family == "distance":
            true, said = ((each - units.location[i]) / units.scale[i] for each in (true, said))
        if family in ("margin", "margin of classes"):
            said = raw[task.name]
        if "multilabel" in kind:  # label by label, as each may be missing
            value = np.mean([float(loss(true[:, j : j + 1], said[:, j : j + 1])) for j in range(3)])
        elif family == "index" and "Sparse" not in type(loss).__name__:
            # by hand, as Keras itself is wrong for [n, 1]
            value = float(
                np.mean((1 - np.take_along_axis(said, encoded.astype(int), 1) ** 0.5) / 0.5)
            )
        else:
            value = float(loss(true.astype("float32"), said.astype("float32")))
        logged = logs[f"{task.name}/{task.terms[0].name}"]
        if task.terms[0].loss == "poisson":
            value = float(np.mean(said - encoded * np.log(said)))
        assert logged == pytest.approx(value, rel=2e-4, abs=1e-6), task.name


@pytest.mark.nobackend
def test_terms_that_compute_the_same_are_one_part() -> None:
    """200 tasks with a loss of Keras cost what one costs, by name, as function or object."""
    ways = ["kl_divergence", keras.losses.kl_divergence, keras.losses.KLDivergence(), "kld"]
    tasks = [pc.Multiclass(f"t{i}", 3, loss=ways[i % 4]) for i in range(200)]
    parts = Objective(pc.tasks.Layout.of(tasks)).grouped_terms
    assert [len(part) for part in parts] == [1]
    apart = [
        pc.Regression("a", loss=keras.losses.Huber(2.0)),
        pc.Regression("b", loss=keras.losses.Huber(3.0)),
    ]
    assert [len(part) for part in Objective(pc.tasks.Layout.of(apart)).grouped_terms] == [2]
    lambdas = [pc.Regression(f"t{i}", loss=lambda y, p: ops.abs(y - p)) for i in range(3)]
    assert [len(part) for part in Objective(pc.tasks.Layout.of(lambdas)).grouped_terms] == [1]
    closures = [pc.Regression(f"t{i}", loss=lambda y, p, i=i: i * ops.abs(y - p)) for i in range(3)]
    assert [len(part) for part in Objective(pc.tasks.Layout.of(closures)).grouped_terms] == [3]


def network(ending: str) -> keras.Model:
    x = keras.Input((3,))
    return keras.Model(x, {"t": keras.layers.Dense(1, ending, name="t")(x)})


@pytest.mark.parametrize(
    ("ending", "loss"),
    [
        ("sigmoid", "binary_crossentropy"),
        *(pytest.param(ending, "poisson", marks=once) for ending in ("softplus", "sigmoid")),
    ],
)
def test_a_bounded_head_of_ones_own_takes_what_fits_it_as_stock_does(
    ending: str, loss: str
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 3)).astype("float32"), rng.uniform(0, 1, (16, 1)).astype("float32")
    stock, own = network(ending), network(ending)
    own.set_weights(stock.get_weights())
    stock.compile("sgd", loss={"t": loss})
    stock.fit(x, {"t": y}, shuffle=False, verbose=0)
    mine = pc.adopt(own, [pc.Regression("t", loss=loss)])
    mine.compile("sgd")
    mine.fit(x, {"t": y}, shuffle=False, verbose=0)
    for a, b in zip(stock.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    # the layers' come first
    for a, b in zip(stock.get_weights(), mine.get_weights(), strict=False):
        np.testing.assert_allclose(a, b, atol=1e-6)


REFUSED: dict[str, tuple[Any, list[str]]] = {
    "cross-entropy of any number": (
        lambda: pc.layers.Heads([pc.Regression("c", loss="binary_crossentropy")]),
        ["'c'", "'binary_crossentropy'", "pc.Proportion('c')", "pc.Binary('c')"],
    ),
    "the same without units": (
        lambda: pc.layers.Heads(
            [pc.Regression("c", loss=keras.losses.BinaryCrossentropy(), standardize=False)]
        ),
        ["'c'", "pc.Proportion('c')"],
    ),
    "the same on a linear head of one's own": (
        lambda: pc.adopt(
            network("linear"), [pc.Regression("t", loss=keras.losses.binary_crossentropy)]
        ),
        ["'t'", "pc.Proportion('t')"],
    ),
    "logits asked of a probability": (
        lambda: pc.adopt(
            network("sigmoid"),
            [pc.Regression("t", loss=keras.losses.BinaryCrossentropy(from_logits=True))],
        ),
        ["'t'", "from_logits"],
    ),
    "poisson of any number": (
        lambda: pc.layers.Heads([pc.Regression("visits", loss="poisson")]),
        ["'visits'", "'poisson'", "pc.Count('visits')"],
    ),
    "a partial of a loss": (
        lambda: pc.layers.Heads(
            [
                pc.Regression(
                    "c",
                    loss=functools.partial(keras.losses.binary_crossentropy, label_smoothing=0.1),
                )
            ]
        ),
        ["'c'", "pc.Proportion('c')"],
    ),
    "a class": (lambda: pc.Regression("c", loss=keras.losses.Huber), ["'c'", "Huber()"]),
    "a sum": (
        lambda: pc.Regression("c", loss=keras.losses.MeanSquaredError(reduction="sum")),
        ["'c'", "reduction='sum'", "mean"],
    ),
    "a percentage of 0": (
        lambda: _fit("mape", [1.0, 0.0, 2.0, 3.0]),
        ["'t'", "'mape'", "row 1", "label 0"],
    ),
    "a logarithm of a debt": (
        lambda: _fit("msle", [1.0, 2.0, -5.0, 3.0]),
        ["'t'", "'msle'", "row 2", "-5"],
    ),
}


def _fit(loss: str, y: list[float]) -> None:
    dense([pc.Regression("t", loss=loss)]).fit(np.zeros((4, 3), "float32"), {"t": y}, verbose=0)


@pytest.mark.nobackend
@pytest.mark.parametrize("case", REFUSED)
def test_a_loss_that_does_not_fit_is_refused_with_the_way_out(case: str) -> None:
    call, words = REFUSED[case]
    with pytest.raises(pc.InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.nobackend
def test_terms_keep_the_names_that_the_user_gave() -> None:
    """Through replace, adopt and files, also files in which no names were written."""
    loss = {"mean_squared_error": 1, "mape": 0.1, "msle": 0.1, keras.losses.Huber(name="mine"): 0.5}
    task = pc.Regression("s", loss=loss)
    names = ["mean_squared_error", "mape", "msle", "mine"]
    assert [term.name for term in task.terms] == names
    assert [term.name for term in task.replace(standardize=False).terms] == names
    config = task.to_config()
    assert [term.name for term in pc.tasks.task_from_config(config).terms] == names
    assert pc.tasks.task_from_config(config).to_config() == config
    adopted = pc.adopt(network("sigmoid"), [pc.Regression("t", loss={"mape": 0.1, "mse": 1})])
    assert [term.name for term in adopted.tasks["t"].terms] == ["mape", "mse"]
    old = [{"loss": "mse", "weight": 1.0}, {"loss": config["loss"][1]["loss"], "weight": 0.1}]
    read = pc.tasks.task_from_config({"kind": "regression", "name": "s", "loss": old})
    assert [term.name for term in read.terms] == ["mse", "mean_absolute_percentage_error"]


@pytest.mark.nobackend
def test_a_model_from_a_file_logs_under_the_same_names(tmp_path: Any) -> None:
    model = dense(
        [pc.Regression("s", loss={"mean_squared_error": 1, "mape": 0.1}, metrics=["MAE"])]
    )
    x, y = np.ones((4, 3), "float32"), {"s": np.array([1.0, 2.0, 3.0, 5.0])}
    first = model.fit(x, y, verbose=0).history
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras").fit(x, y, verbose=0).history
    assert list(first) == list(again)
    assert {"s/mean_squared_error", "s/mape", "s/mae"} <= set(first)


@pytest.mark.nobackend
def test_metrics_go_by_the_names_that_keras_and_scikit_learn_have() -> None:
    same = {
        "MeanAbsoluteError": "mae",
        "mean_squared_error": "mse",
        "RootMeanSquaredError": "rmse",
        "acc": "accuracy",
        "binary_accuracy": "accuracy",
        "AUC": "auc",
        "roc_auc_score": "auc",
        "Precision": "precision",
        "recall_score": "recall",
        "F1Score": "f1",
        "brier_score_loss": "brier",
        "binary_crossentropy": "log_loss",
    }
    for name, ours in same.items():
        assert pc.Binary("b", metrics=[name]).metrics == (ours,), name
    several = {
        "precision": "macro_precision",
        "f1": "macro_f1",
        "average_precision": "map",
        "acc": "accuracy",
    }
    for name, ours in several.items():
        assert pc.Multilabel("m", 2, metrics=[name]).metrics == (ours,), name
    assert pc.Regression("r", metrics=["r2_score", "MSE"]).metrics == ("r2", "mse")
    with pytest.raises(pc.InputError, match="times -1; write 'mae'"):
        pc.Regression("r", metrics=["neg_mean_absolute_error"])
    with pytest.raises(pc.InputError, match="different metrics"):
        pc.Regression("r", metrics=["mae", "mean_absolute_error"])
    for task in (
        pc.Binary("b", metrics=["mae", "accuracy"]),
        pc.Multilabel("m", 2, metrics=["mae", "accuracy"]),
    ):
        assert task.metrics == ("mae", "accuracy")
