"""Test that an inspection says what a training does, with the right numbers, and without Keras."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polycera as pc
import polycera_cli
from polycera.inspection.as_text import as_text
from polycera.inspection.between_targets import cramers_v
from polycera.runs.spec import Data, Parts
from polycera.tabular.prepare import Declared, prepare

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

ROWS = 200


def customers() -> dict[str, Any]:
    """Return two targets, and a column of each role."""
    rng = np.random.default_rng(0)
    age = rng.integers(18, 80, ROWS).astype(float)
    start = np.datetime64("2024-01-31")
    churn = np.where(rng.random(ROWS) < age / 100, "yes", "no").astype(object)
    spend = 20 * age + rng.normal(0, 300, ROWS)
    churn[:3], spend[:5], age[:2] = None, np.nan, np.nan
    return {
        "id": np.arange(ROWS),
        "age": age,
        "region": rng.choice(["north", "south", "west"], ROWS),
        "since": start + np.arange(ROWS).astype("timedelta64[D]"),
        "member": rng.random(ROWS) < 0.5,
        "country": np.full(ROWS, "NO"),
        "churn": churn,
        "spend": spend,
    }


TABLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "by groups": ({"groups": "region"}, {"exclude": ["country"]}),
    "by time": ({"time": "since"}, {}),
    "declared": ({"test": 0.3}, {"columns": {"id": "number", "region": "ignore"}}),
}


@pytest.mark.parametrize("name", TABLES)
def test_it_says_what_a_training_does(name: str) -> None:
    split, roles = TABLES[name]
    targets = {"churn": "binary", "spend": "quantile"} if name == "declared" else ["churn", "spend"]
    found = pc.inspect(customers(), targets, **split, **roles)
    parts = Parts(column=None, **split)
    options = Data(columns=roles.get("columns", {}), parts=parts)
    prepared = prepare(customers(), targets, options, Declared(exclude=roles.get("exclude", ())))
    assert {n: (c.role, c.reason) for n, c in found.columns.items()} == {
        c.name: (c.role, c.reason) for c in prepared.schema.columns
    }
    assert {n: t.kind for n, t in found.targets.items()} == {t.name: t.kind for t in prepared.tasks}
    assert {n: t.reason for n, t in found.targets.items()} == prepared.reasons
    assert found.parts == {part: len(rows) for part, rows in prepared.named_parts.items()}
    assert found.said == prepared.warnings
    assert {n for n, c in found.columns.items() if c.used} == set(prepared.encoder.columns)
    assert set(found.left_out) == set(prepared.encoder.left_out)


def test_the_numbers_of_columns_and_targets() -> None:
    table = customers()
    found = pc.inspect(table, ["churn", "spend"])
    assert found.rows == ROWS
    age, since, region = (found.columns[name] for name in ("age", "since", "region"))
    assert (age.role, age.missing, age.min, age.max) == (
        "number",
        2,
        np.nanmin(table["age"]),
        np.nanmax(table["age"]),
    )
    assert (since.role, since.min) == ("date", "2024-01-31T00:00:00")
    last = datetime.datetime(2024, 1, 31) + datetime.timedelta(days=ROWS - 1)
    assert since.max == last.isoformat()
    assert (region.role, region.levels, region.distinct) == (
        "category",
        ["north", "south", "west"],
        3,
    )
    assert found.columns["member"].levels == [False, True]
    assert found.columns["id"].role == "id" and "different integer" in found.left_out["id"]
    churn, spend = found.targets["churn"], found.targets["spend"]
    assert (churn.kind, churn.classes, churn.missing, churn.mean) == (
        "binary",
        ["no", "yes"],
        3,
        None,
    )
    known = [label for label in table["churn"] if label is not None]
    assert churn.shares == pytest.approx([known.count(c) / len(known) for c in ("no", "yes")])
    assert (spend.kind, spend.missing, spend.classes) == ("regression", 5, None)
    assert spend.mean == pytest.approx(np.nanmean(table["spend"]))


def test_several_labels_and_shares_of_classes() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random((100, 2)) < (0.2, 0.7)).astype(float)
    labels[:4] = np.nan
    share = rng.dirichlet([1, 2], 100)
    table = {"x": rng.normal(size=100), "sad": labels[:, 0], "calm": labels[:, 1]}
    table |= {"a": share[:, 0], "b": share[:, 1]}
    tasks = [
        pc.Multilabel("mood", labels=["sad", "calm"]),
        pc.Multiclass("blood", classes=["a", "b"], soft=True),
    ]
    found = pc.inspect(table, tasks)
    mood, blood = found.targets["mood"], found.targets["blood"]
    assert (mood.kind, mood.classes, mood.missing) == ("multilabel", ["sad", "calm"], 4)
    assert mood.shares == pytest.approx(np.nanmean(labels, axis=0))
    assert blood.classes == ["a", "b"] and blood.shares == pytest.approx(share.mean(axis=0))
    assert {(p.first, p.second) for p in found.correlations} >= {("sad", "calm"), ("sad", "blood")}


def test_without_a_target_all_columns_are_inputs() -> None:
    found = pc.inspect(customers())
    assert list(found.columns) == list(customers())
    assert found.targets == {} and found.parts == {} and found.correlations == []
    assert "spend" not in found.left_out


def test_copies_are_counted_however_the_rows_are_divided() -> None:
    table = {name: np.concatenate([v, v[:7]]) for name, v in customers().items() if name != "id"}
    assert pc.inspect(table, "churn").copies == 7
    assert pc.inspect(table, "churn", time="since").copies == 7
    assert pc.inspect(customers(), "churn").copies == 0


def test_copies_are_equal_in_value() -> None:
    """Neither the sign of zero nor how a gap is stored makes a difference."""
    table = {
        "x": np.array([0.0, -0.0, np.nan, -np.nan, 1.0, 2.0]),
        "town": np.array(["a", "a", None, None, "b", "b"], dtype=object),
        "y": np.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0]),
    }
    assert pc.inspect(table, "y").copies == 2


def test_a_leak_and_a_table_that_fit_would_refuse() -> None:
    table = customers()
    found = pc.inspect(table | {"bill": table["spend"] * 2}, ["spend", "churn"])
    assert len(found.leaks) == 1 and "'bill'" in found.leaks[0]
    assert found.leaks[0] in found.said and found.refused is None
    refused = pc.inspect({"id": table["id"], "y": table["spend"]}, "y").refused
    assert refused is not None and "No column is left" in refused


def test_targets_are_compared_by_ranks_and_classes_by_cramers_v() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=500)
    table = {
        "x": rng.normal(size=500),
        "a": a,
        "b": -np.exp(3 * a),  # the same order, turned round
        "noise": rng.choice(list("pqrs"), 500),
        "third": np.where(a < -0.43, "low", np.where(a < 0.43, "mid", "high")),
    }
    pairs = pc.inspect(table, ["a", "b", "noise", "third"]).correlations
    by_name = {(pair.first, pair.second): pair for pair in pairs}
    assert by_name["a", "b"].measure == "rank correlation"
    assert by_name["a", "b"].value == pytest.approx(-1) and by_name["a", "b"].rows == 500
    assert by_name["noise", "third"].measure == "Cramér's V"
    assert by_name["noise", "third"].value < 0.1 and by_name["a", "third"].value > 0.8
    assert [abs(pair.value) for pair in pairs] == sorted(
        (abs(p.value) for p in pairs), reverse=True
    )


def test_of_many_targets_only_the_strongest_pairs_are_kept() -> None:
    rng = np.random.default_rng(3)
    table = {f"t{i}": rng.normal(size=60) for i in range(200)} | {"x": rng.normal(size=60)}
    table["t198"] = table["t3"] + 0.01 * rng.normal(size=60)
    found = pc.inspect(table, [f"t{i}" for i in range(200)])
    assert len(found.correlations) == 30
    assert (found.correlations[0].first, found.correlations[0].second) == ("t3", "t198")
    assert "the 10 strongest" in repr(found)


def test_cramers_v_is_that_of_the_formula() -> None:
    """Bergsma (2013), on a table worked out by hand: phi2 = 1/9, n = 90."""
    assert cramers_v(np.array([[30.0, 15.0], [15.0, 30.0]])) == pytest.approx(
        ((1 / 9 - 1 / 89) / (1 - 1 / 89)) ** 0.5
    )
    assert cramers_v(np.array([[5.0, 0.0], [3.0, 0.0]])) == 0.0  # one class only


def test_it_prints_itself_at_any_width_and_escapes_names() -> None:
    table = customers()
    table["<script>x\ny"] = table.pop("age")
    found = pc.inspect(table, ["churn", "spend"])
    for width in (40, 80, 200):
        lines = as_text(found, width).splitlines()
        assert max(map(len, lines)) <= width
        assert any("region" in line for line in lines)
    html = found._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html and "<table>" in html
    assert json.loads(json.dumps(found.to_dict()))["columns"]["since"]["min"] == (
        "2024-01-31T00:00:00"
    )


def test_the_command_prints_text_and_json(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "rooms.csv"
    path.write_text("rooms,town,rent\n" + "".join(f"{i % 5},t{i % 3},{i}.5\n" for i in range(60)))

    def run(*options: str) -> str:
        with pytest.raises(SystemExit) as ended:
            polycera_cli.main(["inspect", str(path), *options])
        assert ended.value.code == 0
        return str(capsys.readouterr().out)

    text = run("-t", "rent", "--kind", "rent=count")
    assert "rent  count" in text and "town" in text and "42 train" in text
    answer = json.loads(run("-t", "rent", "--column", "rooms=category", "--json"))
    assert {"rows", "columns", "targets", "left_out", "said"} <= set(answer)
    assert answer["columns"]["rooms"]["role"] == "category"
    assert answer["targets"]["rent"]["mean"] == 30.0
    assert "-t NAME" in run() and "-t NAME" not in run("-q")
