"""`run.evaluate(by=)`, `polycera evaluate --by` and `polycera report --by` of a small run."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polycera as pc
import polycera_cli
from polycera import data
from polycera.errors import InputError, UnknownName

pytestmark = pytest.mark.nobackend

ROWS = 900


def table() -> dict[str, list[Any]]:
    """Customers of three regions; in the north nothing can be predicted."""
    rng = np.random.default_rng(0)
    region = rng.choice(["north", "south", "west"], ROWS).astype(object)
    a, b = rng.normal(size=(2, ROWS))
    north = region == "north"
    spend = np.where(north, 30 * rng.normal(size=ROWS), 30 * a) + 3 * rng.normal(size=ROWS)
    churn = np.where(np.where(north, rng.normal(size=ROWS), b) > 0, "yes", "no")
    region[::90] = None
    return {
        "region": region.tolist(),
        "a": a.tolist(),
        "b": b.tolist(),
        "churn": churn.tolist(),
        "spend": spend.tolist(),
    }


def written(columns: dict[str, list[Any]], path: Path) -> Path:
    """Write a table as CSV, and return its path."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pc.Run:
    """A run that does not use the region."""
    folder = tmp_path_factory.mktemp("segments")
    return pc.fit(
        written(table(), folder / "table.csv"),
        ["churn", "spend"],
        out=folder / "run",
        exclude=["region"],
        training={"max_steps": 60},
        network={"width": 16, "members": 2, "folds": 1, "landmarks": 0},
    )


def test_own_test_rows_are_measured_by_a_column_that_was_left_out(run: pc.Run) -> None:
    """Without a table the test rows are read again; the values on all of them are the run's."""
    found = run.evaluate(by="region")
    assert found.on == "test rows" and found.rows == run.metrics["rows"]["test"]
    for score in found.scores:
        expected = run.metrics["test"][score.task][score.metric]["value"]
        assert score.overall == pytest.approx(expected), (score.task, score.metric)
    assert {(s.task, s.metric) for s in found.scores} == {
        (task, metric) for task, scores in run.metrics["test"].items() for metric in scores
    }
    assert {score.segment for score in found.worse} == {"north"}
    assert found.scores[0].verdict == "worse"


def test_a_table_gives_what_evaluate_gives_on_the_rows_of_a_segment(run: pc.Run) -> None:
    """A segment's values are those of `evaluate` on its rows, at the run's thresholds too."""
    columns = table()
    with pytest.warns(UserWarning, match="trained"):
        found = run.evaluate(columns, by=["region", "a"])
    west = [i for i, region in enumerate(columns["region"]) if region == "west"]
    rows = {name: [values[i] for i in west] for name, values in columns.items()}
    with pytest.warns(UserWarning, match="trained"):
        alone = run.evaluate(rows)
    for score in found.by_column()["region"]:
        if score.segment == "west":
            assert score.value == pytest.approx(alone[score.task][score.metric].value)
    quartiles = {score.segment: score.rows for score in found.by_column()["a"]}
    assert len(quartiles) == 4 and max(quartiles.values()) - min(quartiles.values()) <= 1
    assert "(missing)" in {score.segment for score in found.by_column()["region"]}
    assert len(found.columns()["value"]) == len(found.scores)
    assert "<table>" in found._repr_html_()


def test_segments_count_rows_by_their_sample_weights(run: pc.Run, tmp_path: Path) -> None:
    """Metrics overall and by segment are the weighted ones of `evaluate`, for every source."""
    columns = table()
    rng = np.random.default_rng(1)
    columns["count"] = rng.integers(0, 9, ROWS).astype("float64").tolist()
    weighted = pc.fit(
        written(columns, tmp_path / "table.csv"),
        ["churn", "spend"],
        out=tmp_path / "run",
        exclude=["region"],
        sample_weight={"churn": "count"},
        training={"max_steps": 20},
        network={"width": 16, "members": 2, "folds": 1, "landmarks": 0},
    )
    with pytest.warns(UserWarning, match="trained"):
        found = weighted.evaluate(columns, by="region")
        overall = weighted.evaluate(columns)
    west = [i for i, region in enumerate(columns["region"]) if region == "west"]
    with pytest.warns(UserWarning, match="trained"):
        alone = weighted.evaluate({n: [values[i] for i in west] for n, values in columns.items()})
    for score in found.scores:
        assert score.overall == pytest.approx(overall[score.task][score.metric].value)
        if score.segment == "west":
            assert score.value == pytest.approx(alone[score.task][score.metric].value)
    for score in weighted.evaluate(by="region").scores:
        expected = weighted.metrics["test"][score.task][score.metric]["value"]
        assert score.overall == pytest.approx(expected), (score.task, score.metric)
    assert "effective" in found.said[-1]
    without = dict(columns, count=[1.0] * ROWS)
    with pytest.warns(UserWarning, match="trained"):
        plain = weighted.evaluate(without, by="region")
    pairs = list(zip(found.scores, plain.scores, strict=True))
    assert any(a.value != pytest.approx(b.value) for a, b in pairs if a.task == "churn")


def test_the_command_line_prints_and_reports_the_same(
    run: pc.Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`evaluate --by`, its JSON, and the report's view show what `run.evaluate(by=)` found."""

    def called(*arguments: Any) -> str:
        with pytest.raises(SystemExit) as ended:
            polycera_cli.main([str(argument) for argument in arguments])
        assert not ended.value.code
        return capsys.readouterr().out

    found = run.evaluate(by="region")
    printed = called("evaluate", run.path, "--by", "region")
    assert "north" in printed and "worse" in printed and found.said[-2][:30] in printed
    page = json.loads(called("evaluate", run.path, "--by", "region", "--json"))
    assert [line["q"] for line in page["by"]["region"]] == [score.q for score in found.scores]
    assert page["tests"] == found.tests
    called("report", run.path, "--by", "region", "-o", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Where is it worse?" in text and ">north<" in text
    called("report", run.path, "-o", tmp_path / "plain.html")
    assert "Where is it worse?" not in (tmp_path / "plain.html").read_text()


def test_what_cannot_be_divided_is_one_sentence(run: pc.Run, tmp_path: Path) -> None:
    """An unknown column, a table that is gone or changed, several runs: each is said."""
    with pytest.raises(UnknownName, match="'region'"):
        run.evaluate(by="regoin")
    with pytest.raises(InputError, match="twice"):
        run.evaluate(by=["a", "a"])
    with pytest.raises(InputError, match="by="):
        run.evaluate(by=[])
    with pytest.raises(InputError, match="needs a table"):
        run.evaluate()
    moved = tmp_path / "table.csv"
    place = Path(run.spec.data.source)
    shutil.move(place, moved)
    try:
        with pytest.raises(InputError, match=r"table\.csv"):
            run.evaluate(by="region")
    finally:
        shutil.move(moved, place)
    shutil.copytree(run.path, tmp_path / "other")
    with pytest.raises(InputError, match="one run"):
        pc.report([run, tmp_path / "other"], segments=run.evaluate(by="region"))


def test_a_column_is_divided_by_what_it_holds() -> None:
    """Numbers at quartiles, few whole numbers and texts by value, dates by year."""

    def names(values: Any) -> tuple[list[str], list[int]]:
        column = data.Table({"x": values})["x"]
        found = data.segments(column, "x")
        return found.names, np.bincount(found.codes, minlength=len(found.names)).tolist()

    assert names([0.5, 1.5, 2.5, 3.5] * 3 + [None]) == (
        ["0.5 to 1.5", "1.5 to 2.5", "2.5 to 3.5", "(missing)"],
        [6, 3, 3, 1],
    )
    assert names([1, 2, 2, 3]) == (["1", "2", "3"], [1, 2, 1])
    assert names([True, False, None]) == (["False", "True", "(missing)"], [1, 1, 1])
    assert names(np.array(["2023-05-01", "2024-01-01"], "datetime64[D]")) == (
        ["2023", "2024"],
        [1, 1],
    )
    days, counts = names(np.datetime64("2024-01-01") + np.arange(100))
    assert days[0] == "2024-01-01 to 2024-01-25" and sum(counts) == 100
    many, counts = names([f"t{i}" for i in range(80)] * 2)
    assert len(many) == 51 and many[-1] == "(other values)" and counts[-1] == 60
    assert names([None, None]) == (["(missing)"], [2])
