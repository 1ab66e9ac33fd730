"""Laws of quality: what holds for any labels and any probabilities."""

from __future__ import annotations

import importlib
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycera import evaluation

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

Pair = tuple[np.ndarray, np.ndarray]


@st.composite
def answered(draw: Any, most: int = 40) -> Pair:
    """Labels of which some are missing, and probabilities of which some are equal, 0 or 1."""
    n = draw(st.integers(0, most))
    truth = draw(arrays.arrays(float, n, elements=st.sampled_from([0.0, 1.0, np.nan])))
    some = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1))
    return truth, draw(arrays.arrays(float, n, elements=some))


def score(metric: str, truth: np.ndarray, yes: np.ndarray) -> float:
    """By definition: F1 from precision and recall, balanced accuracy from the two recalls."""
    right, ones = yes == (truth == 1), truth == 1
    if metric == "accuracy":
        return float(right.mean())
    if metric == "balanced_accuracy":
        return float((right[ones].mean() + right[~ones].mean()) / 2)
    called = (yes & ones).sum()
    return 0.0 if not called else float(2 / (yes.sum() / called + ones.sum() / called))


@given(answered(), st.sampled_from(sorted(evaluation.METRICS)))
def test_no_threshold_is_better_than_the_one_chosen(pair: Pair, metric: str) -> None:
    truth, probability = pair
    found = evaluation.search_thresholds(truth[:, None], probability[:, None], metric)
    known = ~np.isnan(truth)
    truth, probability = truth[known], probability[known]
    assert 0 <= found.value[0] <= 1
    if truth.any() and not truth.all():
        mine = score(metric, truth, probability >= found.value[0])
        assert mine == pytest.approx(found.reached[0], abs=1e-12)
        # up to 1: above is no probability
        for at in {0.0, 0.5, *probability, *np.nextafter(probability, 1)}:
            assert score(metric, truth, probability >= at) <= mine + 1e-12


@given(answered(), st.randoms(use_true_random=False), st.sampled_from(sorted(evaluation.METRICS)))
def test_the_order_of_rows_is_irrelevant(pair: Pair, random: Any, metric: str) -> None:
    truth, probability = pair
    order = list(range(len(truth)))
    random.shuffle(order)
    one, other = (
        evaluation.search_thresholds(y[:, None], p[:, None], metric)
        for y, p in (pair, (truth[order], probability[order]))
    )
    np.testing.assert_array_equal(np.array(one), np.array(other))
    assert evaluation.curve(truth, probability) == evaluation.curve(
        truth[order], probability[order]
    )
    assert evaluation.at_threshold(truth, probability, 0.3) == evaluation.at_threshold(
        truth[order], probability[order], 0.3
    )


@given(st.lists(answered(12), min_size=1, max_size=4), st.sampled_from(sorted(evaluation.METRICS)))
def test_labels_do_not_see_each_other(pairs: list[Pair], metric: str) -> None:
    """Also where they are of so many rows that they are looked at one after the other."""
    n = min(len(truth) for truth, _ in pairs)
    truth, probability = (np.stack([each[i][:n] for each in pairs], axis=1) for i in range(2))
    with pytest.MonkeyPatch.context() as patch:
        whole = np.array(evaluation.search_thresholds(truth, probability, metric))
        patch.setattr(
            importlib.import_module("polycera.evaluation.threshold_search"), "CELLS", 2 * n
        )
        np.testing.assert_array_equal(
            np.array(evaluation.search_thresholds(truth, probability, metric)), whole
        )
    for i in range(len(pairs)):
        alone = evaluation.search_thresholds(truth[:, i : i + 1], probability[:, i : i + 1], metric)
        np.testing.assert_array_equal(np.array(alone)[:, 0], whole[:, i])


@given(answered(), st.integers(1, 20))
def test_reliability_counts_each_row_once(pair: Pair, bins: int) -> None:
    found, known = evaluation.reliability(*pair, bins), ~np.isnan(pair[0])
    assert (
        sum(found.rows) == known.sum()
        and len(found.rows) <= bins
        and min(found.rows, default=1) > 0
    )
    assert found.ece is None if not known.any() else 0 <= found.ece <= 1  # type: ignore[operator]
    mean = np.dot(found.rows, found.predicted)
    assert mean == pytest.approx(pair[1][known].sum(), abs=1e-9)
    assert np.dot(found.rows, found.observed) == pytest.approx(pair[0][known].sum(), abs=1e-9)


@given(
    st.lists(st.tuples(st.integers(0, 10), st.integers(1, 10)), min_size=1, max_size=8),
    st.integers(1, 20),
)
def test_probabilities_that_are_frequencies_have_no_error(
    groups: list[tuple[int, int]], bins: int
) -> None:
    """Groups of rows, k of n true, answered with k / n."""
    groups = [(min(k, n), n) for k, n in groups]
    truth = np.concatenate([np.arange(n) < k for k, n in groups]).astype(float)
    probability = np.concatenate([np.full(n, k / n) for k, n in groups])
    assert evaluation.reliability(truth, probability, bins).ece == pytest.approx(0, abs=1e-12)


@given(answered(60), st.integers(2, 20))
def test_each_point_of_a_curve_is_exact(pair: Pair, points: int) -> None:
    found, whole = evaluation.curve(*pair, points), evaluation.curve(*pair, 10**6)
    assert len(found.threshold) <= points and found.threshold == sorted(set(found.threshold))
    assert (
        found.threshold[:1] == whole.threshold[:1] and found.threshold[-1:] == whole.threshold[-1:]
    )
    for at, precision, recall in zip(found.threshold, found.precision, found.recall, strict=True):
        said = evaluation.at_threshold(*pair, at)
        assert (precision, recall) == (
            pytest.approx(said.precision),
            said.recall and pytest.approx(said.recall),
        )


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=60), st.integers(0, 2**31))
def test_residuals_hold_each_row_that_is_a_number(
    pairs: list[tuple[float, float]], seed: int
) -> None:
    truth, predicted = np.array(pairs, "float64").reshape(-1, 2).T
    found, known = (
        evaluation.residuals(truth, predicted, 10, seed),
        np.isfinite(truth) & np.isfinite(predicted),
    )
    assert sum(found.rows) == known.sum() and len(found.rows) <= 40
    assert all(np.diff(found.edges) > 0) and np.isfinite(found.edges).all()
    assert len(found.true) == min(10, known.sum())
    rows = set(zip(truth[known].tolist(), predicted[known].tolist(), strict=True))
    assert set(zip(found.true, found.predicted, strict=True)) <= rows
    assert found == evaluation.residuals(truth, predicted, 10, seed)


@given(st.integers(2, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_a_confusion_matrix_holds_each_row(classes: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, said = rng.integers(0, classes, (2, 50)).astype(float)
    truth[rng.random(50) < 0.1] = np.nan
    found = evaluation.confusion(truth, said, range(classes), most)
    assert np.sum(found.counts) == (~np.isnan(truth)).sum()
    assert len(found.labels) == (classes if classes <= most else most + 1)
    right = np.trace(np.array(found.counts)[:most, :most])
    assert right == sum(
        int((truth == said)[truth == int(name)].sum()) for name in found.labels[:most]
    )
