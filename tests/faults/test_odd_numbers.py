"""Test odd numbers in a table: a cell that decides its column, float32 overflow, copied rows."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polycera as pc
from polycera import data
from polycera.data import Encoder, Table, infer, outliers
from polycera.errors import InputError

pytestmark = pytest.mark.nobackend

LITTLE = {"training": {"max_steps": 2}, "network": {"members": 2, "folds": 1, "landmarks": 0}}


def rows(n: int = 80) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=n), rng.normal(size=n)
    return {"x": x, "z": z, "y": 2 * x + z}


def encoded(columns: dict[str, Any]) -> np.ndarray:
    table = Table(columns)
    return Encoder.fit(table, infer(table, overrides=dict.fromkeys(columns, "number"))).transform(
        table
    )


@pytest.mark.parametrize("bad", [{3: 1e308}, {3: 1e308, 7: -1e308}, {5: 1e12}, {5: -1e9}], ids=str)
def test_a_cell_far_from_all_others_does_not_take_the_column_away(bad: dict[int, float]) -> None:
    columns = rows()
    for row, value in bad.items():
        columns["x"][row] = value
    ordinary = np.delete(np.arange(80), list(bad))
    assert encoded({"x": columns["x"], "z": columns["z"]})[ordinary, 0].std() > 0.1
    (found,) = data.outlying(Table(columns), ["x", "z"])
    assert found.startswith("Column 'x' has ") and "far from all others" in found


def test_cells_and_labels_far_from_all_others_are_named_at_fit(tmp_path: Path) -> None:
    columns = rows()
    columns["x"][:2] = 1e308, -1e308
    columns["y"][17] = 1e12
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        pc.fit(columns, ["y"], out=tmp_path / "run", **LITTLE)
    found = " ".join(str(warning.message) for warning in seen)
    assert (
        "Column 'x' has 2 values (such as 1e+308 in row 0) far from all others: its scale" in found
    )
    assert "Target 'y' has a value (1e+12 in row 17) far from all others" in found


def test_heavy_tails_gaps_and_rare_values_are_no_outliers() -> None:
    rng = np.random.default_rng(0)
    rare = np.zeros(1000)
    rare[::50] = 1.0
    for values in (
        np.exp(2 * rng.normal(size=1000)),
        rng.standard_cauchy(50) * 0 + 1,
        rare,
        np.full(30, np.nan),
    ):
        assert outliers.limits(values) is None
    sparse = np.where(rng.random(1000) < 0.9, 0.0, rng.random(1000))
    assert outliers.limits(sparse) is None
    sparse[4] = 1e15
    assert outliers.limits(sparse) is not None


@pytest.mark.parametrize("row", [5, 40, 59])
def test_an_infinite_cell_is_named_by_its_row_in_the_table(row: int, tmp_path: Path) -> None:
    columns = rows()
    columns["x"][row] = np.inf
    with pytest.raises(InputError, match=f"'x' holds an infinite number in row {row};"):
        pc.fit(columns, ["y"], out=tmp_path / "run", **LITTLE)


def test_values_far_outside_of_training_are_noticed_at_predict() -> None:
    table = Table({"x": np.linspace(0, 10, 50), "z": np.linspace(0, 1, 50)})
    encoder = Encoder.fit(table, infer(table, overrides={"x": "number", "z": "number"}))
    assert encoder.check(table) == []
    new = Table({"x": [5.0, 1e9, 12.0, np.nan], "z": [0.5] * 4})
    found = [notice for notice in encoder.check(new) if "far outside" in notice]
    assert found == [
        "Column 'x' has a value (1e+09 in row 1) far outside the range of the training rows (0 "
        "to 10): predictions there are extrapolated."
    ]
    config = encoder.to_config()
    assert Encoder.from_config(config).check(new) == encoder.check(new)
    del config["numbers"]["low"], config["numbers"]["high"]  # as an older version wrote it
    assert not [
        notice for notice in Encoder.from_config(config).check(new) if "far outside" in notice
    ]


@pytest.mark.parametrize(
    ("task", "labels", "sentence"),
    [
        (pc.Regression("y"), [1e39, 0.0], r"the label 1e\+39 in row 0 is beyond float32"),
        (pc.Regression("y"), [0.0, -1e308], r"the label -1e\+308 in row 1 is beyond float32"),
        (pc.Regression("y"), [0.0, np.inf], "infinite label in row 1"),
        (pc.Count("y"), [3.0, 1e20], r"\(count\) got 1e\+20 in row 1; counts go up to 6e\+17"),
    ],
    ids=str,
)
def test_labels_that_float32_does_not_hold_are_refused_for_the_right_reason(
    task: Any, labels: list[float], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        task.encode(labels)


def test_labels_too_small_for_float32_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"'y': the largest label is .*e-320, below what float32 holds"
    ):
        pc.Regression("y").moments(np.array([[1e-320], [3e-320]]))
    location, scale = pc.Regression("y").moments(np.array([[1e-42], [3e-42]]))
    assert 0 < scale < 2e-42 and location > 0


def test_a_count_of_1e15_is_answered() -> None:
    task = pc.Count("y")
    prior = task.prior(np.full((10, 1), 1e15))
    assert float(task.link(prior, np)[0]) == pytest.approx(1e15, rel=1e-6)


def test_copies_of_rows_stay_in_one_part(tmp_path: Path) -> None:
    columns = {name: np.repeat(values[:12], 10) for name, values in rows().items()}
    with pytest.warns(
        UserWarning, match=r"108 rows are copies of others in all columns that are used"
    ):
        pc.fit(columns, ["y"], out=tmp_path / "run", training={"max_steps": 2})
    table = Table(columns)
    kinds = data.copies(table, list(columns))
    assert kinds is not None and len(np.unique(kinds)) == 12
    split = data.split(12, seed=0).of_kinds(kinds)
    assert not set(kinds[split.train]) & set(kinds[split.test])
    assert sorted(np.concatenate([split.train, split.validation, split.test])) == list(range(120))


def test_an_estimator_looks_for_copies_of_rows_too() -> None:
    columns = {name: np.repeat(values[:12], 10) for name, values in rows().items()}
    estimator = pc.PolyceraRegressor(max_steps=2, random_state=0)
    with pytest.warns(UserWarning, match="108 rows are copies of others"):
        estimator.fit(np.stack([columns["x"], columns["z"]], axis=1), columns["y"])


def test_a_table_without_copies_is_divided_as_ever() -> None:
    assert data.copies(Table(rows()), ["x", "z", "y"]) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.copies(Table({"t": ["a", "b", None], "n": [1.0, np.nan, 2.0]}), ["t", "n"])
