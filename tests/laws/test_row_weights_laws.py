"""Test the laws of sample and class weights: 2 is twice, 0 is left out, balanced is its numbers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import polycera as pc
from polycera.errors import InputError, UnknownName
from polycera.layers.kernel_layer import distances
from polycera.model import scores
from polycera.model.targets import encode, pack, pack_weights
from polycera.tabular import kernel_ridge
from polycera.tasks.metrics import TALLIES

ROWS = 60
WEIGHTS = np.array([2.0, 0.0, 3.0, *[1.0] * (ROWS - 3)])
TWICE = np.repeat(np.arange(ROWS), WEIGHTS.astype(int))
"""The rows as many times as their weights say."""

RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4)).astype("float32")
Y: dict[str, Any] = {
    "price": np.where(RNG.random(ROWS) < 0.2, np.nan, X[:, 0] * 10),
    "sold": (X[:, 1] > 0.5).astype(float),
    "size": np.digitize(X[:, 2], [-0.5, 0.5]),
    "grade": np.digitize(X[:, 3], [-0.5, 1]),
    "tags": (RNG.normal(size=(ROWS, 3)) + X[:, :1] > 0.4).astype(float),
    "visits": RNG.poisson(2, ROWS),
    "span": X[:, 1] + X[:, 2],
    "share": RNG.random(ROWS),
}
KINDS = {
    "price": pc.Regression,
    "sold": pc.Binary,
    "visits": pc.Count,
    "span": pc.Quantile,
    "share": pc.Proportion,
}


def tasks(class_weight: Any = None, metrics: bool = False) -> list[pc.tasks.Task]:
    """Return a task of each kind, with all metrics of its kind where these are wanted."""
    weights = class_weight or dict.fromkeys(Y)
    built = [
        *(
            kind(name, **({"class_weight": weights[name]} if name == "sold" else {}))
            for name, kind in KINDS.items()
        ),
        pc.Multiclass("size", 3, class_weight=weights["size"]),
        pc.Ordinal("grade", 3, class_weight=weights["grade"]),
        pc.Multilabel("tags", 3, class_weight=weights["tags"]),
    ]
    if metrics:
        built = [task.replace(metrics=list(TALLIES[task.measured_as].metrics)) for task in built]
    return built


def built(tasks: Any, **options: Any) -> Any:
    """Return a model of these tasks; equal calls give equal weights."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    heads = pc.layers.Heads(tasks)(keras.layers.Dense(8, activation="relu")(inputs))
    model = pc.Model(inputs, heads, **options)
    model.compile(keras.optimizers.SGD(0.05))
    return model


def rows_of(y: Any, rows: Any) -> Any:
    return {name: np.asarray(values)[rows] for name, values in y.items()}


def close(left: Any, right: Any) -> None:
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_weight_2_is_the_row_twice_and_weight_0_no_row_in_loss_metrics_and_scaling() -> None:
    weighted, twice = (built(tasks(metrics=True), weighted_metrics=True) for _ in range(2))
    weighted.adapt(Y, sample_weight=WEIGHTS)
    twice.adapt(rows_of(Y, TWICE))
    np.testing.assert_allclose(weighted.units.scale[:1], twice.units.scale[:1], rtol=1e-6)
    for name in ("price", "sold", "size", "grade", "tags", "visits", "share"):
        columns = weighted.layout.raw_columns[name]
        np.testing.assert_allclose(
            weighted.units.prior[columns], twice.units.prior[columns], rtol=1e-5, atol=1e-6
        )
    twice.scaling.set(weighted.units)
    encoded = encode(weighted.layout, Y)
    packed, raw = pack(weighted.layout, encoded, weighted.units), weighted.raw_outputs(X, verbose=0)
    weights = pack_weights(weighted.layout, encoded, WEIGHTS)
    assert weights is not None
    sums, _ = weighted.objective.sums(packed, raw, weighted.scaling.constants(), weights)
    of_twice, _ = twice.objective.sums(packed[TWICE], raw[TWICE], twice.scaling.constants())
    np.testing.assert_allclose(sums, of_twice, rtol=1e-9)
    left, right = (
        weighted.scores_of(packed, raw, weights),
        twice.scores_of(packed[TWICE], raw[TWICE]),
    )
    for name in left:
        for metric, score in left[name].items():
            other = right[name][metric]
            np.testing.assert_allclose(
                [score.value, score.trivial, score.ideal],
                [other.value, other.trivial, other.ideal],
                rtol=1e-9,
                atol=1e-12,
                err_msg=f"{name}/{metric}",
            )


def of_step(model: Any, weights: Any = None, raw: Any = None) -> tuple[Any, Any]:
    """Return terms and scores as a step on the backend adds them up, for all rows at once."""
    encoded = encode(model.layout, Y)
    packed = pack(model.layout, encoded, model.units)
    raw = model.raw_outputs(X, verbose=0) if raw is None else raw
    packed_weights = pack_weights(model.layout, encoded, weights)
    sums = model.objective(
        keras.ops.convert_to_tensor(packed),
        keras.ops.convert_to_tensor(raw),
        None if packed_weights is None else keras.ops.convert_to_tensor(packed_weights),
        model.scaling.constants(),
    )
    totals, tallied = (
        np.asarray(keras.ops.convert_to_numpy(part), "float64")
        for part in (sums.sums, sums.tallies)
    )
    return dict(zip(model.objective.names, totals, strict=True)), scores.streamed(
        model.objective, tallied, model.units
    )


def test_the_steps_count_metrics_by_weights_only_where_that_is_asked_for() -> None:
    model, plain = built(tasks(), weighted_metrics=True), built(tasks())
    for each in (model, plain):
        each.adapt(Y)
    encoded = encode(model.layout, Y)
    packed = pack(model.layout, encoded, model.units)
    raw = np.random.default_rng(1).normal(size=(ROWS, model.layout.units)).astype("float32")
    weights = pack_weights(model.layout, encoded, WEIGHTS)
    assert weights is not None
    exact, streamed = model.scores_of(packed, raw, weights), of_step(model, WEIGHTS, raw)[1]
    unweighted = of_step(plain, WEIGHTS, raw)[1]
    left_out = plain.scores_of(packed, raw, (weights > 0).astype("float32"))
    for name, metric in (("sold", "accuracy"), ("price", "rmse"), ("grade", "kappa")):
        value = exact[name][metric].value
        assert streamed[name][metric].value == pytest.approx(value, rel=1e-4), name
        assert unweighted[name][metric].value == pytest.approx(
            left_out[name][metric].value, rel=1e-4
        )
        assert left_out[name][metric].value != pytest.approx(value, rel=1e-4)
    assert model.get_config()["weighted_metrics"] is True
    assert "weighted_metrics" not in plain.get_config()


def test_balanced_is_the_numbers_that_scikit_learn_computes() -> None:
    def numbers(labels: Any) -> list[float]:
        return compute_class_weight("balanced", classes=np.unique(labels), y=labels).tolist()

    explicit = {
        "sold": dict(zip((0, 1), numbers(Y["sold"]), strict=True)),
        "size": numbers(Y["size"]),
        "grade": numbers(Y["grade"]),
        "tags": [numbers(column) for column in Y["tags"].T],
    }
    words = dict.fromkeys(explicit, "balanced")
    terms = []
    for class_weight in (words, explicit, None):
        model = built(tasks(class_weight))
        model.adapt(Y)
        terms.append(of_step(model)[0])
        packed = pack(model.layout, encode(model.layout, Y), model.units)
        on_host, _ = model.objective.sums(
            packed, model.raw_outputs(X, verbose=0), model.scaling.constants()
        )
        np.testing.assert_allclose(list(terms[-1].values()), on_host, rtol=1e-5)
    close(terms[0], terms[1])
    assert terms[2]["sold/bce"] != pytest.approx(terms[0]["sold/bce"], rel=1e-3)


def test_a_class_weight_is_the_sample_weight_of_its_rows() -> None:
    by_class = {"sold": {1: 3.0}, "size": {0: 2.0, 2: 0.5}, "grade": [1, 2, 4], "tags": None}
    of_rows = {
        "sold": np.where(Y["sold"] == 1, 3.0, 1.0),
        "size": np.array([2.0, 1.0, 0.5])[Y["size"]],
        "grade": np.array([1.0, 2.0, 4.0])[Y["grade"]],
    }
    left, right = built(tasks(by_class)), built(tasks())
    for each in (left, right):
        each.adapt(Y)
    close(of_step(left)[0], of_step(right, of_rows)[0])


def test_class_weights_are_read_and_refused_by_name() -> None:
    assert pc.Binary("churn", ("no", "yes"), class_weight={"yes": 3}).class_weight == (1.0, 3.0)
    tags = pc.Multilabel("tags", ["a", "b"], class_weight={"b": 2, "a": (0.5, 4)})
    assert tags.class_weight == ((0.5, 4.0), (1.0, 2.0))
    assert pc.tasks.task_from_config(tags.to_config()) == tags
    assert "class_weight" not in pc.Binary("churn").to_config()
    later = pc.Multiclass("c", class_weight={"x": 2}).replace(classes=["w", "x"])
    assert later.class_weight == (1.0, 2.0)  # type: ignore[attr-defined]
    with pytest.raises(UnknownName, match=r"class_weight of task 'churn'.*yess"):
        pc.Binary("churn", ("no", "yes"), class_weight={"yess": 3})
    with pytest.raises(InputError, match="0 for all classes"):
        pc.Binary("churn", class_weight=(0, 0))
    with pytest.raises(InputError, match="'balancd'; known"):
        pc.Binary("churn", class_weight="balancd")
    with pytest.raises(InputError, match="has 3 weights; one for each class is expected: 2"):
        pc.Binary("churn", class_weight=(1, 2, 3))
    with pytest.raises(InputError, match="finite number, 0 or more, got"):
        pc.Binary("churn", class_weight={1: -1})
    with pytest.raises(InputError, match="shares for labels"):
        pc.Multilabel("tags", 2, soft=True, class_weight="balanced")


@pytest.mark.parametrize("landmarks", [ROWS, 30])
def test_kernel_ridge_takes_weight_2_for_the_row_twice_and_leaves_rows_out_as_they_weigh(
    landmarks: int,
) -> None:
    x = X.astype("float64")
    y = np.stack([np.sin(x[:, 0]), x[:, 1] ** 2], axis=1)
    kernel, penalty = kernel_ridge.Kernel(0.3, 1.0), np.array([0.1])

    def solved(rows: Any, weights: Any, chosen: Any) -> tuple[Any, Any, Any]:
        columns = None if weights is None else np.tile(weights[:, None], (1, 2))
        (root,) = kernel_ridge.roots_of(columns, len(rows))
        to_landmarks = distances(x[rows], x[rows][chosen], np)
        basis = kernel_ridge.Basis.of(kernel.of(to_landmarks), chosen, root.rows)
        part = basis.penalised(penalty, kernel_ridge.scaled_rows(y[rows], root.rows))
        similarities = kernel.of(distances(x, x[rows][chosen], np))
        return similarities @ basis.back @ part.inner[:, 0], part.left_out[:, 0], root.rows

    chosen = np.arange(ROWS)[-landmarks:]
    at_twice = np.arange(len(TWICE)) if landmarks == ROWS else np.searchsorted(TWICE, chosen)
    every = np.arange(ROWS)
    weighted, left_out, root = solved(every, WEIGHTS, chosen)
    twice, *_ = solved(TWICE, None, at_twice)
    np.testing.assert_allclose(weighted, twice, atol=1e-8)
    if landmarks == ROWS:
        for row in (0, 1, 10):
            without, *_ = solved(every, np.where(every == row, 0.0, WEIGHTS), chosen)
            np.testing.assert_allclose(left_out[row] / root[row], without[row], atol=1e-6)
