"""Test calibration and thresholds against scikit-learn, plain search, and known truths."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

import polycera as pc
from polycera import evaluation
from polycera.errors import InputError
from polycera.evaluation.calibration import ANSWERS, Calibration
from polycera.evaluation.logit_scaling import HIGHEST, LOWEST, class_losses, platt, temperature

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

GRID = np.exp(np.linspace(np.log(LOWEST), np.log(HIGHEST), 4001))


def yes_or_no(
    rows: int, labels: int = 1, seed: int = 0, a: float = 1.0, b: float = 0.0
) -> tuple[Any, Any]:
    """Answers, and logits z of which a z + b is right."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-0.5, 1.5, (rows, labels))
    return (rng.random((rows, labels)) < expit(z)).astype(float), (z - b) / a


def of_classes(rows: int, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (rows, classes))
    shares = softmax(z, axis=1)
    return np.array([rng.choice(classes, p=share) for share in shares], float)[:, None], z


def binary(y: np.ndarray, z: np.ndarray) -> Calibration:
    return evaluation.calibration(pc.tasks.Layout.of([pc.Binary("t")]), {"t": y}, z)


def multilabel(y: np.ndarray, z: np.ndarray) -> Calibration:
    return evaluation.calibration(
        pc.tasks.Layout.of([pc.Multilabel("t", labels=z.shape[1])]), {"t": y}, z
    )


# -- fits against others ---------------------------------------------------------------------------


def test_platt_is_a_logistic_regression_on_the_logit() -> None:
    """Several labels at once, some missing; a steep one, a flat one, and one far off."""
    y, z = yes_or_no(400, 3, a=1.0)
    z = z * [5.0, 0.2, 1.0] + [0.0, 0.0, 8.0]
    y[::6, 1] = np.nan
    a, b = platt(y, z)
    for i in range(3):
        known = ~np.isnan(y[:, i])
        theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(
            z[known, i : i + 1], y[known, i]
        )
        assert (a[i], b[i]) == (
            pytest.approx(theirs.coef_[0, 0], rel=1e-4),
            pytest.approx(theirs.intercept_[0], 1e-4),
        )


def test_a_training_of_its_own_for_each_weight() -> None:
    y, z = yes_or_no(200, 2)
    weight = np.random.default_rng(0).integers(0, 3, (4, 200, 1)).astype(float)
    a, b = platt(y, z, weight)
    for fold in range(4):
        theirs = LogisticRegression(C=np.inf, tol=1e-12).fit(z[:, :1], y[:, 0], weight[fold, :, 0])
        assert a[fold, 0] == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
        assert b[fold, 0] == pytest.approx(theirs.intercept_[0], rel=1e-4)


def test_a_prior_is_a_penalty() -> None:
    """scikit-learn's penalty |a|^2 / 2 / C, for a prior around 0."""
    y, z = yes_or_no(60)
    a, _ = platt(y, z, around=(0.0, 0.0), strength=(7.0, 0.0))
    theirs = LogisticRegression(C=1 / 7, tol=1e-12).fit(z, y[:, 0])
    assert a[0] == pytest.approx(theirs.coef_[0, 0], rel=1e-4)


@pytest.mark.parametrize("a", [0.2, 1.0, 4.0])
def test_the_temperature_of_a_label_is_found_by_search(a: float) -> None:
    y, z = yes_or_no(300, a=a)
    best = GRID[np.argmin((np.logaddexp(0, GRID * z) - y * GRID * z).sum(0))]
    found, shift = platt(y, z, shift=False)
    assert found[0] == pytest.approx(best, rel=2e-3) and shift[0] == 0


@pytest.mark.parametrize("factor", [0.1, 1.0, 6.0])
def test_the_temperature_of_classes_is_found_by_search(factor: float) -> None:
    columns = [of_classes(200, seed=seed) for seed in range(3)]
    y, z = (
        np.concatenate([y for y, _ in columns], axis=1),
        factor * np.stack([z for _, z in columns], axis=1),
    )
    y[::9, 1] = np.nan
    found = temperature(y, z)
    for i in range(3):
        known = ~np.isnan(y[:, i])
        own = y[known, i].astype(int)
        costs = [
            -log_softmax(one * z[known, i], axis=1)[np.arange(len(own)), own].mean() for one in GRID
        ]
        assert found[i] == pytest.approx(GRID[np.argmin(costs)], rel=2e-3)
        assert class_losses(y, z)[:, i].sum() / known.sum() == pytest.approx(
            log_loss(own, softmax(z[known, i], axis=1))
        )


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_bounds(sign: float) -> None:
    """Logits that separate the rows, and reversed logits: the order of rows stays."""
    z = np.linspace(-2, 2, 100)[:, None]
    y = (sign * z > 0).astype(float)
    bound = LOWEST if sign < 0 else HIGHEST
    assert platt(y, z)[0] == platt(y, z, shift=False)[0] == bound
    assert temperature(y, np.stack([0 * z, z], axis=-1)) == bound
    # the best shift beside a slope at its bound, where a step has to know of the bound
    b = platt(y, z + 1)[1]
    best = platt(y, bound * (z + 1), around=(1.0, 0.0), strength=(1e12, 0.0))[1]
    assert b == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("doubt", [0.5, 1.0])
def test_a_row_of_doubt_is_a_wrong_row_shared_by_all(doubt: float) -> None:
    """60 rows, all right: the temperature as with 60 more, wrong ones that count as one row."""
    rng = np.random.default_rng(0)
    own = np.arange(60) % 3
    z = rng.normal(size=(60, 3))
    z[np.arange(60), own] = z.max(axis=1) + rng.uniform(0.5, 3.0, 60)
    others = np.where(np.eye(3, dtype=bool)[own], -np.inf, z).argmax(axis=1)
    y = np.concatenate([own, others]).astype(float)[:, None]
    weight = np.repeat([1.0, doubt / 60], 60)[:, None]
    expected = temperature(y, np.concatenate([z, z])[:, None, :], weight)
    found = temperature(own.astype(float)[:, None], z[:, None, :], doubt=doubt)
    assert found == pytest.approx(expected, rel=1e-6)
    assert temperature(own.astype(float)[:, None], z[:, None, :]) == HIGHEST  # without it


def test_of_rows_that_are_all_right_no_probability_is_0() -> None:
    """Far apart, a hundred rows: each class gets at least a thousandth of one wrong row's share."""
    own = np.arange(99) % 3
    z = 2.0 * np.eye(3)[own] + 0.1 * np.random.default_rng(0).normal(size=(99, 3))
    found = evaluation.calibration(
        pc.tasks.Layout.of([pc.Multiclass("c", classes=3)]), {"c": own[:, None]}, z
    )
    assert softmax(found.applied(z), axis=1).min() > 1e-5


# -- where the truth is known ----------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "most"), [(60, 0.2), (200, 0.12), (2000, 0.08)])
def test_what_is_calibrated_is_left_alone(rows: int, most: float) -> None:
    """In most draws: one standard error lets some pass; and these change little."""
    found = [binary(*yes_or_no(rows, seed=seed)) for seed in range(100)]
    assert np.mean([one.helps for one in found]) <= most
    assert all(0.5 < one.scale[0] < 2 for one in found)
    assert all(one.before == one.after for one in found if not one.helps)


def test_three_times_too_sure() -> None:
    y, z = yes_or_no(2000, a=1 / 3)
    assert binary(y, z).scale[0] == pytest.approx(1 / 3, rel=0.1)
    y, z = of_classes(2000)
    found = evaluation.calibration(
        pc.tasks.Layout.of([pc.Multiclass("c", classes=4)]), {"c": y}, 3 * z
    )
    np.testing.assert_allclose(found.scale, np.full(4, 1 / 3), rtol=0.1)
    assert np.ptp(found.scale) == 0 and not found.shift.any()


def test_a_shift() -> None:
    """As `pos_weight` leaves it: right but for a constant."""
    y, z = yes_or_no(2000, b=-1.2)
    found = binary(y, z)
    assert found.shift[0] == pytest.approx(-1.2, abs=0.2) and found.scale[0] == pytest.approx(
        1, abs=0.15
    )


def test_levels_beyond_each_other() -> None:
    """Units of an ordinal task: two are right, one is three times too sure."""
    rng, rows = np.random.default_rng(0), 4000
    z = rng.normal(0.3, 1.5, (rows, 3))
    beyond = np.cumprod(rng.random((rows, 3)) < expit(z), axis=1)
    level = beyond.sum(1, keepdims=True).astype(float)
    raw = z * [1, 1, 3]
    task = pc.Ordinal("o", classes=4)
    found = evaluation.calibration(pc.tasks.Layout.of([task]), {"o": level}, raw)
    np.testing.assert_allclose(found.scale, [1, 1, 1 / 3], atol=0.15)
    before, after = (log_loss(level, task.link(one, Numpy())) for one in (raw, found.applied(raw)))
    assert found.before["o"] == pytest.approx(before, rel=1e-6)
    assert found.after["o"] == pytest.approx(after, rel=0.01) and after < 0.95 * before


class Numpy:
    """What `link` asks of a backend."""

    sigmoid, cumprod, ones_like, concatenate = map(
        staticmethod, (expit, np.cumprod, np.ones_like, np.concatenate)
    )


def test_together_where_alone_is_not_enough() -> None:
    """No label has ten of each answer, all together have: one temperature and one shift for all."""
    rng = np.random.default_rng(0)
    z = rng.normal(-2.5, 1.0, (70, 30))
    y = (rng.random(z.shape) < expit(z)).astype(float)
    assert y.sum(0).max() < 2 * ANSWERS
    few = y[:, y.sum(0) < 10], z[:, y.sum(0) < 10]
    found = multilabel(few[0], 4 * few[1])
    assert np.ptp(found.scale) == np.ptp(found.shift) == 0 and found.scale[0] == pytest.approx(
        0.25, abs=0.1
    )
    assert not binary(few[0][:, :1], 4 * few[1][:, :1]).helps


def test_few_rows_are_left_alone() -> None:
    y, z = yes_or_no(49, a=1 / 10)
    assert not binary(y, z).helps
    y, z = yes_or_no(200, a=1 / 10)
    y[np.flatnonzero(y)[9:]] = np.nan
    assert np.nansum(y) == 9 and not binary(y, z).helps


def test_losses_are_those_of_the_rows_and_of_folds_left_out() -> None:
    y, z = yes_or_no(500, 2, a=0.4)
    y[:50, 1] = np.nan
    found, known = multilabel(y, z), ~np.isnan(y)
    assert found.before["t"] == pytest.approx(log_loss(y[known], expit(z[known])))
    fitted = log_loss(y[known], expit(found.applied(z)[known]))
    assert found.after["t"] is not None and fitted < found.after["t"] < fitted * 1.03


def test_tasks_of_all_kinds() -> None:
    kinds = [
        pc.Regression("r"),
        pc.Binary("b"),
        pc.Count("n"),
        pc.Multiclass("c", classes=3),
        pc.Multiclass("d", classes=3),
        pc.Quantile("q", quantiles=[0.1, 0.9]),
        pc.Multilabel("m", labels=2),
        pc.Binary("empty"),
    ]
    layout, rows, rng = pc.tasks.Layout.of(kinds), 800, np.random.default_rng(0)
    raw = rng.normal(size=(rows, layout.units))
    truth = {task.name: rng.normal(size=(rows, task.width)) for task in kinds}
    b, m, c = (layout.raw_columns[name] for name in "bmc")
    for name, where in (("b", b), ("m", m)):
        truth[name] = (rng.random((rows, layout.tasks[name].width)) < expit(raw[:, where])).astype(
            float
        )
        raw[:, where] *= 5
    truth["c"], raw[:, c] = of_classes(rows, 3)
    raw[:, c] *= 5
    truth["d"], raw[:, layout.raw_columns["d"]] = of_classes(rows, 3, seed=1)
    truth["empty"] = np.full((rows, 1), np.nan)
    found = evaluation.calibration(layout, truth, raw)
    scale = {name: found.scale[where] for name, where in layout.raw_columns.items()}
    assert all((scale[name] == 1).all() for name in "rnqd")
    assert all((abs(scale[name] - 0.2) < 0.06).all() for name in "bmc")
    assert list(found.before) == [name for name in layout.tasks if name not in "rnq"]
    assert found.before["empty"] is None and found.after["d"] == found.before["d"]
    for name in "bmc":
        assert found.after[name] < 0.8 * found.before[name]  # type: ignore[operator]


def test_ranking_stays() -> None:
    y, z = yes_or_no(300, 3, a=0.2)
    found = multilabel(y, z)
    assert found.helps
    for i in range(3):
        assert roc_auc_score(y[:, i], found.applied(z)[:, i]) == roc_auc_score(y[:, i], z[:, i])


def test_nothing_to_calibrate() -> None:
    layout = pc.tasks.Layout.of([pc.Regression("r")])
    found = evaluation.calibration(layout, {"r": np.zeros((5, 1))}, np.zeros((5, 1)))
    assert (found.scale, found.shift, found.before, found.helps) == ([1], [0], {}, False)
    none = binary(np.zeros((0, 1)), np.zeros((0, 1)))
    assert not none.helps and none.before == none.after == {"t": None}


Y, Z = np.array([[0.0], [1.0]]), np.array([[0.2], [0.9]])

BAD: list[Any] = [
    (
        lambda: binary(Y, Z[:, [0, 0]]),
        r"Raw outputs of shape \[2, 2\].*these tasks have 1 output columns",
    ),
    (lambda: binary(Y[:1], Z), r"Task 't' came with labels of shape \[1, 1\]; to calibrate 2 rows"),
    (
        lambda: evaluation.calibration(pc.tasks.Layout.of([pc.Binary("t")]), {}, Z),
        "Task 't' came with no labels",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), BAD, ids=lambda x: x if isinstance(x, str) else "")
def test_what_cannot_be_calibrated(call: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        call()


# -- thresholds that hold --------------------------------------------------------------------------


@pytest.mark.parametrize("metric", sorted(evaluation.METRICS))
def test_of_calibrated_probabilities_the_best_is_known(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the optimal F1 (Lipton 2014); the share of ones; one half. Also if overconfident."""
    y, z = yes_or_no(20_000, 3)
    monkeypatch.setattr(
        sys.modules["polycera.evaluation.smoothed_thresholds"], "TRUSTED", 1e12
    )  # by what is expected alone
    found, sure = (
        evaluation.smoothed_thresholds(y, expit(factor * z), metric) for factor in (1.0, 3.0)
    )
    best = {"f1": found.reached / 2, "balanced_accuracy": y.mean(0), "accuracy": np.full(3, 0.5)}[
        metric
    ]
    np.testing.assert_allclose(found.value, best, atol=0.02)
    np.testing.assert_allclose(sure.value, expit(3 * np.log(best / (1 - best))), atol=0.04)


@pytest.mark.parametrize("metric", sorted(evaluation.METRICS))
def test_of_many_rows_the_labels_decide(metric: str) -> None:
    """No a z + b makes these probabilities right: they depend on the distance from one half."""
    rng = np.random.default_rng(0)
    p = rng.random((40_000, 1))
    y = (rng.random(p.shape) < np.where(p > 0.9, 0.05, 0.8 * p)).astype(float)
    few, many = (
        evaluation.smoothed_thresholds(y[:200], p[:200], metric),
        evaluation.smoothed_thresholds(y, p, metric),
    )
    best = evaluation.search_thresholds(y, p, metric).reached
    assert many.reached == pytest.approx(best, abs=0.002) and few.positives < 200 < many.positives


def test_on_other_rows_they_are_better_than_the_best_of_few() -> None:
    """Of 80 rows and six labels: over the draws, on 20,000 other rows, and than one half."""
    other, z = yes_or_no(20_000, 6, seed=1000)
    for metric in ("f1", "balanced_accuracy", "accuracy"):
        scores = []
        for seed in range(20):
            y, own = yes_or_no(80, 6, seed=seed)
            chosen = [
                find(y, expit(2 * own), metric).value
                for find in (evaluation.smoothed_thresholds, evaluation.search_thresholds)
            ]
            scores.append(
                [scored_at(other, expit(2 * z), at, metric) for at in (*chosen, np.full(6, 0.5))]
            )
        ours, best, half = np.mean(scores, axis=0)
        assert ours > best + 0.005 and ours > half - 0.006


def scored_at(y: np.ndarray, p: np.ndarray, at: np.ndarray, metric: str) -> float:
    from polycera.evaluation.threshold_search import scored

    return float(scored(y, p, at, metric).reached.mean())


def test_what_ten_groups_say_is_what_ten_rows_say() -> None:
    """60 rows of a group are right or wrong together: too few independent answers for a change."""
    group = np.repeat(np.arange(20), 60)
    right = np.arange(20)[group] % 10 < 7
    z = np.where(np.arange(1200) % 2 == 0, 1.8, -1.8)[:, None]
    y = ((z[:, 0] > 0) == right).astype(float)[:, None]
    layout = pc.tasks.Layout.of([pc.Binary("y")])
    assert evaluation.calibration(layout, {"y": y}, z).helps
    assert not evaluation.calibration(layout, {"y": y}, z, group).helps
