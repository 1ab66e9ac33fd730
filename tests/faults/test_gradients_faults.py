"""Bad input of a look at the gradients is one sentence; a state from a stranger is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from small import dense

import polycera as pc
from polycera.callbacks.gradient_history import GradientHistory
from polycera.callbacks.gradient_probe import GradientProbe
from polycera.callbacks.step_allowance import StepAllowance
from polycera.errors import InputError, PolyceraError

pytestmark = pytest.mark.nobackend

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = {"price": X[:, 0], "sold": X[:, 1] > 0}


def model() -> pc.Model:
    return dense([pc.Regression("price"), pc.Binary("sold")])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"batches": 0}, r"got batches=0: give a whole number, 1 or more"),
        ({"batches": 2.5}, r"got batches=2\.5"),
        ({"rows": -1}, r"got rows=-1"),
        ({"rows": True}, r"got rows=True"),
        ({"budget": 0}, r"got budget=0: give a fraction of the training"),
        ({"budget": float("nan")}, r"got budget=nan"),
        ({"budget": "5 %"}, r"got budget='5 %'"),
    ],
    ids=str,
)
def test_settings_that_mean_nothing(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        GradientProbe(X, Y, **given)


@pytest.mark.parametrize("rows", [iter([X]), None, X[:0]], ids=["batches", "nothing", "no row"])
def test_rows_that_are_no_arrays(rows: Any) -> None:
    with pytest.raises(InputError, match="needs rows as arrays, at least one"):
        GradientProbe(rows, Y)


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (X, {"price": X[:, 0]}, "y of GradientProbe lacks the task 'sold'"),
        (X, Y | {"pirce": X[:, 0]}, "pirce"),
        (X[:5], Y, "5 rows of features and 12 of targets"),
        (np.where(X > 1, np.nan, X), Y, "x of GradientProbe hold"),
    ],
    ids=["a task is missing", "an unknown task", "another number of rows", "a NaN feature"],
)
def test_rows_that_do_not_fit_the_model(x: Any, y: Any, sentence: str) -> None:
    with pytest.raises(PolyceraError, match=sentence):
        model().fit(X, Y, verbose=0, callbacks=[GradientProbe(x, y)])


def test_another_kind_of_model() -> None:
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    plain.compile("sgd", "mse")
    with pytest.raises(
        InputError, match=r"works in the fit of a pc\.Model, .*pc\.adopt\(model, tasks\) makes"
    ):
        plain.fit(X, X[:, 0], verbose=0, callbacks=[GradientProbe(X, Y)])


def test_a_single_task_is_said() -> None:
    alone = dense([pc.Regression("price")])
    with pytest.warns(UserWarning, match=r"nothing to measure: a single task \('price'\)"):
        alone.fit(
            X, {"price": Y["price"]}, verbose=0, callbacks=[GradientProbe(X, {"price": Y["price"]})]
        )


@pytest.mark.parametrize("spoilt", [np.inf, np.nan])
def test_a_network_that_came_apart_is_looked_at_in_vain(spoilt: float) -> None:
    broken = model()
    broken.get_layer("trunk").kernel.assign(np.full((3, 4), spoilt, "float32"))
    probe = GradientProbe(X, Y, budget=float("inf"))
    with pytest.warns(UserWarning):
        broken.fit(X, Y, verbose=0, callbacks=[probe])
    assert (
        np.isnan(probe.norms).all()
        and np.isnan(probe.cosines).all()
        and np.isnan(probe.conflicts).all()
    )


def test_labels_that_are_all_missing_are_no_gradient() -> None:
    probe = GradientProbe(X, Y | {"sold": np.full(12, np.nan)}, budget=float("inf"))
    model().fit(X, Y, verbose=0, callbacks=[probe])
    sold = probe.tasks.index("sold")
    assert np.isnan(probe.norms[0, 0, sold]) and np.isnan(probe.cosines[0, 0, sold]).all()
    assert probe.shares[0, 0, 1 - sold] == 1.0


def kept() -> dict[str, Any]:
    pulls = GradientHistory(["price", "sold"], ["trunk"], [[0, 1]], "probe")
    for epoch in range(3):
        pulls.add(epoch, np.ones((1, 2)), np.ones((1, 2)), np.ones((1, 2, 2)), np.ones((1, 2, 2)))
    return pulls.state()


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "other norms": lambda s: s.update(norms=np.ones((3, 1, 5))),
    "one look less": lambda s: s.update(cosines=s["cosines"][:2]),
    "wide cosines": lambda s: s.update(
        cosines=np.ones((3, 1, 9, 9)), conflicts=np.ones((3, 1, 9, 9))
    ),
    "no stride": lambda s: s.update(stride=0),
    "other looks": lambda s: s.update(kept=[0, 1, 7]),
    "looks twice": lambda s: s.update(kept=[0, 1, 1]),
    "a stranger": lambda s: s.update(serving=[[0, 5]]),
    "text": lambda s: s.update(epochs=["a", "b", "c"]),
    "infinity": lambda s: s.update(stride=float("inf")),
    "nothing": lambda s: s.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_state_that_no_training_left(change: Callable[[dict[str, Any]], Any]) -> None:
    state = copy.deepcopy(kept())
    assert GradientHistory.of(copy.deepcopy(state)).looks == [0, 1, 2]
    change(state)
    with pytest.raises(InputError, match="gradient statistics in the checkpoint are not valid"):
        GradientHistory.of(state)


def test_the_state_of_another_training() -> None:
    probe = GradientProbe(X, Y)
    other = dense([pc.Regression("price"), pc.Binary("other")])
    probe.set_model(other)
    other.adapt({"price": Y["price"], "other": Y["sold"]})
    probe.y = {"price": Y["price"], "other": Y["sold"]}
    probe.on_train_begin()
    with pytest.raises(InputError, match="gradients of other tasks or layers"):
        probe.set_state({"pulls": kept(), "steps": {"spent": 0.0, "trained": 1.0}})


@pytest.mark.parametrize(
    "steps", [{}, {"spent": -1.0, "trained": 1.0}, {"spent": "a", "trained": float("nan")}], ids=str
)
def test_steps_that_are_none(steps: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="numbers of steps in the checkpoint are not valid"):
        StepAllowance(0.05).set_state(steps)
