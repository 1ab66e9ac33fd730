"""Test the two comparisons against results by hand, SciPy's intervals and known data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import polycera as pc
from polycera.experiments.affinity import affinity, grouped, total
from polycera.experiments.compare_separate import compare_separate
from polycera.experiments.comparison_verdict import training_time, verdict
from polycera.experiments.confidence_interval import interval
from polycera.experiments.gains import delta_m, gain_of, relative
from polycera.experiments.jobs import Job, TrainedJob
from polycera.experiments.process_pool import expected
from polycera.model import Score
from polycera.runs import results

pytestmark = pytest.mark.nobackend

# -- the interval ----------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_an_interval_is_scipys(count: int, confidence: float) -> None:
    values = np.random.default_rng(count).normal(3, 2, count)
    found = interval([*values.tolist(), None], confidence)
    low, high = stats.t.interval(confidence, count - 1, values.mean(), stats.sem(values))
    assert found == pytest.approx((values.mean(), low, high))


def test_one_value_has_no_interval() -> None:
    assert interval([2.0]) == interval([None, 2.0]) == (2.0, None, None)
    assert interval([]) == interval([None]) == (None, None, None)


# -- gains -----------------------------------------------------------------------------------------

UP, DOWN = ("max", 1.0), ("min", 0.0)


def score(value: float, about: tuple[str, float] = DOWN) -> Score:
    return Score(value, trivial=0.5, ideal=about[1], direction=about[0])


def test_delta_m_is_the_hand_computed_figure() -> None:
    """Accuracy 0.80 -> 0.84: +5 %; error 2.0 -> 2.5: -25 %; IoU 0.50 -> 0.65: +30 %; mean 10/3."""
    separate = {"a": score(0.80, UP), "b": score(2.0), "c": score(0.50, UP)}
    joint = {"a": score(0.84, UP), "b": score(2.5), "c": score(0.65, UP)}
    assert delta_m(joint, separate) == pytest.approx((0.05 - 0.25 + 0.30) / 3)
    assert delta_m(separate, separate) == 0.0


def test_where_a_relative_gain_is_undefined_or_its_base_is_negative() -> None:
    # better, though 0.3 / -0.2 is below 0
    assert relative(score(0.1, UP), score(-0.2, UP)) == pytest.approx(1.5)
    assert relative(score(0.1), score(0.0)) is None
    assert relative(score(float("nan")), score(1.0)) is None
    assert delta_m({"a": score(1.0), "b": score(1.0)}, {"a": score(0.0), "b": score(2.0)}) == 0.5
    assert delta_m({"a": score(1.0)}, {"a": score(0.0)}) is None


def test_a_metric_that_should_reach_a_value_counts_by_its_distance() -> None:
    """Coverage of a 90 % interval: 0.85 is nearer than 0.98, by 0.03, three eighths of 0.08."""
    joint, separate = score(0.85, ("target", 0.9)), score(0.98, ("target", 0.9))
    assert gain_of([joint], [separate], "coverage", 0.95).difference == pytest.approx(0.03)
    assert relative(joint, separate) == pytest.approx(3 / 8)


def test_a_gain_is_signed_so_that_joint_is_better_above_zero() -> None:
    joint, separate = [score(v) for v in (1.0, 1.1, 0.9)], [score(v) for v in (2.0, 2.2, 2.1)]
    found = gain_of(joint, separate, "rmse", 0.95)
    low, high = stats.t.interval(0.95, 2, 3.3 / 3, stats.sem([1.0, 1.1, 1.2]))
    assert (found.difference, found.low, found.high) == pytest.approx((1.1, low, high))
    assert found.better == "joint"
    assert gain_of(separate, joint, "rmse", 0.95).better == "separate"
    # one seed says nothing about chance
    assert gain_of(joint[:1], separate[:1], "rmse", 0.95).better == "neither"
    up = gain_of(
        [score(v, UP) for v in (0.7, 0.7)], [score(v, UP) for v in (0.9, 0.8)], "auc", 0.95
    )
    assert up.difference == pytest.approx(-0.15)
    assert up.better == "neither"  # 0.15 is less than 12.7 standard errors of 0.05
    undefined = gain_of([score(float("nan"))], [score(1.0)], "rmse", 0.95)
    assert (undefined.joint, undefined.difference, undefined.better) == ([None], None, "neither")


# -- affinity --------------------------------------------------------------------------------------


def test_affinity_is_the_gain_over_training_alone() -> None:
    alone = {"a": 2.0, "b": 4.0, "c": 1.0}
    pairs = {("a", "b"): (1.0, 3.0), ("a", "c"): (3.0, 1.0), ("b", "c"): (4.0, 2.0)}
    trained = {
        Job((name,), 0): TrainedJob({name: score(value)}, 1.0) for name, value in alone.items()
    }
    for pair, values in pairs.items():
        trained[Job(pair, 0)] = TrainedJob(dict(zip(pair, map(score, values), strict=True)), 1.0)
    found = affinity(["a", "b", "c"], [0], trained)
    assert found.gain == [[None, 0.5, -0.5], [0.25, None, 0.0], [0.0, -1.0, None]]
    assert found.groups == [[0, 1], [2]]


def test_the_group_is_by_the_mean_over_its_members() -> None:
    """Three tasks that all help a little beat a pair: (0.1 + 0.1) / 2 each, 0.3 against 0.25."""
    gain = np.full((3, 3), 0.1)
    gain[0, 1], gain[1, 0] = 0.15, 0.10
    np.fill_diagonal(gain, 0.0)
    assert (total([[0, 1], [2]], gain), total([[0, 1, 2]], gain)) == pytest.approx((0.25, 0.65 / 2))
    assert grouped(gain) == [[0, 1, 2]]
    assert grouped(-gain) == [[0], [1], [2]]
    # as good in one network, and that is the cheapest
    assert grouped(np.zeros((3, 3))) == [[0, 1, 2]]


def test_many_tasks_are_merged_into_the_groups_that_help_each_other() -> None:
    blocks = np.repeat(np.arange(4), 5)
    gain = np.where(blocks[:, None] == blocks, 0.1, -0.1) * (1 - np.eye(20))
    assert grouped(gain) == [np.flatnonzero(blocks == block).tolist() for block in range(4)]


# -- the verdict -----------------------------------------------------------------------------------


def comparison(
    joint: dict[str, list[float]], separate: dict[str, list[float]], **other: Any
) -> results.SeparateComparison:
    """Of errors, lower is better."""
    seeds = len(next(iter(joint.values())))
    gains = {
        name: gain_of([*map(score, joint[name])], [*map(score, separate[name])], "rmse", 0.95)
        for name in joint
    }
    deltas = [
        delta_m(
            {n: score(v[i]) for n, v in joint.items()},
            {n: score(v[i]) for n, v in separate.items()},
        )
        for i in range(seeds)
    ]
    mean, low, high = interval(deltas)
    one, several = results.Cost(1000), results.Cost(2500)
    times = ([1.0] * seeds, [2.0] * seeds)
    return results.SeparateComparison(
        [*range(seeds)],
        "test",
        0.95,
        gains,
        deltas,
        mean,
        low,
        high,
        one,
        several,
        *times,
        "",
        **other,
    )


LOW, MIDDLE, HIGH = [1.0, 1.01, 0.99], [1.5, 1.6, 1.4], [2.0, 2.02, 1.98]


@pytest.mark.parametrize(
    ("joint", "separate", "said"),
    [
        (
            {"a": LOW, "b": LOW},
            {"a": HIGH, "b": HIGH},
            "The joint network wins on the test rows: better in 2 of 2 tasks",
        ),
        (
            {"a": HIGH, "b": HIGH},
            {"a": LOW, "b": LOW},
            "Separate networks win on the test rows: better in 2 of 2 tasks",
        ),
        (
            {"a": LOW, "b": HIGH},
            {"a": HIGH, "b": LOW},
            "the joint network is better in 'a', separate networks in 'b'",
        ),
        (
            {"a": MIDDLE, "b": MIDDLE[::-1]},
            {"a": MIDDLE[::-1], "b": MIDDLE},
            "Neither wins on the test rows",
        ),
        (
            {"a": LOW[:1], "b": LOW[:1]},
            {"a": HIGH[:1], "b": HIGH[:1]},
            "Undecided on the test rows",
        ),
        ({"a": LOW[:1]}, {"a": LOW[:1]}, "neither is ahead, the joint network's mean"),
        ({"a": [0.0] * 3}, {"a": [0.0] * 3}, "No verdict"),
        (
            {"a": [1.0] * 3},
            {"a": [2.0] * 3},
            "Undecided on the test rows: all 3 seeds gave the same numbers",
        ),
        (
            {"a": LOW},
            {"a": LOW},
            "Neither wins on the test rows: with each seed both give the same numbers",
        ),
    ],
    ids=[
        "joint",
        "separate",
        "both",
        "neither",
        "one seed",
        "one seed, equal",
        "undefined",
        "seeds alike",
        "all alike",
    ],
)
def test_the_verdict_names_the_winner(joint: Any, separate: Any, said: str) -> None:
    found = comparison(joint, separate)
    text = verdict(found, list(joint))
    assert said in text
    assert "2.5 times the weights (2,500 against 1,000)" in text
    assert "second" not in text  # the verdict does not depend on the clock
    assert "2.0 times as long" in training_time(found)


def test_the_verdict_says_what_chance_does_among_many_tasks() -> None:
    names = [f"t{i}" for i in range(40)]
    found = comparison({n: MIDDLE for n in names}, {n: MIDDLE[::-1] for n in names})
    assert "of 40 tasks about 2 would seem to differ by chance alone" in verdict(found, names)
    assert "each of the 99 tasks" in verdict(found, [*names, *map(str, range(59))])


def test_the_verdict_names_the_groups() -> None:
    gain = [[None, 0.1, 0.1], [0.1, None, 0.1], [0.1, 0.1, None]]
    found = comparison(
        {n: LOW for n in "abc"},
        {n: HIGH for n in "abc"},
        affinity=results.Affinity(gain, [[0, 2], [1]]),
    )
    assert "best trained together: 'a', 'c'; and by themselves: 'b'." in verdict(found, list("abc"))


def test_the_time_to_expect() -> None:
    assert expected(30.0, 8, 2) == "2 at once: about 2 minutes"
    assert expected(1.0, 7, 1) == "one after the other: about 7 seconds"
    assert expected(3600.0, 200, 4) == "4 at once: about 50 hours"


# -- data whose answer is known --------------------------------------------------------------------


def table_of(
    features: np.ndarray, sizes: tuple[int, int, int], **targets: np.ndarray
) -> dict[str, Any]:
    part = np.repeat(["train", "valid", "test"], sizes)
    return {**{f"x{i}": column for i, column in enumerate(features.T)}, **targets, "part": part}


def helped() -> dict[str, Any]:
    """Two tasks with one hidden factor of ten columns; one has only eight labels."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 10))
    factor = x @ rng.normal(size=10) / np.sqrt(10)
    few = 3 * factor + 0.1 * rng.normal(size=300)
    few[8:160] = np.nan
    return table_of(x, (160, 60, 80), many=factor + 0.1 * rng.normal(size=300), few=few)


def torn() -> dict[str, Any]:
    """Two tasks that want the one unit of the trunk to be two different columns."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 4))
    left, right = (x[:, column] + 0.3 * rng.normal(size=300) for column in (0, 1))
    return table_of(x, (180, 40, 80), left=left, right=right)


@pytest.mark.parametrize(
    ("table", "tasks", "width", "rate", "steps", "winner"),
    [
        (helped, ["many", "few"], 4, 1e-2, 600, "The joint network"),
        (torn, ["left", "right"], 1, 3e-2, 300, "Separate networks"),
    ],
    ids=["sharing helps", "sharing hurts"],
)
def test_the_verdict_on_data_whose_answer_is_known(
    table: Any, tasks: list[str], width: int, rate: float, steps: int, winner: str, tmp_path: Path
) -> None:
    """Eight members, so that no verdict hangs on a single unit that is dead from the start."""
    rows = table()
    training = {
        "max_steps": steps,
        "patience_steps": steps,
        "learning_rate": rate,
        "batch_size": 80,
    }
    weights = {"few": 0.1} if "few" in tasks else None  # eight labels are not to rule the trunk
    network = {"width": width, "depth": 1, "dropout": 0.0, "members": 8, "bins": 0, "landmarks": 0}
    run = pc.fit(
        rows,
        tasks,
        loss_weights=weights,
        out=tmp_path / "run",
        split="part",
        network=network,
        training=training,
    )
    found = compare_separate(run, rows, seeds=3, processes=1)
    assert found.verdict.startswith(f"{winner} win"), found.verdict
    low, high = stats.t.interval(0.95, 2, np.mean(found.delta_m), stats.sem(found.delta_m))
    assert (found.low, found.high) == pytest.approx((low, high))
    hand = np.mean(
        [
            [(s - j) / s for j, s in zip(g.joint, g.separate, strict=True)]
            for g in found.tasks.values()
        ],
        0,
    )
    assert found.delta_m == pytest.approx(hand.tolist())
    comparison = pc.load(run.path).comparison
    assert comparison is not None
    assert comparison.verdict == found.verdict
