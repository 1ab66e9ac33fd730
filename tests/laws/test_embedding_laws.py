"""What a table's numbers pass through: a bound, and bins that fill up one after the other."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from small import once

from polycera.layers.embedding import FAR, PiecewiseLinear, SmoothClip, bins_of, size_of

COLUMNS = {
    "normal": np.random.default_rng(0).normal(size=200),
    "ties": np.repeat([0.0, 0.0, 0.0, 1.0, 2.0], 40),
    "zero or one": (np.arange(200) % 3 == 0).astype(float),
    "constant": np.full(200, 3.0),
    "heavy": np.random.default_rng(1).standard_cauchy(200),
}


def clipped(x: Any) -> Any:
    return np.asarray(ops.convert_to_numpy(SmoothClip()(np.asarray(x, "float32"))), "float64")


def filled(column: Any, at: Any, bins: int = 8) -> Any:
    """Bin memberships of a column at some values, [n, bins]: the layer's kernel passes them on."""
    layer = PiecewiseLinear(1, bins)
    layer.size = bins
    layer.build((None, 1))
    layer.fit_to(np.asarray(column, "float32")[:, None])
    layer.kernel.assign(np.eye(bins)[None, None])
    found = np.asarray(ops.convert_to_numpy(layer(np.asarray(at, "float32")[:, None])))
    assert found.shape == (len(at), 1, 1 + bins)
    # the number itself stays beside it
    np.testing.assert_array_equal(found[:, 0, 0], np.asarray(at, "float32"))
    return found[:, 0, 1:]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20))
def test_a_clipped_number_is_bounded_and_keeps_its_place(values: list[float]) -> None:
    ordered = np.sort(np.asarray(values, "float32"))
    found = clipped(ordered[:, None])[:, 0]
    assert (np.abs(found) <= FAR + 1e-5).all()
    assert (np.diff(found) >= -1e-6).all()
    np.testing.assert_allclose(clipped(-ordered[:, None])[:, 0], -found, atol=1e-6)


@pytest.mark.nobackend
def test_a_number_near_the_mean_stays_what_it_is() -> None:
    x = np.linspace(-0.3, 0.3, 7)[:, None]
    np.testing.assert_allclose(clipped(x), x, rtol=0.003)
    assert clipped([[1e4]])[0, 0] == pytest.approx(4.0, abs=1e-5)
    assert clipped([[4.0]])[0, 0] == pytest.approx(4.0 / 2**0.5, rel=1e-6)


@pytest.mark.parametrize(
    "name", [n if i == 0 else pytest.param(n, marks=once) for i, n in enumerate(COLUMNS)]
)
def test_bins_fill_up_in_order(name: str) -> None:
    """Each is between 0 and 1, grows with the number, and is full before the next begins."""
    column = COLUMNS[name]
    grid = np.linspace(np.quantile(column, 0.02) - 1, np.quantile(column, 0.98) + 1, 101)
    found = filled(column, grid)
    assert np.isfinite(found).all()
    assert (found >= 0).all() and (found <= 1).all()
    assert (np.diff(found, axis=0) >= -1e-6).all()
    used = found[:, found.max(axis=0) > 0]
    assert (used[:, :-1][used[:, 1:] > 1e-3] > 1 - 1e-5).all()


@pytest.mark.nobackend
@pytest.mark.parametrize("name", COLUMNS)
def test_below_all_rows_bins_are_empty_and_above_them_full(name: str) -> None:
    column = COLUMNS[name]
    empty, full = filled(column, [column.min() - 1, column.max() + 1])
    there = bins_of(np.asarray(column, "float32")[:, None], 8)[1][0] > 0
    assert (empty == 0).all()
    np.testing.assert_array_equal(full, there)


@pytest.mark.nobackend
@pytest.mark.parametrize(
    ("name", "wide"), [("normal", 8), ("ties", 2), ("zero or one", 1), ("constant", 0)]
)
def test_values_that_many_rows_share_end_one_bin(name: str, wide: int) -> None:
    edges, widths = bins_of(COLUMNS[name][:, None], 8)
    assert edges.shape == widths.shape == (1, 8)
    assert (widths >= 0).all() and np.isfinite(edges).all()
    assert (widths > 0).sum() == wide
    if wide:
        assert widths.sum() == pytest.approx(np.ptp(COLUMNS[name]), rel=1e-5)


@pytest.mark.nobackend
def test_bins_of_a_column_hold_as_many_rows() -> None:
    edges, widths = bins_of(COLUMNS["normal"][:, None], 8)
    inside = (COLUMNS["normal"][:, None] >= edges[0]) & (
        COLUMNS["normal"][:, None] < edges[0] + widths[0]
    )
    assert np.ptp(inside.sum(axis=0)) <= 2


def test_each_member_has_an_embedding_of_its_own_and_other_columns_pass() -> None:
    x = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    layer = PiecewiseLinear(2, 4, members=3)
    layer.build((None, 5))
    layer.fit_to(x)
    found = ops.convert_to_numpy(layer(x))
    assert found.shape == (40, 3, 5 + 2 * size_of(2)) == layer.compute_output_shape((40, 5))
    for member in range(3):
        np.testing.assert_array_equal(found[:, member, :5], x)
    assert not np.allclose(found[:, 0, 5:], found[:, 1, 5:])
    moved = x.copy()
    moved[:, 2:] += 1.0  # columns without bins change no embedding
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(moved))[..., 5:], found[..., 5:])
    trained = {variable.name for variable in layer.trainable_variables}
    assert trained == {"kernel", "bias"}  # bins are taken from rows, not learned


@pytest.mark.nobackend
def test_both_layers_come_back_from_their_configs() -> None:
    for layer in (SmoothClip(name="a"), PiecewiseLinear(2, 4, members=3, seed=7, name="b")):
        again = keras.layers.deserialize(keras.layers.serialize(layer))
        assert again.get_config() == layer.get_config()
    assert {"columns": 2, "bins": 4, "members": 3, "seed": 7}.items() <= again.get_config().items()
