"""Numbers of the data room against scikit-learn, pandas and real files."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from polycera.data import (
    Encoder,
    Table,
    from_column,
    infer,
    infer_task,
    labels,
    leaks,
    read,
    split,
    strata,
    tasks_for,
)
from polycera.data.association import correlations, ranks
from polycera.tasks import Binary, Count, Multiclass, Multilabel, Ordinal, Quantile, Regression

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]


def encoder(table: Table, **roles: str) -> Encoder:
    return Encoder.fit(table, infer(table, overrides=roles))


# -- encoding --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9, 1e160])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_numbers_are_those_of_standard_scaler(
    rng: np.random.Generator, scale: float, offset: float
) -> None:
    train, new = (scale * (rng.normal(size=(200, 7)) + offset) for _ in range(2))
    ours = encoder(Table({f"x{i}": train[:, i] for i in range(7)}))
    theirs = StandardScaler().fit(train / scale).transform(new / scale)
    matrix = ours.transform(Table({f"x{i}": new[:, i] for i in range(7)}))
    assert matrix == pytest.approx(theirs.astype("float32"), rel=1e-5, abs=1e-5)


def test_categories_are_those_of_one_hot_encoder(rng: np.random.Generator) -> None:
    train, new = (rng.choice(list("abcdefg"), (300, 2)) for _ in range(2))
    new[:3] = "z"
    ours = encoder(Table({"x": train[:, 0], "y": train[:, 1]}))
    theirs = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(train)
    matrix = ours.transform(Table({"x": new[:, 0], "y": new[:, 1]}))
    levels = [
        [f"{name}={level}" for level in found]
        for name, found in zip("xy", theirs.categories_, strict=True)
    ]
    assert ours.feature_names == [*levels[0], "x is other", *levels[1], "y is other"]
    other = [ours.feature_names.index(f"{name} is other") for name in "xy"]
    assert np.array_equal(np.delete(matrix, other, axis=1), theirs.transform(new))
    assert matrix[:, other].tolist() == [[1, 1]] * 3 + [[0, 0]] * 297


def test_a_missing_number_is_the_mean_and_has_a_mark_where_training_had_gaps() -> None:
    ours = encoder(Table({"gap": [1.0, None, 3.0], "whole": [1.0, 2.0, 3.0]}))
    assert ours.feature_names == ["gap", "whole", "gap is missing"]
    new = Table({"gap": [None, 2.0], "whole": [None, None]})
    assert ours.transform(new).tolist() == [[0, 0, 1], [0, 0, 0]]
    assert ours.check(new) == [
        "Column 'whole' has 2 missing values and had none in training; the training mean is used "
        "instead."
    ]


def test_a_column_that_does_not_vary_is_zero() -> None:
    ours = encoder(Table({"same": [0.1] * 7, "none": [None] * 7}), same="number", none="number")
    assert not ours.transform(Table({"same": [0.1] * 2, "none": [None, None]}))[:, :2].any()


def test_what_is_absurdly_far_off_is_cut_and_not_infinite() -> None:
    ours = encoder(Table({"x": [0.0, 1.0, 2.0]}))
    assert ours.transform(Table({"x": [1e308, -1e308]})).tolist() == [[1e6], [-1e6]]


def test_rare_levels_share_a_place_and_unseen_ones_are_counted() -> None:
    frequent = [f"level {i:03}" for i in range(255) for _ in range(2)]
    ours = encoder(Table({"c": [*frequent, "rare", "rarer"]}), c="category")
    assert ours.width == 256 and "c=rare" not in ours.feature_names
    new = Table({"c": ["rare", "new", None, "level 000"], "surplus": [1, 2, 3, 4]})
    assert ours.transform(new)[:, -1].tolist() == [1, 1, 1, 0]
    assert ours.check(new) == [
        "These columns were not in the training table and are ignored: 'surplus'.",
        "Column 'c' has 2 rows with categories that were not in training ('new', 'missing'); "
        "they are encoded as one category for all others.",
    ]


def test_booleans_are_zero_and_one_however_they_are_written() -> None:
    ours = encoder(Table({"b": [True, False, None, True], "w": [True, False, True, True]}))
    assert ours.feature_names == ["b", "w", "b is missing"]
    new = Table({"b": ["yes", "FALSE", None], "w": [1, 0, None]})
    assert ours.transform(new).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0.75, 1]]
    as_number = encoder(Table({"b": [True, False, None, True, False]}), b="number")
    assert as_number.transform(Table({"b": [True, None]})).tolist() == [[1, 0], [0, 1]]


def test_dates_are_the_calendar() -> None:
    days = ["2024-01-01", "2024-07-01", "2025-01-05"]  # a Monday, a Monday, a Sunday
    ours = encoder(Table({"day": np.array(days, dtype="datetime64[s]")}))
    frame = dict(zip(ours.feature_names, ours.transform(Table({"day": days})).T, strict=True))
    elapsed = pd.to_datetime(pd.Series(days)).map(lambda day: day.toordinal()).to_numpy(float)
    assert frame["day elapsed days"] == pytest.approx(
        (elapsed - elapsed.mean()) / elapsed.std(), abs=1e-6
    )
    assert frame["day year"] == pytest.approx([-(0.5**0.5), -(0.5**0.5), 2**0.5])
    assert frame["day month (cos)"] == pytest.approx([1, -1, 1])
    assert frame["day day of week (sin)"] == pytest.approx(
        [0, 0, np.sin(2 * np.pi * 6 / 7)], abs=1e-6
    )
    assert frame["day day of year (sin)"][0] == 0 and frame["day day of year (cos)"][
        1
    ] == pytest.approx(-1, abs=1e-3)


def test_a_missing_date_is_nought_and_has_a_mark() -> None:
    ours = encoder(
        Table({"day": np.array(["2024-03-05", "2025-11-20", "NaT"], dtype="datetime64[D]")})
    )
    assert ours.feature_names[-1] == "day is missing"
    matrix = ours.transform(Table({"day": [None, "2024-03-05"]}))
    assert matrix[0].tolist() == [0] * 8 + [1] and matrix[1, 8] == 0 and matrix[1].any()


def test_a_level_that_looks_like_a_number_survives_a_small_file(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("zip\n01\n02\n", encoding="utf-8")
    train = Table({"zip": ["01", "02", "x", "01", "02", "x"]})
    schema = infer(train)
    ours = Encoder.fit(train, schema)
    assert schema.as_text == ["zip"]
    assert ours.transform(read(path, as_text=schema.as_text)).tolist() == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
    ]


# -- reading ---------------------------------------------------------------------------------------

SHEET = (
    "\ufeffnumber,gap,flag,day,moment,word,answer,nothing,stray,part_no\r\n"
    '1,2.5,true,2024-02-29,2024-02-29T10:00:00Z,"a, ""b""\nc",yes,,1,1_000\r\n'
    "\r\n"
    "-1e3, ,FALSE,NA,2024-02-29 12:00:00+02:00,?,no,null,2,2\r\n"
    "9007199254740993,nan,,1999-12-31,,None,no,N/A,x,3\r\n"
)


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.txt", "sheet.csv.gz", "SHEET.CSV"])
def test_cells_become_what_they_say(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(SHEET.encode()) if name.endswith("gz") else SHEET.encode())
    table = read(path)
    assert {column: table[column].tolist() for column in table.names} == {
        "number": [1.0, -1000.0, 2.0**53],
        "gap": pytest.approx([2.5, np.nan, np.nan], nan_ok=True),
        "flag": [True, False, None],
        "day": np.array(["2024-02-29", "NaT", "1999-12-31"], dtype="datetime64[us]").tolist(),
        "moment": np.array(
            ["2024-02-29T10", "2024-02-29T10", "NaT"], dtype="datetime64[us]"
        ).tolist(),
        "word": ['a, "b"\nc', None, None],
        "answer": ["yes", "no", "no"],
        "nothing": pytest.approx([np.nan] * 3, nan_ok=True),
        "stray": ["1", "2", "x"],
        "part_no": ["1_000", "2", "3"],
    }


def test_times_with_a_zone_are_brought_to_utc() -> None:
    east = datetime.timezone(datetime.timedelta(hours=2))
    noon = datetime.datetime(2024, 2, 29, 12, tzinfo=east)
    for source in (
        {"t": [noon, None]},
        pd.DataFrame({"t": [noon, None]}),
        pl.DataFrame({"t": [noon, None]}),
    ):
        assert read(source)["t"].tolist() == [datetime.datetime(2024, 2, 29, 10), None]


def test_a_column_without_a_value_is_of_no_kind() -> None:
    for nothing in (
        [None, None],
        np.array(["NaT"] * 2, "datetime64[us]"),
        np.array([None, np.nan], object),
    ):
        assert Table({"x": nothing})["x"].dtype == np.float64


def test_a_word_late_in_a_long_column_keeps_all_of_it_text(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("code,x\n" + "01,1\n" * 999 + "oops,2\n", encoding="utf-8")
    table = read(path)
    assert table["code"].tolist() == ["01"] * 999 + ["oops"]
    column = infer(table)["code"]
    assert column.notable and "'oops' in row 999" in column.reason


def test_nulls_of_arrow_dictionaries_are_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"c": pd.Categorical(["a", "b", None, "a"]), "i": pd.Categorical([1, 2, None, 1])}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    for source in (
        tmp_path / "t.parquet",
        frame,
        pa.Table.from_pandas(frame),
        pl.from_pandas(frame),
    ):
        assert read(source)["c"].tolist() == ["a", "b", None, "a"]
    for table in (read(frame), read(pa.Table.from_pandas(frame))):
        assert table["i"].tolist() == ["1", "2", None, "1"]


def test_names_may_be_anything() -> None:
    names = ["a/b", "../..", 'it\'s "it"', "🦉", "x" * 300, "", " ", "is missing"]
    table = Table({name: [1.0, None, 3.0] for name in names})
    ours = encoder(table)
    assert ours.columns == names and ours.transform(table).shape == (3, 16)


# -- roles and tasks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "role"),
    [
        ("customerID", ["7590-VHVEG", "5575-GNVDE", "3668-QPYBK"], "id"),
        ("user_id", [10, 11, 12], "id"),
        ("PassengerId", [3, 1, 2], "id"),
        ("Unnamed: 0", [0, 1, 2], "id"),
        ("id", [2**60, 2**60 + 1, 2**60 + 2], "id"),
        ("total", [2**60, 2**60 + 1, 2**61], "number"),
        ("humid", [1, 2, 3], "number"),
        ("width", [1, 2, 3], "number"),
        ("id", [1.5, 2.5, 3.5], "number"),
        ("id", [1, 1, 2], "number"),
        ("flag", [0, 1, 0], "number"),
        ("same", [5, 5, 5], "constant"),
        ("same", ["a", "a", "a"], "constant"),
        ("empty", [None, None, None], "constant"),
        ("almost", [5, 5, None], "number"),
        ("town", ["Oslo", "Bergen", "Oslo"], "category"),
        ("answer", [True, False, None], "boolean"),
        ("day", np.array(["2024-01-01", "2024-01-02", "NaT"], dtype="datetime64[D]"), "date"),
        ("__split__", ["train", "test", "test"], "ignore"),
        ("review", [f"It was good, and {i} people said so too" for i in range(3)], "text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_roles(name: str, values: Any, role: str) -> None:
    column = infer(Table({name: values}))[name]
    assert column.role == role and column.reason.endswith(".")
    assert column.notable != column.used


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, None], Binary("y", classes=(0, 1))),
        ([True, False], Binary("y", classes=(False, True))),
        (["No", "Yes", "No"], Binary("y", classes=("No", "Yes"))),
        (["Yes", "no"], Binary("y", classes=("no", "Yes"))),
        (["ja", "nein"], Binary("y", classes=("nein", "ja"))),
        (["Sí", "No"], Binary("y", classes=("No", "Sí"))),
        (["off", "on"], Binary("y", classes=("off", "on"))),
        (["N", "fine"], Binary("y", classes=("N", "fine"))),
        (["malignant", "benign"], Binary("y", classes=("benign", "malignant"))),
        ([2, 1], Binary("y", classes=(1, 2))),
        (["red", "blue", "green"], Multiclass("y", classes=("blue", "green", "red"))),
        ([3.0, 4.0, 5.0, np.nan], Multiclass("y", classes=(3, 4, 5))),
        ([1.5, 2.0, 3.0], Regression("y")),
        ([-1, 0, 1], Regression("y")),
        ([2021, 2022, 2023], Regression("y")),
        (list(range(11)), Regression("y")),
        ([7.5, 7.5], Regression("y")),
        ([0, 0], Binary("y", classes=(0, 1))),
    ],
    ids=str,
)
def test_inferred_tasks(values: list[Any], expected: Any) -> None:
    task, reason = infer_task("y", values)
    assert task == expected
    classes = getattr(task, "classes", None)
    assert [type(c) for c in classes or ()] == [
        type(c) for c in getattr(expected, "classes", None) or ()
    ]
    json.dumps(task.to_config())
    assert reason.startswith("Warning") == (
        len({v for v in values if v == v and v is not None}) == 1
    )
    assert (
        not isinstance(task, Binary) or len(set(values)) == 1 or repr(expected.classes[1]) in reason
    )


def test_targets_may_be_asked_for_in_every_way() -> None:
    table = Table(
        {"a": [0, 1, 2], "b": ["x", "y", "z"], "c": [1, 2, 9], "d": [0, 1, 0], "e": [1, 0, 0]}
    )
    table = Table(
        {
            **{name: table[name] for name in table.names},
            "f": ["lo", "hi", "lo"],
            "g": [1.0, 2.0, 4.0],
        }
    )
    asked = [
        "a",
        {"c": "count", "b": Ordinal("b")},
        Multilabel("tags", labels=["d", "e"]),
        Binary("f"),
        {"g": "quantile"},
    ]
    tasks, reasons = tasks_for(table, asked)
    assert [task.name for task in tasks] == ["a", "c", "b", "tags", "f", "g"] == list(reasons)
    assert [type(task) for task in tasks] == [
        Multiclass,
        Count,
        Ordinal,
        Multilabel,
        Binary,
        Quantile,
    ]
    assert tasks[2].classes == ("x", "y", "z") and tasks[4].classes == ("hi", "lo")
    assert labels(table, tasks[3]).tolist() == [[0, 1], [1, 0], [0, 0]]
    assert tasks_for(table, "a")[0] == tasks_for(table, {"a": None})[0] == tasks[:1]


# -- dividing and leaks ----------------------------------------------------------------------------


def test_a_class_of_three_rows_is_in_every_part() -> None:
    codes = np.zeros(1000, dtype=int)
    codes[[5, 500, 900]] = 1
    parts = split(1000, seed=0, stratify=codes)
    assert [codes[part].sum() for part in (parts.train, parts.validation, parts.test)] == [1, 1, 1]


def test_large_and_small_groups_come_to_about_the_shares(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(100), rng.integers(1, 40, 100))
    parts = split(len(groups), seed=3, groups=groups)
    assert len(parts.test) / len(groups) == pytest.approx(0.15, abs=0.02)
    assert len(parts.validation) / len(groups) == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_three_groups_are_one_a_part(seed: int) -> None:
    parts = split(30, seed=seed, groups=["a"] * 10 + ["b"] * 10 + ["c"] * 10)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [10, 10, 10]


def test_strata_are_those_of_the_first_task_with_enough_of_each() -> None:
    table = Table({"n": [1.5] * 6, "rare": list("aaaaab"), "c": ["x", "y", "x", "y", "x", "y"]})
    tasks = [
        Regression("n"),
        Multiclass("rare", classes=["a", "b"]),
        Multiclass("c", classes=["x", "y"]),
    ]
    assert strata(table, tasks).tolist() == [0, 1, 0, 1, 0, 1]
    assert strata(table, tasks[:2]) is None


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def testcorrelations_with_gaps_are_those_of_pandas(rng: np.random.Generator, method: str) -> None:
    values = rng.normal(size=(80, 6)).round(1) + np.arange(6) * 1e3
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 4] = values[:, 0] ** 3
    ours = (
        values
        if method == "pearson"
        else np.stack([ranks(values[:, [i]])[:, 0] for i in range(6)], axis=1)
    )
    theirs = (pd.DataFrame(ours).corr()).to_numpy()
    assert correlations(ours[:, :3], ours[:, 3:]) == pytest.approx(theirs[:3, 3:], abs=1e-9)
    whole = pd.DataFrame(values).rank() if method == "spearman" else pd.DataFrame(values)
    assert ours == pytest.approx(whole.to_numpy(), nan_ok=True)


# -- real files ------------------------------------------------------------------------------------


def test_the_telco_file_as_people_download_it(shared_data: Path) -> None:
    table = read(shared_data / "telco" / "Telco-Customer-Churn.csv")
    assert table.rows == 7043 and np.isnan(table["TotalCharges"]).sum() == 11
    tasks, _ = tasks_for(table, ["Churn", {"tenure": "count"}, "TotalCharges"])
    assert tasks == [
        Binary("Churn", classes=("No", "Yes")),
        Count("tenure"),
        Regression("TotalCharges"),
    ]
    schema = infer(table, ["Churn", "tenure", "TotalCharges"])
    assert schema.names("id") == ["customerID"] and len(schema.used) == 17
    parts = split(table.rows, seed=0, stratify=strata(table, tasks))
    churn = table["Churn"] == "Yes"
    assert churn[parts.test].mean() == pytest.approx(churn.mean(), abs=1e-3)
    ours = Encoder.fit(table.take(parts.train), schema)
    assert ours.transform(table.take(parts.test)).shape == (len(parts.test), ours.width)
    assert leaks(table, schema, tasks).sentences == []
    parquet = read(shared_data / "telco" / "data.parquet")
    assert np.array_equal(parquet["SeniorCitizen"], table["SeniorCitizen"])
    assert parquet["Contract"].tolist() == table["Contract"].tolist()


@pytest.mark.parametrize(
    ("folder", "features", "rows"),
    [("enb", 8, None), ("tox21", 1024, (6258, 782, 783)), ("bibtex", 1836, None)],
)
def test_real_tables_are_read_and_encoded(
    shared_data: Path, folder: str, features: int, rows: Any
) -> None:
    table = read(shared_data / folder / "data.parquet")
    goals = json.loads((shared_data / folder / "meta.json").read_text(encoding="utf-8"))["targets"]
    tasks, _ = tasks_for(table, list(goals))
    assert [task.kind for task in tasks] == list(goals.values())
    schema = infer(table, goals)
    assert len(schema.used) == features
    parts = (
        from_column(table["__split__"], seed=0)
        if "__split__" in table
        else split(table.rows, seed=0)
    )
    assert rows is None or rows == (len(parts.train), len(parts.validation), len(parts.test))
    train = table.take(parts.train)
    ours = Encoder.fit(train, schema)
    theirs = StandardScaler().fit(np.stack([train[name] for name in schema.used], axis=1))
    some = table.take(parts.test[:200])
    expected = theirs.transform(np.stack([some[name] for name in schema.used], axis=1))
    assert ours.transform(some) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_two_words_of_bibtex_give_a_tag_away(shared_data: Path) -> None:
    table = read(shared_data / "bibtex" / "data.parquet")
    tasks, _ = tasks_for(table, ["TAG_statphys23", "TAG_web"])
    found = leaks(
        table, infer(table, [name for name in table.names if name.startswith("TAG_")]), tasks
    )
    assert [text.split("'")[1] for text in found.sentences[:2]] == ["iupap", "xxiii"]


@pytest.mark.parametrize("wish", [{"stars": "multiclass"}, ["stars"], {"stars": "ordinal"}])
def test_a_categorical_target_of_numbers_keeps_its_numbers(wish: Any) -> None:
    """Categorical features of numbers are levels; labels come back as they came."""
    import pandas as pd

    from polycera.runs.spec import Data
    from polycera.tabular.prepare import prepare

    stars = pd.Categorical(np.arange(60) % 3 + 1)
    frame = pd.DataFrame({"a": np.linspace(0, 1, 60), "floor": stars, "stars": stars})
    prepared = prepare(frame, wish, Data())
    assert prepared.tasks[0].classes == (1, 2, 3)
    assert prepared.tasks[0].kind == (
        "ordinal" if isinstance(wish, dict) and "ordinal" in wish.values() else "multiclass"
    )
    np.testing.assert_array_equal(
        prepared.tasks[0].encode(prepared.table["stars"])[:, 0], np.arange(60) % 3
    )
    assert set(prepared.table["floor"]) == {"1", "2", "3"}
    words = pd.DataFrame(
        {"a": np.linspace(0, 1, 60), "stars": pd.Categorical((np.arange(60) % 3).astype(str))}
    )
    assert prepare(words, wish, Data()).tasks[0].classes == ("0", "1", "2")
