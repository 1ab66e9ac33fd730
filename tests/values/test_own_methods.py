"""Test user-defined methods: trained with, written, found again, or refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import polycera as pc
from polycera import balancing, weighting
from polycera.errors import InputError


@keras.saving.register_keras_serializable("test_own_methods")
@dataclass(frozen=True)
class Damped(balancing.BalancingMethod):
    """Weigh each task down by the length of its gradient."""

    power: float = 0.5

    def weigh(self, state: Any, gradients: Any, rows: Any) -> Any:
        return state, rows.lengths**-self.power


@keras.saving.register_keras_serializable("test_own_methods")
class Twice(balancing.Mean):
    """A subclass of a built-in method."""

    def weigh(self, state: Any, gradients: Any, rows: Any) -> Any:
        return state, 2.0 * gradients.present


class Unregistered(balancing.Mean):
    """A subclass that Keras does not know."""


@keras.saving.register_keras_serializable("test_own_methods")
@dataclass(frozen=True)
class Halved(weighting.WeightingMethod):
    """Half of each loss."""

    part: float = 0.5

    def weigh(self, state: Any, step: Any) -> Any:
        return state, self.part * step.present


def model_with(**how: Any) -> pc.Model:
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(4, activation="tanh")(inputs)
    model = pc.Model(
        inputs, pc.layers.Heads([pc.Regression("a"), pc.Regression("b")], **how)(hidden)
    )
    model.compile("adam")
    return model


def rows() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    return x, {"a": x[:, 0], "b": 3 * x[:, 1]}


@pytest.mark.nobackend
@pytest.mark.parametrize("method", [Damped(0.25), Twice(), Halved(0.3)], ids=lambda m: m.name)
def test_a_method_of_ones_own_is_found_again_as_itself(method: Any) -> None:
    get = balancing.get if isinstance(method, balancing.BalancingMethod) else weighting.get
    config = method.to_config()
    assert config["name"] == f"test_own_methods>{type(method).__name__}"
    assert get(config) == method and type(get(config)) is type(method)


def test_a_model_with_methods_of_ones_own_trains_and_loads(tmp_path: Path) -> None:
    model, (x, y) = model_with(balancing=Twice(), weighting=Halved()), rows()
    logs = model.fit(x, y, verbose=0).history
    assert logs["a/weight"] == [pytest.approx(0.5)]
    assert model.gradients[0].weights == pytest.approx([2.0, 2.0])
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert type(again.heads[0].settings.balance.method) is Twice
    assert type(again.heads[0].settings.weighting) is Halved


@pytest.mark.nobackend
@pytest.mark.filterwarnings("ignore:Column 'x[01]' is nearly a copy")
def test_a_run_names_the_method_and_loads_with_it(tmp_path: Path) -> None:
    x, y = rows()
    table = {f"x{i}": x[:, i] for i in range(4)} | y
    training = {"balancing": Damped(0.25), "max_steps": 2}
    run = pc.fit(table, ["a", "b"], out=tmp_path / "run", training=training, network={"members": 2})
    assert run.spec.training.balancing == {"name": "test_own_methods>Damped", "power": 0.25}
    assert pc.load(run.path).predict(table)["a"] == pytest.approx(run.predict(table)["a"])


@pytest.mark.nobackend
def test_what_cannot_be_found_again_is_refused_by_name(tmp_path: Path) -> None:
    model, (x, y) = model_with(balancing=Unregistered()), rows()
    model.fit(x, y, verbose=0)  # training needs no name
    with pytest.raises(
        InputError, match=r"'Unregistered' is a class of your own.*register_keras_serializable"
    ):
        model.save(tmp_path / "m.keras")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="'Unregistered' is a class of your own"):
        pc.fit(
            {"x": x[:, 0]} | y,
            ["a", "b"],
            out=tmp_path / "run",
            training={"balancing": Unregistered()},
        )
    assert not list(tmp_path.iterdir())
    with pytest.raises(
        InputError, match="'nowhere>Damped' is a class of the user's own that is not registered"
    ):
        balancing.get({"name": "nowhere>Damped"})
    with pytest.raises(InputError, match="registered with Keras, but it is no balancing method"):
        balancing.get({"name": "test_own_methods>Halved"})
    with pytest.raises(InputError, match=r"as an instance such as Mean\(\), got the class Twice"):
        model_with(balancing=Twice)


@pytest.mark.nobackend
def test_a_method_that_dataclass_did_not_see_is_refused() -> None:
    class Forgotten(balancing.BalancingMethod):
        power: float = 0.5

        def weigh(self, state: Any, gradients: Any, rows: Any) -> Any:
            return state, gradients.present

    with pytest.raises(
        InputError, match=r"'Forgotten' has hyperparameters .*'power'.*@dataclass\(frozen=True\)"
    ):
        Forgotten()
