"""Test what people say about a table: patterns, tags, ids, conditions, columns left out."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from polycera import data
from polycera.data.name_patterns import all_matching, spread
from polycera.data.tags import with_tags
from polycera.errors import InputError, UnknownName
from polycera.runs.spec import Data, Parts
from polycera.tabular.headline import with_metric
from polycera.tabular.prediction_columns import ids_of
from polycera.tabular.prepare import Declared, understand
from polycera.tasks import Binary, Count, Multilabel, Regression

pytestmark = pytest.mark.nobackend

ROWS = 40


def table(**more: Any) -> dict[str, Any]:
    """Return a small table."""
    rng = np.random.default_rng(0)
    columns = {
        "age": rng.integers(18, 80, ROWS),
        "town": rng.choice(["Oslo", "Bergen"], ROWS),
        "label_a": rng.normal(size=ROWS),
        "label_b": rng.normal(size=ROWS),
        "label_*": rng.normal(size=ROWS),
    }
    return columns | more


def said(call: Any) -> str:
    """Return the sentence of an error."""
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


# -- names, patterns, positions, tuples ---------------------------------------------------------


def test_an_exact_name_goes_before_a_pattern() -> None:
    names = ["age", "label_a", "label_b"]
    assert data.named_targets(["label_?"], names) == ["label_a", "label_b"]
    assert data.named_targets(["label_*"], [*names, "label_*"]) == ["label_*"]
    kinds = {"label_*": "count", "label_b": "quantile"}
    assert data.named_targets(["label_*"], names, kinds) == [
        {"label_a": "count"},
        {"label_b": "quantile"},
    ]
    assert data.named_targets([{"label_*": "count"}, "label_a"], names) == [
        {"label_b": "count"},
        "label_a",
    ]
    assert spread({"l*": 1, "label_b": 2, "label_*": 3}, names) == {"label_b": 2, "label_a": 3}
    assert all_matching(["*_a", "label_*"], names) == ["label_a", "label_b"]


def test_targets_go_by_position_and_by_tuple() -> None:
    frame = pd.DataFrame(np.ones((3, 3)), columns=pd.MultiIndex.from_tuples(
        [("age", ""), ("price", "mean"), ("price", "last")]
    ))  # fmt: skip
    read = data.read(frame)
    assert read.names == ["age", "price_mean", "price_last"]
    for targets in ([("price", "last")], ("price", "last"), [-1], 2, [np.int64(2)], "price_last"):
        assert data.named_targets(targets, read.names) == ["price_last"]
    assert data.named_targets([11], ["10", "11"]) == ["11"]  # a name goes before a position
    assert "has 3 columns" in said(lambda: data.named_targets([3], read.names))


def test_what_matches_nothing_is_named_with_the_nearest() -> None:
    for call in (
        lambda: data.named_targets("lable_*", ["age", "label_a"]),
        lambda: understand(table(), ["age"], Data(), Declared(exclude=["lable_*"])),
        lambda: understand(table(), ["age"], Data(id=["lable_a"])),
        lambda: understand(table(), ["age"], Data(columns={"lable_*": "number"})),
    ):
        with pytest.raises(UnknownName, match="did you mean 'label_"):
            call()
    with pytest.raises(UnknownName, match="target 'agee'; did you mean 'age'"):
        understand(table(), ["age"], Data(), Declared(kinds={"agee": "count"}))


# -- columns that are left out ------------------------------------------------------------------


@pytest.mark.parametrize("library", [dict, pd.DataFrame, pl.DataFrame])
def test_nested_columns_are_named_and_left_out(library: Any) -> None:
    nested = {"tokens": [[1, 2]] * ROWS, "blob": [b"x"] * ROWS, "info": [{"a": 1}] * ROWS}
    source = library({**nested, **table()})
    understood = understand(source, ["age"], Data(), Declared(exclude=["tok*"]))
    roles = {column.name: column for column in understood.schema.columns}
    assert list(roles)[:3] == list(nested)
    assert {roles[name].role for name in nested} == {"ignore"}
    warned = [sentence for sentence in understood.warnings if "left out" in sentence]
    assert len(warned) == 2 and "'blob'" in warned[0] and "'info'" in warned[1]
    assert "Column 'tokens' was left out" in said(lambda: understand(source, ["tokens"], Data()))
    declared = Data(columns={"info": "category"})
    assert "cannot be a category" in said(lambda: understand(source, ["age"], declared))


def test_a_target_that_is_named_twice_is_refused() -> None:
    assert "named more than once" in said(lambda: understand(table(), ["age", "age"], Data()))


def test_masked_cells_are_missing_and_not_nested() -> None:
    cells = np.ma.array(["a", "b", "a"], dtype=object, mask=[False, True, False])
    read = data.read({"x": [1.0, 2.0, 3.0], "town": cells})
    assert not read.unread and read["town"].tolist() == ["a", None, "a"]


def test_a_spec_pins_its_columns() -> None:
    options = Data(columns={"age": "number", "town": "category", "old": "ignore"})
    understood = understand(table(), [Regression("label_a")], options, Declared(pinned=True))
    assert understood.schema.used == ["age", "town"]
    assert sum("does not name it" in sentence for sentence in understood.warnings) == 2
    options = Data(columns={"agee": "number"})
    sentence = said(
        lambda: understand(table(), [Regression("label_a")], options, Declared(pinned=True))
    )
    assert "learns from 'agee'" in sentence and "did you mean 'age'" in sentence
    changed = table(age=["old"] * ROWS)
    options = Data(columns={"age": "number"})
    sentence = said(
        lambda: understand(changed, [Regression("label_a")], options, Declared(pinned=True))
    )
    assert "Column 'age' is expected to hold a number" in sentence


def test_columns_with_a_purpose_are_read_even_where_they_are_excluded() -> None:
    source = table(part=["train", "validation", "test", "train"] * (ROWS // 4))
    options = Data(parts=Parts(column="part"), id=["town"])
    understood = understand(source, ["age"], options, Declared(exclude=["part", "town", "label_?"]))
    assert [len(rows) for rows in understood.named_parts.values()] == [20, 10, 10]
    assert understood.ids == ["town"] and understood.schema["town"].role == "id"


# -- ids ----------------------------------------------------------------------------------------


def test_ids_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("code,x,y\n" + "".join(f"00{i},{i},{i % 7}.5\n" for i in range(ROWS)))
    understood = understand(str(path), ["y"], Data(id=["code"]))
    assert ids_of(understood.table, understood.ids)["code"][:2].tolist() == ["000", "001"]
    large = [2**60 + i for i in range(ROWS)]
    read = data.read(pl.DataFrame({"id": large}), as_text=["id"])
    assert ids_of(read, ["id"])["id"].tolist() == list(map(str, large))
    read = data.read({"id": [1, None, 3], "all": [1, 2, 3]})
    carried = ids_of(read, ["id", "all"])
    assert carried["id"].tolist() == [1, None, 3] and carried["all"].dtype == np.int64


# -- conditions ---------------------------------------------------------------------------------


def test_a_condition_keeps_rows_of_the_columns_as_understood() -> None:
    days = np.array(["2023-12-30", "NaT", "2024-02-01"], "datetime64[D]")
    read = data.Table({"date": days, "Amount due": [1.0, 2.0, np.nan], "ok": [True, None, False]})
    kept: Mapping[str, list[int]] = {
        "date < '2024-01-01'": [0],
        '"Amount due" > 1 or ok': [0, 1],
        "ok is null": [1],
        "date is not null and not ok": [2],
    }
    assert {text: data.rows_where(read, text).tolist() for text in kept} == kept


@pytest.mark.parametrize(
    "condition, reason",
    [
        ("agee > 3", "not found"),
        ("age", "not true or false in each row"),
        ("sum(age) > 3", "not true or false in each row"),
        ("age > 3, town = 'Oslo'", "single expression"),
        ("age > 3) from rows; select (1", "syntax error"),
        ("exists(select * from read_csv('/etc/hostname'))", "cannot access file"),
        ("age > 1000", "No row of 40"),
        ("town > 3", "cannot compare"),
    ],
)
def test_a_condition_that_cannot_be_used(condition: str, reason: str) -> None:
    sentence = said(lambda: data.rows_where(data.Table(table()), condition))
    assert reason in sentence and "--where" in sentence
    assert "\n" not in sentence


def test_names_that_sql_does_not_tell_apart() -> None:
    twins = data.Table({"a": [1.0], "A": [2.0]})
    assert "'a' and 'A'" in said(lambda: data.rows_where(twins, "a > 0"))


def test_rows_keep_their_numbers() -> None:
    understood = understand(table(), ["label_a"], Data(where="age >= 40"))
    kept = np.flatnonzero(table()["age"] >= 40)
    assert understood.row_numbers.tolist() == kept.tolist()
    assert understood.said == [f"{len(kept)} of {ROWS} rows meet the condition age >= 40."]


# -- tags ---------------------------------------------------------------------------------------


def test_a_row_without_tags_has_none(tmp_path: Path) -> None:
    cells = ["calm| happy", "", "NA", "sad", " calm ", "happy|"] * 10
    path = tmp_path / "tags.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["x", "mood"], *([i, cell] for i, cell in enumerate(cells))])
    for source in (str(path), {"x": range(60), "mood": cells}):
        understood = understand(source, ["mood"], Data(tags={"mood": "|"}))
        assert understood.tasks == [Multilabel("mood", labels=["calm", "happy", "sad"])]
        labels = understood.table.select(["calm", "happy", "sad"])
        rows = np.stack([labels[name][:6] for name in labels.names], axis=1)
        missing = [np.nan] * 3
        expected = [[1, 1, 0], [0, 0, 0], missing, [0, 0, 1], [1, 0, 0], [0, 1, 0]]
        np.testing.assert_array_equal(rows, expected)
        assert "10 of 60 rows have none, 10 are missing" in understood.said[0]


def test_a_frame_without_empty_text_has_nulls_for_no_tags() -> None:
    columns = {"a": [1.0, 2.0, 3.0]}
    read = data.read(pl.DataFrame({**columns, "mood": ["sad", None, "calm"]}), as_written=["mood"])
    assert with_tags(read, "mood", ";", ["calm", "sad"])[0]["sad"].tolist() == [1.0, 0.0, 0.0]
    read = data.read(pl.DataFrame({**columns, "mood": ["sad", None, ""]}), as_written=["mood"])
    np.testing.assert_array_equal(
        with_tags(read, "mood", ";", ["sad"])[0]["sad"], [1.0, np.nan, 0.0]
    )


@pytest.mark.parametrize(
    "targets, tags, reason",
    [
        (["age"], {"mood": "|"}, "has tags and is not a target"),
        (["mood"], {"mod": "|"}, "Unknown column 'mod'"),
        ([{"mood": "count"}], {"mood": "|"}, "so it is multilabel"),
        ([Multilabel("mood", labels=["sad"])], {"mood": "|"}, "tag 'age' in row 0"),
        (["mood"], {"mood": "|"}, "tags 'age' of column 'mood' are named as other columns"),
        (["mood"], {"mood": ""}, "the sign between two of them"),
        (["none"], {"none": "|"}, "has no tag in any of its 40 rows"),
    ],
)
def test_tags_that_cannot_be_used(targets: Any, tags: dict[str, str], reason: str) -> None:
    source = table(mood=["age|sad"] * ROWS, none=[""] * ROWS)
    assert reason in said(lambda: understand(source, targets, Data(tags=tags)))


# -- metrics ------------------------------------------------------------------------------------


def test_the_metric_of_a_task_comes_first() -> None:
    tasks = with_metric([Binary("a"), Count("b")], {"a": "pr_auc"})
    assert tasks[0].headline == "average_precision"
    assert set(Binary("a").metrics) < set(tasks[0].metrics)
    assert tasks[1] == Count("b")
    with pytest.raises(UnknownName, match="did you mean 'average_precision'"):
        with_metric([Binary("a")], {"a": "average_precison"})
    with pytest.raises(UnknownName, match="task in metric: 'c'"):
        with_metric([Binary("a")], {"c": "auc"})
