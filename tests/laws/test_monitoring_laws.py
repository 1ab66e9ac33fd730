"""Several metrics as one: scales, means, and what stops and is kept by them."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import polycera as pc
from polycera.callbacks.score_scale import MEANS, SCALES, EpochMetrics, best
from polycera.model.scores import Score
from polycera.runs import kept_epochs, pareto_set
from polycera.storage import arrays, state_json

pytestmark = pytest.mark.nobackend


class FakeModel:
    """A model that measures what it is told: `values` [epochs, tasks] of metrics whose ideal is 0.

    Its weights are one number, that of the epoch; saving it writes that number.
    """

    def __init__(self, values: Any, trivial: float = 1.0) -> None:
        self.values, self.trivial, self.epoch = np.asarray(values, "float64"), trivial, 0
        names = [chr(ord("a") + i) for i in range(self.values.shape[1])]
        self.tasks = {name: SimpleNamespace(headline="rmse", metrics=["rmse"]) for name in names}
        self.stop_training = False
        self.weights = self.variables = [keras.Variable(np.zeros(1), name="w")]

    @property
    def scores(self) -> dict[str, dict[str, Score]]:
        row = self.values[self.epoch]
        return {
            n: {"rmse": Score(float(v), self.trivial, 0.0, "min")}
            for n, v in zip(self.tasks, row, strict=True)
        }

    @property
    def at(self) -> float:
        return float(self.variables[0].numpy()[0])

    def get_weights(self) -> list[np.ndarray]:
        return [v.numpy().copy() for v in self.variables]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def save(self, path: Path) -> None:
        path.write_text(str(int(self.at)))


def trained(
    callback: Any, model: FakeModel, epochs: range, weights: Any = float
) -> list[dict[str, float]]:
    """Some epochs of a training with these metrics; an epoch's weights are its number."""
    history = []
    for epoch in epochs:
        model.epoch = epoch
        model.set_weights([np.array([weights(epoch)])])
        logs = {"val_loss": 0.0}
        callback.on_epoch_end(epoch, logs)
        history.append(logs)
        if model.stop_training:
            break
    return history


def watched(
    callback: Any, values: Any, weights: Any = float
) -> tuple[Any, FakeModel, list[dict[str, float]]]:
    """The callback after a training from beginning to end."""
    model = FakeModel(values)
    callback.set_model(model)
    callback.on_train_begin()
    history = trained(callback, model, range(len(model.values)), weights)
    callback.on_train_end()
    return callback, model, history


def state_of(callback: Any) -> dict[str, Any]:
    """What a checkpoint of the whole training holds of a callback, and gives back."""
    found = {}
    for name, value in vars(callback).items():
        if name != "_model" and not callable(value):
            try:
                found[name] = state_json.join(*state_json.split(deepcopy(value)))
            except TypeError:
                assert name in ("path", "folder", "_watch"), f"{name} is no plain state"
    return found


tables = hnp.arrays(
    "float64", st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(0.01, 100)
)


def seen(values: np.ndarray, ideal: float = 0.0, trivial: float = 50.0) -> EpochMetrics:
    k = values.shape[1]
    return EpochMetrics(values, np.full(values.shape, trivial), np.full(k, ideal), np.full(k, 10.0))


@pytest.mark.parametrize("scale", SCALES)
@given(values=tables, factor=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_the_unit_of_a_target_changes_nothing(
    scale: str, values: np.ndarray, factor: float, shift: float
) -> None:
    """Metrics, trivial values, ideals, references rescaled: all but delta-m ignore shifts too."""
    shift = 0.0 if scale == "single" else shift
    there = EpochMetrics(
        *(np.asarray(part) * factor + shift for part in seen(values).__dict__.values())
    )
    np.testing.assert_allclose(
        SCALES[scale](there), SCALES[scale](seen(values)), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("how", MEANS)
@given(values=tables, data=st.data())
def test_the_order_of_tasks_is_irrelevant(how: str, values: np.ndarray, data: Any) -> None:
    k = values.shape[1]
    weights = np.array(data.draw(st.lists(st.floats(0.1, 5), min_size=k, max_size=k)))
    order = data.draw(st.permutations(range(k)))
    scaled = SCALES["skill"](seen(values))
    np.testing.assert_allclose(
        MEANS[how](scaled[:, order], weights[order]), MEANS[how](scaled, weights), rtol=1e-9
    )


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
    # lower is better, ten is what one reaches
    np.testing.assert_allclose(SCALES["single"](values)[:, 0], [-1, 0, -3])


@pytest.mark.filterwarnings("error")
def test_an_epoch_that_is_infinitely_bad_spoils_no_other() -> None:
    values = seen(np.array([[20.0], [np.inf], [10.0], [np.nan]]))
    np.testing.assert_allclose(SCALES["minmax"](values)[:, 0], [0, -np.inf, 1, np.nan])
    np.testing.assert_allclose(SCALES["skill"](values)[:, 0], [0.6, -np.inf, 0.8, np.nan])
    both = np.array([[0.5, -np.inf], [-np.inf, 0.5]])
    np.testing.assert_allclose(MEANS["mean"](both, np.array([1.0, 0.0])), [0.5, -np.inf])
    assert [best([np.nan, -np.inf]), best([np.nan, 0.5, 0.5]), best([np.nan])] == [1, 1, None]


def test_means_by_hand() -> None:
    scaled, weights = np.array([[0.9, 0.1], [0.5, np.nan], [-1.0, 0.5]]), np.array([3.0, 1.0])
    np.testing.assert_allclose(MEANS["mean"](scaled, weights), [0.7, 0.5, -0.625])
    np.testing.assert_allclose(MEANS["worst"](scaled, weights), [0.1, 0.5, -1])
    np.testing.assert_allclose(
        MEANS["geometric"](scaled, weights), [(0.9**3 * 0.1) ** 0.25, 0.5, 0]
    )


@pytest.mark.parametrize(
    ("last", "best_epoch"),
    [
        # On the range of the third epoch the second one would be the best; it was passed before.
        ([0.9, 50.0], 0),
        # Better than the first one on the range of all three, as the second one was not.
        ([0.45, 0.2], 2),
    ],
)
def test_under_minmax_a_new_epoch_is_compared_with_the_best_before_it(
    last: list[float], best_epoch: int, tmp_path: Path
) -> None:
    values = [[0.5, 0.2], [0.4, 0.5], last]
    common: dict[str, Any] = dict(score_weights={"a": 1.0, "b": 1.01}, scale="minmax")
    score, _, history = watched(pc.callbacks.JointScore(**common), values)
    assert score.best_epoch == best_epoch
    assert [logs["val_joint"] for logs in history] == score.scores.tolist()
    assert score.scores[0] == 1.0  # as it was when it was the only one
    stop = pc.callbacks.JointEarlyStopping(**common, patience=2)
    _, model, _ = watched(stop, values)
    assert (model.at, stop.stopped_epoch) == (best_epoch, None if best_epoch else 2)
    save = pc.callbacks.JointCheckpoint(tmp_path / "best.safetensors", **common)
    watched(save, values)
    assert save.saved_epoch == in_file(save.path) == best_epoch


def test_training_stops_and_goes_back() -> None:
    values = [[0.9], [0.5], [0.6], [0.7], [0.4], [0.3]]
    callback, model, history = watched(pc.callbacks.JointEarlyStopping(patience=2), values)
    assert (callback.stopped_epoch, callback.best_epoch, len(history)) == (3, 1, 4)
    assert model.at == 1
    _, model, _ = watched(pc.callbacks.JointEarlyStopping(patience=2, restore_best=False), values)
    assert model.at == 3


def test_a_training_that_is_not_stopped_goes_back_too() -> None:
    callback, model, _ = watched(pc.callbacks.JointEarlyStopping(patience=9), [[0.9], [0.5], [0.6]])
    assert callback.stopped_epoch is None
    assert model.at == 1


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
        (
            lambda: watched(pc.callbacks.JointScore(scale="single", reference={"z": 1}), [[0.5]]),
            "'z'",
        ),
        (
            lambda: watched(
                pc.callbacks.JointScore(scale="single", reference={"a": 1}), [[0.5, 0.5]]
            ),
            "'b'",
        ),
    ],
)
def test_bad_input_is_one_sentence(make: Any, said: str) -> None:
    with pytest.raises(pc.InputError, match=said):
        make()


# -- what is saved ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [".keras", ".safetensors"])
def test_the_best_epoch_is_saved_whenever_there_is_a_better_one(end: str, tmp_path: Path) -> None:
    path = tmp_path / f"best{end}"
    callback, model = (
        pc.callbacks.JointCheckpoint(path),
        FakeModel([[0.9], [0.95], [0.5], [0.5], [0.6], [0.4]]),
    )
    callback.set_model(model)
    callback.on_train_begin()
    saved = []
    for epoch in range(6):
        trained(callback, model, range(epoch, epoch + 1))
        saved.append((callback.saved_epoch, in_file(path)))
    assert saved == [(0, 0), (0, 0), (2, 2), (2, 2), (2, 2), (5, 5)]
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def in_file(path: Path) -> int:
    if path.suffix == ".keras":
        return int(path.read_text())
    return int(*arrays.StoredArrays(path).arrays["0000/w"])


def test_a_file_that_was_there_stays_where_saving_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = pc.callbacks.JointCheckpoint(tmp_path / "best.keras")
    save.path.write_text("from before")
    monkeypatch.setattr(FakeModel, "save", lambda self, path: path.write_text("half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        watched(save, [[0.5]])
    assert save.path.read_text() == "from before" and list(tmp_path.iterdir()) == [save.path]


def test_what_is_no_more_than_min_delta_better_is_not_saved(tmp_path: Path) -> None:
    values = [[0.9], [0.85], [0.79], [0.75], [0.7]]
    callback, *_ = watched(
        pc.callbacks.JointCheckpoint(tmp_path / "a.keras", min_delta=0.1), values
    )
    assert (callback.saved_epoch, in_file(callback.path), callback.best_epoch) == (2, 2, 4)


@given(values=tables)
def test_under_minmax_the_best_epoch_ends_in_the_file(
    values: np.ndarray, tmp_path_factory: Any
) -> None:
    """Early stopping goes back to the same, and no later epoch is better on every task."""
    path = tmp_path_factory.mktemp("minmax") / "best.keras"
    callback, *_ = watched(pc.callbacks.JointCheckpoint(path, scale="minmax"), values)
    assert in_file(path) == callback.saved_epoch == callback.best_epoch
    later = values[callback.best_epoch + 1 :]
    assert not (later < values[callback.best_epoch] - 1e-6).all(axis=1).any()
    _, model, _ = watched(pc.callbacks.JointEarlyStopping(scale="minmax", patience=99), values)
    assert model.at == callback.best_epoch


@pytest.mark.parametrize("patience", [3, {"a": 1, "b": 3}])
@given(values=hnp.arrays("float64", (6, 2), elements=st.floats(0.01, 100)), data=st.data())
def test_a_state_of_the_first_version_goes_on_alike(
    patience: Any, values: np.ndarray, data: Any
) -> None:
    """It holds the scores, and neither which epoch is the best nor when a task improved."""
    cut = data.draw(st.integers(1, 5))
    expected, end, _ = watched(pc.callbacks.JointEarlyStopping(patience=patience), values)
    first, model = pc.callbacks.JointEarlyStopping(patience=patience), FakeModel(values)
    first.set_model(model)
    first.on_train_begin()
    trained(first, model, range(cut))
    if model.stop_training:
        return
    again = pc.callbacks.JointEarlyStopping(patience=patience)
    again.set_model(model)
    again.on_train_begin()
    old = {n: v for n, v in state_of(first).items() if n not in ("_best_epoch", "_improved")}
    vars(again).update(old)
    trained(again, model, range(cut, 6))
    again.on_train_end()
    assert (again.best_epoch, model.at) == (expected.best_epoch, end.at)
    assert again.stopped_epoch == expected.stopped_epoch


def test_where_nothing_is_defined_nothing_is_kept(tmp_path: Path) -> None:
    nothing = [[math.nan], [math.nan]]
    with pytest.warns(UserWarning, match="undefined"):
        callback, *_ = watched(pc.callbacks.JointCheckpoint(tmp_path / "a.keras"), nothing)
        _, model, _ = watched(pc.callbacks.JointEarlyStopping(), nothing)
    keep, *_ = watched(pc.callbacks.ParetoCheckpoint(tmp_path), nothing)
    assert callback.saved_epoch is None and keep.epochs == () and list(tmp_path.iterdir()) == []
    assert model.at == 1


@pytest.mark.parametrize("scale", ["skill", "minmax"])
@pytest.mark.parametrize("make", ["JointCheckpoint", "ParetoCheckpoint"])
def test_weights_that_are_not_finite_are_never_written(
    make: str, scale: str, tmp_path: Path
) -> None:
    """Though their epochs score best; and this is said once."""
    bad = {1: math.nan, 3: math.inf}
    if make == "JointCheckpoint":
        watch: Any = pc.callbacks.JointCheckpoint(tmp_path / "best.safetensors", scale=scale)
    else:
        watch = pc.callbacks.ParetoCheckpoint(tmp_path)
    with pytest.warns(UserWarning, match="not all finite") as said:
        watched(
            watch,
            [[0.9], [0.5], [0.8], [0.4], [0.85]],
            weights=lambda epoch: bad.get(epoch, float(epoch)),
        )
    assert len([w for w in said if "not all finite" in str(w.message)]) == 1
    (path,) = tmp_path.iterdir()
    assert in_file(path) == 2


# -- the epochs that no other beats ----------------------------------------------------------------


@given(values=tables, keep=st.integers(2, 4), data=st.data())
def test_the_kept_epochs_are_those_that_no_other_beats(
    values: np.ndarray, keep: int, data: Any, tmp_path_factory: Any
) -> None:
    """The folder holds just these; for any weights, the best epoch is among them if all fit."""
    folder, k = tmp_path_factory.mktemp("front"), values.shape[1]
    callback, model, _ = watched(pc.callbacks.ParetoCheckpoint(folder, keep=keep), values)
    skills = 1 - values  # rounded, two may be equal whose metrics are not
    best = set(np.flatnonzero(pareto_set.non_dominated(skills)).tolist())
    assert [one.epoch for one in kept_epochs.read(folder)] == list(callback.epochs)
    assert len(callback.epochs) == len(list(folder.iterdir())) <= keep
    if len(values) > keep:
        return
    assert set(callback.epochs) == best
    weights = data.draw(st.lists(st.floats(0, 5), min_size=k, max_size=k).filter(any))
    epoch = callback.pick(dict(zip(model.tasks, weights, strict=True)))
    assert model.at == epoch
    np.testing.assert_allclose(
        skills[epoch] @ weights, (skills @ weights).max(), rtol=1e-9, atol=1e-12
    )


def test_the_unit_of_a_target_changes_no_kept_epoch(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0.1, 2, size=(12, 2))
    epochs = []
    for factor in (1.0, 1000.0):
        watch, model = (
            pc.callbacks.ParetoCheckpoint(tmp_path, keep=3),
            FakeModel(values * factor, trivial=factor),
        )
        watch.set_model(model)
        watch.on_train_begin()
        trained(watch, model, range(12))
        epochs.append(watch.epochs)
    assert epochs[0] == epochs[1] and len(epochs[0]) == 3


def test_of_too_many_epochs_the_one_goes_that_adds_least(tmp_path: Path) -> None:
    values = [[0.1, 0.9], [0.9, 0.1], [0.4, 0.4], [0.41, 0.39], [0.3, 0.6]]
    callback, *_ = watched(pc.callbacks.ParetoCheckpoint(tmp_path, keep=4), values)
    assert callback.epochs == (0, 1, 3, 4)
    callback, *_ = watched(
        pc.callbacks.ParetoCheckpoint(tmp_path, keep=2), values[:2] + values[2:3]
    )
    assert callback.epochs == (0, 2)  # of the two ends, which add the same, the first stays


def test_the_best_of_each_task_stays(tmp_path: Path) -> None:
    """Of a long row of unbeaten epochs, the ends and what lies between."""
    angles = np.random.default_rng(0).permutation(np.linspace(0, np.pi / 2, 40))
    values = 1 - np.stack([np.cos(angles), np.sin(angles)], axis=1)
    callback, *_ = watched(pc.callbacks.ParetoCheckpoint(tmp_path, keep=5), values)
    skills = 1 - values[list(callback.epochs)]
    assert (skills.max(axis=0) > 0.99).all() and np.diff(np.sort(skills[:, 0])).max() < 0.45


def test_only_what_is_watched_counts(tmp_path: Path) -> None:
    values = [[0.5, 0.5], [0.6, 0.1], [0.4, 0.9]]
    for weights in ({"a": 1.0, "b": 0.0}, ["a"], "a", ["a/rmse"]):
        callback, model, _ = watched(pc.callbacks.ParetoCheckpoint(tmp_path, weights), values)
        assert callback.epochs == (2,)
        assert callback.pick({"a": 1.0}) == 2 and model.at == 2


def test_a_new_training_begins_anew(tmp_path: Path) -> None:
    """What an earlier one left goes when there is something to put in its place, and not before."""
    callback, *_ = watched(
        pc.callbacks.ParetoCheckpoint(tmp_path), [[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]]
    )
    assert callback.epochs == (0, 1, 2)
    other = pc.callbacks.ParetoCheckpoint(tmp_path)
    with pytest.warns(UserWarning, match="undefined|not all finite"):
        watched(other, [[0.9, 0.1]], weights=lambda _: math.nan)
    assert [one.epoch for one in kept_epochs.read(tmp_path)] == [0, 1, 2]
    with pytest.raises(pc.InputError, match="There is no kept epoch"):
        other.pick({"a": 1.0})
    callback, *_ = watched(other, [[0.9, 0.9], [0.5, 0.5]])
    assert [one.epoch for one in kept_epochs.read(tmp_path)] == [1] == [callback.pick({"a": 1.0})]


def test_no_validation_rows_are_said(tmp_path: Path) -> None:
    watch = pc.callbacks.ParetoCheckpoint(tmp_path / "front")
    watch.set_model(FakeModel([[0.5]]))
    watch.on_train_begin()
    watch.on_epoch_end(0, {"loss": 1.0, "val_a/rmse": 1.0})
    with pytest.warns(UserWarning, match="no validation rows"):
        watch.on_train_end()


def test_a_task_whose_name_begins_with_val_is_no_validation() -> None:
    watch = pc.callbacks.JointScore()
    watch.set_model(FakeModel([[0.5]]))
    watch.on_train_begin()
    watch.on_epoch_end(0, logs := {"loss": 1.0, "val_a/rmse": 1.0})
    assert "val_joint" not in logs


# -- a training that goes on after it was cut off --------------------------------------------------

MAKERS: dict[str, Callable[[Path], Any]] = {
    "score": lambda folder: pc.callbacks.JointScore(scale="minmax"),
    "stopping": lambda folder: pc.callbacks.JointEarlyStopping(patience=3),
    "stopping by tasks": lambda folder: pc.callbacks.JointEarlyStopping(
        patience={"a": 1, "b": 3}, scale="minmax"
    ),
    "checkpoint": lambda folder: pc.callbacks.JointCheckpoint(
        folder / "best.keras", {"a": 2.0, "b": 1.0}
    ),
    "checkpoint minmax": lambda folder: pc.callbacks.JointCheckpoint(
        folder / "best.safetensors", scale="minmax"
    ),
    "pareto": lambda folder: pc.callbacks.ParetoCheckpoint(folder, keep=2),
}


@pytest.mark.parametrize("name", MAKERS)
@given(values=hnp.arrays("float64", (6, 2), elements=st.floats(0.01, 100)), data=st.data())
def test_state_that_is_put_back_goes_on_alike(
    name: str, values: np.ndarray, data: Any, tmp_path_factory: Any
) -> None:
    """The state is saved after some epochs; the training was cut off later and repeats the rest."""
    saved = data.draw(st.integers(0, 5))
    lost = data.draw(st.integers(saved, 6))
    whole, broken = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("broken")
    expected, end, _ = watched(MAKERS[name](whole), values)
    first, model = MAKERS[name](broken), FakeModel(values)
    first.set_model(model)
    first.on_train_begin()
    trained(first, model, range(saved))
    if model.stop_training:
        return
    state = state_of(first)
    trained(first, model, range(saved, lost))
    again, model = MAKERS[name](broken), FakeModel(values)
    again.set_model(model)
    again.on_train_begin()
    vars(again).update(state)
    trained(again, model, range(saved, 6))
    again.on_train_end()
    np.testing.assert_equal(state_of(again), state_of(expected))
    assert model.at == end.at
    files = [{path.name: in_file(path) for path in folder.iterdir()} for folder in (whole, broken)]
    assert files[0] == files[1]


def test_a_kept_epoch_whose_file_is_gone_is_named(tmp_path: Path) -> None:
    callback, *_ = watched(
        pc.callbacks.ParetoCheckpoint(tmp_path), [[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]]
    )
    (tmp_path / "000001.safetensors").unlink()
    with pytest.warns(UserWarning, match=r"\[1\] cannot be read"):
        assert callback.pick({"a": 1.0}) == 2


# -- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda at: pc.callbacks.JointCheckpoint(at / "best.h5"),
            r"'best.h5': end the name in \.keras",
        ),
        (lambda at: pc.callbacks.JointCheckpoint(at / "best"), r"\.keras"),
        (lambda at: pc.callbacks.JointCheckpoint(at / "b.keras", min_delta=-1), "min_delta"),
        (lambda at: pc.callbacks.JointCheckpoint(at / "b.keras", {"a": -1}), "'a'"),
        (
            lambda at: watched(pc.callbacks.JointCheckpoint(at / "no" / "b.keras"), [[0.5]]),
            "make the folder",
        ),
        (
            lambda at: watched(pc.callbacks.JointCheckpoint(at / "folder.keras"), [[0.5]]),
            "it is a folder",
        ),
        (
            lambda at: watched(pc.callbacks.JointCheckpoint(at / "b.keras", {"z": 1}), [[0.5]]),
            "joint score: 'z'",
        ),
        (
            lambda at: watched(pc.callbacks.JointScore({"a": 1, "a/rmse": 2}), [[0.5]]),
            "names a task twice",
        ),
        *(
            (
                lambda at, keep=keep: pc.callbacks.ParetoCheckpoint(at, keep=keep),
                "2 to 16 epochs, got keep=",
            )
            for keep in (1, 17, 2.0, True, "8")
        ),
        (lambda at: pc.callbacks.ParetoCheckpoint(at, {"a": 0.0}), "at least one weight above 0"),
        (lambda at: pc.callbacks.ParetoCheckpoint(at, []), "at least one weight above 0"),
        (
            lambda at: watched(pc.callbacks.ParetoCheckpoint(at, ["a", "z"]), [[0.5]]),
            "set of kept epochs: 'z'",
        ),
        (lambda at: watched(pc.callbacks.ParetoCheckpoint(at / "file"), [[0.5]]), "Cannot write"),
        (
            lambda at: watched(pc.callbacks.ParetoCheckpoint(at), [[0.5]])[0].pick({"z": 1}),
            "weights: 'z'",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(make: Any, said: str, tmp_path: Path) -> None:
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(pc.errors.PolyceraError, match=said):
        make(tmp_path)


def test_patience_that_grows_with_the_best_epoch() -> None:
    """Best at once: over after `least`. Best later: after as many epochs, `patience` at most."""
    falling = [[0.1], [0.2], [0.3], [0.4], [0.5], [0.6], [0.7]]  # errors: the first is the best
    callback, _, _ = watched(pc.callbacks.JointEarlyStopping(patience=6, least=2), falling)
    assert callback.stopped_epoch == 2
    rising = [[0.9], [0.8], [0.7], [0.6], [0.9], [0.9], [0.9], [0.9], [0.9], [0.9]]
    callback, _, _ = watched(pc.callbacks.JointEarlyStopping(patience=9, least=2), rising)
    assert callback.stopped_epoch == 3 + 4
    callback, _, _ = watched(pc.callbacks.JointEarlyStopping(patience=3, least=2), rising)
    assert callback.stopped_epoch == 3 + 3
    for wrong in (0, 1.5, True):
        with pytest.raises(pc.InputError, match="least patience"):
            pc.callbacks.JointEarlyStopping(least=wrong)
    with pytest.raises(pc.InputError, match="a single patience for all"):
        pc.callbacks.JointEarlyStopping(patience={"a": 1}, least=2)


def test_a_callback_that_is_gone_names_what_takes_its_place() -> None:
    with pytest.raises(AttributeError, match=r"WeightSchedule is gone: .*'name': 'schedule'"):
        _ = pc.callbacks.WeightSchedule
