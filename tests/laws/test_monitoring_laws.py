"""Several metrics as one: scales, means, and what stops and is kept by them."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import polycera as pc
from polycera.monitoring.scale import MEANS, SCALES, Seen
from polycera.training.scores import Score

pytestmark = pytest.mark.nobackend


class FakeModel:
    """A model that measures what it is told: `values` [epochs, tasks] of metrics whose ideal is 0."""

    def __init__(self, values: Any, trivial: float = 1.0) -> None:
        self.values, self.trivial, self.epoch = np.asarray(values, "float64"), trivial, 0
        names = [chr(ord("a") + i) for i in range(self.values.shape[1])]
        self.tasks = {name: SimpleNamespace(headline="rmse", metrics=["rmse"]) for name in names}
        self.stop_training = False
        self.weights = [np.zeros(1)]

    @property
    def scores(self) -> dict[str, dict[str, Score]]:
        row = self.values[self.epoch]
        return {n: {"rmse": Score(float(v), self.trivial, 0.0, "min")} for n, v in zip(self.tasks, row, strict=True)}

    def get_weights(self) -> list[np.ndarray]:
        return [w.copy() for w in self.weights]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.weights = weights


def watched(callback: Any, values: Any) -> tuple[Any, FakeModel, list[dict[str, float]]]:
    """The callback after a training in which the metrics were these; an epoch's weights are its number."""
    model, history = FakeModel(values), []
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(len(model.values)):
        model.epoch, model.weights = epoch, [np.array([float(epoch)])]
        logs = {"val_loss": 0.0}
        callback.on_epoch_end(epoch, logs)
        history.append(logs)
        if model.stop_training:
            break
    callback.on_train_end()
    return callback, model, history


tables = hnp.arrays("float64", st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(0.01, 100))


def seen(values: np.ndarray, ideal: float = 0.0, trivial: float = 50.0) -> Seen:
    k = values.shape[1]
    return Seen(values, np.full(values.shape, trivial), np.full(k, ideal), np.full(k, 10.0))


@pytest.mark.parametrize("scale", SCALES)
@given(values=tables, factor=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_the_unit_of_a_target_changes_nothing(scale: str, values: np.ndarray, factor: float, shift: float) -> None:
    """Metrics, trivial values, ideals and references in other units: all scales but delta-m ignore a shift as well."""
    shift = 0.0 if scale == "single" else shift
    there = Seen(*(np.asarray(part) * factor + shift for part in seen(values).__dict__.values()))
    np.testing.assert_allclose(SCALES[scale](there), SCALES[scale](seen(values)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("how", MEANS)
@given(values=tables, data=st.data())
def test_the_order_of_tasks_is_irrelevant(how: str, values: np.ndarray, data: Any) -> None:
    k = values.shape[1]
    weights = np.array(data.draw(st.lists(st.floats(0.1, 5), min_size=k, max_size=k)))
    order = data.draw(st.permutations(range(k)))
    scaled = SCALES["skill"](seen(values))
    np.testing.assert_allclose(MEANS[how](scaled[:, order], weights[order]), MEANS[how](scaled, weights), rtol=1e-9)


@given(values=tables, data=st.data())
def test_the_best_epoch_is_beaten_by_no_other(values: np.ndarray, data: Any) -> None:
    """Whatever the weights, no epoch is better on every task."""
    k = values.shape[1]
    weights = np.array(data.draw(st.lists(st.floats(0, 5), min_size=k, max_size=k).filter(any)))
    for how in MEANS:
        scores = MEANS[how](SCALES["skill"](seen(values)), weights)
        chosen = values[int(np.argmax(scores))]
        assert not (values < chosen).all(axis=1).any() or how == "geometric"


def test_scales_by_hand() -> None:
    values = seen(np.array([[20.0], [10.0], [40.0]]))
    np.testing.assert_allclose(SCALES["skill"](values)[:, 0], [0.6, 0.8, 0.2])
    np.testing.assert_allclose(SCALES["minmax"](values)[:, 0], [2 / 3, 1, 0])
    np.testing.assert_allclose(SCALES["first"](values)[:, 0], [0, 0.5, -1])
    np.testing.assert_allclose(SCALES["single"](values)[:, 0], [-1, 0, -3])  # lower is better, ten is what one reaches


def test_means_by_hand() -> None:
    scaled, weights = np.array([[0.9, 0.1], [0.5, np.nan], [-1.0, 0.5]]), np.array([3.0, 1.0])
    np.testing.assert_allclose(MEANS["mean"](scaled, weights), [0.7, 0.5, -0.625])
    np.testing.assert_allclose(MEANS["worst"](scaled, weights), [0.1, 0.5, -1])
    np.testing.assert_allclose(MEANS["geometric"](scaled, weights), [(0.9**3 * 0.1) ** 0.25, 0.5, 0])


def test_a_new_extreme_rescores_all_epochs_and_this_is_said() -> None:
    """The second task's range grows a hundredfold in the last epoch, and the first task decides."""
    values = [[0.5, 0.2], [0.4, 0.5], [0.9, 50.0]]
    with pytest.warns(UserWarning, match="best so far is now epoch 1, no longer 0"):
        callback, _, history = watched(pc.callbacks.JointScore({"a": 1.0, "b": 1.01}, scale="minmax"), values)
    assert callback.best_epoch == 1
    assert history[0]["val_joint"] == 1.0


def test_training_stops_and_goes_back() -> None:
    values = [[0.9], [0.5], [0.6], [0.7], [0.4], [0.3]]
    callback, model, history = watched(pc.callbacks.JointEarlyStopping(patience=2), values)
    assert (callback.stopped_epoch, callback.best_epoch, len(history)) == (3, 1, 4)
    assert model.weights[0] == 1
    _, model, _ = watched(pc.callbacks.JointEarlyStopping(patience=2, restore_best=False), values)
    assert model.weights[0] == 3


def test_a_training_that_is_not_stopped_goes_back_too() -> None:
    callback, model, _ = watched(pc.callbacks.JointEarlyStopping(patience=9), [[0.9], [0.5], [0.6]])
    assert callback.stopped_epoch is None
    assert model.weights[0] == 1


def test_each_task_has_its_own_patience() -> None:
    """It goes on as long as one of them has had an improvement within its patience."""
    values = [[0.5, 0.9], [0.6, 0.8], [0.6, 0.7], [0.6, 0.7], [0.6, 0.7], [0.6, 0.7]]
    callback, _, _ = watched(pc.callbacks.JointEarlyStopping(patience={"a": 1, "b": 2}), values)
    assert callback.stopped_epoch == 5
    callback, _, _ = watched(pc.callbacks.JointEarlyStopping(patience={"a": 1}), values)
    assert callback.stopped_epoch == 2


def test_small_steps_are_no_improvement() -> None:
    values = [[0.5], [0.49], [0.48], [0.47]]
    callback, _, _ = watched(pc.callbacks.JointEarlyStopping(patience=2, min_delta=0.05), values)
    assert callback.stopped_epoch == 2


def test_rescored_epochs_can_be_gone_back_to() -> None:
    values = [[0.5, 0.2], [0.4, 0.5], [0.9, 50.0]]
    stop = pc.callbacks.JointEarlyStopping({"a": 1.0, "b": 1.01}, scale="minmax", patience=9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, model, _ = watched(stop, values)
    assert model.weights[0] == 1


def test_an_undefined_metric_is_left_out_and_said_once() -> None:
    with pytest.warns(UserWarning, match="'b': rmse is undefined") as said:
        callback, _, history = watched(pc.callbacks.JointScore(), [[0.5, np.nan], [0.4, np.nan]])
    assert len(said) == 1
    np.testing.assert_allclose(callback.scores, [0.5, 0.6])
    assert np.isnan(history[0]["val_b_skill"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: pc.callbacks.JointScore(scale="skil"), "skill"),
        (lambda: pc.callbacks.JointScore(how="means"), "mean"),
        (lambda: pc.callbacks.JointScore(scale="single"), "reference"),
        (lambda: pc.callbacks.JointScore(reference={"a": 1.0}), "single"),
        (lambda: pc.callbacks.JointEarlyStopping(patience=-1), "Patience"),
        (lambda: pc.callbacks.JointEarlyStopping(patience=2.5), "Patience"),
        (lambda: pc.callbacks.JointEarlyStopping(patience={}), "Patience"),
        (lambda: pc.callbacks.JointEarlyStopping(min_delta=float("nan")), "min_delta"),
        (lambda: watched(pc.callbacks.JointEarlyStopping(patience={"z": 1}), [[0.5]]), "'z'"),
        (lambda: watched(pc.callbacks.JointScore(scale="single", reference={"z": 1}), [[0.5]]), "'z'"),
        (lambda: watched(pc.callbacks.JointScore(scale="single", reference={"a": 1}), [[0.5, 0.5]]), "'b'"),
    ],
)
def test_bad_input_is_one_sentence(make: Any, said: str) -> None:
    with pytest.raises(pc.InputError, match=said):
        make()
