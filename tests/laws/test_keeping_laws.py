"""Test what is kept and scheduled in a training, on each backend: weights of the named epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import small
from hypothesis import given
from hypothesis import strategies as st

import polycera as pc
from polycera.callbacks import pareto_checkpoint
from polycera.model import variables
from polycera.runs import kept_epochs
from polycera.storage.arrays import StoredArrays

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 3)).astype("float32")
Y = {"churn": X[:, 0] > 0, "spend": 50 + 10 * X[:, 1] + X[:, 0] + RNG.normal(size=96)}
HELD = (X[:40], {name: labels[:40] for name, labels in Y.items()})


def network(**heads: Any) -> pc.Model:
    """Two tasks on a small trunk that go up and down: its steps are too long."""
    tasks = [pc.Binary("churn", metrics=["log_loss"]), pc.Regression("spend", metrics=["rmse"])]
    model = small.dense(tasks, optimizer=keras.optimizers.SGD(0.4), **heads)
    small.from_numpy(model)
    return model


def fit(model: pc.Model, *callbacks: Any, epochs: int = 8) -> Any:
    # the same on every backend
    options = dict(validation_data=HELD, batch_size=16, shuffle=False, verbose=0)
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options)


@pytest.mark.nobackend
def test_each_kept_epoch_measures_what_it_measured(tmp_path: Path) -> None:
    model, watch = network(), pc.callbacks.ParetoCheckpoint(tmp_path)
    history = fit(model, watch).history
    assert 2 <= len(watch.epochs) <= 8
    picked = {w: watch.pick({"churn": w, "spend": 1 - w}) for w in (1.0, 0.0)}
    assert set(picked.values()) <= set(watch.epochs)
    for one in kept_epochs.read(tmp_path):
        pareto_checkpoint.restore(model, one)
        again = model.evaluate(*HELD, batch_size=16, verbose=0)
        assert again["spend/rmse"] == pytest.approx(history["val_spend/rmse"][one.epoch], rel=1e-5)
        assert again["churn/log_loss"] == pytest.approx(
            history["val_churn/log_loss"][one.epoch], rel=1e-4
        )
        assert one.scores["spend"]["rmse"]["value"] == history["val_spend/rmse"][one.epoch]
    best = int(np.argmin(history["val_spend/rmse"]))
    assert watch.pick({"spend": 1.0}) == best


@pytest.mark.nobackend
def test_keeping_changes_no_training(tmp_path: Path) -> None:
    keep = pc.callbacks.ParetoCheckpoint(tmp_path / "front")
    save = pc.callbacks.JointCheckpoint(tmp_path / "best.keras", scale="minmax")
    kept_, plain = network(), network()
    keras.utils.set_random_seed(1)
    one = fit(kept_, keep, save).history
    keras.utils.set_random_seed(1)
    other = fit(plain).history
    np.testing.assert_array_equal(one["loss"], other["loss"])
    for a, b in zip(kept_.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.nobackend
@pytest.mark.parametrize("scale", ["skill", "minmax"])
@pytest.mark.parametrize("end", [".keras", ".safetensors"])
def test_the_file_has_the_best_epoch(end: str, scale: str, tmp_path: Path) -> None:
    model = network()
    save = pc.callbacks.JointCheckpoint(tmp_path / f"best{end}", scale=scale)
    history = fit(model, save).history
    assert save.saved_epoch == save.best_epoch
    if end == ".keras":
        loaded = keras.saving.load_model(save.path)
    else:
        loaded = network()
        variables.write(variables.weights(loaded), StoredArrays(save.path).arrays, "it")
    again = loaded.evaluate(*HELD, verbose=0)
    assert again["spend/rmse"] == pytest.approx(
        history["val_spend/rmse"][save.saved_epoch], rel=1e-5
    )
    assert [path.name for path in tmp_path.iterdir()] == [save.path.name]


UNITS: dict[str, Any] = {}


@pytest.mark.nobackend
@given(
    factor=st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3),
    shift=st.floats(-10, 10),
    seed=st.integers(0, 9),
)
def test_the_unit_of_a_target_changes_no_skill(factor: float, shift: float, seed: int) -> None:
    """The same answers in another scale have equal skill in every metric without a zero point."""
    metrics = ["rmse", "mae", "r2"]
    model = UNITS.setdefault("model", None) or small.straight([pc.Regression("a", metrics=metrics)])
    UNITS["model"] = model
    rng = np.random.default_rng(seed)
    y, answer = rng.normal(size=(2, 40))
    skills = []
    for scale, start in ((1.0, 0.0), (factor, shift * factor)):
        labels = y * scale + start
        model.adapt({"a": labels})
        location, spread = (float(part[0]) for part in (model.units.location, model.units.scale))
        raw = (answer * scale + start - location) / spread
        model.evaluate(raw.astype("float32")[:, None], {"a": labels}, verbose=0)
        skills.append([model.scores["a"][metric].skill for metric in metrics])
    np.testing.assert_allclose(*skills, rtol=1e-3, atol=1e-3)
