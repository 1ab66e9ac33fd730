"""Test user-defined task kinds: computed by their link, written, found, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import polycera as pc
from polycera.errors import InputError
from polycera.tasks import task_from_config


@keras.saving.register_keras_serializable("test_own_tasks")
class Positive(pc.Regression):
    """A number above zero."""

    def link(self, raw: Any, xp: Any) -> Any:
        return xp.exp(raw)


class Unregistered(pc.Regression):
    """A kind that Keras does not know."""


def model_of(tasks: list[Any]) -> pc.Model:
    inputs = keras.Input((3,))
    model = pc.Model(inputs, pc.layers.Heads(tasks)(keras.layers.Dense(4)(inputs)))
    model.compile("adam")
    return model


def test_a_kind_of_ones_own_is_not_computed_as_its_base_and_loads_as_itself(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    model = model_of([Positive("up", standardize=False), pc.Regression("plain", standardize=False)])
    model.fit(x, {"up": np.exp(x[:, 0]), "plain": x[:, 1]}, verbose=0)
    raw = keras.ops.convert_to_numpy(model(x))
    answers = model.predict(x, verbose=0)
    assert answers["up"] == pytest.approx(np.exp(raw[:, 0]), rel=1e-5)
    assert answers["plain"] == pytest.approx(raw[:, 1], rel=1e-5, abs=1e-6)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert type(again.layout.tasks["up"]) is Positive
    assert again.predict(x, verbose=0)["up"] == pytest.approx(answers["up"], rel=1e-5)


@pytest.mark.nobackend
def test_a_kind_that_cannot_be_found_again_is_refused_by_name(tmp_path: Path) -> None:
    assert task_from_config(Positive("up").to_config()) == Positive("up") != pc.Regression("up")
    with pytest.raises(
        InputError,
        match=r"'price' \(Unregistered\) is a class of your own.*register_keras_serializ",
    ):
        model_of([Unregistered("price")]).save(tmp_path / "m.keras")
    assert not list(tmp_path.iterdir())
    with pytest.raises(
        InputError, match="'nowhere>Positive' is a class of the user's own that is not registered"
    ):
        task_from_config({"kind": "nowhere>Positive", "name": "up"})
    assert Unregistered("a") == Unregistered("a") != pc.Regression("a")
