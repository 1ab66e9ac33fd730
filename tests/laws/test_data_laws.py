"""Laws of the data room: what holds for every table."""

from __future__ import annotations

import csv
import datetime
import io
import itertools
import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycera.data import (
    Encoder,
    Schema,
    Table,
    from_column,
    infer,
    infer_task,
    labels,
    leaks,
    read,
    split,
    stretches,
    tasks_for,
)
from polycera.data.column import canonical, is_missing

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

ROLES = {"n": "number", "c": "category", "b": "boolean", "d": "date"}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70),
    "c": st.text("wxyz ü'\"\n;,", min_size=1, max_size=4).map(lambda text: f"w{text}w"),
    "b": st.booleans(),
    "d": st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)),
}


@st.composite
def columns(draw: st.DrawFn) -> dict[str, list[Any]]:
    """One to six columns of every kind, each with holes."""
    rows = draw(st.integers(1, 25))
    letters = draw(st.lists(st.sampled_from("ncbd"), min_size=1, max_size=6))
    return {
        f"{letter}{place}": draw(st.lists(st.none() | VALUES[letter], min_size=rows, max_size=rows))
        for place, letter in enumerate(letters)
    }


def fitted(cells: dict[str, list[Any]]) -> tuple[Table, Schema, Encoder]:
    table = Table(cells)
    schema = infer(table, overrides={name: ROLES[name[0]] for name in cells})
    return table, schema, Encoder.fit(table, schema)


@given(columns())
def test_an_encoder_written_down_encodes_to_the_same_bits(cells: dict[str, list[Any]]) -> None:
    table, schema, encoder = fitted(cells)
    again = Encoder.from_config(json.loads(json.dumps(encoder.to_config(), allow_nan=False)))
    assert again.to_config() == encoder.to_config()
    assert np.array_equal(again.transform(table), encoder.transform(table))
    assert Schema.from_config(json.loads(json.dumps(schema.to_config()))) == schema


def test_parts_of_a_table_keep_the_type_of_its_labels() -> None:
    table = Table({"level": [3, 1, 3], "x": [0.0, 1.0, 2.0]})
    table = table.with_levels({"level": table["level"]})
    for part in (table.take([0, 1, 2]), table.select(["level"]), table.without(["x"])):
        assert part.levels == {"level"}
        assert part.labelled(["level"])["level"].tolist() == [3, 1, 3]
    assert table.take([1]).labelled(["level"])["level"].tolist() == [1]
    assert table.without(["level"]).levels == frozenset()


@given(columns())
def test_the_matrix_is_finite_and_each_of_its_columns_is_named(cells: dict[str, list[Any]]) -> None:
    table, _, encoder = fitted(cells)
    matrix = encoder.transform(table)
    assert matrix.dtype == np.float32 and np.isfinite(matrix).all()
    assert matrix.shape == (table.rows, encoder.width)
    assert len(set(encoder.feature_names)) == encoder.width == len(encoder.sources)
    assert set(encoder.sources) == set(cells) == set(encoder.columns)
    assert encoder.check(table) == []


@given(columns(), st.randoms(use_true_random=False))
def test_rows_and_columns_may_come_in_any_order(cells: dict[str, list[Any]], random: Any) -> None:
    table, _, encoder = fitted(cells)
    order = list(range(table.rows))
    names = list(cells)
    random.shuffle(order)
    random.shuffle(names)
    shuffled = table.take(order).select(names)
    assert np.array_equal(encoder.transform(shuffled), encoder.transform(table)[order])


@given(columns())
def test_what_a_row_becomes_does_not_depend_on_the_others(cells: dict[str, list[Any]]) -> None:
    table, _, encoder = fitted(cells)
    one_by_one = [encoder.transform(table.take([row])) for row in range(table.rows)]
    assert np.array_equal(np.concatenate(one_by_one), encoder.transform(table))
    assert encoder.transform(table.take([])).shape == (0, encoder.width)


@given(columns())
def test_reading_a_column_again_changes_nothing(cells: dict[str, list[Any]]) -> None:
    for values in cells.values():
        once = canonical(values)
        assert canonical(once) is once or np.array_equal(
            is_missing(canonical(once)), is_missing(once)
        )
        assert (is_missing(once) == [value is None for value in values]).all()


def same(left: Table, right: Table) -> None:
    assert left.names == right.names
    for name in left.names:
        assert left[name].dtype == right[name].dtype, name
        np.testing.assert_array_equal(left[name], right[name], name)  # NaN is NaN here


@given(columns())
def test_frames_of_all_libraries_are_one_table(cells: dict[str, list[Any]]) -> None:
    table = Table(cells)
    arrow = pa.table({name: pa.array(_plain(name, values)) for name, values in cells.items()})
    same(read(arrow), table)
    same(read(pl.from_arrow(arrow)), table)
    same(read(arrow.to_pandas()), table)
    same(read(arrow.to_pandas(types_mapper=pd.ArrowDtype)), table)


@given(columns(), st.sampled_from(",;\t|"))
def test_a_written_table_reads_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, cells: dict[str, list[Any]], delimiter: str
) -> None:
    sheet = io.StringIO(newline="")
    writer = csv.writer(sheet, delimiter=delimiter)
    writer.writerow([*cells, "last"])
    for row in zip(*(_plain(name, values) for name, values in cells.items()), strict=True):
        writer.writerow([*("" if cell is None else cell for cell in row), 1])
    path = tmp_path_factory.mktemp("sheet") / "sheet.csv"
    path.write_bytes(sheet.getvalue().encode())
    same(read(path).without(["last"]), Table(cells))


def _plain(name: str, values: list[Any]) -> list[Any]:
    """Numbers as floats: no frame holds 2**70 as an integer."""
    return [None if v is None else float(v) for v in values] if name[0] == "n" else values


@given(st.integers(3, 300), st.integers(0, 2**40), st.floats(0, 0.45), st.floats(0, 0.45))
def test_every_row_is_in_one_part(rows: int, seed: int, validation: float, test: float) -> None:
    parts = split(rows, seed=seed, validation=validation, test=test)
    again = split(rows, seed=seed, validation=validation, test=test)
    for one, two in zip(_parts(parts), _parts(again), strict=True):
        assert np.array_equal(one, two) and (np.diff(one) > 0).all()
    assert sorted(np.concatenate(_parts(parts))) == list(range(rows))
    assert len(parts.train)
    assert (len(parts.validation) > 0) == (validation > 0) and (len(parts.test) > 0) == (test > 0)
    assert (
        abs(len(parts.test) - rows * test) <= 1
        and abs(len(parts.validation) - rows * validation) <= 1
    )


@given(st.lists(st.integers(0, 4), min_size=10, max_size=200), st.integers(0, 100))
def test_each_part_has_its_share_of_each_class(codes: list[int], seed: int) -> None:
    parts = split(len(codes), seed=seed, stratify=codes)
    classes, counts = np.unique(codes, return_counts=True)
    assert len(parts.test) == len(parts.validation) == max(1, round(len(codes) * 0.15))
    for label, count in zip(classes, counts, strict=True):
        for part in (parts.validation, parts.test):
            found = (np.array(codes)[part] == label).sum()
            assert abs(found - count * 0.15) < 3
        assert (np.array(codes)[parts.train] == label).any() or count * 0.15 < 1


@given(st.lists(st.integers(0, 30), min_size=20, max_size=300), st.integers(0, 100))
def test_no_group_is_cut(groups: list[int], seed: int) -> None:
    if len(set(groups)) < 3:
        return
    parts = split(len(groups), seed=seed, groups=[f"group {group}" for group in groups])
    inside = [set(np.array(groups)[part]) for part in _parts(parts)]
    assert all(inside)
    assert sum(map(len, inside)) == len(set(groups))
    assert sorted(np.concatenate(_parts(parts))) == list(range(len(groups)))


@given(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=60))
def test_the_future_is_the_test(time: list[float]) -> None:
    parts = split(len(time), seed=0, time=time)
    train, validation, test = (np.array(time)[part] for part in _parts(parts))
    assert train.max() <= validation.min() and validation.max() <= test.min()


@given(st.lists(st.integers(0, 30), min_size=9, max_size=80), st.integers(2, 30))
def test_groups_in_time_are_as_late_as_their_latest_row(time: list[int], count: int) -> None:
    moments, groups = np.array(time), np.arange(len(time)) * 7 % count
    if len(np.unique(groups)) < 3:
        return
    found = _parts(split(len(time), seed=0, time=moments, groups=groups))
    assert sum(map(len, found)) == len(time) and min(map(len, found)) > 0
    latest = np.array([moments[groups == group].max() for group in groups])
    for earlier, later in itertools.pairwise(found):
        assert not set(groups[earlier]) & set(groups[later])
        assert latest[earlier].max() <= latest[later].min()


def test_a_moment_is_in_one_part_unless_it_holds_too_many_rows() -> None:
    days = np.repeat(np.arange(25), 4)
    found = _parts(split(100, seed=0, time=days))
    assert [len(part) for part in found] == [68, 16, 16]
    assert len(set(days[found[0]]) | set(days[found[1]]) | set(days[found[2]])) == 25
    assert not set(days[found[1]]) & {*days[found[0]], *days[found[2]]}
    # Two thirds of the rows in the last year: it is divided, or little would be left to learn from.
    years = np.repeat([2001, 2002, 2003], [10, 20, 60])
    assert [len(part) for part in _parts(split(90, seed=0, time=years))] == [62, 14, 14]


def test_stretches_of_time_are_in_order_and_of_about_equal_size() -> None:
    time = np.random.default_rng(0).permutation(100)
    found = stretches(time, 5)
    np.testing.assert_array_equal(found, time // 20)
    groups = time // 3
    found = stretches(time, 5, groups)
    for group in range(34):
        assert len(set(found[groups == group])) == 1
    assert stretches([3, 3, 3], 5).tolist() == [0, 0, 0]


@given(st.lists(st.sampled_from(["train", "Valid", "test", "TEST"]), min_size=2, max_size=50))
def test_a_given_split_is_kept(names: list[str]) -> None:
    if names.count("train") < 2:
        return
    parts = from_column(names, seed=1)
    words = np.array([name.lower() for name in names])
    assert set(words[parts.test]) <= {"test"} and (words == "test").sum() == len(parts.test)
    assert len(parts.validation)
    assert set(words[parts.validation]) == ({"valid"} if "valid" in words else {"train"})


def test_validation_drawn_beside_a_given_split_keeps_groups_whole_and_time_in_order() -> None:
    names, groups = ["train"] * 40 + ["test"] * 8, np.repeat(np.arange(12), 4)
    parts = from_column(names, seed=0, groups=groups)
    assert len(parts.validation) and not set(groups[parts.train]) & set(groups[parts.validation])
    time = np.random.default_rng(0).permutation(48)
    parts = from_column(names, seed=0, time=time)
    assert len(parts.validation) and time[parts.train].max() < time[parts.validation].min()


def _parts(parts: Any) -> list[np.ndarray]:
    return [parts.train, parts.validation, parts.test]


@given(columns())
def test_the_task_that_is_inferred_takes_its_own_labels(cells: dict[str, list[Any]]) -> None:
    for name, values in cells.items():
        values = [
            None if name[0] == "n" and value is not None and abs(value) > 1e30 else value
            for value in values
        ]
        if name[0] == "d" or not any(value is not None for value in values):
            continue  # dates are no labels, and beyond float32 nothing is
        task, reason = infer_task(name, values)
        assert reason.endswith(".")
        table = Table({name: values})
        encoded = task.encode(labels(table, task))
        assert encoded.shape == (table.rows, task.width)
        assert (np.isnan(encoded[:, 0]) == [value is None for value in values]).all()


@given(
    st.integers(0, 1000),
    st.sampled_from([np.exp, np.cbrt, lambda x: -3 * x + 2, lambda x: 1e200 * x]),
)
def test_a_copy_of_the_target_is_found_under_any_rising_or_falling_change(
    seed: int, change: Any
) -> None:
    random = np.random.default_rng(seed)
    goal = random.normal(size=60)
    holes = np.where(random.random(60) < 0.2, np.nan, change(goal))
    table = Table({"noise": random.normal(size=60), "copy": holes, "goal": goal})
    tasks, _ = tasks_for(table, ["goal"])
    found = leaks(table, infer(table, ["goal"]), tasks).sentences
    assert (
        len(found) == 1
        and "'copy'" in found[0]
        and "'goal'" in found[0]
        and "exclude=['copy']" in found[0]
    )


@given(st.integers(0, 1000), st.integers(2, 6))
def test_categories_that_rename_the_classes_are_found(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    codes = np.concatenate([np.repeat(np.arange(classes), 12), random.integers(0, classes, 100)])
    goal = [f"class {code}" for code in codes]
    table = Table(
        {"renamed": [f"level {-code}" for code in codes], "number": 7.0 * codes, "goal": goal}
    )
    table = Table(
        {**{name: table[name] for name in table.names}, "other": random.permutation(goal)}
    )
    tasks, _ = tasks_for(table, ["goal"])
    found = leaks(table, infer(table, ["goal"]), tasks).sentences
    assert [f.split("'")[1] for f in found] == ["renamed", "number"]
