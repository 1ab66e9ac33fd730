"""A task's weight in a model can change while it trains, and what is logged says so."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from small import dense

import polycera as pc


def table() -> tuple[np.ndarray, dict[str, Any]]:
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    return x, {"sold": x[:, 0] > 0, "price": 9 * x[:, 1]}


def network(sold: float = 2.0) -> pc.Model:
    keras.utils.set_random_seed(1)
    return dense([pc.Binary("sold", weight=sold), pc.Regression("price")])


class Change(keras.callbacks.Callback):
    """Sets a weight at the end of a batch, or of an epoch."""

    def __init__(self, to: float, epoch: int, batch: int | None = None) -> None:
        super().__init__()
        self.to, self.epoch, self.batch, self.now = to, epoch, batch, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.now = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self.now, batch) == (self.epoch, self.batch):
            self.model.tasks["sold"].weight = self.to

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.batch is None and epoch == self.epoch:
            self.model.tasks["sold"].weight = self.to


def fitted(model: pc.Model, **options: Any) -> dict[str, list[float]]:
    return model.fit(*table(), batch_size=8, shuffle=False, verbose=0, **options).history


@pytest.mark.parametrize("batch", [None, 1], ids=["between epochs", "between steps"])
def test_a_weight_that_is_set_counts_from_the_next_step_on(batch: int | None) -> None:
    """As if the rest of the training were that of another model with that weight."""
    changed = network(2.0)
    history = fitted(changed, epochs=2, callbacks=[Change(0.25, 0, batch)])
    first, then = network(2.0), network(0.25)
    x, y = table()
    for model in (first, then):
        model.adapt(y)
    steps = 4 if batch is None else batch + 1
    for i in range(8):
        rows = slice(8 * (i % 4), 8 * (i % 4) + 8)
        model = first if i < steps else then
        if i == steps:
            then.get_layer("trunk").set_weights(first.get_layer("trunk").get_weights())
            then.heads[0].set_weights(first.heads[0].get_weights())
        model.train_on_batch(x[rows], {name: labels[rows] for name, labels in y.items()})
    for one, other in zip(
        changed.get_layer("trunk").get_weights(), then.get_layer("trunk").get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    # logged once it has changed
    weights = [2.0] * (2 - len(history["sold/weight"])) + history["sold/weight"]
    assert weights[1] == pytest.approx(0.25)
    by_hand = [
        weight * history["sold/bce"][i] + history["price/mse"][i]
        for i, weight in enumerate(weights)
    ]
    assert history["loss"] == pytest.approx(by_hand, rel=1e-5)


def test_a_measurement_uses_the_weight_in_force_and_it_is_saved(tmp_path: Any) -> None:
    model = network()
    fitted(model)
    model.tasks["sold"].weight = 0.5
    assert (model.tasks["sold"].weight, model.layout.tasks["sold"].weight) == (0.5, 2.0)
    logs = model.evaluate(*table(), verbose=0)
    assert logs["loss"] == pytest.approx(0.5 * logs["sold/bce"] + logs["price/mse"], rel=1e-5)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").tasks["sold"].weight == 0.5


@pytest.mark.nobackend
def test_a_weight_that_makes_no_sense_is_refused() -> None:
    model = network()
    for weight in (-1.0, float("nan"), "much"):
        with pytest.raises(pc.InputError, match="'sold'"):
            model.tasks["sold"].weight = weight
    assert model.tasks["sold"].weight == 2.0
    with pytest.raises(pc.InputError, match=r"model.tasks\['sold'\].weight"):
        model.layout.tasks["sold"].weight = 1.0
