"""Test every method on every backend: it trains, is saved, resumes, with the same losses."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from fresh import python
from small import dense, from_numpy

import polycera as pc
from polycera import balancing, weighting

ROWS, FEATURES = 16, 6
METHODS = [("balancing", name) for name in balancing.METHODS] + [
    ("weighting", name) for name in weighting.METHODS
]


def table() -> tuple[np.ndarray, dict[str, Any]]:
    """One unit, several units, one with holes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    cost = x[:, 3] - x[:, 0]
    cost[::3] = np.nan
    return x, {
        "sold": x[:, 0] > 0,
        "price": 9 * x[:, 1],
        "colour": x[:, :3].argmax(1),
        "cost": cost,
    }


def network(room: str, name: str) -> pc.Model:
    """The same first weights on every backend."""
    method: Any = {"name": name, "to": {"price": 0.2}, "steps": 3} if name == "schedule" else name
    tasks = [
        pc.Binary("sold"),
        pc.Regression("price", weight=3.0),
        pc.Multiclass("colour", classes=3),
        pc.Regression("cost", weight=0.1),
    ]
    model = dense(tasks, features=FEATURES, units=5, **{room: method})
    from_numpy(model)
    return model


def losses(model: pc.Model, epochs: int) -> list[float]:
    x, y = table()
    return model.fit(x, y, epochs=epochs, batch_size=8, shuffle=False, verbose=0).history["loss"]


def everywhere() -> dict[str, list[float]]:
    """The losses of these methods on the backend that runs: what the process on PyTorch prints."""
    return {name: losses(network(room, name), 2) for room, name in METHODS if name in SOME}


@cache
def on_torch() -> dict[str, list[float]]:
    """The same on PyTorch, which compiles nothing and so is quick; in a process of its own."""
    code = "import json, laws.test_grid_laws as grid; print(json.dumps(grid.everywhere()))"
    return json.loads(python(code, KERAS_BACKEND="torch", OMP_NUM_THREADS="1").splitlines()[-1])


# PyTorch compiles nothing and trains with every method. Where each method is a graph of its own,
# `test_balancing_laws.py` and `test_weighting_laws.py` build the graphs of all of them, and these
# are trained: with and without a state, names, noise and norms, in closed form and by a solver.
SOME = {"mean", "upgrad", "gradvac", "nash_mtl", "graddrop", "sdmgrad"}
SOME |= {"uncertainty", "gradnorm", "rlw", "schedule"}
HERE = [way for way in METHODS if way[1] in SOME or keras.backend.backend() == "torch"]


def remembered(model: pc.Model) -> dict[str, np.ndarray]:
    """All that a later step depends on: weights, the method's state, the optimizer's."""
    variables = [*model.variables, *model.optimizer.variables]
    return {v.path: keras.ops.convert_to_numpy(v) for v in variables}


@pytest.mark.parametrize(("room", "name"), HERE, ids=[name for _, name in HERE])
def test_every_method_trains_as_on_torch_and_is_saved_whole(
    room: str, name: str, tmp_path: Any
) -> None:
    model = network(room, name)
    found = losses(model, 2)
    assert np.isfinite(found).all()
    if keras.backend.backend() != "torch":
        np.testing.assert_allclose(found, on_torch()[name], rtol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    before, after = remembered(model), remembered(loaded)
    assert before.keys() == after.keys()
    for path, value in before.items():
        np.testing.assert_array_equal(after[path], value, err_msg=path)
    assert loaded.heads[0].get_config() == model.heads[0].get_config()


@pytest.mark.nobackend
@pytest.mark.parametrize("name", ["gradvac", "nash_mtl", "gradnorm", "dwa"])
def test_a_method_goes_on_when_it_is_loaded(name: str, tmp_path: Any) -> None:
    """Equal states and equal methods make equal steps; here steps are taken, with rich states."""
    room = "balancing" if name in balancing.METHODS else "weighting"
    model = network(room, name)
    losses(model, 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(losses(loaded, 1), losses(model, 1), rtol=1e-5)
