"""Test out-of-fold predictions: no leaks, a fair mixture, and saved files that agree."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from keras import ops
from small import raw_of, straight

import polycera as pc
from polycera.layers.kernel_layer import Blend
from polycera.model import ensemble
from polycera.model.targets import encode, pack
from polycera.runs import Network, Training
from polycera.tabular import blend, folds, recipe, train_run

ROWS = 200
QUICK = {"max_steps": 300, "batch_size": 32}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Twelve labels and two numbers that are pure noise: a default run and its members' outputs."""
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {f"x{i}": rng.normal(size=ROWS) for i in range(8)}
    labels = {f"y{i}": rng.permutation(np.arange(ROWS) % 2) for i in range(12)}
    numbers = {f"z{i}": rng.normal(size=ROWS) for i in range(2)}
    targets = {**dict.fromkeys(labels, "binary"), **dict.fromkeys(numbers, "regression")}
    seen: dict[str, Any] = {}
    train = recipe.train

    def watched(model: Any, *args: Any, **options: Any) -> Any:
        found = train(model, *args, **options)
        seen.update(
            model=model,
            held=options["fold_mask"],
            told=found.out_of_fold_raw,
            x=args[0][0],
            y=args[0][1],
        )
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_run.recipe, "train", watched)
        folder = tmp_path_factory.mktemp("noise") / "run"
        run = pc.fit({**table, **labels, **numbers}, targets, test=0.0, out=folder, training=QUICK)
    return SimpleNamespace(run=run, table=table, **seen)


# -- honest ----------------------------------------------------------------------------------------


@pytest.mark.nobackend
def test_by_default_a_small_table_is_divided_into_folds_among_members(noise: Any) -> None:
    network = noise.run.spec.network
    assert network.folds == 5 and network.members % 5 == 0 and network.landmarks
    assert noise.held.shape == (ROWS, network.members)
    assert noise.run.metrics["rows"] == {"train": ROWS, "validation": ROWS, "test": 0}


@pytest.mark.nobackend
def test_of_pure_noise_nothing_is_known(noise: Any) -> None:
    """An AUC of 200 rows has standard error 0.04, the mean of twelve 0.012; seen rows have 0.9."""
    metrics = noise.run.metrics["validation"]
    aucs = [own["auc"]["value"] for name, own in metrics.items() if name.startswith("y")]
    assert len(aucs) == 12
    assert 0.44 < np.mean(aucs) < 0.56
    errors = [own["r2"]["value"] for name, own in metrics.items() if name.startswith("z")]
    assert max(errors) < 0.05
    losses = [
        own["log_loss"]["value"]
        for name, own in metrics.items()
        if name.startswith("y") and "log_loss" in own
    ]
    assert all(loss < 0.75 for loss in losses)  # and it is not sure of what it does not know
    x, truth = noise.x, np.concatenate([noise.y[f"y{i}"] for i in range(12)], axis=1)
    seen = ops.convert_to_numpy(ensemble.Members(noise.model)(x)).mean(axis=1)
    raw = np.stack(
        [seen[:, noise.model.layout.raw_columns[f"y{i}"]][:, 0] for i in range(12)], axis=1
    )
    # what would have leaked is there
    assert np.mean((raw > np.median(raw, axis=0)) == (truth == 1)) > 0.6


@pytest.mark.nobackend
def test_predictions_in_the_folder_are_those_that_were_measured(noise: Any) -> None:
    """Without a test part: rows predicted out of fold, and not as the run predicts."""
    with (noise.run.path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    rows = np.array([int(row["row"]) for row in written])
    np.testing.assert_array_equal(rows, np.arange(ROWS))
    column = noise.model.layout.raw_columns["y0"]
    share = 1 / (1 + np.exp(-noise.told[:, column][:, 0]))
    name = next(name for name in written[0] if name.startswith("y0=") and "probability" in name)
    np.testing.assert_allclose([float(row[name]) for row in written], share, atol=1e-5)


def members_and_rows() -> tuple[Any, Any, Any]:
    x = np.random.default_rng(0).normal(size=(30, 3)).astype("float32")
    own = Network(width=6, depth=1, members=4, folds=2, bins=0, landmarks=0)
    model = recipe.build(3, [pc.Regression("a"), pc.Binary("b")], own, Training(), seed=0)
    return model, x, folds.drawn(30, 2, 4, None, seed=0)


@pytest.mark.nobackend
def test_a_row_is_never_told_by_a_member_that_learned_from_it() -> None:
    """Members that did are set to answer a million: only the mean of the others counts."""
    model, x, held = members_and_rows()
    outside = folds.OutOfFold(x, np.zeros((30, 2), "float32"), held)
    outside.set_model(model)
    before = outside.predictions()
    each = np.asarray(ops.convert_to_numpy(ensemble.Members(model)(x)), "float64")
    expected = [each[row, held[row]].mean(axis=0) for row in range(30)]
    np.testing.assert_allclose(before, expected, atol=1e-6)
    bias = np.array(ops.convert_to_numpy(model.heads[0].bias))
    bias[held[0] == 0] = 1e6  # members that learn from the first row
    model.heads[0].bias.assign(bias)
    after = outside.predictions()
    alike = (held == held[0]).all(axis=1)
    np.testing.assert_allclose(after[alike], before[alike], atol=1e-5)
    assert (after[~alike] > 1e5).all()


@pytest.mark.nobackend
def test_what_is_measured_while_training_is_what_was_said() -> None:
    model, x, held = members_and_rows()
    y = {"a": x[:, 0], "b": x[:, 1] > 0}
    model.adapt(y)
    packed = pack(model.layout, encode(model.layout, y), model.units)
    outside = folds.OutOfFold(x, packed, held)
    outside.set_model(model)
    logs: dict[str, Any] = {"loss": 1.0}
    outside.on_epoch_end(0, logs)
    raw = outside.predictions()
    z, label = raw[:, model.layout.raw_columns["b"]][:, 0], y["b"]
    cross = np.mean(np.logaddexp(0, np.where(label, -z, z)))
    assert logs["val_b/bce"] == pytest.approx(cross, rel=1e-5)
    wins = (z[label][:, None] > z[~label]).mean()
    assert logs["val_b/auc"] == pytest.approx(wins, abs=1e-9)
    assert logs["val_loss"] == pytest.approx(logs["val_b/bce"] + logs["val_a/mse"], rel=1e-5)
    assert model.scores["b"]["auc"].value == pytest.approx(wins)


# -- the mixture -----------------------------------------------------------------------------------


def two_answers(rows: int, good: float, bad: float, tasks: int = 3) -> tuple[Any, Any, Any, Any]:
    """A truth of several numbers and two answers with independent errors of given deviations."""
    rng = np.random.default_rng(1)
    model = straight([pc.Regression(f"t{i}") for i in range(tasks)])
    y = rng.normal(size=(rows, tasks)).astype("float32")
    return model, y, y + good * rng.normal(size=y.shape), y + bad * rng.normal(size=y.shape)


@pytest.mark.nobackend
def test_shares_lie_between_none_and_all() -> None:
    """If both err alike, one by twice as much, subtracting its excess would be best."""
    for rows in (5, 50, 2000):
        model, y, one, _ = two_answers(rows, 1.0, 1.0)
        for found in (
            blend.shares(model, y, 2 * one - y, one),
            blend.shares(model, y, one, 2 * one - y),
        ):
            assert found.shape == (3,)
            assert (found >= 0).all() and (found <= 1).all()


@pytest.mark.nobackend
def test_of_two_answers_that_are_as_good_each_has_a_half() -> None:
    """Even where few rows suggest otherwise; and equal answers do not move it from one half."""
    for rows in (8, 20, 1000):
        np.testing.assert_allclose(blend.shares(*two_answers(rows, 0.5, 0.5)), 0.5, atol=0.2)
    model, y, one, _ = two_answers(10, 0.5, 0.5)
    np.testing.assert_allclose(blend.shares(model, y, one, one), 0.5)


@pytest.mark.nobackend
def test_of_many_rows_the_better_answer_has_what_least_squares_gives_it() -> None:
    """Variances 1 and 1/4 of independent errors: shares 1/5 and 4/5."""
    model, y, worse, better = two_answers(5000, 1.0, 0.5)
    np.testing.assert_allclose(blend.shares(model, y, worse, better), 0.8, atol=0.1001)
    np.testing.assert_allclose(blend.shares(model, y, better, worse), 0.2, atol=0.1001)


@pytest.mark.nobackend
def test_a_task_of_few_rows_follows_the_others() -> None:
    """Of ten labels one task would choose the members; two tasks of two thousand say landmarks."""
    model, y, members, beside = two_answers(2000, 1.0, 0.5)
    beside[:, 2], members[:, 2] = members[:, 2].copy(), beside[:, 2].copy()
    many = blend.shares(model, y, members, beside)
    assert many[:2].min() >= 0.6 and many[2] <= 0.4
    y[10:, 2] = np.nan
    assert blend.shares(model, y, members, beside)[2] >= 0.6


def test_the_blend_is_its_formula_and_silent_in_training() -> None:
    layer = Blend(2)
    members, beside = np.array([[1.0, 2.0]], "float32"), np.array([[3.0, -2.0]], "float32")
    # as it begins
    np.testing.assert_array_equal(ops.convert_to_numpy(layer([members, beside])), members)
    for name, value in {"share": [0.25, 1.0], "scale": [2.0, 0.5], "shift": [0.1, -1.0]}.items():
        getattr(layer, name).assign(value)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer([members, beside])), [[3.1, -2.0]], rtol=1e-6
    )
    np.testing.assert_allclose(ops.convert_to_numpy(layer([members])), [[2.1, 0.0]], rtol=1e-6)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer([members, beside], training=True)), members
    )


# -- a run -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A number, a label and a count, which landmarks do not serve."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 90))
    table = {
        "a": a,
        "b": b,
        "home": np.repeat([f"h{i}" for i in range(30)], 3),  # for those that ask for groups
        "price": 100 + 20 * a + rng.normal(size=90),
        "sold": np.where(b > 0, "yes", "no"),
        "calls": rng.poisson(np.exp(0.5 * a)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "Column 'a' alone predicts 'price'")  # as it should here
        run = pc.fit(
            table,
            {"price": "regression", "sold": "binary", "calls": "count"},
            test=0.0,
            columns={"home": "ignore"},
            out=tmp_path_factory.mktemp("learned") / "run",
            network={"width": 16, "members": 6, "folds": 3},
            training=QUICK,
        )
    return SimpleNamespace(run=run, table=table)


@pytest.mark.nobackend
def test_a_run_says_the_same_when_it_is_opened_again(learned: Any) -> None:
    again = pc.load(learned.run.path)
    now, then = again.predict(learned.table), learned.run.predict(learned.table)
    for name, values in then.items():
        np.testing.assert_array_equal(np.asarray(now[name]), np.asarray(values))
    x = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    np.testing.assert_array_equal(raw_of(again.model, x), raw_of(learned.run.model, x))


@pytest.mark.nobackend
def test_a_household_is_held_out_as_a_whole_and_no_part_answers_for_it(
    learned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members and kernel ridge alike; without groups kernel ridge leaves out row by row."""
    held: list[Any] = []
    train = recipe.train

    def watched(*args: Any, **options: Any) -> Any:
        held.append(options["fold_mask"])
        blocks = options["blocks"]
        assert len(np.unique(blocks.group)) == 30
        np.testing.assert_array_equal(blocks.group, np.repeat(blocks.group[::3], 3))
        np.testing.assert_array_equal(options["fold_mask"][np.arange(90), blocks.fold], True)
        return train(*args, **options)

    monkeypatch.setattr(train_run.recipe, "train", watched)
    run = pc.fit(
        learned.table,
        ["price", "sold"],
        test=0.0,
        groups="home",
        out=tmp_path / "run",
        network={"width": 4, "members": 6, "folds": 3, "bins": 0},
        training={"max_steps": 20},
    )
    assert held[0].shape == (90, 6)
    np.testing.assert_array_equal(held[0].sum(axis=1), 2)
    for start in range(0, 90, 3):
        assert (held[0][start : start + 3] == held[0][start]).all()
    assert run.spec.network.landmarks == 90


@pytest.mark.nobackend
def test_landmarks_have_no_share_in_what_they_cannot_say(learned: Any) -> None:
    model = learned.run.model
    share = ops.convert_to_numpy(model.get_layer("blend").share)
    calls = model.layout.raw_columns["calls"]
    assert (share[calls] == 0).all()
    assert (share >= 0).all() and (share <= 1).all()
    assert share[model.layout.raw_columns["price"]][0] > 0


@pytest.mark.nobackend
def test_what_is_there_is_found(learned: Any) -> None:
    metrics = learned.run.metrics["validation"]
    assert metrics["price"]["r2"]["value"] > 0.5
    assert metrics["sold"]["auc"]["value"] > 0.85
