"""Test what makes a default training quick, and that it changes no answer.

Each thing is done once, there are few programs, and trainings end early.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
from keras import ops

import polycera as pc
from polycera.callbacks import progress
from polycera.callbacks.progress import PHASES, Progress
from polycera.data import Batches, Encoder
from polycera.errors import UnknownName
from polycera.layers.initializers import Drawn
from polycera.layers.kernel_layer import Landmarks
from polycera.model import predicting
from polycera.model.objective import HeadConstants, Objective
from polycera.runs import Network, Training, manifest
from polycera.tabular import blend, kernel_ridge, presets, recipe, step_plan
from polycera.tasks import Layout
from polycera.tasks.number_kinds import NumberTask
from polycera.tasks.task import ClassTask

pytestmark = pytest.mark.nobackend


def table(rows: int = 60) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    return {
        "x": x,
        "z": rng.normal(size=rows),
        "price": 3 * x,
        "churn": np.where(x > 0, "yes", "no"),
    }


# -- each thing once -------------------------------------------------------------------------------


Counted = dict[str, list[Any]]
"""What is counted -> one entry for each time that it was done."""


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Count encodings of tables and of labels, passes through networks, parses of manifests."""
    found: Counted = {"table": [], "labels": [], "passes": [], "manifests": []}

    def watch(owner: Any, name: str, what: str, entry: Any) -> None:
        before = getattr(owner, name)

        def watched(*given: Any, **options: Any) -> Any:
            found[what].append(entry(*given))
            return before(*given, **options)

        monkeypatch.setattr(owner, name, watched)

    watch(Encoder, "transform", "table", lambda _, of: of.rows)
    for kind in (ClassTask, NumberTask):  # every kind of one column encodes by one of these
        watch(kind, "encode", "labels", lambda task, given: (task.name, len(given)))
    watch(pc.Model, "raw_outputs", "passes", lambda _, x: np.array(x))
    decode = msgspec.json.decode

    def decoded(text: bytes, **options: Any) -> Any:
        found["manifests"] += [text] if options.get("type") is manifest.Manifest else []
        return decode(text, **options)

    monkeypatch.setattr(msgspec.json, "decode", decoded)
    return found


def passes_of(rows: Any, passes: list[Any]) -> int:
    """How often these rows, as they are, passed a network."""
    return sum(len(x) >= len(rows) and np.array_equal(x[: len(rows)], rows) for x in passes)


def test_a_fit_and_a_report_do_each_thing_once(counted: Counted, tmp_path: Path) -> None:
    """The table and the labels are encoded, the test rows pass, and a manifest is parsed once."""
    columns = table(344)
    columns |= {"visits": np.arange(344) % 7, "kind": np.array(["a", "b", "c"])[np.arange(344) % 3]}
    kinds = {"price": "regression", "churn": "binary", "visits": "count", "kind": "multiclass"}
    run = pc.fit(
        columns,
        kinds,
        out=tmp_path / "run",
        training={"max_steps": 60},
        network={"width": 4, "members": 2, "folds": 2},
        progress=False,
    )
    assert counted["table"] == [344]
    # Those of classes are encoded for a sample before, in which columns are looked at for leaks.
    assert sorted(name for name, rows in counted["labels"] if rows == 344) == sorted(kinds)
    assert len(counted["labels"]) == 4 + 2
    assert len(counted["manifests"]) == 1
    predictions = run.path / "predictions.csv"
    test_rows = [int(line.split(",")[0]) for line in predictions.read_text().splitlines()[1:]]
    features = run.encoder.transform(run.read(columns).take(np.array(test_rows)))
    assert len(features) == 52
    assert passes_of(features, counted["passes"]) == 1
    # The other passes are those of importance: once for each of the repeats.
    assert len(counted["passes"]) <= 1 + 3
    for act in (
        lambda: pc.report(run.path, tmp_path / "report.html"),
        lambda: pc.load(run.path).predict(columns),
        lambda: pc.load(run.path).evaluate(columns),
    ):
        manifest._parsed.cache_clear()  # as in a process of its own
        for entries in counted.values():
            entries.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the rows trained the network
            act()
        assert len(counted["manifests"]) == 1
        assert len(counted["table"]) <= 1 and len(counted["passes"]) <= 1
        assert len(set(counted["labels"])) == len(counted["labels"])


def test_only_whole_batches_so_that_a_step_is_compiled_once() -> None:
    x, y = np.zeros((10, 2), "float32"), np.zeros((10, 1), "float32")
    every, whole = (Batches(x, y, batch_size=4, passes=2, whole=own) for own in (False, True))
    assert (every.steps, whole.steps) == (5, 5)  # 20 rows are five batches
    every, whole = (Batches(x, y, batch_size=8, passes=2, whole=own) for own in (False, True))
    assert (every.steps, whole.steps) == (3, 2)
    assert {len(whole[i][0]) for i in range(whole.steps)} == {8}
    assert Batches(x, y, batch_size=32, whole=True).steps == 1
    assert every.digest != whole.digest


def test_first_weights_differ_by_seed_and_by_place() -> None:
    one, again, seed, place = (
        np.asarray(ops.convert_to_numpy(own((50, 40))))
        for own in (
            Drawn(0.1, 3),
            Drawn.from_config(Drawn(0.1, 3).get_config()),
            Drawn(0.1, 4),
            Drawn(0.1, 3, 1),
        )
    )
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, seed) and not np.allclose(one, place)
    assert one.std() == pytest.approx(0.1, rel=0.05)


def test_no_two_layers_of_a_table_begin_with_the_same_numbers() -> None:
    own = Network(width=6, depth=2, members=2, bins=4, numbers=3, landmarks=0)
    model = recipe.build(3, [pc.Regression("a")], own, Training(), 0)
    kernels = [
        ops.convert_to_numpy(v).ravel()[:6] for v in model.trainable_variables if "kernel" in v.path
    ]
    scaled = [kernel / np.abs(kernel).max() for kernel in kernels]
    assert len(scaled) == 4
    for i, first in enumerate(scaled):
        assert not any(np.allclose(first, other) for other in scaled[i + 1 :])


# -- on the host -----------------------------------------------------------------------------------


def test_losses_of_all_rows_on_the_host_are_those_of_a_batch() -> None:
    """Every kind, missing labels among them; the backend's are float32."""
    rng = np.random.default_rng(0)
    tasks = [
        pc.Regression("a", loss={"mse": 0.5, "huber": 1.0}),
        pc.Regression("b"),
        pc.Binary("c", classes=["no", "yes"], label_smoothing=0.1),
        pc.Multiclass("d", classes=["x", "y", "z"]),
        pc.Multilabel("e", labels=["p", "q"]),
        pc.Ordinal("f", classes=[0, 1, 2]),
        pc.Count("g"),
        pc.Quantile("h", quantiles=[0.1, 0.9]),
    ]
    layout = Layout.of(tasks)
    objective, n = Objective(layout), 40
    y = rng.integers(0, 2, size=(n, layout.width)).astype("float32")
    y[rng.random(y.shape) < 0.2] = np.nan
    raw = rng.normal(size=(n, layout.units)).astype("float32")
    kept = HeadConstants(
        *(ops.convert_to_tensor(np.ones(size, "float32")) for size in (8, 8, layout.units))
    )
    sums, rows = objective.sums(y, raw, kept)
    batch = objective(ops.convert_to_tensor(y), ops.convert_to_tensor(raw), None, kept)
    np.testing.assert_allclose(sums, ops.convert_to_numpy(batch.sums), rtol=1e-5)
    np.testing.assert_array_equal(rows, ops.convert_to_numpy(batch.rows))


# -- landmarks -------------------------------------------------------------------------------------


def straight(rows: int, bent: bool) -> tuple[Any, Any, Layout]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3)).astype("float32")
    y = (
        np.sin(2 * x[:, :1]) * np.sin(2 * x[:, 1:2])
        if bent
        else x[:, :1] + rng.normal(size=(rows, 1))
    )
    return x, ((y - y.mean()) / y.std()).astype("float32"), Layout.of([pc.Regression("a")])


@pytest.mark.parametrize("bent", [False, True])
def test_more_landmarks_only_where_they_tell_more(
    bent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_ridge, "FEW", 30)
    x, y, layout = straight(300, bent)
    found = kernel_ridge.machine(240, layout, x, y)
    assert found is not None
    used = int((np.abs(found.values["coefficients"]).sum(axis=1) > 0).sum())
    assert used == 240 if bent else used <= 60
    assert found.values["rows"].shape == (240, 3)
    layer = Landmarks(240, 1)
    layer.build((None, 3))
    found.give(layer)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x[:9])), found.predict(x[:9]), atol=2e-3)


def test_the_kernel_of_two_rounds_is_nearly_as_good_as_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_ridge, "FIRST", 100)
    monkeypatch.setattr(kernel_ridge, "TRIED", 250)
    x, y, _ = straight(250, True)
    owner = np.zeros(1, int)
    chosen = kernel_ridge.best(x.astype("float64"), y, owner, np.random.default_rng(0))
    apart = kernel_ridge.distances(x.astype("float64"), x.astype("float64"), np)

    def error(own: kernel_ridge.Kernel) -> float:
        return float(kernel_ridge.solve(own, apart, np.arange(250), y, owner).error[0])

    unit = kernel_ridge.spread(x)
    every = [
        error(kernel_ridge.Kernel(rate / unit**power, power))
        for rate, power in kernel_ridge.KERNELS
    ]
    assert error(chosen) < 1.02 * min(every)


def test_landmarks_are_solved_for_while_the_members_train() -> None:
    x, y, layout = straight(80, False)
    model = SimpleNamespace(
        layers=[SimpleNamespace(name="landmarks")],
        layout=layout,
        get_layer=lambda name: SimpleNamespace(count=80),
    )
    begun = blend.ahead(model, (x, y), 3)  # type: ignore[arg-type]
    assert begun is not None
    found, alone = begun.result(), kernel_ridge.machine(80, layout, features_of(x), y, 3)
    assert found is not None and alone is not None
    np.testing.assert_array_equal(found.left_out, alone.left_out)
    model.layers = []
    assert blend.ahead(model, (x, y), 3) is None  # type: ignore[arg-type]


def features_of(x: Any) -> Any:
    return x / np.sqrt(1 + np.square(x / 4.0))


def test_what_goes_wrong_in_the_thread_is_raised_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*args: Any, **options: Any) -> None:
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(kernel_ridge, "machine", fails)
    x, y, layout = straight(20, False)
    model = SimpleNamespace(
        layers=[SimpleNamespace(name="landmarks")],
        layout=layout,
        get_layer=lambda name: SimpleNamespace(count=20),
    )
    begun = blend.ahead(model, (x, y), 0)  # type: ignore[arg-type]
    assert begun is not None
    with pytest.raises(np.linalg.LinAlgError, match="converge"):
        begun.result()


def test_rows_of_zeros_that_fill_a_batch_are_not_answered_for() -> None:
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    x = np.random.default_rng(0).normal(size=(300, 2)).astype("float32")
    found = predicting.raw_outputs(model, x)
    assert found.shape == (300, 1) and found.dtype == "float64"
    np.testing.assert_allclose(found, ops.convert_to_numpy(model(x)), atol=1e-6)


# -- what a person sees ----------------------------------------------------------------------------


def drawn(columns: int, monkeypatch: pytest.MonkeyPatch, act: Any) -> str:
    """What a terminal of so many columns is sent, after an action on a bar of three epochs."""
    import rich.console

    paper, console = io.StringIO(), rich.console.Console
    monkeypatch.setattr(
        rich.console,
        "Console",
        lambda: console(file=paper, width=columns, force_terminal=True, color_system=None),
    )
    bar = Progress(41)
    task = SimpleNamespace(headline="balanced_accuracy")
    bar.set_model(SimpleNamespace(tasks={f"a task with a long name {i}": task for i in range(5)}))
    bar.on_train_begin()
    act(bar)
    bar.bar.refresh()
    bar.stop()
    assert bar.bar is None
    return paper.getvalue()


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_epoch_bar_and_time_stay_on_a_narrow_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def epochs(bar: Progress) -> None:
        bar.on_epoch_end(20, {"val_joint": 0.5})  # goes on after an interruption

    found = drawn(columns, monkeypatch, epochs)
    assert "21/41" in found and "━━━━" in found and "at most" in found and "joint 0.50" in found
    assert ":--" in found or ":0" in found


def test_the_line_moves_within_an_epoch_of_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(bar: Progress) -> None:
        bar.rows_per_step = 512
        bar.set_params({"steps": 100})
        bar.on_epoch_begin(20)
        for batch in range(50):
            monkeypatch.setattr(progress.time, "monotonic", lambda batch=batch: 1e6 + batch)
            bar.on_train_batch_end(batch)
        assert bar.bar.tasks[0].completed == 20.5

    found = drawn(160, monkeypatch, steps)
    assert "20/41" in found and "25,600 rows, " in found and " rows/s" in found


def test_what_comes_after_the_last_epoch_is_said_with_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def phases(bar: Progress) -> None:
        bar.on_train_end()
        for name in PHASES:
            bar.phase(name)
            bar.bar.refresh()

    found = drawn(80, monkeypatch, phases)
    for i, name in enumerate(PHASES):
        assert f"{i}/{len(PHASES)}" in found and name in found
    assert "0:00:0" in found


def test_a_bar_that_is_not_drawn_has_no_phases() -> None:
    bar = Progress(3)
    bar.phase(PHASES[1])
    bar.stop()


# -- the fast preset -------------------------------------------------------------------------------


def test_fast_is_smaller_and_what_is_named_goes_before_it(tmp_path: Any) -> None:
    network, training = presets.preset("fast", {"width": 4, "folds": 2}, {"max_steps": 10})
    assert (network["width"], network["members"], network["folds"], training) == (
        4,
        2,
        2,
        {"max_steps": 10},
    )
    assert presets.preset("fast", None, None)[0]["members"] == 5
    assert presets.preset(None, {"width": 4}, None) == ({"width": 4}, {})
    with pytest.raises(UnknownName, match="preset"):
        pc.fit(table(), ["price"], preset="quick", out=tmp_path / "r")  # type: ignore[arg-type]
    assert not (tmp_path / "r").exists()


def test_scores_of_few_rows_are_waited_for_longer() -> None:
    few, many = (step_plan.StepPlan.of(rows, Training()) for rows in (400, 6000))
    assert few.least == few.patience
    assert 4 <= many.least < many.patience
    assert (
        step_plan.StepPlan.of(6000, Training(patience_steps=900)).least
        == step_plan.StepPlan.of(6000, Training(patience_steps=900)).patience
    )
