"""Test what is no label, probability or table; hostile names; absent or wrong thresholds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from small import straight

import polycera as pc
from polycera import evaluation
from polycera.errors import InputError, UnknownName
from polycera.interpretation import permutation_importance
from polycera.runs import manifest, results
from polycera.runs.spec import Spec, spec_from, to_yaml
from polycera.storage import atomic
from polycera.tabular import post_fit

pytestmark = pytest.mark.nobackend

HOSTILE = "<script>alert('🎉')</script>\u202e" + "x" * 300
Y, P = np.array([0.0, 1.0]), np.array([0.2, 0.9])

BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: evaluation.reliability(Y + 1, P), r"hold 2; expected 0, 1, or NaN"),
    (lambda: evaluation.curve(Y, P + 0.5), r"hold 1\.4; expected probabilities from 0 to 1"),
    (lambda: evaluation.at_threshold(Y, -P, 0.5), r"hold -0\.2; expected probabilities"),
    (lambda: evaluation.at_threshold(Y, P[:1]), r"shape \[2\] and predictions of shape \[1\]"),
    (lambda: evaluation.at_threshold(Y[:, None], P), r"shape \[2, 1\]"),
    (lambda: evaluation.reliability(Y, P, 0), "1 bin or more, got 0"),
    (lambda: evaluation.curve(Y, P, 1), "2 points or more, got 1"),
    (
        lambda: evaluation.search_thresholds(Y[:, None], P[:, None], "F1"),
        "Unknown metric of thresholds 'F1'; known: 'f1'",
    ),
    (
        lambda: evaluation.coverage(Y, P[:, None], [0.1, 0.9]),
        r"shape \[2, 1\] are not one for each of 2 levels",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), BAD, ids=lambda x: x if isinstance(x, str) else "")
def test_what_cannot_be_measured(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        call()


NOTHING = np.array([np.nan, np.nan])


@pytest.mark.parametrize(
    "truth", [NOTHING, np.zeros(2), np.ones(2), np.zeros(0)], ids=["missing", "no", "yes", "none"]
)
def test_one_class_or_no_label(truth: np.ndarray) -> None:
    """Numbers that are not defined are None, and all of it can be written and read."""
    p = P[: len(truth)]
    found = [
        evaluation.reliability(truth, p),
        evaluation.curve(truth, p),
        evaluation.at_threshold(truth, p, 0.5),
    ]
    found += [evaluation.residuals(truth, p), evaluation.coverage(truth, p[:, None], [0.5])]
    found += [evaluation.confusion(truth, (p > 0.5).astype(float), ["no", "yes"])]
    for one in found:
        assert msgspec.json.decode(manifest.page(one), type=type(one)) == one
    at = evaluation.thresholds(
        pc.tasks.Layout.of([pc.Binary("t")]),
        {"t": truth[:, None]},
        {"t": p[:, None]},
        "balanced_accuracy",
    )
    assert (at.tasks["t"]["1"].value, at.tasks["t"]["1"].reached, at.tasks["t"]["1"].fitted) == (
        0.5,
        None,
        False,
    )


def test_predictions_that_are_no_numbers_are_left_out() -> None:
    wild = np.array([np.nan, np.inf, 1e308, 0.5])
    truth = np.array([1.0, 1.0, -1e308, 0.0])
    found = evaluation.residuals(truth, wild)
    assert sum(found.rows) == len(found.true) == 1  # the third lies too far off for a number
    assert (
        evaluation.at_threshold(np.array([1.0, 0.0]), np.array([np.nan, 0.2]), 0.1).accuracy == 0.0
    )
    far = evaluation.residuals(np.array([1.5e308, -1.5e308]), np.zeros(2))
    assert np.isfinite(far.edges).all() and sum(far.rows) == 2


def test_hostile_names_are_text(tmp_path: Path) -> None:
    tasks = [
        pc.Binary(HOSTILE, classes=("no", HOSTILE)),
        pc.Multilabel("m", labels=[HOSTILE, '"],\n']),
    ]
    layout, rng = pc.tasks.Layout.of(tasks), np.random.default_rng(0)
    truth = {task.name: rng.integers(0, 2, (40, task.width)).astype("float64") for task in tasks}
    predictions = {name: rng.random(y.shape) for name, y in truth.items()}
    at = evaluation.thresholds(layout, truth, predictions)
    found = evaluation.task_quality(
        layout, truth, predictions, "test", evaluation.by_task(at, layout)
    )
    again = [msgspec.json.decode(manifest.page(one), type=type(one)) for one in (at, found)]
    assert again == [at, found]
    assert [label.name for label in found.tasks["m"].labels] == [HOSTILE, '"],\n']
    assert list(at.tasks[HOSTILE]) == [HOSTILE]


def test_what_cannot_be_read_again_is_not_written_and_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    long = results.Thresholds(
        {f"{i}": {"1": results.Threshold(0.5, "f1", "x" * 90, 0, 0)} for i in range(60_000)}
    )
    short = results.Thresholds({})
    names = post_fit.write(
        tmp_path, {"long.json": long, "short.json": short, "none.json": None}, said.append
    )
    assert names == ["short.json"] == [path.name for path in tmp_path.iterdir()]
    assert len(said) == 1 and said[0].startswith("long.json is not written. ")


# -- importance ------------------------------------------------------------------------------------


def small() -> tuple[pc.Model, np.ndarray, dict[str, np.ndarray]]:
    model, x = straight([pc.Regression("a"), pc.Regression("b")]), np.eye(4, 2, dtype="float32")
    y = {"a": x[:, 0] * 2.0, "b": np.arange(4.0)}
    model.adapt(y)
    return model, x, y


def test_importance_of_too_little() -> None:
    model, x, y = small()
    for repeats, rows in ((0, 10), (1, 0)):
        with pytest.raises(InputError, match="1 repeat and 1 row or more"):
            permutation_importance.importance(
                model, x, ["p", "q"], y, "test", repeats=repeats, rows=rows
            )
    assert (
        permutation_importance.importance(
            model, x[:1], ["p", "q"], {n: v[:1] for n, v in y.items()}, "test"
        )
        is None
    )


def test_a_task_without_labels_and_columns_that_never_vary() -> None:
    model, x, y = small()
    found = permutation_importance.importance(
        model, x, ["p", "q"], y | {"b": None}, "test", repeats=1
    )
    assert found is not None and found.tasks["b"].mean == [None, None]
    # of a single repeat
    assert found.tasks["a"].mean[0] is not None and found.tasks["a"].deviation == [None, None]
    found = permutation_importance.importance(
        model, np.ones((4, 2), "float32"), ["p", "q"], y, "test", repeats=2
    )
    assert found is not None and found.tasks["a"].mean == found.tasks["b"].mean == [0.0, 0.0]
    assert msgspec.json.decode(manifest.page(found), type=results.Importance) == found


# -- runs ------------------------------------------------------------------------------------------


SMALL: dict[str, Any] = {"training": {"max_steps": 2}, "network": {"width": 16, "members": 5}}


def table(rows: int = 60) -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    a = rng.normal(size=rows)
    return {
        "a": a.tolist(),
        "price": (a * 3).round(2).tolist(),
        "churn": np.where(a > 0, "yes", "no").tolist(),
    }


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def run(said: list[str], tmp_path_factory: pytest.TempPathFactory) -> pc.Run:
    place = tmp_path_factory.mktemp("runs") / "run"
    targets = {"price": "regression", "churn": "binary"}
    return pc.fit(
        table(), targets, out=place, threshold="balanced_accuracy", say=said.append, **SMALL
    )


def with_thresholds(
    run: pc.Run, tmp_path: Path, tasks: dict[str, dict[str, float]] | None
) -> pc.Run:
    """The run with other thresholds in its folder, or none."""
    place = tmp_path / "copy"
    shutil.copytree(run.path, place)
    (place / results.THRESHOLDS).unlink()
    file = place / manifest.MANIFEST
    names = set(manifest.entries(place)) - {results.THRESHOLDS}
    file.unlink()
    if tasks is not None:
        each = {
            t: {n: results.Threshold(v, "f1", "test", None, None) for n, v in own.items()}
            for t, own in tasks.items()
        }
        atomic.write(place / results.THRESHOLDS, manifest.page(results.Thresholds(each)))
        names.add(results.THRESHOLDS)
    manifest.add(place, names)
    return pc.load(place)


def test_too_few_rows_for_a_threshold_are_said(tmp_path: Path) -> None:
    said: list[str] = []
    # a validation part of a few rows
    alone = {**SMALL, "network": {"width": 16, "members": 1, "folds": 1}}
    run = pc.fit(
        table(),
        ["churn"],
        out=tmp_path / "run",
        threshold="balanced_accuracy",
        say=said.append,
        **alone,
    )
    assert run.thresholds is not None and run.spec.training.threshold == "balanced_accuracy"
    found = run.thresholds.tasks["churn"]["yes"]
    assert (found.value, found.fitted, found.metric) == (0.5, False, "balanced_accuracy")
    (sentence,) = [each for each in said if "threshold" in each]
    assert "1 stay at 0.5" in sentence and "fewer than 10 validation rows" in sentence
    assert "'churn=yes'" in sentence


def test_a_run_without_thresholds_says_yes_above_one_half(run: pc.Run, tmp_path: Path) -> None:
    bare = with_thresholds(run, tmp_path, None)
    assert bare.thresholds is None
    found = bare.predict(table())
    np.testing.assert_array_equal(found["churn"] == "yes", found["churn=yes probability"] > 0.5)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_threshold_at_an_end(value: float, run: pc.Run, tmp_path: Path) -> None:
    found = with_thresholds(run, tmp_path, {"churn": {"yes": value}}).predict(table())
    assert set(found["churn"]) == ({"yes"} if value == 0 else {"no"})


WRONG: list[Any] = [
    (
        {"chrun": {"yes": 0.5}},
        UnknownName,
        "task among the thresholds: 'chrun'; did you mean 'churn'",
    ),
    (
        {"churn": {"Yes": 0.5}},
        UnknownName,
        "label of task 'churn' among the thresholds: 'Yes'; did you mean 'yes'",
    ),
    ({"churn": {}}, InputError, "'churn' has no threshold for the label 'yes'"),
    ({"price": {"yes": 0.5}}, UnknownName, "label of task 'price'"),
]


@pytest.mark.parametrize(("tasks", "error", "sentence"), WRONG, ids=lambda x: str(x)[:40])
def test_thresholds_of_another_network(
    tasks: Any, error: Any, sentence: str, run: pc.Run, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence):
        with_thresholds(run, tmp_path, tasks).predict(table())


def test_a_table_that_cannot_be_measured(run: pc.Run) -> None:
    rows = table(12)
    unlabelled = {"a": rows["a"]}
    for call in (run.importance_of, run.with_thresholds):
        with pytest.raises(InputError, match="none of the targets 'price', 'churn'"):
            call(unlabelled)
    with pytest.raises(InputError, match="A threshold is chosen for binary tasks and labels"):
        run.with_thresholds({"a": rows["a"], "price": rows["price"]})
    with pytest.raises(UnknownName, match="metric of thresholds 'auc'"):
        run.with_thresholds(rows, "auc")
    with pytest.raises(InputError, match="has 1 row; shuffling a column needs two rows or more"):
        run.importance_of({name: values[:1] for name, values in rows.items()})
    some = run.importance_of({"a": rows["a"], "price": rows["price"]}, repeats=1)
    assert some.tasks["churn"].mean == [None] and some.tasks["price"].mean[0] is not None


def test_what_cannot_be_found_out_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No validation rows, so no threshold; no passes, so no importance; a run all the same."""
    said: list[str] = []
    for name in ("PASSES", "SHARE"):
        monkeypatch.setattr(post_fit, name, 0)
    targets = {"churn": "binary"}
    run = pc.fit(table(30), targets, out=tmp_path / "run", validation=0, say=said.append, **SMALL)
    assert run.thresholds is None and run.importance is None and run.quality is not None
    assert [each for each in said if "no validation rows" in each]
    assert [each for each in said if "run.importance_of(table) does it" in each]


# -- the spec --------------------------------------------------------------------------------------


def test_a_spec_from_before_there_were_thresholds() -> None:
    text = to_yaml(Spec(tasks=[])).replace(b"  threshold: f1\n", b"")
    assert b"threshold" not in text
    assert spec_from(text, "spec.yaml").training.threshold == "f1"


def test_a_metric_that_no_threshold_knows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training\.threshold is 'auc'"):
        pc.fit(table(), ["churn"], out=tmp_path / "run", threshold="auc")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_threshold_beside_a_spec(run: pc.Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="A spec holds 'threshold' itself"):
        pc.fit(table(), spec=run.path / "spec.yaml", out=tmp_path / "run", threshold="accuracy")


def test_what_is_read_is_held_against_its_form(run: pc.Run, tmp_path: Path) -> None:
    place = with_thresholds(run, tmp_path, {"churn": {"yes": 0.5}}).path
    text = (place / results.THRESHOLDS).read_bytes().replace(b"0.5", b"1.5")
    atomic.write(place / results.THRESHOLDS, text)
    manifest.add(place, [results.THRESHOLDS])
    with pytest.raises(
        pc.errors.PolyceraError, match=r"thresholds\.json.*1\.5 is not a probability"
    ):
        pc.load(place).predict(table())
