"""Test closed-form landmarks against leave-one-out loops, scikit-learn and manual formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression

import polycera as pc
from polycera.layers.kernel_layer import Landmarks, distances, spread
from polycera.tabular import kernel_ridge
from polycera.tabular.kernel_ridge import Kernel
from polycera.tabular.left_out import Blocks

pytestmark = pytest.mark.nobackend

ROWS = 30
GAUSSIAN = Kernel(0.4, 1.0)
TWO = np.arange(2)
"""Two columns, each a task."""


def rows(count: int = ROWS, features: int = 3) -> tuple[Any, Any]:
    """Features, and two standardised targets."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, features))
    y = np.stack([np.sin(2 * x[:, 0]) + 0.3 * rng.normal(size=count), x[:, 1] * x[:, 2]], axis=1)
    return x, (y - y.mean(axis=0)) / y.std(axis=0)


def one_penalty(monkeypatch: pytest.MonkeyPatch, penalty: float) -> None:
    monkeypatch.setattr(kernel_ridge, "PENALTIES", np.array([penalty]))


def solved(x: Any, y: Any, landmarks: Any, own: Kernel = GAUSSIAN) -> kernel_ridge.RidgeSolution:
    return kernel_ridge.solve(
        own, distances(x, x[landmarks], np), landmarks, y, np.arange(y.shape[1])
    )


def by_hand(x: Any, y: Any, marks: Any, penalty: float) -> Any:
    """Coefficients a [m, columns] that make |y - K a|^2 + penalty a'K a least."""
    features, among = GAUSSIAN(x, marks), GAUSSIAN(marks, marks)
    return np.linalg.lstsq(features.T @ features + penalty * among, features.T @ y, rcond=1e-14)[0]


# -- ridge regression ------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [0.01, 0.3, 10.0])
@pytest.mark.parametrize("count", [ROWS, 12])
def test_what_is_left_out_is_what_a_loop_finds(
    count: int, penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave out each row, solve anew and predict it: with all rows as landmarks, and with twelve.

    Landmarks are places. Where a row that is one is taken out, its place stays and its label goes.
    """
    one_penalty(monkeypatch, penalty)
    x, y = rows()
    landmarks = (
        np.arange(ROWS)
        if count == ROWS
        else np.sort(np.random.default_rng(1).permutation(ROWS)[:count])
    )
    found = solved(x, y, landmarks)
    for i in range(ROWS):
        others = np.delete(np.arange(ROWS), i)
        told = GAUSSIAN(x[i : i + 1], x[landmarks]) @ by_hand(
            x[others], y[others], x[landmarks], penalty
        )
        np.testing.assert_allclose(found.left_out[i], told[0], atol=1e-4)
    np.testing.assert_allclose(found.error, ((y - found.left_out) ** 2).mean(axis=0), rtol=1e-9)


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_coefficients_are_those_of_scikit_learn(
    penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_penalty(monkeypatch, penalty)
    x, y = rows()
    peer = KernelRidge(alpha=penalty, kernel="precomputed").fit(GAUSSIAN(x, x), y)
    np.testing.assert_allclose(
        solved(x, y, np.arange(ROWS)).coefficients, peer.dual_coef_, rtol=1e-6, atol=1e-8
    )


def test_each_task_has_the_penalty_with_which_its_rows_are_missed_least() -> None:
    """A target that is all noise is held down; one without any is not."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    y = np.stack([rng.normal(size=80), np.sin(x[:, 0])], axis=1)
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    found = solved(x, y, np.arange(80))
    errors = []
    for penalty in kernel_ridge.PENALTIES:
        with pytest.MonkeyPatch.context() as patch:
            one_penalty(patch, penalty)
            errors.append(solved(x, y, np.arange(80)).error)
    np.testing.assert_allclose(found.error, np.min(errors, axis=0), rtol=1e-9)
    noise, wave = np.argmin(errors, axis=0)
    assert kernel_ridge.PENALTIES[noise] > 10 * kernel_ridge.PENALTIES[wave]


def test_units_of_one_task_have_one_penalty() -> None:
    x, y = rows()
    apart = distances(x, x, np)
    both = kernel_ridge.solve(GAUSSIAN, apart, np.arange(ROWS), y, np.array([0, 0]))
    errors = []
    for penalty in kernel_ridge.PENALTIES:
        with pytest.MonkeyPatch.context() as patch:
            one_penalty(patch, penalty)
            errors.append(
                kernel_ridge.solve(GAUSSIAN, apart, np.arange(ROWS), y, np.array([0, 0])).error
            )
    np.testing.assert_allclose(both.error, errors[int(np.mean(errors, axis=1).argmin())], rtol=1e-9)


def beside_known_rows(penalty: float, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
    """Miss a sixth of the labels; return the distance to ridge regression on the labelled rows.

    Returns:
        of the fit and of known rows left out, the largest difference; of the error, the largest
        relative one.
    """
    one_penalty(monkeypatch, penalty)
    x, y = rows(60)
    known = np.random.default_rng(2).random(y.shape) > 1 / 6
    found, off = solved(x, np.where(known, y, np.nan), np.arange(60)), []
    for column in (0, 1):
        there = known[:, column]
        alone = solved(x[there], y[there][:, [column]], np.arange(there.sum()))
        told = GAUSSIAN(x, x) @ found.coefficients[:, column]
        fit = np.abs(told - GAUSSIAN(x, x[there]) @ alone.coefficients[:, 0]).max()
        left_out = np.abs(found.left_out[there, column] - alone.left_out[:, 0]).max()
        off.append((fit, left_out, abs(found.error[column] / alone.error[0] - 1)))
        # nothing to leave out where there is no label: such a row is told what all others say
        np.testing.assert_allclose(found.left_out[~there, column], told[~there], atol=0.05)
    return tuple(map(max, zip(*off, strict=True)))


@pytest.mark.parametrize("penalty", [0.3, 3.0])
def test_missing_labels_teach_nothing(penalty: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit is that of the known rows within 0.01 deviations; each round brings it nearer."""
    fit = beside_known_rows(penalty, monkeypatch)[0]
    assert fit < 0.01
    monkeypatch.setattr(kernel_ridge, "FILLS", 1)
    assert beside_known_rows(penalty, monkeypatch)[0] > 10 * fit


@pytest.mark.parametrize("penalty", [1.0, 3.0])
def test_rows_left_out_beside_missing_labels(
    penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 0.25 deviations: a row's leverage assumes as many missing labels everywhere."""
    _, left_out, error = beside_known_rows(penalty, monkeypatch)
    assert left_out < 0.25
    assert error < 0.15


@pytest.mark.parametrize("penalty", [0.1, 0.3])
def test_rows_left_out_beside_missing_labels_and_a_small_penalty(
    penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, left_out, error = beside_known_rows(penalty, monkeypatch)
    assert left_out < 0.25
    assert error < 0.15


# -- kernels ---------------------------------------------------------------------------------------


def test_a_wave_asks_for_a_narrow_kernel_and_a_line_for_a_wide_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 2))
    noise = 0.05 * rng.normal(size=150)
    one = np.zeros(1, int)

    def chosen(y: Any) -> Kernel:
        standard = ((y - y.mean()) / y.std())[:, None]
        return kernel_ridge.best(x, standard, one, np.random.default_rng(0))

    wave, line = chosen(np.sin(5 * x[:, 0]) + noise), chosen(x[:, 0] + noise)
    unit = spread(x)
    near = np.array([0.1 * unit])  # a tenth of the median distance
    assert wave.of(near)[0] < 0.9 * line.of(near)[0]
    assert line.power == 1.0
    assert line.rate * unit == pytest.approx(0.03)  # the widest that there is


def test_rates_are_in_units_of_the_median_distance() -> None:
    """Of features a thousand times as large the kernel says the same."""
    x, y = rows(100)
    one, large = (kernel_ridge.best(own, y, TWO, np.random.default_rng(0)) for own in (x, 1000 * x))
    np.testing.assert_allclose(large(1000 * x, 1000 * x), one(x, x), rtol=1e-6, atol=1e-9)


def test_distances_and_kernels_by_hand() -> None:
    a, b = np.array([[1.0, 2.0]]), np.array([[4.0, 6.0], [1.0, 2.0]])
    np.testing.assert_allclose(distances(a, b, np), [[25.0, 0.0]], atol=1e-8)
    np.testing.assert_allclose(Kernel(0.1, 0.5)(a, b), [[np.exp(-0.5), 1.0]], atol=1e-4)


# -- the layer -------------------------------------------------------------------------------------


def built(tasks: list[Any], features: int, count: int) -> tuple[Landmarks, pc.tasks.Layout]:
    layout = pc.tasks.Layout.of(tasks)
    layer = Landmarks(count, layout.units)
    layer.build((None, features))
    return layer, layout


def packed(layout: pc.tasks.Layout, **labels: Any) -> Any:
    """Targets as they are packed, [n, width], already in units of their own."""
    y = np.full((len(next(iter(labels.values()))), layout.width), np.nan, "float32")
    for name, own in labels.items():
        y[:, layout.target_columns[name]] = np.reshape(own, (len(y), -1))
    return y


@pytest.mark.parametrize("count", [50, 20])
def test_the_layer_says_what_the_formula_says(count: int) -> None:
    x, y = rows(50)
    y = 5 * y + [2.0, -3.0]
    layer, layout = built([pc.Regression("a"), pc.Regression("b")], 3, count)
    left_out = kernel_ridge.fit(layer, layout, x, packed(layout, a=y[:, 0], b=y[:, 1]))
    assert left_out is not None
    marks, coefficients, offset, rate, power = (
        np.asarray(ops.convert_to_numpy(value), "float64")
        for value in (layer.rows, layer.coefficients, layer.offset, layer.rate, layer.power)
    )
    apart = ((x.astype("float32").astype("float64")[:, None] - marks) ** 2).sum(axis=2)
    said = np.exp(-rate * apart**power) @ coefficients + offset
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x.astype("float32"))), said, atol=0.01)
    assert np.corrcoef(said[:, 0], y[:, 0])[0, 1] > 0.8  # it has learned
    seen, unseen = (((y - own) ** 2).mean(axis=0) for own in (said, left_out))
    assert (unseen > seen).all()  # a row that is left out is missed by more
    assert seen[0] < 25 and not np.allclose(said, left_out, atol=0.2)


def test_fewer_rows_than_landmarks() -> None:
    x, y = rows(10)
    layer, layout = built([pc.Regression("a")], 3, 25)
    left_out = kernel_ridge.fit(layer, layout, x, packed(layout, a=y[:, 0]))
    assert left_out is not None and np.isfinite(left_out).all()
    assert (ops.convert_to_numpy(layer.coefficients)[10:] == 0).all()
    assert np.isfinite(ops.convert_to_numpy(layer(x.astype("float32")))).all()


def test_a_kernel_that_is_given_is_kept() -> None:
    x, y = rows()
    layer, layout = built([pc.Regression("a")], 3, ROWS)
    kernel_ridge.fit(layer, layout, x, packed(layout, a=y[:, 0]), kernel=Kernel(0.7, 0.5))
    assert [
        float(ops.convert_to_numpy(value)) for value in (layer.rate, layer.power)
    ] == pytest.approx([0.7, 0.5])


def test_classes_become_probabilities() -> None:
    """Three classes on a line beside a yes or no: raw outputs of left-out rows are calibrated."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    where = x[:, 0] + 0.5 * rng.normal(size=200)
    colour, sold = np.digitize(where, [-0.7, 0.7]), (where > 0).astype(float)
    layer, layout = built([pc.Multiclass("colour", classes=3), pc.Binary("sold")], 2, 200)
    left_out = kernel_ridge.fit(layer, layout, x, packed(layout, colour=colour, sold=sold))
    assert left_out is not None
    raw = left_out[:, layout.raw_columns["colour"]]
    share = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    loss = -np.log(share[np.arange(200), colour]).mean()
    prior = np.bincount(colour) / 200
    assert loss < 0.8 * -(prior * np.log(prior)).sum()
    np.testing.assert_allclose(share.mean(axis=0), prior, atol=0.05)
    z = left_out[:, layout.raw_columns["sold"]][:, 0]
    assert np.mean((z > 0) == (sold == 1)) > 0.7
    assert abs((1 / (1 + np.exp(-z))).mean() - sold.mean()) < 0.02
    # rows that are known are told much the same
    said = ops.convert_to_numpy(layer(x.astype("float32")))
    np.testing.assert_allclose(said.mean(axis=0), left_out.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(said.std(axis=0), left_out.std(axis=0), rtol=0.2)


def test_tasks_that_are_not_served_and_targets_that_do_not_vary() -> None:
    """A count, an ordinal, a constant and a single class: no output, and others are unchanged."""
    x, y = rows()
    count = np.arange(ROWS) % 5
    tasks = [pc.Count("calls"), pc.Regression("a"), pc.Regression("flat"), pc.Binary("always")]
    layer, layout = built(tasks, 3, ROWS)
    left_out = kernel_ridge.fit(
        layer,
        layout,
        x,
        packed(layout, calls=count, a=y[:, 0], flat=np.zeros(ROWS), always=np.ones(ROWS)),
    )
    assert left_out is not None
    own = layout.raw_columns["a"]
    rest = np.setdiff1d(np.arange(layout.units), np.arange(layout.units)[own])
    assert np.isfinite(left_out[:, own]).all()
    assert np.isnan(left_out[:, rest]).all()
    said = ops.convert_to_numpy(layer(x.astype("float32")))
    assert np.isfinite(said).all()
    assert (ops.convert_to_numpy(layer.coefficients)[:, rest] == 0).all()
    alone, single = built([pc.Regression("a")], 3, ROWS)
    np.testing.assert_allclose(
        left_out[:, own], kernel_ridge.fit(alone, single, x, packed(single, a=y[:, 0])), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        (pc.Count("t"), np.arange(ROWS) % 4),
        (pc.Ordinal("t", classes=3), np.arange(ROWS) % 3),
        (pc.Regression("t"), np.zeros(ROWS)),
        (pc.Binary("t"), np.ones(ROWS)),
        (pc.Multiclass("t", classes=3), np.ones(ROWS)),
        (pc.Regression("t"), np.full(ROWS, np.nan)),
    ],
    ids=["count", "ordinal", "constant", "one class", "one of three classes", "no label"],
)
def test_where_no_task_is_served_nothing_is_set(task: Any, labels: Any) -> None:
    x, _ = rows()
    layer, layout = built([task], 3, ROWS)
    assert kernel_ridge.fit(layer, layout, x, packed(layout, t=labels)) is None
    assert (ops.convert_to_numpy(layer(x.astype("float32"))) == 0).all()


# -- from scores to raw outputs --------------------------------------------------------------------


def test_platt_is_a_logistic_regression() -> None:
    """On labels drawn in a little, as in Platt's; scikit-learn takes each row twice, weighted."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(300, 2)) * [1.0, 0.1] + [0.0, 0.05]
    labels = (rng.random((300, 2)) < 1 / (1 + np.exp(-(scores * [2.0, 15.0] - 1.0)))).astype(float)
    labels[::7, 1] = np.nan
    slope, offset = kernel_ridge.platt(scores, labels)
    for column in (0, 1):
        there = ~np.isnan(labels[:, column])
        z, y = scores[there, column][:, None], labels[there, column]
        soft = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / ((1 - y).sum() + 2))
        peer = LogisticRegression(C=1e8, tol=1e-8, max_iter=1000).fit(
            np.concatenate([z, z]),
            np.repeat([1, 0], len(z)),
            sample_weight=np.concatenate([soft, 1 - soft]),
        )
        assert slope[column] == pytest.approx(peer.coef_[0, 0], rel=1e-3)
        assert offset[column] == pytest.approx(peer.intercept_[0], rel=1e-3)


def test_platt_never_turns_scores_around_and_survives_a_perfect_split() -> None:
    """Left-out rows of pure noise suggest a little of the opposite, which must not be predicted."""
    labels = np.array([0.0, 1] * 20)[:, None]
    slope, offset = kernel_ridge.platt(1.0 - labels, labels)
    assert slope[0] == 0.0
    slope, offset = kernel_ridge.platt(2 * labels - 1, labels)
    assert 1.0 < slope[0] < 20.0 and abs(offset[0]) < 0.1


def test_classes_that_scores_divide_get_a_slope_within_reason() -> None:
    """At the largest slope tried, a class that is right in a later row would get 1e-80."""
    y = np.eye(3)[np.arange(60) % 3]
    scores = y - 1 / 3 + 0.05 * np.random.default_rng(0).normal(size=y.shape)
    layout = pc.tasks.Layout.of([pc.Multiclass("c", classes=3)])
    slope, offset = kernel_ridge.as_raw(layout, y, scores, y.mean(axis=0), np.ones(3, bool))
    raw = scores * slope + offset
    wrong = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True) * (1 - y)
    assert 1e-4 < wrong.sum(axis=1).mean() < 0.1


def test_landmarks_that_are_almost_copies_of_each_other() -> None:
    """Distances within rounding are 0, and the similarities then no inner products of anything."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(300, 3)), 4, axis=0) + rng.normal(size=(1200, 3)) * 1e-3
    y = x[:, :1] + 0.1 * rng.normal(size=(1200, 1))
    among = Kernel(0.1, 0.5)(x[:200], x[:200])
    assert np.linalg.eigvalsh(among)[0] < -1e-8 * 200
    found = solved(x, y, np.arange(200), Kernel(0.1, 0.5))
    assert 0.009 < found.error[0] < 0.02


def test_landmarks_that_say_nothing_are_not_computed() -> None:
    """The last ones, whose coefficients are 0: the answers stay, and so do they in a file."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 3)).astype("float32")
    layer = Landmarks(5, 2)
    layer.build((None, 3))
    layer.rows.assign(rng.normal(size=(5, 3)))
    layer.coefficients.assign(np.vstack([rng.normal(size=(3, 2)), np.zeros((2, 2))]))
    layer.offset.assign([1.0, 2.0])
    layer.rate.assign(0.5)
    before = ops.convert_to_numpy(layer(x))
    layer.trim()
    assert layer.used == 3 == Landmarks.from_config(layer.get_config()).used
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), before, rtol=1e-5)
    layer.rows.assign(np.vstack([ops.convert_to_numpy(layer.rows)[:3], np.full((2, 3), np.nan)]))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), before, rtol=1e-5)
    assert not ops.convert_to_numpy(layer(x, training=True)).any()
    layer.coefficients.assign(np.zeros((5, 2)))
    layer.trim()
    assert layer.used == 1


# -- groups that are left out ----------------------------------------------------------------------


def households(count: int) -> tuple[Any, Any, Any]:
    """Features, targets and the household of each row: of sizes 1, 3 and 8."""
    rng = np.random.default_rng(3)
    group = rng.permutation(np.repeat(np.arange(9), [1, 1, 3, 3, 3, 3, 8, 8, count - 30]))
    x = rng.normal(size=(9, 3))[group] + 0.2 * rng.normal(size=(count, 3))
    y = rng.normal(size=(9, 2))[group] + 0.2 * rng.normal(size=(count, 2))
    return x, (y - y.mean(axis=0)) / y.std(axis=0), group


@pytest.mark.parametrize("penalty", [0.01, 0.3, 10.0])
@pytest.mark.parametrize("count", [60, 12])
def test_a_group_that_is_left_out_is_what_a_loop_finds(
    count: int, penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave out each household, solve anew, predict it: with all rows as landmarks, or twelve."""
    one_penalty(monkeypatch, penalty)
    x, y, group = households(60)
    landmarks = np.sort(np.random.default_rng(1).permutation(60)[:count])
    found = kernel_ridge.solve(
        GAUSSIAN, distances(x, x[landmarks], np), landmarks, y, TWO, blocks=Blocks.of(group)
    )
    for one in range(9):
        out = group == one
        told = GAUSSIAN(x[out], x[landmarks]) @ by_hand(x[~out], y[~out], x[landmarks], penalty)
        np.testing.assert_allclose(found.left_out[out], told, atol=1e-4)
    np.testing.assert_allclose(found.error, ((y - found.left_out) ** 2).mean(axis=0), rtol=1e-9)
    alone = solved(x, y, landmarks)  # what is fitted to all rows is the same
    np.testing.assert_array_equal(found.coefficients, alone.coefficients)


def test_groups_of_one_row_are_rows_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    one_penalty(monkeypatch, 0.3)
    x, y = rows()
    every = np.arange(ROWS)
    found = kernel_ridge.solve(
        GAUSSIAN, distances(x, x, np), every, y, TWO, blocks=Blocks.of(every)
    )
    np.testing.assert_allclose(found.left_out, solved(x, y, every).left_out, atol=1e-9)


@pytest.mark.parametrize("count", [60, 12])
def test_beside_missing_labels_no_label_of_a_fold_reaches_its_own_predictions(count: int) -> None:
    """Other labels in one fold: predictions of its rows are the same to the bit, of others not."""
    x, y, group = households(60)
    y[np.random.default_rng(0).random(y.shape) < 0.3] = np.nan
    landmarks = np.sort(np.random.default_rng(1).permutation(60)[:count])
    blocks = Blocks.of(group)
    out = blocks.fold == blocks.fold[0]
    assert not set(group[out]) & set(group[~out])

    def left_out(labels: Any) -> Any:
        basis = kernel_ridge.Basis.of(GAUSSIAN(x, x[landmarks]), landmarks)
        return basis.penalised(np.array([0.01, 1.0]), labels, blocks).left_out

    before, after = left_out(y), left_out(np.where(out[:, None], 5.0 * y, y))
    np.testing.assert_array_equal(before[out], after[out])
    assert not np.allclose(before[~out], after[~out])
    features = GAUSSIAN(x, x[landmarks])
    known = ~np.isnan(y[:, 0]) & ~out
    told = features[out] @ by_hand(x[known], y[known, :1], x[landmarks], 1.0)
    np.testing.assert_allclose(before[out, 1, :1], told, atol=0.01)


def test_noise_of_households_is_not_predicted_from_the_household() -> None:
    """Row by row the others of a household give it away: an error of 0.1 and not of 1."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 5)
    x = rng.normal(size=(40, 4))[group] + 0.01 * rng.normal(size=(200, 4))
    layout = pc.tasks.Layout.of([pc.Regression("a"), pc.Binary("b")])
    labels = packed(layout, a=rng.normal(size=40)[group], b=(rng.random(40) < 0.5)[group])

    def r2(blocks: Any) -> float:
        found = kernel_ridge.machine(200, layout, x, labels, blocks=blocks)
        assert found is not None
        a = labels[:, layout.target_columns["a"]]
        errors = a - found.left_out[:, layout.raw_columns["a"]]
        return float(1 - np.nanmean(errors**2) / np.nanvar(a))

    assert r2(None) > 0.9
    assert r2(Blocks.of(group)) < 0.1
    labels[::7, 0] = np.nan
    assert r2(Blocks.of(group)) < 0.1
