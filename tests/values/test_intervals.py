"""Intervals of metrics: the draws are SciPy's, shares have Wilson's, none has width 0."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import polycera as pc
from polycera.evaluation import bootstrap
from polycera.evaluation.metric_error import RawRows, wilson
from polycera.tasks import Layout

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

ROWS, DRAWS = 150, 60


def rows_of(tasks: list[pc.Regression | pc.Binary], y: np.ndarray, raw: np.ndarray) -> RawRows:
    """Return rows of tasks with one column each, in the user's units."""
    layout = Layout.of(tasks)
    return RawRows(layout, y, raw, np.zeros(layout.units), np.ones(len(tasks)))


def two_tasks() -> RawRows:
    """Return a regression and a binary task, with labels missing and scores tied."""
    random = np.random.default_rng(3)
    signal = random.normal(size=ROWS)
    amount = signal + random.normal(size=ROWS)
    amount[::7] = np.nan
    churn = (random.random(ROWS) < 1 / (1 + np.exp(-signal))).astype(float)
    churn[::11] = np.nan
    return rows_of(
        [pc.Regression("amount", metrics=["rmse", "r2"]), pc.Binary("churn", metrics=["auc"])],
        np.stack([amount, churn], axis=1),
        np.stack([signal, np.round(signal, 1)], axis=1),
    )


@pytest.mark.parametrize("key", [("amount", "rmse"), ("amount", "r2"), ("churn", "auc")])
def test_each_draw_is_what_scipy_draws(key: tuple[str, str]) -> None:
    """SciPy resamples the rows one metric at a time; the same rows give the same values."""
    from sklearn.metrics import r2_score, roc_auc_score

    rows = two_tasks()
    column = list(rows.layout.tasks).index(key[0])
    y, scores = rows.y[:, column], rows.raw[:, column]

    def metric(indices: np.ndarray) -> float:
        of_draw = indices.astype(int)
        known = of_draw[~np.isnan(y[of_draw])]
        if key[1] == "auc":
            return float(roc_auc_score(y[known], scores[known]))
        if key[1] == "r2":
            return float(r2_score(y[known], scores[known]))
        return float(np.sqrt(np.mean((y[known] - scores[known]) ** 2)))

    indices = np.arange(ROWS)
    found = scipy.stats.bootstrap(
        (indices,), metric, n_resamples=DRAWS, vectorized=False, method="percentile", rng=5
    )
    # SciPy draws all indices at once from this generator.
    taken = np.random.default_rng(5).integers(0, ROWS, (DRAWS, ROWS))
    ours = bootstrap.drawn_values([rows], bootstrap.counts_of(taken, ROWS))[key]
    assert ours == pytest.approx(found.bootstrap_distribution, rel=1e-9)
    low, high = bootstrap.percentiles(ours, ROWS)
    assert low <= found.confidence_interval.low and found.confidence_interval.high <= high
    assert high - low == pytest.approx(found.standard_error * 2 * 1.96, rel=0.25)


def test_groups_are_drawn_as_wholes() -> None:
    """Ten copies of each row in a group: as wide as without the copies, not a third of it."""
    few = two_tasks()
    many = RawRows(few.layout, few.y.repeat(10, 0), few.raw.repeat(10, 0), few.prior, few.scale)
    groups = np.arange(ROWS).repeat(10)
    draws = bootstrap.row_draws(len(groups), groups, draws=20)
    assert (draws.reshape(20, ROWS, 10) == draws[:, ::10, None]).all()
    assert draws.sum(1).tolist() == [ROWS * 10] * 20
    wide = bootstrap.intervals([few], seed=1)["amount", "rmse"]
    grouped = bootstrap.intervals([many], groups=groups, seed=1)["amount", "rmse"]
    alone = bootstrap.intervals([many], seed=1)["amount", "rmse"]
    assert grouped.low == pytest.approx(wide.low, rel=1e-3)
    assert grouped.high == pytest.approx(wide.high, rel=1e-3)
    assert alone.high - alone.low < 0.5 * (wide.high - wide.low)


def test_sample_weights_count_as_numbers_of_rows() -> None:
    """A row of weight 2 is as two copies of it that are always drawn together."""
    rows = two_tasks()
    weights = np.random.default_rng(0).integers(1, 4, ROWS)
    copied = RawRows(
        rows.layout, rows.y.repeat(weights, 0), rows.raw.repeat(weights, 0), rows.prior, rows.scale
    )
    draws = bootstrap.row_draws(ROWS, draws=10)
    by_weight = dict.fromkeys(rows.layout.tasks, weights.astype(float))
    ours = bootstrap.drawn_values([rows], draws, by_weight)
    expected = bootstrap.drawn_values([copied], draws.repeat(weights, 1))
    for key, values in expected.items():
        assert ours[key] == pytest.approx(values), key


def test_a_share_has_wilsons_interval_and_nothing_has_width_0() -> None:
    """All right, all ranked right, and an error of 0: an interval with a width, or none."""
    y = np.r_[np.ones(15), np.zeros(15)]
    tasks = [
        pc.Binary("sure", metrics=["accuracy", "auc", "balanced_accuracy", "log_loss"]),
        pc.Regression("exact", metrics=["rmse"]),
    ]
    found = bootstrap.intervals(
        [rows_of(tasks, np.stack([y, y], 1), np.stack([(y - 0.5) * 9, y], 1))]
    )
    low, high = wilson(np.array([1.0]), np.array([30.0]))
    accuracy = found["sure", "accuracy"]
    assert accuracy.method == "wilson" and accuracy.low == low[0] and accuracy.high == high[0] == 1
    for metric in ("auc", "balanced_accuracy"):
        interval = found["sure", metric]
        assert interval.high == 1 and 0.7 < interval.low < 0.9, metric
    assert found["exact", "rmse"] == bootstrap.NONE


def test_few_rows_have_no_interval_but_for_shares() -> None:
    """19 rows: too few to draw from; Wilson's interval holds for few rows too."""
    y = np.r_[np.ones(10), np.zeros(9)]
    signs = np.where(np.arange(19) % 4 == 0, -1, 1) * (y - 0.5)
    tasks: list[pc.Regression | pc.Binary] = [pc.Binary("few", metrics=["auc", "accuracy"])]
    found = bootstrap.intervals([rows_of(tasks, y[:, None], signs[:, None])])
    assert found["few", "auc"] == bootstrap.NONE and found["few", "accuracy"].method == "wilson"


def test_many_rows_have_the_jackknife_which_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of cells the jackknife replaces the draws; both say nearly the same."""
    drawn = bootstrap.intervals([two_tasks()])
    monkeypatch.setattr(bootstrap, "MOST", 0)
    found = bootstrap.intervals([two_tasks()])
    for key, interval in found.items():
        assert interval.method == "jackknife" and drawn[key].method == "bootstrap"
        width = drawn[key].high - drawn[key].low
        assert interval.high - interval.low == pytest.approx(width, rel=0.35), key
