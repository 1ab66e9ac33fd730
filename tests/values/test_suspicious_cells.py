"""Stand-ins for missing values, rows of totals, and targets with one cell that is no number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import polycera as pc
from polycera.data import Table
from polycera.data.suspicious_cells import sentences

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]


def test_a_number_far_from_all_others_that_comes_often_is_named(rng: np.random.Generator) -> None:
    heat = np.where(np.arange(60) % 7 == 0, -999.0, rng.normal(20, 3, 60))
    (sentence,) = sentences(Table({"heat": heat}), ["heat"])
    assert "'heat' holds -999 in 9 cells" in sentence and "--missing=-999" in sentence
    # Values of a range that 99 or 9 belong to are no stand-ins.
    plain = {"percent": np.repeat(np.arange(90.0, 100.0), 6), "mark": np.arange(60) % 10 * 1.0}
    assert sentences(Table(plain), list(plain)) == []


def test_a_last_row_of_sums_is_named(rng: np.random.Generator) -> None:
    x, y = np.round(rng.gamma(2, 9, (2, 60)), 1)
    rows = {"town": [*(["Oslo"] * 60), "Total"], "x": [*x, x.sum()], "y": [*y, round(y.sum())]}
    (sentence,) = sentences(Table(rows), [])
    assert "row, 60, looks like a total: 'x', 'y' hold the sums" in sentence
    assert "--where \"town <> 'Total'\"" in sentence
    assert len(sentences(Table({"x": rows["x"], "y": rows["y"]}), [])) == 1
    # One sum alone may be chance, and so may a word.
    assert sentences(Table({"x": rows["x"], "y": [*y, 1.0]}), []) == []
    assert sentences(Table({"town": rows["town"], "y": [*y, 1.0]}), []) == []


def test_a_target_with_a_row_of_units_below_its_name_is_named(tmp_path: Path) -> None:
    file = tmp_path / "units.csv"
    file.write_text(
        "x,y\n[m],[kg]\n" + "".join(f"{i / 7:.2f},{i * i / 3:.2f}\n" for i in range(40))
    )
    said = pc.inspect(file, "y").said
    assert any("Target 'y' is text. It would be numeric except for 1 cell" in text for text in said)


@pytest.mark.parametrize(
    ("cells", "low", "missing"),
    [
        (["$(1,234.50)", "$12,000.00", "$ -"], -1234.5, 1),
        (["€(12,50)", "€3,00", "€ -"], -12.5, 1),
        (["12,5", "#NV", "3,25"], 3.25, 1),
        (["1 234,5", "N.D.", "17,25"], 17.25, 1),
    ],
)
def test_money_in_brackets_and_words_of_spreadsheets(
    tmp_path: Path, cells: list[str], low: float, missing: int
) -> None:
    file = tmp_path / "money.csv"
    file.write_text("gain;y\n" + "".join(f"{c};{i}\n" for i in range(12) for c in cells))
    found = pc.inspect(file, "y", kinds={"y": "regression"}).columns["gain"]
    assert (found.role, found.min, found.missing) == ("number", low, 12 * missing)
