"""What a column predicts alone, in closed form; sentences on possible leaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polycera as pc
from polycera.data import Table, column_skill, infer, leaks, tasks_for
from polycera.data.column_skill import BinnedColumns, Goals
from polycera.data.telling import TellingColumn, sentences

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]


def by_loop(codes: np.ndarray, values: np.ndarray, fold: np.ndarray, scored: int | None) -> float:
    """Return the skill of one column for one goal of several columns, row by row."""
    errors = total = 0.0
    judged = [i for i in range(len(fold)) if scored is None or fold[i] == scored]
    for goal in values.T:
        mean = np.nanmean(goal[judged])
        for i in judged:
            if np.isnan(goal[i]):
                continue
            others = [j for j in range(len(fold)) if fold[j] != fold[i] and not np.isnan(goal[j])]
            same = [goal[j] for j in others if codes[j] == codes[i]]
            told = (sum(same) + np.mean(goal[others])) / (len(same) + 1)
            errors += (goal[i] - told) ** 2
            total += (goal[i] - mean) ** 2
    return float(1 - errors / total)


@pytest.mark.parametrize("scored", [None, 1])
@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_the_closed_form_is_a_loop_over_rows_and_folds(
    rng: np.random.Generator, scored: int | None, holes: float
) -> None:
    codes = np.stack([rng.integers(0, 4, 240), rng.integers(0, 7, 240)], axis=1)
    values = rng.normal(size=(240, 3)) + codes[:, :1]
    values[rng.random(values.shape) < holes] = np.nan
    fold = rng.integers(0, 3, 240)
    goals = Goals(["one", "two"], values, [0, 1])
    columns = BinnedColumns(["a", "b"], codes, codes.max(axis=0) + 1)
    found = column_skill.skills(columns, goals, fold, scored)
    for i in range(2):
        for j, part in enumerate((values[:, :1], values[:, 1:])):
            assert found[i, j] == pytest.approx(by_loop(codes[:, i], part, fold, scored), abs=1e-9)


def test_bins_keep_ties_together_and_give_frequent_and_missing_values_their_own() -> None:
    values = np.concatenate([np.full(200, 5.0), np.arange(200.0), np.full(30, np.nan)])
    codes = column_skill.binned_numbers(values)
    assert set(codes[400:]) == {0} and 0 not in codes[:400]
    assert set(codes[:200]) == {codes[205]} and (codes == codes[0]).sum() == 201
    assert 16 < codes.max() <= column_skill.BINS + 2
    assert (np.diff(codes[200:400]) >= 0).all()
    few = column_skill.binned_numbers(np.array([3.0, 1.0, 3.0, np.nan]))
    assert few.tolist() == [2, 1, 2, 0]


def customers(rows: int = 600, seed: int = 0) -> dict[str, Any]:
    """Return customers of whom some have left: `left_on` is empty for those who stayed."""
    rng = np.random.default_rng(seed)
    calls = rng.poisson(2, rows)
    churn = rng.random(rows) < 1 / (1 + np.exp(2.0 - 0.6 * calls))
    day = np.datetime64("2024-01-01") + rng.integers(0, 300, rows)
    return {
        "calls": calls,
        "plan": rng.choice(["basic", "plus", "pro"], rows),
        "left_on": np.where(churn, day, np.datetime64("NaT")).astype("datetime64[us]"),
        "churn": np.where(churn, "yes", "no"),
    }


def test_a_date_that_only_leavers_have_is_named_before_training() -> None:
    found = pc.inspect(customers(), "churn")
    (sentence,) = found.leaks
    assert "Column 'left_on' alone predicts 'churn'" in sentence
    assert "time of prediction?" in sentence and "exclude=['left_on']" in sentence
    assert "in held-out folds of" in sentence
    assert sentence in found.said and "alone predicts" in found._repr_html_()
    assert sentence in " ".join(str(found).split())
    assert pc.inspect(customers(), "churn", exclude="left_on").leaks == []


def test_what_holds_only_within_a_group_is_no_leak(rng: np.random.Generator) -> None:
    # Each group has a code and a target of its own: other groups tell nothing about it.
    group = np.repeat(np.arange(60), 10)
    table = {
        "code": rng.permutation(60)[group] * 1.0,
        "group": [f"g{i}" for i in group],
        "y": rng.normal(size=60)[group] + 0.01 * rng.normal(size=600),
    }
    assert len(pc.inspect(table, "y", columns={"code": "category"}, exclude="group").leaks) == 1
    assert pc.inspect(table, "y", columns={"code": "category"}, groups="group").leaks == []


def test_many_columns_and_targets_share_sentences() -> None:
    lags = [TellingColumn(f"lag{i}", "price", 0.9 + i / 1000, 400) for i in range(30)]
    (sentence,) = sentences(lags)
    assert sentence.startswith("30 columns, each of them alone, predict 'price' (skill 0.90 to")
    assert "'lag4', … (30 in all)]" in sentence
    one = [TellingColumn("key", f"y{i}", 0.95, 400) for i in range(3)]
    (sentence,) = sentences(one)
    assert "Column 'key' alone predicts 'y0', 'y1', 'y2' (skill 0.95" in sentence
    many = sentences([TellingColumn(f"x{i}", f"y{i}", 0.95, 400) for i in range(9)])
    assert len(many) == 6 and many[-1].startswith("4 more groups of targets")


def test_a_pair_that_is_a_copy_is_not_named_twice(rng: np.random.Generator) -> None:
    y = rng.normal(size=300)
    table = Table({"copy": 2 * y, "near": y + 0.1 * rng.normal(size=300), "y": y})
    found = leaks(table, infer(table, ["y"]), tasks_for(table, ["y"])[0])
    assert found.pairs == {("copy", "y"), ("near", "y")} and len(found.sentences) == 2
    assert "nearly a copy" in found.sentences[0] and "'near' alone" in found.sentences[1]
