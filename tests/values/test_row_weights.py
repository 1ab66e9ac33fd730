"""Test sample weights and class weights of a table: read, refused, used in what is fitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import polycera as pc
import polycera_cli
from polycera.errors import InputError, UnknownName
from polycera.evaluation import calibration
from polycera.evaluation.smoothed_thresholds import smoothed_thresholds
from polycera.tabular.row_weights import normalised
from polycera_cli.name_values import class_weights, columns_by_task

pytestmark = pytest.mark.nobackend

ROWS = 120
SHORT: dict[str, Any] = {"training": {"max_steps": 20}, "network": {"width": 8}, "progress": False}


def table(**columns: Any) -> dict[str, Any]:
    """Return a small table with weights; columns are added or replaced."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 2))
    return {
        "x": x[:, 0],
        "z": x[:, 1],
        "w": rng.integers(1, 4, ROWS).astype(float),
        "churn": np.where(x[:, 0] + rng.normal(size=ROWS) > 1, "yes", "no"),
        "loss": np.where(rng.random(ROWS) < 0.2, np.nan, x[:, 1] * 3 + rng.normal(size=ROWS)),
    } | columns


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pc.Run:
    return pc.fit(
        table(),
        ["churn", "loss"],
        sample_weight="w",
        class_weight={"churn": "balanced"},
        out=tmp_path_factory.mktemp("weights") / "run",
        **SHORT,
    )


def test_the_column_is_no_feature_and_all_is_pinned_in_the_spec(run: pc.Run) -> None:
    assert run.spec.data.sample_weight == "w"
    assert run.spec.data.columns["w"] == "weight"
    assert run.encoder.columns == ["x", "z"]
    (churn, _) = run.spec.tasks
    assert all(isinstance(weight, float) for weight in churn["class_weight"])
    assert len(run.predict({"x": [0.1], "z": [0.2]})["churn"]) == 1


def test_balanced_counts_training_rows_by_their_weights(tmp_path: Path) -> None:
    labels = table()["churn"]
    split = np.repeat(["train", "valid", "test"], [80, 20, 20])
    found = pc.fit(
        table(part=split),
        ["churn"],
        split="part",
        class_weight={"churn": "balanced"},
        out=tmp_path / "run",
        **SHORT,
    )
    expected = compute_class_weight("balanced", classes=np.array(["no", "yes"]), y=labels[:80])
    assert found.spec.tasks[0]["class_weight"] == pytest.approx(expected.tolist())


def test_only_the_ratios_of_weights_matter(run: pc.Run, tmp_path: Path) -> None:
    again = pc.fit(
        table(w=table()["w"] * 1024),
        ["churn", "loss"],
        sample_weight={"churn": "w", "loss": "w"},
        class_weight={"churn": run.spec.tasks[0]["class_weight"]},
        out=tmp_path / "run",
        **SHORT,
    )
    assert again.history == run.history
    assert again.metrics["test"] == run.metrics["test"]
    plain = pc.fit(table(), ["churn", "loss"], exclude=["w"], out=tmp_path / "plain", **SHORT)
    assert plain.history != run.history


def test_metrics_count_a_row_of_weight_3_three_times_and_one_of_weight_0_never(run: pc.Run) -> None:
    rows = {name: values[:60] for name, values in table().items()}
    rows["w"] = np.array([3.0, 0.0, 2.0] * 20)
    twice = np.repeat(np.arange(60), rows["w"].astype(int))
    with pytest.warns(UserWarning, match="its|trained|validated"):
        weighted = run.evaluate(rows)
        repeated = run.evaluate(
            {name: values[twice] for name, values in rows.items()} | {"w": np.ones(len(twice))}
        )
    for task in ("churn", "loss"):
        for metric, score in weighted[task].items():
            assert score.value == pytest.approx(repeated[task][metric].value), metric
            assert score.skill == pytest.approx(repeated[task][metric].skill), metric
    with pytest.warns(UserWarning, match="lacks the sample weights 'w': every row counts the same"):
        run.evaluate({name: values for name, values in rows.items() if name != "w"})


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.where(np.arange(ROWS) == 7, np.nan, 1.0), "'w' is missing in row 7"),
        (np.where(np.arange(ROWS) == 9, -2.0, 1.0), "'w' is -2 in row 9"),
        (np.where(np.arange(ROWS) == 3, np.inf, 1.0), "'w' is inf in row 3"),
        (np.zeros(ROWS), "'w' is 0 in every row"),
    ],
)
def test_a_weight_that_is_none_is_refused_with_its_row(
    weights: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        pc.fit(table(w=weights), ["churn"], sample_weight="w", out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_names_in_weights_are_checked(tmp_path: Path) -> None:
    for sample, said in ({"chrn": "w"}, "chrn"), ("weigt", "weigt"):
        with pytest.raises(UnknownName, match=said):
            pc.fit(table(), ["churn"], sample_weight=sample, out=tmp_path / "run")
    with pytest.raises(UnknownName, match="task in class_weight: 'chrn'"):
        pc.fit(table(), ["churn"], class_weight={"chrn": "balanced"}, out=tmp_path / "run")
    with pytest.raises(InputError, match="'loss' is regression; class_weight is for tasks with"):
        pc.fit(table(), ["loss"], class_weight={"loss": "balanced"}, out=tmp_path / "run")
    with pytest.raises(InputError, match="holds sample weights, so it cannot be a category"):
        pc.fit(
            table(),
            ["churn"],
            sample_weight="w",
            columns={"w": "category"},
            out=tmp_path / "run",
        )


def test_the_command_line_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert columns_by_task(["w"], "--sample-weight") == "w"
    assert columns_by_task(["a=w", "b=v"], "--sample-weight") == {"a": "w", "b": "v"}
    with pytest.raises(InputError, match="one COLUMN for all tasks"):
        columns_by_task(["w", "b=v"], "--sample-weight")
    assert class_weights(["a=balanced", "b=yes:3,no:1.5"], "--class-weight") == {
        "a": "balanced",
        "b": {"yes": 3.0, "no": 1.5},
    }
    with pytest.raises(InputError, match="--class-weight takes TASK=balanced"):
        class_weights(["a=yes:many"], "--class-weight")
    path = tmp_path / "table.csv"
    columns = table()
    lines = [",".join(columns)]
    lines += [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines).replace("nan", ""))
    with pytest.raises(SystemExit) as left:
        polycera_cli.main(
            ["inspect", str(path), "-t", "churn", "--sample-weight", "churn=w", "--json"]
        )
    assert not left.value.code
    assert json.loads(capsys.readouterr().out)["columns"]["w"]["role"] == "weight"


def test_thresholds_and_calibration_count_rows_by_their_weights() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random((200, 2))
    truth = (rng.random((200, 2)) < probability**2).astype(float)
    truth[::7, 1] = np.nan
    weights = rng.integers(0, 4, 200)
    rows = np.repeat(np.arange(200), weights)
    columns = np.tile(weights[:, None], (1, 2)).astype(float)
    for metric in ("f1", "accuracy", "balanced_accuracy"):
        weighted = smoothed_thresholds(truth, probability, metric, columns)
        twice = smoothed_thresholds(truth[rows], probability[rows], metric)
        for left, right in zip(weighted, twice, strict=True):
            np.testing.assert_allclose(left, right, atol=1e-6)
    layout = pc.tasks.Layout.of([pc.Binary("churn")])
    z = rng.normal(size=(2000, 1))
    y = (rng.random((2000, 1)) < 1 / (1 + np.exp(-z + 2))).astype(float)
    balanced = np.where(y == 1, (y == 0).mean() / (y == 1).mean(), 1.0)
    plain, shifted = (
        calibration(layout, {"churn": y}, z, weights=each) for each in (None, balanced)
    )
    # Weighed by class, the classes are as frequent as each other: the shift is that of the odds.
    odds = np.log(balanced.max())
    assert shifted.shift[0] - plain.shift[0] == pytest.approx(odds, abs=0.2)
    only = {"churn": np.where(np.arange(4)[:, None] == 3, np.nan, 1.0)}
    sample = normalised(layout, {"churn": np.array([2.0, 0.0, 4.0, 9.0])}, only)
    assert sample is not None
    np.testing.assert_allclose(sample[:3, 0], [2 / 3, 0, 4 / 3])
