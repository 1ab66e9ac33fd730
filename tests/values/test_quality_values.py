"""Test quality, thresholds and importance against scikit-learn, loops, and a trained run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
)
from small import dense, from_numpy, straight

import polycera as pc
from polycera import evaluation
from polycera.interpretation import permutation_importance
from polycera.runs import manifest

EXACT = {"rtol": 0, "atol": 1e-12}


def drawn(rows: int, seed: int = 0, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities of two digits that say something of them."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(rows) < share).astype("float64")
    return truth, np.round(0.6 * rng.random(rows) + 0.35 * truth, 2)


# -- against scikit-learn --------------------------------------------------------------------------


@pytest.mark.nobackend
@pytest.mark.parametrize("bins", [1, 4, 15])
def test_reliability(bins: int) -> None:
    truth, probability = drawn(500)
    observed, predicted = calibration_curve(truth, probability, n_bins=bins)
    found = evaluation.reliability(truth, probability, bins)
    np.testing.assert_allclose(found.observed, observed, **EXACT)
    np.testing.assert_allclose(found.predicted, predicted, **EXACT)
    gaps = np.abs(np.array(found.observed) - found.predicted)
    assert found.ece == pytest.approx(np.average(gaps, weights=found.rows), abs=1e-12)
    assert sum(found.rows) == 500


@pytest.mark.nobackend
def test_curve() -> None:
    truth, probability = drawn(200)
    precision, recall, threshold = precision_recall_curve(truth, probability)
    found = evaluation.curve(truth, probability, 1000)
    for mine, theirs in (
        (found.threshold, threshold),
        (found.precision, precision[:-1]),
        (found.recall, recall[:-1]),
    ):
        np.testing.assert_allclose(np.array(mine, float), theirs, **EXACT)


@pytest.mark.nobackend
@pytest.mark.parametrize("threshold", [0.0, 0.31, 0.5, 1.0])
def test_said(threshold: float) -> None:
    truth, probability = drawn(300)
    yes, found = probability >= threshold, evaluation.at_threshold(truth, probability, threshold)
    assert found.recall == pytest.approx(recall_score(truth, yes), abs=1e-12)
    assert found.f1 == pytest.approx(f1_score(truth, yes), abs=1e-12)
    assert found.accuracy == pytest.approx(accuracy_score(truth, yes), abs=1e-12)
    if yes.any():
        assert found.precision == pytest.approx(precision_score(truth, yes), abs=1e-12)
    else:
        assert found.precision is None


SCORES = {"f1": f1_score, "balanced_accuracy": balanced_accuracy_score, "accuracy": accuracy_score}


@pytest.mark.nobackend
@pytest.mark.parametrize("metric", SCORES)
def test_cuts_find_the_best_threshold(metric: str) -> None:
    """For every probability, 0, and one that nothing reaches; several labels, some missing."""
    columns = [drawn(60, seed, share) for seed, share in enumerate([0.1, 0.3, 0.5, 0.9])]
    truth, probability = (np.stack(each, axis=1) for each in zip(*columns, strict=True))
    truth[::7, 1] = np.nan
    found = evaluation.search_thresholds(truth, probability, metric)
    for i, (y, p) in enumerate(zip(truth.T, probability.T, strict=True)):
        y, p = y[~np.isnan(y)], p[~np.isnan(y)]
        best = max(SCORES[metric](y, p >= at) for at in [0.0, *p, 1.1])
        assert found.reached[i] == pytest.approx(best, abs=1e-12)
        assert SCORES[metric](y, p >= found.value[i]) == pytest.approx(best, abs=1e-12)
        assert found.half[i] == pytest.approx(SCORES[metric](y, p > 0.5), abs=1e-12)
        assert (found.positives[i], found.negatives[i]) == (y.sum(), (1 - y).sum())


TIES: list[Any] = [
    ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 0.5),  # the middle of the interval that parts them
    ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 0.25),
    ([1, 1, 1], [0.4, 0.5, 0.6], 0.2),  # always yes: between 0 and the lowest
    ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.25),  # a tie cannot be parted
    # 2/3 at 0.85 and at 0.55
    ([1, 0, 0, 1, 0, 0, 0, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1], 0.55),
    ([1, 0, 0, 1, 0], [0.6, 0.3, 0.2, 0.1, 0.05], 0.45),  # 2/3 at 0.45 and at 0.075
    ([0, 1], [0.0, 1.0], 0.5),
    ([1, 0, 0], [0.0, 0.5, 1.0], 0.0),  # yes is said at a probability of 0
    # no float lies between them
    ([0, 1], [0.3, np.nextafter(0.3, 1)], float(np.nextafter(0.3, 1))),
]


@pytest.mark.nobackend
@pytest.mark.parametrize(("truth", "probability", "value"), TIES, ids=lambda x: str(x)[:40])
def test_which_of_several_best_thresholds(
    truth: list[int], probability: list[float], value: float
) -> None:
    found = evaluation.search_thresholds(
        np.array(truth, float)[:, None], np.array(probability)[:, None]
    )
    assert found.value[0] == pytest.approx(value, abs=1e-15)


@pytest.mark.nobackend
def test_confusion() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 5, (2, 400))
    found = evaluation.confusion(truth, said, list("abcde"))
    assert found.labels == list("abcde")
    np.testing.assert_array_equal(found.counts, confusion_matrix(truth, said))


@pytest.mark.nobackend
def test_rare_classes_are_merged() -> None:
    truth = np.array([0, 1, 1, 2, 2, 2, 3, 3, 3, 3, np.nan])
    said = np.array([3, 1, 0, 2, 2, 1, 3, 3, 3, 0, 2])
    found = evaluation.confusion(truth, said, ["a", "b", "c", "d"], most=2)
    assert found.labels == ["c", "d", "other (2 classes)"]
    assert found.counts == [[2, 0, 1], [0, 3, 1], [0, 1, 2]]


@pytest.mark.nobackend
def test_residuals_are_counted_one_and_all() -> None:
    rng = np.random.default_rng(0)
    left = np.concatenate([rng.normal(size=2000), [1e6, -300.0]])
    found = evaluation.residuals(left, np.zeros(len(left)))
    np.testing.assert_array_equal(found.rows, np.histogram(left, found.edges)[0])
    assert sum(found.rows) == 2002 and len(found.rows) == 40
    assert found.edges[0] == -300.0 and found.edges[-1] == 1e6
    assert max(found.rows) < 300  # the wild rows have bins of their own
    assert found.mean == pytest.approx(left.mean()) and found.deviation == pytest.approx(left.std())
    assert len(found.true) == 300 and set(found.true) <= set(left)


@pytest.mark.nobackend
def test_coverage() -> None:
    truth = np.array([1.0, 2.0, 3.0, np.nan])
    found = evaluation.coverage(
        truth, np.array([[1.0, 5.0], [1.0, 5.0], [1.0, 2.0], [9.0, 9.0]]), [0.1, 0.9]
    )
    assert found.level == [0.1, 0.9]
    assert found.observed == pytest.approx([1 / 3, 2 / 3])


# -- of tasks --------------------------------------------------------------------------------------

KINDS = [
    pc.Binary("b", classes=("no", "yes")),
    pc.Multilabel("m", labels=["calm", "sad"]),
    pc.Multiclass("c", classes=["x", "y", "z"]),
    pc.Ordinal("o", classes=["low", "mid", "high"]),
    pc.Regression("r"),
    pc.Count("n"),
    pc.Quantile("q", quantiles=[0.1, 0.5, 0.9]),
]


def of_kinds(rows: int = 80) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(0)
    layout = pc.tasks.Layout.of(KINDS)
    shares = rng.dirichlet(np.ones(3), (2, rows))
    predictions = {
        "b": rng.random((rows, 1)),
        "m": rng.random((rows, 2)),
        "c": shares[0],
        "o": shares[1],
        "r": rng.normal(size=(rows, 1)),
        "n": rng.random((rows, 1)) + 1,
        "q": np.sort(rng.normal(size=(rows, 3))),
    }
    truth = {
        name: rng.integers(0, 2, (rows, layout.tasks[name].width)).astype("float64")
        for name in predictions
    }
    truth["m"][0], truth["m"][1, 0], truth["r"][:5] = np.nan, np.nan, np.nan
    return layout, truth, predictions


@pytest.mark.nobackend
def test_each_kind_has_its_own() -> None:
    layout, truth, predictions = of_kinds()
    found = evaluation.task_quality(layout, truth, predictions, "test", {"b": np.array([0.3])})
    assert found.part == "test" and set(found.tasks) == set(layout.tasks)
    assert {name: own.kind for name, own in found.tasks.items()} == {t.name: t.kind for t in KINDS}
    assert [found.tasks[name].rows for name in "bmcornq"] == [80, 79, 80, 80, 75, 80, 80]
    b = found.tasks["b"]
    assert [label.name for label in b.labels] == ["yes"] and b.confusion is not None
    assert b.labels[0].fitted == evaluation.at_threshold(
        truth["b"][:, 0], predictions["b"][:, 0], 0.3
    )
    assert b.labels[0].half == evaluation.at_threshold(truth["b"][:, 0], predictions["b"][:, 0])
    np.testing.assert_array_equal(
        b.confusion.counts, confusion_matrix(truth["b"][:, 0], predictions["b"][:, 0] >= 0.3)
    )
    m = found.tasks["m"].labels
    assert [(label.name, label.rows) for label in m] == [("calm", 78), ("sad", 79)]
    assert all(label.fitted == label.half for label in m)  # no threshold was given
    for name, said in (
        ("c", predictions["c"].argmax(1)),
        ("o", layout.tasks["o"].choose(predictions["o"])),
    ):  # type: ignore[attr-defined]
        own = found.tasks[name]
        assert own.confusion is not None and own.reliability is not None and not own.labels
        np.testing.assert_array_equal(
            own.confusion.counts, confusion_matrix(truth[name], said, labels=[0, 1, 2])
        )
        sure = predictions[name][np.arange(80), said]
        assert own.reliability == evaluation.reliability(
            (said == truth[name][:, 0]).astype(float), sure
        )
    for name in "rnq":
        own = found.tasks[name]
        assert (
            own.residuals is not None
            and sum(own.residuals.rows) == own.rows
            and own.confusion is None
        )
    assert found.tasks["q"].coverage == evaluation.coverage(
        truth["q"][:, 0], predictions["q"], [0.1, 0.5, 0.9]
    )
    assert found.tasks["q"].residuals == evaluation.residuals(
        truth["q"][:, 0], predictions["q"][:, 1]
    )


MANY: list[Any] = [
    [pc.Binary(f"task {i}") for i in range(200)],
    [pc.Multilabel("labels", labels=1000)],
    [pc.Regression(f"task {i}") for i in range(200)],
    [pc.Multiclass(f"task {i}", classes=100) for i in range(60)],
]


@pytest.mark.nobackend
@pytest.mark.parametrize("tasks", MANY, ids=lambda tasks: f"{len(tasks)} {tasks[0].kind}")
def test_what_is_written_of_many_tasks_can_be_read(tasks: list[Any]) -> None:
    rng, layout, rows = np.random.default_rng(0), pc.tasks.Layout.of(tasks), 300
    units = {t.name: 100 if t.kind == "multiclass" else t.units for t in tasks}
    truth = {t.name: rng.integers(0, 2, (rows, t.width)).astype("float64") for t in tasks}
    predictions = {
        name: rng.dirichlet(np.ones(k), rows) if k == 100 else rng.random((rows, k))
        for name, k in units.items()
    }
    at = evaluation.thresholds(layout, truth, predictions)
    found = evaluation.task_quality(
        layout, truth, predictions, "test", evaluation.by_task(at, layout)
    )
    assert len(manifest.page(found)) < 2**21 and len(manifest.page(at)) < 2**19
    # the labels with most positive rows, in their order; a threshold for each
    if tasks[0].kind == "multilabel":
        shown, counts = (
            [int(label.name) for label in found.tasks["labels"].labels],
            truth["labels"].sum(axis=0),
        )
        assert len(shown) == 60 and shown == sorted(shown) and len(at.tasks["labels"]) == 1000
        assert counts[shown].min() >= np.sort(counts)[-60]


@pytest.mark.nobackend
def test_thresholds_of_few_rows_stay_at_one_half() -> None:
    """With fewer than ten of an answer over all labels; and for a label with one answer only."""
    layout = pc.tasks.Layout.of([pc.Multilabel("m", labels=["rare", "rarer", "never", "always"])])
    truth = np.zeros((40, 4))
    truth[:8, 0], truth[:1, 1], truth[:, 3] = 1, 1, 1
    rows = {"m": np.tile(np.linspace(0.4, 0.0, 40)[:, None], 4)}
    found = evaluation.thresholds(layout, {"m": truth}, rows).tasks["m"]
    assert [one.fitted for one in found.values()] == [True, True, False, False]
    assert found["rare"].value < 0.4 and [found[name].value for name in ("never", "always")] == [
        0.5,
        0.5,
    ]
    assert (found["rare"].at_half, found["never"].reached, found["always"].reached) == (
        0.0,
        None,
        0.0,
    )
    truth[:, 3] = np.nan
    few = evaluation.thresholds(layout, {"m": truth}, rows).tasks["m"]
    assert [(one.value, one.fitted, one.reached) for one in few.values()][:2] == [
        (0.5, False, 0.0)
    ] * 2


# -- importance ------------------------------------------------------------------------------------

TASKS = [pc.Regression("price"), pc.Binary("churn"), pc.Multiclass("colour", classes=3)]
SOURCES = ["town", "town", "age", "same", "town", "height"]


def labelled(rows: int = 60) -> tuple[pc.Model, np.ndarray, dict[str, np.ndarray]]:
    """A network, rows of which one column never varies, and labels of which some are missing."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, len(SOURCES))).astype("float32")
    x[:, 3] = 2.0
    y = {
        "price": 5 * x[:, 2] + 40,
        "churn": (x[:, 0] > 0).astype(float),
        "colour": rng.integers(0, 3, rows).astype(float),
    }
    y["price"][:7], y["churn"][50:] = np.nan, np.nan
    model = dense(TASKS, features=len(SOURCES))
    model.adapt(y)
    from_numpy(model)
    return model, x, y


@pytest.mark.nobackend
def test_importance_is_that_of_a_plain_loop() -> None:
    """A column at a time, a shuffling at a time, measured as `evaluate` measures."""
    model, x, y = labelled()
    found = permutation_importance.importance(model, x, SOURCES, y, "test", repeats=3, seed=4)
    assert found is not None and (found.part, found.rows, found.repeats, found.left_out) == (
        "test",
        60,
        3,
        0,
    )
    drawn, random = np.random.default_rng(4).permutation(60), np.random.default_rng([4, 1])
    x, y = x[drawn], {name: labels[drawn] for name, labels in y.items()}

    def skills(features: np.ndarray) -> np.ndarray:
        model.evaluate(features, y, verbose=0)
        return np.array([model.skills[task.name] for task in TASKS])

    names, full, lost = ["town", "age", "same", "height"], skills(x), []
    for _ in range(3):
        order = random.permutation(60)
        for name in names:
            copy, own = x.copy(), np.array(SOURCES) == name
            copy[:, own] = x[order][:, own]
            lost.append(full - skills(copy))
    each = np.array(lost).reshape(3, len(names), len(TASKS))
    places = [names.index(name) for name in found.columns]
    for i, task in enumerate(TASKS):
        drops = found.tasks[task.name]
        assert drops.metric == task.headline
        np.testing.assert_allclose(np.array(drops.mean, float), each.mean(0)[places, i], atol=1e-6)
        np.testing.assert_allclose(
            np.array(drops.deviation, float), each.std(0, ddof=1)[places, i], atol=1e-6
        )
    most = each.mean(0).max(axis=1)[places]
    assert (np.diff(most) <= 0).all()
    assert found.tasks["price"].mean[found.columns.index("same")] == 0.0


@pytest.mark.nobackend
def test_a_column_of_one_task_matters_to_no_other() -> None:
    """The raw outputs are the features: each task sees one column."""
    tasks = [pc.Regression("price"), pc.Regression("spend")]
    model, rng = straight(tasks), np.random.default_rng(0)
    x = rng.normal(size=(50, 2)).astype("float32")
    y = {"price": 3.0 * x[:, 0] + 1, "spend": x[:, 1] * 10.0}
    model.adapt(y)
    found = permutation_importance.importance(model, x, ["a", "b"], y, "test", repeats=2)
    assert found is not None
    a, b = found.columns.index("a"), found.columns.index("b")
    assert (
        found.tasks["price"].mean[b] == pytest.approx(0, abs=1e-6) == found.tasks["spend"].mean[a]
    )
    assert min(found.tasks["price"].mean[a], found.tasks["spend"].mean[b]) > 0.5  # type: ignore[type-var]


@pytest.mark.nobackend
def test_importance_keeps_to_its_passes() -> None:
    """Rows are saved before repeats, in multiples of 256; without a limit all are used."""
    model, x, y = labelled(700)
    columns = len(set(SOURCES)) - 1  # one is constant, and is not tried
    for limit, expected in (
        (None, (700, 3)),
        (700 * 3 * columns, (700, 3)),
        (700 * 3 * columns - 1, (512, 3)),
        (256 * 3 * columns, (256, 3)),
        (256 * 3 * columns - 1, (256, 2)),
        (256 * columns, (256, 1)),
        (256 * columns - 1, None),
    ):
        found = permutation_importance.importance(model, x, SOURCES, y, "test", passes=limit)
        assert (None if found is None else (found.rows, found.repeats)) == expected, limit


@pytest.mark.nobackend
def test_rows_whose_outputs_are_known_pass_no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y = labelled()
    raw = permutation_importance.raw_outputs(model, x)
    whole = permutation_importance.importance(model, x, SOURCES, y, "test")
    passes: list[Any] = []

    def watched(model: Any, rows: Any) -> Any:
        passes.append(rows)
        return raw_outputs(model, rows)

    raw_outputs = permutation_importance.raw_outputs
    monkeypatch.setattr(permutation_importance, "raw_outputs", watched)
    known = permutation_importance.importance(model, x, SOURCES, y, "test", raw=raw)
    assert known == whole
    assert len(passes) == 3  # one for each of the repeats


@pytest.mark.nobackend
def test_the_columns_that_matter_most_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y = labelled()
    whole = permutation_importance.importance(model, x, SOURCES, y, "test")
    monkeypatch.setattr(permutation_importance, "COLUMNS", 2)
    found = permutation_importance.importance(model, x, SOURCES, y, "test")
    assert found is not None and whole is not None
    assert (found.columns, found.left_out) == (whole.columns[:2], 2)
    assert found.tasks["price"].mean == whole.tasks["price"].mean[:2]


# -- a run -----------------------------------------------------------------------------------------

TARGETS = {"price": "regression", "churn": "binary"}
QUICK = {"max_steps": 60, "batch_size": 32}
PLAIN = {"width": 64, "members": 1, "folds": 1, "bins": 0, "landmarks": 0}


def table() -> dict[str, list[Any]]:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 260))
    churn = np.where(b + 0.7 * rng.normal(size=260) > 0.9, "yes", "no")
    return {
        "a": a.tolist(),
        "b": b.tolist(),
        "price": (3 * a + b).tolist(),
        "churn": churn.tolist(),
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pc.Run:
    out = tmp_path_factory.mktemp("runs") / "run"
    return pc.fit(table(), TARGETS, out=out, training=QUICK, network=PLAIN, validation=0.25)


def part(run: pc.Run, name: str) -> dict[str, list[Any]]:
    """The rows of a part of the table, with which the run began."""
    from polycera.tabular.prepare import Declared, prepare, tasks_from

    rows = prepare(
        table(), tasks_from(run.spec.tasks), run.spec.data, Declared(seed=run.spec.seed)
    ).named_parts[name]
    return {column: [values[i] for i in rows] for column, values in table().items()}


@pytest.mark.nobackend
def test_thresholds_are_those_of_the_validation_rows(run: pc.Run) -> None:
    rows = part(run, "validation")
    truth, answers = np.array(rows["churn"]) == "yes", run.predict(rows)
    share = answers["churn=yes probability"]
    assert run.thresholds is not None
    (label,) = run.thresholds.tasks["churn"]
    found = run.thresholds.tasks["churn"][label]
    assert (label, found.metric, found.part, found.fitted) == ("yes", "f1", "validation", True)
    assert list(run.thresholds.tasks) == ["churn"]
    steady = evaluation.smoothed_thresholds(truth[:, None].astype(float), share[:, None])
    assert found.value == pytest.approx(steady.value[0], abs=1e-6)
    assert found.reached == pytest.approx(f1_score(truth, answers["churn"] == "yes"))
    assert found.at_half == pytest.approx(f1_score(truth, share > 0.5))


@pytest.mark.nobackend
def test_with_folds_thresholds_are_those_of_all_rows_each_left_out_in_its_turn(
    tmp_path: Path,
) -> None:
    """As in `predictions.csv` without a test part: not as the network that knows all rows."""
    folds = {"width": 16, "members": 5, "folds": 5}
    run = pc.fit(table(), TARGETS, out=tmp_path / "run", training=QUICK, network=folds, test=0)
    with (run.path / "predictions.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [int(row["row"]) for row in written] == list(range(260))
    assert run.metrics["rows"] == {"train": 260, "validation": 260, "test": 0}
    truth, share, answers, off = (
        np.array(values)
        for values in zip(
            *(
                (
                    row["churn (true)"] == "yes",
                    float(row["churn=yes probability"]),
                    row["churn"] == "yes",
                    float(row["price"]) - float(row["price (true)"]),
                )
                for row in written
            ),
            strict=True,
        )
    )
    assert run.thresholds is not None
    found = run.thresholds.tasks["churn"]["yes"]
    steady = evaluation.smoothed_thresholds(truth[:, None].astype(float), share[:, None])
    assert found.value == pytest.approx(steady.value[0], abs=1e-6)
    assert found.reached == pytest.approx(f1_score(truth, answers))
    measured = run.metrics["validation"]
    assert measured["churn"]["accuracy"]["value"] == pytest.approx(np.mean(answers == truth))
    assert measured["price"]["rmse"]["value"] == pytest.approx(np.sqrt(np.mean(off**2)), rel=1e-5)
    again = run.evaluate(table())["price"]["rmse"].value
    assert again < 0.9 * measured["price"]["rmse"]["value"]  # which it has learned


@pytest.mark.nobackend
def test_predictions_follow_the_threshold(run: pc.Run) -> None:
    """In `predict`, and in the file; a run without thresholds says yes above one half."""
    assert run.thresholds is not None
    value = run.thresholds.tasks["churn"]["yes"].value
    answers = pc.load(run.path).predict(table())
    share = answers["churn=yes probability"]
    np.testing.assert_array_equal(answers["churn"], np.where(share >= value, "yes", "no"))
    with (run.path / "predictions.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert all(
        row["churn"] == ("yes" if float(row["churn=yes probability"]) >= value else "no")
        for row in written
    )
    bare = pc.load(run.path)
    bare.thresholds = None
    plain = bare.predict(table())
    np.testing.assert_array_equal(plain["churn"], np.where(share > 0.5, "yes", "no"))
    np.testing.assert_array_equal(plain["churn=yes probability"], share)
    assert (plain["churn"] != answers["churn"]).any()


@pytest.mark.nobackend
def test_the_quality_of_a_run(run: pc.Run) -> None:
    """On the test rows; at its threshold it agrees with the metrics of the answers given."""
    assert run.quality is not None and run.thresholds is not None
    assert run.quality.part == "test" and set(run.quality.tasks) == set(TARGETS)
    (label,) = run.quality.tasks["churn"].labels
    assert label.fitted.accuracy == pytest.approx(run.metrics["test"]["churn"]["accuracy"]["value"])
    assert label.fitted.threshold == run.thresholds.tasks["churn"]["yes"].value
    rows = part(run, "test")
    said = run.predict(rows)["churn"]
    assert label.fitted.accuracy == pytest.approx(np.mean(said == rows["churn"]))
    assert label.fitted.f1 == pytest.approx(
        f1_score(np.array(rows["churn"]) == "yes", said == "yes")
    )
    residuals = run.quality.tasks["price"].residuals
    assert residuals is not None and sum(residuals.rows) == run.metrics["rows"]["test"]
    left = np.array(rows["price"]) - run.predict(rows)["price"]
    assert residuals.mean == pytest.approx(left.mean(), rel=1e-4)


@pytest.mark.nobackend
def test_the_importance_of_a_run(run: pc.Run) -> None:
    found = run.importance
    assert found is not None and (found.part, found.repeats) == (
        "test",
        permutation_importance.REPEATS,
    )
    assert found.rows == run.metrics["rows"]["test"] and set(found.columns) == {"a", "b"}
    again = run.importance_of(part(run, "test"), repeats=3)
    assert again.columns == found.columns and again.part == "the table given"
    for name in TARGETS:
        np.testing.assert_allclose(again.tasks[name].mean, found.tasks[name].mean, atol=1e-6)
    assert found.tasks["churn"].mean[found.columns.index("b")] > 0.3  # type: ignore[operator]


@pytest.mark.filterwarnings("ignore:Of the 65 rows of the table given")
@pytest.mark.nobackend
def test_an_epoch_that_is_picked_has_thresholds_of_its_own_or_none(
    run: pc.Run, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="belong to its final weights"):
        picked = run.pick({"churn": 1.0})
    assert picked.thresholds is None
    answers = picked.predict(table())
    np.testing.assert_array_equal(answers["churn"] == "yes", answers["churn=yes probability"] > 0.5)
    picked.write(tmp_path / "bare")
    assert pc.load(tmp_path / "bare").thresholds is None
    chosen = picked.with_thresholds(part(run, "validation"), "accuracy")
    chosen.write(tmp_path / "chosen")
    read = pc.load(tmp_path / "chosen")
    assert read.thresholds == chosen.thresholds is not None
    assert read.thresholds.tasks["churn"]["yes"].metric == "accuracy"
    np.testing.assert_array_equal(read.predict(table())["churn"], chosen.predict(table())["churn"])


@pytest.mark.nobackend
def test_no_thresholds_are_an_option(tmp_path: Path) -> None:
    rows = {name: values[:80] for name, values in table().items()}
    few = {"training": {"max_steps": 6}, "network": PLAIN}
    run = pc.fit(rows, {"churn": "binary"}, out=tmp_path / "run", threshold="none", **few)
    assert run.spec.training.threshold == "none"
    assert run.thresholds is None and not (run.path / "thresholds.json").exists()
