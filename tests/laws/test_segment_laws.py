"""Metrics by segment: false discoveries are held, a bad segment is found, intervals cover."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from polycera.evaluation import RawRows, Segmentation, segment_scores
from polycera.tasks import (
    Binary,
    Count,
    Layout,
    Multiclass,
    Multilabel,
    Ordinal,
    Proportion,
    Quantile,
    Regression,
)
from polycera.tasks.metrics import TALLIES

pytestmark = pytest.mark.nobackend

NAMES = ("a", "b", "c", "d", "e", "f")


def rows(n: int, seed: int) -> RawRows:
    """Rows of six tasks whose raw outputs are the true logits, or miss the label by noise of 1."""
    rng = np.random.default_rng(seed)
    binary = [
        Binary(f"yes{i}", classes=(0, 1), metrics=["auc", "f1", "accuracy"]) for i in range(3)
    ]
    numbers = [Regression(f"price{i}", metrics=["rmse", "mae"]) for i in range(3)]
    logits, means = rng.normal(-1, 1.5, (n, 3)), rng.normal(size=(n, 3))
    labels = rng.random((n, 3)) < 1 / (1 + np.exp(-logits))
    y = np.concatenate([labels, means + rng.normal(size=(n, 3))], axis=1)
    layout = Layout.of([*binary, *numbers])
    return RawRows(layout, y, np.concatenate([logits, means], axis=1), np.zeros(6), np.ones(6))


def drawn(n: int, seed: int) -> Segmentation:
    """Segments that have nothing to do with the rows."""
    return Segmentation("noise", NAMES, np.random.default_rng([7, seed]).integers(0, 6, n))


def test_false_discoveries_are_held() -> None:
    """Segments that mean nothing are marked in at most 5 % of the tables."""
    marked, small = 0, 0
    for seed in range(20):
        scores, tests = segment_scores([rows(900, seed)], [drawn(900, seed)])
        assert tests == 6 * 15
        marked += any(score.verdict for score in scores)
        small += sum(score.p is not None and score.p < 0.05 for score in scores)
    assert marked <= 2
    assert small > 20  # so single tests at 5 % would have marked many


def test_a_bad_segment_is_found_in_every_task_and_no_other_one() -> None:
    """Where the labels of one segment are shuffled, it is worse; the others are not."""
    measured, segmentation = rows(3000, 0), drawn(3000, 0)
    bad = np.flatnonzero(segmentation.codes == 2)
    measured.y[bad] = measured.y[np.random.default_rng(1).permutation(bad)]
    scores, _ = segment_scores([measured], [segmentation])
    worse = [score for score in scores if score.verdict == "worse"]
    assert {score.segment for score in worse} == {"c"}
    assert {score.task for score in worse} == set(measured.layout.tasks)
    assert scores[: len(worse)] == worse, "the worst come first"
    assert all(score.q is not None and score.q <= 0.05 for score in worse)


def test_intervals_cover_the_true_value() -> None:
    """The 95 % intervals hold the value of very many rows in about 95 % of the segments."""
    truth = {
        (score.task[:-1], score.metric): score.overall
        for score in segment_scores([rows(60_000, 99)], [drawn(60_000, 99)])[0]
    }
    covered: dict[str, list[bool]] = {}
    for seed in range(16):
        for score in segment_scores([rows(600, seed)], [drawn(600, seed)])[0]:
            true = truth[score.task[:-1], score.metric]
            assert score.low is not None and score.high is not None and true is not None
            covered.setdefault(score.metric, []).append(score.low <= true <= score.high)
    for metric, hits in covered.items():
        assert 0.92 <= np.mean(hits) <= 0.985, metric


def test_values_are_those_of_scikit_learn() -> None:
    """Each metric of a segment is the metric of its rows alone."""
    measured, segmentation = rows(700, 3), drawn(700, 3)
    for score in segment_scores([measured], [segmentation])[0]:
        place = list(measured.layout.tasks).index(score.task)
        mine = segmentation.codes == NAMES.index(score.segment)
        y, raw = measured.y[mine, place], measured.raw[mine, place]
        expected: dict[str, Any] = {
            "auc": lambda y, raw: sk.roc_auc_score(y, raw),
            "f1": lambda y, raw: sk.f1_score(y, raw > 0),
            "accuracy": lambda y, raw: sk.accuracy_score(y, raw > 0),
            "rmse": sk.root_mean_squared_error,
            "mae": sk.mean_absolute_error,
        }
        assert score.value == pytest.approx(expected[score.metric](y, raw))
        assert score.rows == mine.sum()


def test_weighted_values_are_those_of_scikit_learn() -> None:
    """Each metric counts a row by its weight; a row of weight 0 is as one that is not there."""
    measured, segmentation = rows(700, 3), drawn(700, 3)
    weights = np.random.default_rng(1).integers(0, 4, (700, 6)).astype("float64")
    weighted = dataclasses.replace(measured, weights=weights)
    for score in segment_scores([weighted], [segmentation])[0]:
        place = list(measured.layout.tasks).index(score.task)
        for mine, value in (
            (segmentation.codes == NAMES.index(score.segment), score.value),
            (np.ones(700, bool), score.overall),
        ):
            y, raw, w = measured.y[mine, place], measured.raw[mine, place], weights[mine, place]
            expected: dict[str, Any] = {
                "auc": lambda y, raw, w: sk.roc_auc_score(y, raw, sample_weight=w),
                "f1": lambda y, raw, w: sk.f1_score(y, raw > 0, sample_weight=w),
                "accuracy": lambda y, raw, w: sk.accuracy_score(y, raw > 0, sample_weight=w),
                "rmse": lambda y, raw, w: sk.root_mean_squared_error(y, raw, sample_weight=w),
                "mae": lambda y, raw, w: sk.mean_absolute_error(y, raw, sample_weight=w),
            }
            assert value == pytest.approx(expected[score.metric](y, raw, w))
        mine = segmentation.codes == NAMES.index(score.segment)
        assert score.rows == (weights[mine, place] > 0).sum()


def test_intervals_depend_on_the_spread_of_the_weights() -> None:
    """Equal weights change nothing; a few heavy rows make the intervals wider."""
    measured, segmentation = rows(700, 3), drawn(700, 3)
    plain, _ = segment_scores([measured], [segmentation])
    equal = dataclasses.replace(measured, weights=np.full((700, 6), 3.0))
    for score, same in zip(plain, segment_scores([equal], [segmentation])[0], strict=True):
        assert (same.segment, same.verdict, same.rows) == (score.segment, score.verdict, score.rows)
        for name in ("value", "low", "high", "p"):
            assert getattr(same, name) == pytest.approx(getattr(score, name)), name
    heavy = np.where(np.arange(700)[:, None] % 5, 1.0, 20.0) * np.ones((1, 6))
    uneven, _ = segment_scores([dataclasses.replace(measured, weights=heavy)], [segmentation])
    width = {
        name: np.mean([s.high - s.low for s in scores if s.metric == "accuracy"])  # type: ignore[operator]
        for name, scores in (("plain", plain), ("uneven", uneven))
    }
    # (4 + 20)**2 / (4 + 400) of 5: rows count as 28 % of their number.
    assert 1.5 < width["uneven"] / width["plain"] < 2.1


def test_small_segments_are_shown_and_not_tested() -> None:
    """Few rows, or one class, have rows and a value, but no interval and no test."""
    measured = rows(400, 5)
    codes = np.zeros(400, int)
    codes[:12] = 1
    codes[12:80] = 2
    measured.y[12:80, :3] = 0.0
    scores, _ = segment_scores([measured], [Segmentation("x", ("most", "few", "one"), codes)])
    few = [score for score in scores if score.segment == "few"]
    one = [score for score in scores if score.segment == "one" and score.task == "yes0"]
    assert few and one
    for score in [*few, *one]:
        assert (score.verdict, score.low, score.p) == ("too few", None, None)
        assert score.rows == (12 if score.segment == "few" else 68)
    assert scores[-1].verdict == "too few"
    assert any(score.segment == "one" and score.low is not None for score in scores)


@pytest.mark.parametrize(
    "task",
    [
        Binary("t", classes=(0, 1)),
        Regression("t"),
        Count("t"),
        Proportion("t"),
        Quantile("t", quantiles=(0.1, 0.5, 0.9)),
        Multiclass("t", classes=("a", "b", "c")),
        Multiclass("t", classes=("a", "b", "c"), soft=True),
        Ordinal("t", classes=(1, 2, 3)),
        Multilabel("t", labels=("a", "b", "c")),
        Multilabel("t", labels=("a", "b", "c"), soft=True),
    ],
    ids=lambda task: task.measured_as,
)
def test_every_metric_of_every_kind_has_an_interval(task: Any) -> None:
    """Each metric of a kind has a finite value, inside a finite interval, on both segments."""
    rng = np.random.default_rng(0)
    task = task.replace(metrics=list(TALLIES[task.measured_as].metrics))
    layout, n = Layout.of([task]), 200
    raw = rng.normal(size=(n, task.units))
    if task.measured_as == "quantile":
        raw = np.sort(raw, axis=1)
    labels = {
        "multiclass": rng.integers(0, 3, (n, 1)),
        "ordinal": rng.integers(0, 3, (n, 1)),
        "count": rng.poisson(2, (n, 1)),
        "soft multiclass": rng.dirichlet(np.ones(3), n),
        "binary": rng.integers(0, 2, (n, 1)),
        "multilabel": rng.integers(0, 2, (n, 3)),
    }
    y = labels.get(task.measured_as, rng.random((n, task.width))).astype("float64")
    y[::10] = np.nan
    prior = np.linspace(-0.5, 0.5, task.units)
    measured = RawRows(layout, y, raw, prior, np.full(1, 3.0))
    codes = np.arange(n) % 3 // 2
    scores, tests = segment_scores([measured], [Segmentation("x", ("a", "b"), codes)])
    assert len(scores) == tests == 2 * len(task.metrics)
    for score in scores:
        assert score.value is not None and score.low is not None and score.high is not None
        assert score.low <= score.value <= score.high and score.low < score.high, score
        assert score.rows == (~np.isnan(y[codes == "ab".index(score.segment), 0])).sum()
