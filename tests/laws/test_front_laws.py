"""Test the Pareto set: which epochs, what each adds, which one weights choose, their files."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import polycera as pc
from polycera.callbacks.score_scale import MEANS
from polycera.runs import kept_epochs, pareto_set
from polycera.storage import arrays

pytestmark = pytest.mark.nobackend

few = st.integers(-3, 3).map(float)  # ties are common
some = st.floats(-1e3, 1) | few
sizes = st.tuples(st.integers(1, 7), st.integers(1, 4))
tables = hnp.arrays("float64", sizes, elements=some)
gappy = hnp.arrays("float64", sizes, elements=some | st.just(math.nan) | st.just(-math.inf))
wild = hnp.arrays(
    "float64", sizes, elements=st.floats(allow_nan=True, allow_infinity=False) | st.just(-math.inf)
)


def beats(one: np.ndarray, other: np.ndarray) -> bool:
    """By the book, a task at a time."""
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@given(scores=gappy)
def test_the_undominated_are_those_that_no_other_beats(scores: np.ndarray) -> None:
    rows = np.where(np.isnan(scores), -math.inf, scores)
    expected = [
        not any(beats(other, row) for other in rows)
        and not any((row == earlier).all() for earlier in rows[:i])
        for i, row in enumerate(rows)
    ]
    assert pareto_set.non_dominated(scores).tolist() == expected


def test_the_undominated_by_hand() -> None:
    nan = math.nan
    scores = [[1, 0], [0, 1], [0, 0], [1, 0], [nan, 1], [0.5, 0.5], [nan, 2], [nan, nan]]
    assert pareto_set.non_dominated(np.array(scores)).tolist() == [
        True,
        True,
        False,
        False,
        False,
        True,
        True,
        False,
    ]
    assert pareto_set.non_dominated(np.array([[nan]])).tolist() == [True]


@given(scores=tables, data=st.data())
def test_no_row_is_lost_that_any_weights_like_best(scores: np.ndarray, data: Any) -> None:
    """The best row under weights is the best row of the Pareto set, for every mean."""
    k = scores.shape[1]
    weights = np.array(data.draw(st.lists(st.floats(0, 5), min_size=k, max_size=k).filter(any)))
    some = scores[pareto_set.non_dominated(scores)]
    for how in MEANS:
        np.testing.assert_allclose(
            MEANS[how](some, weights).max(), MEANS[how](scores, weights).max(), rtol=1e-9
        )
    best, top = (table[pareto_set.choose(table, weights)] for table in (some, scores))
    np.testing.assert_allclose(best @ weights, top @ weights, rtol=1e-9)


@given(
    scores=tables, factors=st.lists(st.floats(0.01, 100), min_size=4, max_size=4), data=st.data()
)
def test_the_order_and_the_unit_of_tasks_are_irrelevant(
    scores: np.ndarray, factors: list[float], data: Any
) -> None:
    scores, k = np.round(scores, 3), scores.shape[1]
    order = data.draw(st.permutations(range(k)))
    there = (scores * np.array(factors[:k]))[:, order]
    np.testing.assert_array_equal(pareto_set.non_dominated(there), pareto_set.non_dominated(scores))
    np.testing.assert_allclose(
        pareto_set.contributions(there), pareto_set.contributions(scores), rtol=1e-6, atol=1e-9
    )


def edges_of(scores: np.ndarray) -> np.ndarray:
    """Each column over its range, from as much below the lowest."""
    low, high = scores.min(axis=0), scores.max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    return ((scores - low) / spread + 1) / 2


def swept(corners: np.ndarray) -> float:
    """The area under steps in two dimensions, from left to right."""
    left = [0.0, *sorted({x for x, _ in corners})]
    return sum(
        (b - a) * max((y for x, y in corners if x >= b), default=0.0) for a, b in pairwise(left)
    )


@given(
    scores=hnp.arrays(
        "float64", st.tuples(st.integers(1, 8), st.just(2)), elements=st.floats(-50, 1) | few
    )
)
def test_contributions_in_two_dimensions(scores: np.ndarray) -> None:
    """Against the area under steps, with and without each."""
    edges = edges_of(scores)
    alone = np.array([swept(edges) - swept(np.delete(edges, i, axis=0)) for i in range(len(edges))])
    np.testing.assert_allclose(
        pareto_set.contributions(scores), alone / edges.prod(axis=1).max(), atol=1e-9
    )


def test_contributions_in_five_dimensions() -> None:
    """Against the share of a million random points that are below one row only."""
    scores = np.random.default_rng(0).uniform(size=(6, 5)) ** 0.5
    edges, points = edges_of(scores), np.random.default_rng(1).uniform(size=(1_000_000, 5))
    below = np.stack([(points < edge).all(axis=1) for edge in edges])
    alone = (below & (below.sum(axis=0) == 1)).mean(axis=1)
    np.testing.assert_allclose(
        pareto_set.contributions(scores) * edges.prod(axis=1).max(), alone, atol=2e-3
    )


@given(scores=tables)
def test_what_is_beaten_adds_nothing_and_the_best_of_a_task_adds_something(
    scores: np.ndarray,
) -> None:
    adds = pareto_set.contributions(scores)
    assert (adds[~pareto_set.non_dominated(scores)] < 1e-9).all()
    twice = pareto_set.contributions(np.concatenate([scores, scores]))
    assert (twice < 1e-9).all()
    for column in scores.T:
        *_, second, top = [column.min(), *np.sort(column)]
        if top - second > 1e-6 * max(np.ptp(column), 1e-300):
            assert adds[np.argmax(column)] > 0


@given(scores=wild)
@example(scores=np.array([[1.7e308, 1.0], [-1.7e308, 2.0]]))
def test_contributions_are_numbers_whatever_comes(scores: np.ndarray) -> None:
    adds = pareto_set.contributions(scores)
    assert adds.shape == (len(scores),) and np.isfinite(adds).all() and (adds >= 0).all()


@pytest.mark.parametrize("k", [1, 2, 200, 5000])
def test_contributions_of_seventeen_rows(k: int) -> None:
    """For one task and thousands: the product of as many edges is no float, yet orders the rows."""
    scores = np.random.default_rng(0).uniform(size=(17, k))
    adds = pareto_set.contributions(scores)
    assert np.isfinite(adds).all() and (adds > 0).sum() == pareto_set.non_dominated(scores).sum()
    assert len(set(adds[adds > 0])) == (adds > 0).sum()


@given(skills=gappy, data=st.data())
def test_the_choice_is_the_first_of_the_best_means(skills: np.ndarray, data: Any) -> None:
    k = skills.shape[1]
    weights = np.array(
        data.draw(st.lists(st.floats(1e-9, 5) | st.just(0.0), min_size=k, max_size=k).filter(any))
    )
    means = []
    for row in skills:
        used = [(w, s) for w, s in zip(weights, row, strict=True) if w > 0 and s == s]
        means.append(
            math.fsum(w * s for w, s in used) / math.fsum(w for w, _ in used) if used else math.nan
        )
    if np.isnan(means).all():
        with pytest.raises(pc.InputError, match="has a value"):
            pareto_set.choose(skills, weights)
        return
    chosen = pareto_set.choose(skills, weights)
    assert means[chosen] == pytest.approx(np.nanmax(means), rel=1e-9)
    assert pareto_set.choose(np.concatenate([skills, skills]), weights) == chosen


# -- files -----------------------------------------------------------------------------------------


def scored(**skills: float) -> dict[str, dict[str, Any]]:
    """Scores of tasks with two metrics each, of which the first has this skill."""
    return {
        name: {
            "rmse": SimpleNamespace(
                value=1 - skill, trivial=1.0, ideal=0.0, direction="min", skill=skill
            ),
            "r2": SimpleNamespace(
                value=-skill, trivial=0.0, ideal=1, direction="max", skill=-skill
            ),
        }
        for name, skill in skills.items()
    }


def write(folder: Path, epoch: int, **skills: float) -> None:
    watched = [(name, "rmse") for name in skills]
    kept_epochs.write(folder, epoch, {"w": np.full(3, float(epoch))}, scored(**skills), watched)


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, 12, a=0.5, b=math.nan)
    write(tmp_path, 3, a=-math.inf, b=0.25)
    write(tmp_path, 1_000_000, **{f"t/{i}": i / 100 for i in range(40)})
    three, twelve, last = kept_epochs.read(tmp_path)
    assert [three.epoch, twelve.epoch, last.epoch] == [3, 12, 1_000_000]
    assert three.skills == {"a": -math.inf, "b": 0.25}
    assert math.isnan(twelve.skills["b"])
    assert twelve.watched == (("a", "rmse"), ("b", "rmse"))
    row = {"value": 0.5, "trivial": 1.0, "ideal": 0.0, "skill": 0.5, "direction": "min"}
    assert twelve.table["a"]["rmse"] == row == twelve.scores["a"]["rmse"]
    assert twelve.table["b"]["rmse"]["value"] is None
    assert last.skills["t/17"] == 0.17 and list(last.scores["t/17"]) == ["rmse", "r2"]
    np.testing.assert_array_equal(arrays.StoredArrays(twelve.path).arrays["w"], [12, 12, 12])


def test_other_files_are_passed_over_and_damaged_ones_named(tmp_path: Path) -> None:
    for epoch in (1, 2, 4):
        write(tmp_path, epoch, a=epoch / 10)
    for name in (
        "best.safetensors",
        "1.safetensors",
        "0000002.safetensors",
        ".77.000003.safetensors",
        "000005.keras",
    ):
        (tmp_path / name).write_bytes(b"of somebody else")
    (tmp_path / "000006.safetensors").mkdir()
    content = bytearray((tmp_path / "000002.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "000002.safetensors").write_bytes(content)
    (tmp_path / "000004.safetensors").rename(tmp_path / "000007.safetensors")
    arrays.write(tmp_path / "000008.safetensors", {"w": np.ones(1)}, {"epoch": 8})
    with pytest.warns(UserWarning) as said:
        assert [one.epoch for one in kept_epochs.read(tmp_path)] == [1]
    for name, warning in zip(("000002", "000007", "000008"), said, strict=True):
        assert f"'{name}.safetensors' is left out" in str(warning.message)
    assert kept_epochs.read(tmp_path / "nowhere") == []


def test_notes_that_do_not_fit_together_are_damage(tmp_path: Path) -> None:
    write(tmp_path, 1, a=0.5)
    notes = arrays.StoredArrays(tmp_path / "000001.safetensors").notes
    wrong = [
        notes | {"watched": ["a/mae"]},
        notes | {"names": ["a/rmse"]},
        notes | {"skill": ["high", "low"]},
        notes | {"epoch": "1"},
        None,
    ]
    for bad in wrong:
        arrays.write(tmp_path / "000001.safetensors", {}, bad)
        with pytest.warns(UserWarning, match="left out"):
            assert kept_epochs.read(tmp_path) == []


def test_weights_pick_an_epoch(tmp_path: Path) -> None:
    for epoch, (a, b) in enumerate([(0.9, 0.1), (0.6, 0.6), (0.1, 0.9)]):
        write(tmp_path, epoch, a=a, b=b)
    found = kept_epochs.read(tmp_path)
    picked = {
        w: kept_epochs.pick(found, {"a": w, "b": 1 - w}).epoch for w in (1.0, 0.9, 0.5, 0.1, 0.0)
    }
    assert picked == {1.0: 0, 0.9: 0, 0.5: 1, 0.1: 2, 0.0: 2}
    assert kept_epochs.pick(found, {"b": 7}).epoch == 2
    assert kept_epochs.pick(found, {"a/r2": 1.0}).epoch == 2
    assert kept_epochs.pick(found, {"a/rmse": np.float32(1.0)}).epoch == 0


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"c": 1.0}, "task in the weights: 'c'"),
        ({"a/mae": 1.0}, "metric of task 'a' in the weights: 'mae'"),
        ({"a": -1.0}, "'a' to be a finite number, 0 or more, got '-1.0'"),
        ({"a": math.nan}, "'a' to be a finite number"),
        ({"a": 10**400}, "'a' to be a finite number"),
        ({"a": "much"}, "'a' to be a finite number"),
        ({"a": 0.0, "b": 0}, "at least one weight above 0"),
        ({}, "at least one weight above 0"),
    ],
)
def test_weights_that_choose_nothing_are_refused(
    tmp_path: Path, weights: dict[str, Any], said: str
) -> None:
    write(tmp_path, 1, a=0.5, b=0.5)
    with pytest.raises(pc.InputError, match=said):
        kept_epochs.pick(kept_epochs.read(tmp_path), weights)
    with pytest.raises(pc.InputError, match="There is no kept epoch"):
        kept_epochs.pick([], weights)


def test_sweeping_leaves_the_epochs_and_what_is_not_ours(tmp_path: Path) -> None:
    for epoch in range(4):
        write(tmp_path, epoch, a=0.5)
    (tmp_path / "notes.txt").write_text("mine")
    kept_epochs.sweep(tmp_path, {1, 3, 9})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "000001.safetensors",
        "000003.safetensors",
        "notes.txt",
    ]
