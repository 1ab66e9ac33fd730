"""Test laws of calibration and of steady thresholds for any labels and any raw outputs."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polycera as pc
from polycera import evaluation
from polycera.evaluation.logit_scaling import HIGHEST, LOWEST

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

METRICS = st.sampled_from(sorted(evaluation.METRICS))
SEEDS = st.integers(0, 2**31)
EXACT = {"rtol": 1e-6, "atol": 1e-7}


def drawn(seed: int, labels: int = 4, most: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Labels with some missing, and logits that are right, over- or underconfident, or shifted."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, most))
    z = rng.normal(rng.normal(0, 1.5, labels), 1.5, (n, labels))
    y = (rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(float)
    y[rng.random(z.shape) < rng.choice([0.0, 0.2, 0.9])] = np.nan
    return y, z * np.exp(rng.normal(0, 1)) + rng.normal(0, 0.5, labels)


def layout(labels: int) -> pc.tasks.Layout:
    return pc.tasks.Layout.of([pc.Binary(f"t{i}") for i in range(labels)])


def calibrated(y: np.ndarray, z: np.ndarray) -> evaluation.Calibration:
    return evaluation.calibration(
        layout(y.shape[1]), {f"t{i}": y[:, i : i + 1] for i in range(y.shape[1])}, z
    )


def same(one: evaluation.Calibration, other: evaluation.Calibration) -> None:
    np.testing.assert_allclose(one.scale, other.scale, **EXACT)
    np.testing.assert_allclose(one.shift, other.shift, **EXACT)
    for a, b in ((one.before, other.before), (one.after, other.after)):
        np.testing.assert_allclose(
            np.array(list(a.values()), float), np.array(list(b.values()), float), **EXACT
        )


@settings(deadline=None)
@given(SEEDS)
def test_the_order_of_rows_is_irrelevant(seed: int) -> None:
    y, z = drawn(seed)
    order = np.random.default_rng(seed).permutation(len(y))
    same(calibrated(y, z), calibrated(y[order], z[order]))


@settings(deadline=None)
@given(SEEDS)
def test_the_order_of_tasks_is_irrelevant(seed: int) -> None:
    y, z = drawn(seed)
    order = np.random.default_rng(seed).permutation(y.shape[1])
    one, other = calibrated(y, z), calibrated(y[:, order], z[:, order])
    np.testing.assert_allclose(one.scale[order], other.scale, **EXACT)
    np.testing.assert_allclose(one.shift[order], other.shift, **EXACT)


@settings(deadline=None)
@given(SEEDS)
def test_missing_labels_say_nothing(seed: int) -> None:
    """Whatever is answered there, and however many rows have none."""
    y, z = drawn(seed)
    rng = np.random.default_rng(seed)
    wild = np.where(np.isnan(y), rng.choice([np.nan, np.inf, 1e9, -3.0], z.shape), z)
    more = (
        np.concatenate([y, np.full((7, y.shape[1]), np.nan)]),
        np.concatenate([wild, rng.normal(size=(7, y.shape[1]))]),
    )
    same(calibrated(y, z), calibrated(*more))


@settings(deadline=None)
@given(SEEDS, st.integers(2, 4))
def test_rows_and_missing_labels_of_classes(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(int(rng.integers(0, 200)), 2, classes))
    y = (z + rng.gumbel(size=z.shape)).argmax(-1).astype(float)
    y[rng.random(y.shape) < 0.2] = np.nan
    z *= np.exp(rng.normal(0, 1.5))
    two = pc.tasks.Layout.of([pc.Multiclass(name, classes=classes) for name in "ab"])
    order = rng.permutation(len(z))

    def found(y: np.ndarray, z: np.ndarray) -> evaluation.Calibration:
        return evaluation.calibration(
            two, {"a": y[:, :1], "b": y[:, 1:]}, z.reshape(len(z), 2 * classes)
        )

    whole = found(y, z)
    same(whole, found(y[order], z[order]))
    same(whole, found(y, np.where(np.isnan(y)[..., None], 1e9, z)))
    assert (
        not whole.shift.any() and (whole.scale >= LOWEST).all() and (whole.scale <= HIGHEST).all()
    )
    assert np.ptp(whole.scale.reshape(2, classes), axis=1).max() == 0


ANY = st.one_of(st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf, 1e6, -1e6]), st.floats(-30, 30))


@settings(deadline=None)
@given(st.data(), st.integers(0, 60), st.integers(1, 3))
def test_any_outputs_keep_their_order(data: Any, n: int, labels: int) -> None:
    """Ties, huge numbers, one class, reversed order: a scale above 0, and no loss above before."""
    y = data.draw(arrays.arrays(float, (n, labels), elements=st.sampled_from([0.0, 1.0, np.nan])))
    found = calibrated(y, data.draw(arrays.arrays(float, (n, labels), elements=ANY)))
    assert (
        (found.scale >= LOWEST).all()
        and (found.scale <= HIGHEST).all()
        and np.isfinite(found.shift).all()
    )
    for name, before in found.before.items():
        after = found.after[name]
        assert (before is None) == (after is None)
    assert sum(found.after[n] or 0 for n in found.after) <= sum(
        b or 0 for b in found.before.values()
    ) * (1 + 1e-9) or (
        labels > 1  # what helps all together may cost one
    )


@settings(deadline=None)
@given(SEEDS, METRICS)
def test_thresholds_do_not_see_the_order_of_rows_or_labels(seed: int, metric: str) -> None:
    y, z = drawn(seed, most=80)
    p = 1 / (1 + np.exp(-z))
    rng = np.random.default_rng(seed)
    rows, labels = rng.permutation(len(y)), rng.permutation(y.shape[1])
    one, other = (
        evaluation.smoothed_thresholds(y, p, metric),
        evaluation.smoothed_thresholds(y[rows][:, labels], p[rows][:, labels], metric),
    )
    np.testing.assert_allclose(np.array(one)[:, labels], np.array(other), **EXACT)


@settings(deadline=None)
@given(SEEDS, METRICS)
def test_missing_labels_move_no_threshold(seed: int, metric: str) -> None:
    y, z = drawn(seed, most=80)
    p = 1 / (1 + np.exp(-z))
    rng = np.random.default_rng(seed)
    other = np.where(np.isnan(y), rng.choice([np.nan, 0.0, 1.0, 0.7], p.shape), p)
    np.testing.assert_allclose(
        np.array(evaluation.smoothed_thresholds(y, p, metric)),
        np.array(evaluation.smoothed_thresholds(y, other, metric)),
        **EXACT,
    )


@settings(deadline=None)
@given(st.data(), st.integers(0, 30), METRICS)
def test_a_threshold_is_a_probability_and_says_what_it_is_worth(
    data: Any, n: int, metric: str
) -> None:
    """`reached` and `half` are those of the labels as they are, and no better than the best."""
    y = data.draw(arrays.arrays(float, (n, 2), elements=st.sampled_from([0.0, 1.0, np.nan])))
    p = data.draw(
        arrays.arrays(
            float, (n, 2), elements=st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))
        )
    )
    found, best = (
        evaluation.smoothed_thresholds(y, p, metric),
        evaluation.search_thresholds(y, p, metric),
    )
    assert ((found.value >= 0) & (found.value <= 1)).all()
    np.testing.assert_array_equal(found.half, best.half)
    assert not (found.reached > best.reached + 1e-12).any()
    for i in range(2):
        if (said := evaluation.at_threshold(y[:, i], p[:, i], found.value[i])) and metric in (
            "f1",
            "accuracy",
        ):
            mine = said.f1 if metric == "f1" else said.accuracy
            assert found.reached[i] == pytest.approx(np.nan if mine is None else mine, nan_ok=True)


@settings(deadline=None)
@given(SEEDS)
def test_rows_that_are_each_a_group_are_rows(seed: int) -> None:
    y, z = drawn(seed)
    own = np.random.default_rng(seed).permutation(len(y)) + 7
    truth = {f"t{i}": y[:, i : i + 1] for i in range(y.shape[1])}
    one, other = calibrated(y, z), evaluation.calibration(layout(y.shape[1]), truth, z, own)
    # ties of the folds may fall otherwise
    np.testing.assert_allclose(one.scale, other.scale, rtol=0.02)
    np.testing.assert_allclose(one.shift, other.shift, rtol=0.02, atol=0.02)
