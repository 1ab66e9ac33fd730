"""GradDrop at the fork: against NumPy with every task's gradient at every feature of every row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from small import compiled, dense, from_numpy, once

import polycera as pc
from polycera.balancing import get
from polycera.balancing.graddrop import scattered
from polycera.layers.balance import ActiveBalancing
from polycera.layers.fork import Fork
from polycera.tasks import Layout

ROWS, FEATURES = 7, 5
SINGLE = [pc.Binary(name) for name in "abcdef"]
MIXED = [
    pc.Regression("a"),
    pc.Multiclass("b", 3),
    pc.Binary("c"),
    pc.Multiclass("d", 3),
    pc.Quantile("e", quantiles=(0.1, 0.9)),
]


def case(tasks: list[Any], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features with zeros, as after a relu; cotangents; a kernel."""
    rng = np.random.default_rng(seed)
    units = Layout.of(tasks).units
    features = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    features[features < -1] = 0.0
    return features, *(rng.normal(size=(k, units)).astype("float32") for k in (ROWS, FEATURES))


def ours(
    tasks: list[Any], method: Any, dtype: str, noise: np.ndarray, *arrays: np.ndarray
) -> np.ndarray:
    """What goes on into the trunk, in float64, for each of the noises."""
    fork = Fork(Layout.of(tasks), ActiveBalancing.of([task.name for task in tasks], method))
    tensors = [ops.cast(ops.convert_to_tensor(array), dtype) for array in arrays]

    def backward(noise: Any, features: Any, cotangent: Any, kernel: Any) -> Any:
        start = fork.balance.start()
        carried = fork.balance.packed.read(ops.convert_to_tensor(start[0] - start[1])) | {
            "noise": noise
        }
        vector = fork.balance.packed.pack(carried)
        inputs = (
            features,
            kernel,
            ops.stack([vector, 0 * vector]),
            ops.zeros((len(tasks),)),
            ops.ones(()),
        )
        found = fork._backward(inputs, cotangent)
        return ops.cast(found[0], "float32"), ops.cast(found[1], "float32")

    step = compiled(backward)
    found = []
    for shift in noise:
        trunk, kernel = step(ops.convert_to_tensor(np.full(len(tasks), shift, "float32")), *tensors)
        found.append(np.asarray(ops.convert_to_numpy(trunk), "float64"))
    plain = np.asarray(arrays[0], "float64").T @ np.asarray(arrays[1], "float64")
    # heads: as always
    np.testing.assert_allclose(ops.convert_to_numpy(kernel), plain, rtol=0.05, atol=0.05)
    return np.array(found)


def gradients(tasks: list[Any], cotangent: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Of each task at each feature of each row, [m, n, d]."""
    return np.array(
        [cotangent[:, own] @ kernel[:, own].T for own in Layout.of(tasks).raw_columns.values()]
    )


def paper(
    g: np.ndarray, features: np.ndarray, uniform: np.ndarray, leak: float, over: str
) -> np.ndarray:
    """Algorithm 1 with its gradient: as it is, or times the sign and added up over rows."""
    seen = g if over == "row" else (g * np.sign(features)).sum(axis=1, keepdims=True)
    purity = 0.5 * (1 + seen.sum(axis=0) / np.abs(seen).sum(axis=0))
    mask = (purity > uniform) * (seen > 0) + (purity < uniform) * (seen < 0)
    return ((leak + (1 - leak) * mask) * g).sum(axis=0)


@pytest.mark.parametrize("tasks", [SINGLE, MIXED], ids=["one unit", "several units"])
@pytest.mark.parametrize("over", ["row", "batch"])
@pytest.mark.parametrize("leak", [pytest.param(0.0, marks=once), 0.3])
def test_it_is_the_papers_algorithm(tasks: list[Any], over: str, leak: float) -> None:
    features, cotangent, kernel = case(tasks)
    noise = np.float32([0.0, 0.3, 0.62, 0.999])
    method = {"name": "graddrop", "over": over, "leak": leak}
    found = ours(tasks, method, "float32", noise, features, cotangent, kernel)
    g = gradients(tasks, cotangent, kernel)
    for shift, trunk in zip(noise, found, strict=True):
        rows = ROWS if over == "row" else 1
        uniform = ops.convert_to_numpy(scattered(rows, FEATURES, ops.convert_to_tensor(shift)))
        np.testing.assert_allclose(
            trunk, paper(g, features, uniform, leak, over), rtol=1e-4, atol=1e-5
        )
    assert np.abs(np.diff(found, axis=0)).max() > 0.1


@pytest.mark.parametrize("over", ["row", pytest.param("batch", marks=once)])
def test_on_average_it_is_the_sum(over: str) -> None:
    """The paper's formula P sum(g > 0) + (1 - P) sum(g < 0): the plain sum for separate rows."""
    features, cotangent, kernel = case(MIXED, 1)
    noise = (np.arange(100, dtype="float32") + 0.5) / 100
    found = ours(
        MIXED, {"name": "graddrop", "over": over}, "float32", noise, features, cotangent, kernel
    ).mean(axis=0)
    g = gradients(MIXED, cotangent, kernel)
    seen = g if over == "row" else (g * np.sign(features)).sum(axis=1, keepdims=True)
    purity = 0.5 * (1 + seen.sum(axis=0) / np.abs(seen).sum(axis=0))
    expected = (np.where(seen > 0, purity, 1 - purity) * g).sum(axis=0)
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(g).sum(axis=0).max())
    if over == "row":
        np.testing.assert_allclose(expected, g.sum(axis=0), atol=1e-5)


def test_gradients_of_one_sign_are_added_up() -> None:
    features, cotangent, kernel = case(SINGLE)
    cotangent, kernel = -np.abs(cotangent), np.abs(kernel)
    found = ours(
        SINGLE, "graddrop", "float32", np.float32([0.0, 0.5, 0.99]), features, cotangent, kernel
    )
    np.testing.assert_allclose(found, np.broadcast_to(cotangent @ kernel.T, found.shape), rtol=1e-5)


def test_a_full_leak_and_no_gradient() -> None:
    features, cotangent, kernel = case(MIXED)
    for over in ("row", "batch"):
        method = {"name": "graddrop", "leak": 1.0, "over": over}
        (found,) = ours(MIXED, method, "float32", np.float32([0.4]), features, cotangent, kernel)
        np.testing.assert_allclose(found, cotangent @ kernel.T, rtol=1e-4, atol=1e-5)
        (found,) = ours(
            MIXED,
            method | {"leak": 0.0},
            "float32",
            np.float32([0.4]),
            features,
            0 * cotangent,
            kernel,
        )
        assert (found == 0).all()


@pytest.mark.parametrize(("dtype", "to"), [("float16", 0.01), ("bfloat16", 0.05)])
def test_half_precision(dtype: str, to: float) -> None:
    """The choices are made in float32 from what came in."""
    rounded = [ops.convert_to_numpy(ops.cast(ops.cast(a, dtype), "float32")) for a in case(MIXED)]
    for over in ("row", "batch"):
        method = {"name": "graddrop", "over": over}
        half, full = (
            ours(MIXED, method, d, np.float32([0.1, 0.7]), *rounded) for d in (dtype, "float32")
        )
        np.testing.assert_allclose(half, full, rtol=to, atol=to)
    # as under loss scaling: a sum of sizes that float16 does not hold
    cotangent = 3e4 * np.sign(rounded[1])
    (found,) = ours(
        MIXED, "graddrop", "float16", np.float32([0.3]), 0.001 * rounded[0], cotangent, rounded[2]
    )
    assert not np.isnan(found).any()


def test_the_numbers_are_spread_evenly_and_do_not_coarsen() -> None:
    found = ops.convert_to_numpy(scattered(40_000, 3, ops.convert_to_tensor(np.float32(0.37))))
    assert found.min() >= 0 and found.max() < 1
    expected = (
        np.add.outer(np.arange(40_000) / 1.324717957244746, np.arange(3) / 1.324717957244746**2)
        + 0.37
    )
    apart = np.abs((found - expected + 0.5) % 1.0 - 0.5)
    assert apart.max() < 2e-5
    for part in (found, found[-500:]):
        counts = np.histogram(part, bins=20, range=(0, 1))[0]
        assert counts.max() < 1.15 * part.size / 20


def table() -> tuple[np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 3)).astype("float32")
    y = {
        "price": x[:, 0] - x[:, 1],
        "sold": (x[:, 1] > 0).astype("float64"),
        "colour": x.argmax(axis=1).astype(float),
    }
    y["price"][::5] = np.nan
    return x, y


def tasks() -> list[Any]:
    return [pc.Regression("price"), pc.Binary("sold"), pc.Multiclass("colour", 3)]


@pytest.mark.parametrize("over", ["row", pytest.param("batch", marks=once)])
def test_it_trains_is_saved_and_goes_on(over: str, tmp_path: Path) -> None:
    model = dense(tasks(), balancing={"name": "graddrop", "over": over})
    from_numpy(model)
    x, y = table()
    losses = model.fit(x, y, epochs=15, batch_size=8, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.gradients[0].weights == pytest.approx(np.ones(3))
    assert (model.gradients[0].norms > 0).all()
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.heads[0].settings.balance.method == model.heads[0].settings.balance.method
    after = [
        m.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0).history["loss"]
        for m in (model, again)
    ]
    assert after[0] == after[1]


def test_where_it_cannot_work_it_says_so() -> None:
    for given in ({"gradients": "parameters"}, {"gradients": "features"}):
        x = keras.Input((3,))
        h = keras.layers.Dense(4)(x)
        theirs = keras.Model(
            x, {"price": keras.layers.Dense(1)(h), "sold": keras.layers.Dense(1)(h)}
        )
        with pytest.raises(
            pc.InputError, match="'graddrop' works element by element at the features of Heads"
        ):
            pc.adopt(theirs, tasks()[:2], balancing="graddrop", **given)
    with pytest.raises(pc.InputError, match="element by element"):
        dense(tasks(), balancing="graddrop", gradients="parameters")
    with pytest.raises(pc.InputError, match="every"):
        dense(tasks(), balancing="graddrop", every=2)
    for wrong in ({"leak": 1.5}, {"leak": -0.1}, {"leak": float("nan")}, {"over": "rows"}):
        with pytest.raises(pc.InputError, match="graddrop"):
            get({"name": "graddrop"} | wrong)
