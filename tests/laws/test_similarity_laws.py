"""Laws of CKA and of linear probes, held against definitions in NumPy and against scikit-learn."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import polycera as pc
from polycera.interpretation.cka import MinibatchCKA, cka, cka_unbiased, unbiased
from polycera.interpretation.linear_models import logistic, ridge
from polycera.interpretation.linear_probe import probe, probes
from polycera.interpretation.representations import representations
from polycera.interpretation.similarity import Similarity, similarity, similarity_of_runs

pytestmark = pytest.mark.nobackend

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(5, 40), st.integers(1, 50), st.integers(1, 50))  # n < p and p < n


def drawn(seed: int, n: int, p: int, q: int) -> tuple[np.ndarray, np.ndarray]:
    """Two representations that are neither equal nor unrelated."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 3))
    return (
        common @ rng.normal(size=(3, size)) + rng.normal(size=(n, size)) + rng.normal(size=size)
        for size in (p, q)
    )


def by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """HSIC of centred Gram matrices, equation 1 of Kornblith et al. 2019."""
    n = len(a)
    centring = np.eye(n) - 1 / n
    k, other = (centring @ (each @ each.T) @ centring for each in (a, b))
    return np.trace(k @ other) / math.sqrt(np.trace(k @ k) * np.trace(other @ other))


def unbiased_by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """As a mean over all quadruples of different rows: the sum of equation 5, Song et al. 2012."""
    k, other = (each @ each.T for each in (a, b))

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        n, total = len(k), 0.0
        for i in range(n):
            for j in set(range(n)) - {i}:
                for q in set(range(n)) - {i, j}:
                    for r in set(range(n)) - {i, j, q}:
                        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
        return total / (n * (n - 1) * (n - 2) * (n - 3))

    return hsic(k, other) / math.sqrt(hsic(k, k) * hsic(other, other))


@given(seeds, sizes)
def test_cka_is_what_its_definition_says(seed: int, size: tuple[int, int, int]) -> None:
    a, b = drawn(seed, *size)
    assert cka(a, b) == pytest.approx(by_definition(a, b), abs=1e-9)
    assert cka(a, b) == pytest.approx(cka(b, a), abs=1e-12)
    assert -1e-12 <= cka(a, b) <= 1 + 1e-12 and cka(a, a) == pytest.approx(1, abs=1e-12)


@given(seeds, st.tuples(st.just(7), st.integers(1, 9), st.integers(1, 9)))
def test_the_unbiased_form_is_a_mean_over_quadruples(seed: int, size: tuple[int, int, int]) -> None:
    a, b = drawn(seed, *size)
    assert cka_unbiased(a, b) == pytest.approx(unbiased_by_definition(a, b), abs=1e-9)


@given(seeds, sizes, st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
@pytest.mark.parametrize("measure", [cka, cka_unbiased])
def test_rotation_scale_and_shift_change_nothing(
    measure: Any, seed: int, size: tuple[int, int, int], scale: float, shift: float
) -> None:
    a, b = drawn(seed, *size)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(a.shape[1],) * 2))[0]
    assert measure(scale * a @ rotation + shift, b) == pytest.approx(measure(a, b), abs=1e-6)


@pytest.mark.parametrize("measure", [cka, cka_unbiased])
def test_an_invertible_map_does_change_it(measure: Any, rng: np.random.Generator) -> None:
    a = rng.normal(size=(200, 5))
    assert measure(a, a @ np.diag([100.0, 1, 1, 1, 1])) < 0.7


def test_orders_of_magnitude_and_rows_repeated_do_no_harm(rng: np.random.Generator) -> None:
    a = rng.normal(size=(30, 4))
    b = a[:, :2]
    for factor in (1e-200, 1e-30, 1e30, 1e150):
        assert cka(factor * a, b) == pytest.approx(cka(a, b), abs=1e-12)
        assert cka_unbiased(factor * a, b) == pytest.approx(cka_unbiased(a, b), abs=1e-12)
    deficient = np.concatenate([a, a, np.ones((30, 1))], axis=1)  # rank 4 of 9, and a constant
    assert cka(deficient, b) == pytest.approx(cka(a, b), abs=1e-12)
    assert cka(a.astype("float16") + np.float16(50), b) > 0.5


def test_unrelated_representations_are_at_zero_whatever_their_width(
    rng: np.random.Generator,
) -> None:
    found = [
        cka_unbiased(rng.normal(size=(64, 500)), rng.normal(size=(64, 500))) for _ in range(20)
    ]
    assert abs(np.mean(found)) < 0.02
    # the plain form is not
    assert cka(rng.normal(size=(64, 500)), rng.normal(size=(64, 500))) > 0.8


@given(seeds, sizes)
def test_one_batch_is_all_of_it(seed: int, size: tuple[int, int, int]) -> None:
    a, b = drawn(seed, *size)
    assert MinibatchCKA().update(a, b).value == cka_unbiased(a, b)


def test_many_batches_come_near_to_all_of_it(rng: np.random.Generator) -> None:
    a = rng.normal(size=(2000, 8))
    b = a @ rng.normal(size=(8, 6)) + rng.normal(size=(2000, 6))
    batched = MinibatchCKA()
    for rows in np.array_split(rng.permutation(2000), 20):
        batched.update(a[rows], b[rows])
    assert batched.value == pytest.approx(cka_unbiased(a, b), abs=0.02)
    assert batched.rows == 2000


def test_a_batch_of_another_scale_counts_as_it_would_in_all() -> None:
    """The unit is that of the first batch, not of each."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    a[20:] *= 100
    found = MinibatchCKA().update(a[:20], b[:20]).update(a[20:], b[20:]).value
    sums = np.zeros(3)
    for rows in (slice(20), slice(20, 40)):
        k, m = a[rows] @ a[rows].T, b[rows] @ b[rows].T
        sums += [unbiased(k, m), unbiased(k, k), unbiased(m, m)]
    assert found == pytest.approx(sums[0] / math.sqrt(sums[1] * sums[2]), rel=1e-6)


@pytest.mark.parametrize("measure", [cka, cka_unbiased])
def test_what_is_the_same_for_all_rows_has_no_similarity(
    measure: Any, rng: np.random.Generator
) -> None:
    constant = np.full((20, 3), 0.1) * [1, 1e8, 1e-8]
    with pytest.warns(UserWarning, match="the second representation is the same for all rows"):
        assert math.isnan(measure(rng.normal(size=(20, 3)), constant))


# -- of networks -----------------------------------------------------------------------------------


def network(seed: int, width: int = 8) -> keras.Model:
    init = keras.initializers.GlorotNormal(seed=seed)
    x = keras.Input((4,))
    h = keras.layers.Dense(width, activation="tanh", kernel_initializer=init, name="trunk")(x)
    h = keras.layers.Dropout(0.5, name="dropout")(h)
    wide = keras.layers.Reshape((2, width // 2), name="shaped")(h)
    read = keras.layers.LSTM(3, kernel_initializer=init, name="read")(wide)
    return keras.Model(
        x, [keras.layers.Dense(1, name="a")(h), keras.layers.Dense(2, name="b")(read)]
    )


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(300, 4)).astype("float32")


def test_representations_are_what_the_layers_give(rows: np.ndarray) -> None:
    model = network(0)
    found = representations(model, rows)
    assert {name: seen.shape for name, seen in found.items()} == {
        **{"trunk": (300, 8), "a": (300, 1), "read": (300, 3), "b": (300, 2)}
    }
    kernel, bias = (np.asarray(weight) for weight in model.get_layer("trunk").get_weights())
    np.testing.assert_allclose(found["trunk"], np.tanh(rows @ kernel + bias), atol=1e-5)
    named = representations(model, rows, ["shaped", "dropout"])
    assert list(named) == ["shaped", "dropout"]
    # flattened; nothing is dropped out
    np.testing.assert_array_equal(named["shaped"], found["trunk"])
    one = representations(
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="only")]), rows, ["only"]
    )
    assert one["only"].shape == (300, 2)


def test_the_matrix_holds_what_cka_gives(rows: np.ndarray) -> None:
    one, other = network(0), network(1, 16)
    seen = representations(one, rows), representations(other, rows)
    plain = similarity(one, other, rows, unbiased=False)
    whole = similarity(one, other, rows, batch_size=300)
    for i, a in enumerate(plain.layers_a):
        for j, b in enumerate(plain.layers_b):
            assert plain.matrix[i, j] == pytest.approx(cka(seen[0][a], seen[1][b]), abs=1e-6)
            assert whole[a, b] == pytest.approx(cka_unbiased(seen[0][a], seen[1][b]), abs=1e-6)
    batched = similarity(one, other, rows, batch_size=50)
    assert np.abs(batched.matrix - whole.matrix).max() < 0.1 and batched.rows == 300
    assert np.diag(similarity(one, one, rows).matrix) == pytest.approx(np.ones(4), abs=1e-9)


def test_layers_are_chosen_on_both_sides_and_drawn(rows: np.ndarray) -> None:
    found = similarity(network(0), network(1), rows, (["trunk"], ["read", "b"]))
    assert (found.layers_a, found.layers_b, found.matrix.shape) == (
        ["trunk"],
        ["read", "b"],
        (1, 2),
    )
    assert "<svg" in found.picture().page() and "<svg" in found._repr_html_()
    assert json.loads(found.to_json())["matrix"] == found.matrix.tolist()


def test_a_dead_layer_has_no_number_and_a_reason(rows: np.ndarray) -> None:
    model = network(0)
    model.get_layer("a").set_weights([np.zeros((8, 1)), np.ones(1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = similarity(model, model, rows)
    assert np.isnan(found["a", "trunk"]) and list(found.reasons) == ["a"]
    assert json.loads(found.to_json())["matrix"][found.layers_a.index("a")] == [None] * 4
    assert isinstance(found, Similarity) and "<svg" in found.picture().page()


def test_networks_that_take_their_inputs_by_name(rows: np.ndarray) -> None:
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    h = keras.layers.Dense(3, name="h")(keras.layers.Concatenate()([left, right]))
    model = keras.Model({"left": left, "right": right}, h)
    found = similarity(
        model, network(0), {"left": rows, "right": rows}, (["h"], ["trunk"]), x_b=rows
    )
    assert 0 < found["h", "trunk"] <= 1


def test_two_epochs_of_a_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 2))
    table = {"one": x[:, 0], "two": x[:, 1], "a": x[:, 0] + x[:, 1], "b": np.sin(3 * x[:, 0])}
    training, network = (
        {"max_steps": 300, "batch_size": 16},
        {"width": 32, "members": 5, "landmarks": 0},
    )
    run = pc.fit(table, ["a", "b"], out=tmp_path / "r", training=training, network=network)
    found = similarity_of_runs(run.pick({"a": 1}), run, table)
    assert found.layers_a == found.layers_b and found.layers_a[-2:] == ["heads", "blend"]
    assert found["hidden_0", "hidden_0"] > 0.5 and found.rows == 160


# -- probes ----------------------------------------------------------------------------------------


def test_ridge_is_that_of_scikit_learn(rng: np.random.Generator) -> None:
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    # n < p, and a constant
    x = np.concatenate([rng.normal(size=(40, 60)), np.ones((40, 1))], axis=1)
    y = x[:, :2] @ [[1.0, 0], [0, 2.0]] + 0.1 * rng.normal(size=(40, 2))
    scaler = StandardScaler().fit(x)
    peer = RidgeCV(40 * 10.0 ** np.arange(-4, 5)).fit(scaler.transform(x), y)
    asked = rng.normal(size=(10, 61))
    asked[:, -1] = 7.0  # what was constant is not looked at
    ones = np.c_[asked[:, :60], np.ones(10)]
    np.testing.assert_allclose(ridge(x, y)(asked), peer.predict(scaler.transform(ones)), atol=1e-6)


@pytest.mark.parametrize("number", [2, 3])
def test_logistic_regression_minimises_its_loss(number: int, rng: np.random.Generator) -> None:
    """The gradient of the penalised log loss with respect to the weights is 0."""
    x = rng.normal(size=(120, 7)) * [1, 1, 1, 1, 100, 1e-3, 1]
    classes = (x[:, 0] + rng.normal(size=120) > 0) + (number - 2) * (x[:, 1] > 0)
    raw = logistic(x, classes, number)(x)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    slopes, *_ = np.linalg.lstsq(np.c_[scaled, np.ones(120)], raw[:, 1:] - raw[:, :1], rcond=None)
    wrong = np.exp(raw) - np.eye(number)[classes]
    if number == 2:
        gradient = scaled.T @ wrong[:, 1:] + slopes[:-1]
    else:  # the weights of all classes have mean 0
        weights = np.c_[np.zeros(7), slopes[:-1]]
        gradient = scaled.T @ wrong + weights - weights.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(gradient, 0, atol=1e-3)
    np.testing.assert_allclose(np.exp(raw).sum(axis=1), 1)


def test_classes_that_can_be_told_apart_and_one_that_is_not_there(rng: np.random.Generator) -> None:
    x = np.where(np.arange(40) % 2, 1.0, -1.0)[:, None] * rng.uniform(1, 2, (40, 300))
    raw = logistic(x, np.arange(40) % 2, 3)(x)
    assert np.isfinite(raw).all() and (raw.argmax(axis=1) == np.arange(40) % 2).all()
    np.testing.assert_allclose(raw[:, 2], np.log(0.5 / 40))
    raw = logistic(x, np.ones(40), 2)(x)
    assert np.isfinite(raw).all() and (raw.argmax(axis=1) == 1).all()


TASKS = [
    (pc.Regression("y"), lambda z: 3 * z + 100),
    (pc.Binary("y"), lambda z: z > 0.5),
    (
        pc.Multiclass("y", classes=["low", "mid", "high"]),
        lambda z: np.array(["low", "mid", "high"])[np.digitize(z, [-1, 1])],
    ),
    (
        pc.Ordinal("y", classes=["low", "mid", "high"]),
        lambda z: np.array(["low", "mid", "high"])[np.digitize(z, [-1, 1])],
    ),
    (pc.Count("y"), lambda z: np.floor(10 + 3 * z).clip(0)),
    (pc.Quantile("y", quantiles=[0.1, 0.9]), lambda z: z),
]


@pytest.mark.parametrize(("task", "labels"), TASKS, ids=lambda each: getattr(each, "kind", ""))
def test_a_probe_reads_what_is_there_and_not_what_is_not(
    task: Any, labels: Any, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(600, 6))
    y = labels(2 * x[:, 0])
    found = probe(x, y, task)
    assert found.skill > 0.7 and found.rows == 300 and not found.reason
    assert abs(probe(x[:, 1:], y, task).skill) < 0.2
    assert probe(x, y, task) == found


def test_missing_labels_are_left_out_and_too_few_give_a_reason(rng: np.random.Generator) -> None:
    x = rng.normal(size=(100, 3))
    y = x[:, 0].copy()
    y[50:] = np.nan
    x[50:] = 1e6  # would spoil the fit
    assert probe(x, y, pc.Regression("y")).skill > 0.99
    y[5:] = np.nan
    found = probe(x, y, pc.Regression("y"))
    assert math.isnan(found.skill) and found.reason == "only 5 rows have a label"


def test_probes_by_layer_and_task(rows: np.ndarray) -> None:
    x = keras.Input((4,))
    h = keras.layers.Dense(6, name="trunk")(x)
    model = pc.Model(x, pc.layers.Heads([pc.Regression("sum"), pc.Binary("sign")], name="heads")(h))
    y = {"sum": rows.sum(axis=1), "sign": rows[:, 0] > 0}
    found = probes(model, rows, y)
    assert found.layers == ["trunk", "heads"] and found.tasks == ["sum", "sign"]
    assert found.skill.shape == (2, 2) and (found.skill[0] > 0.9).all()
    assert found.found["trunk"]["sum"].skill == found.skill[0, 0]
    assert "<svg" in found.picture().page() and "<svg" in found._repr_html_()
    other = probes(model, rows, {"square": rows[:, 0] ** 2}, [pc.Regression("square")], ["trunk"])
    assert other.skill[0, 0] < 0.2  # not linear in the trunk
