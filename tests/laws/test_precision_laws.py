"""Test half precision: a table network's hidden layers use it, what is before and after not."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from keras import ops

import polycera as pc
from polycera.layers.trunk import CLIP, EMBEDDING
from polycera.runs import Network, Training
from polycera.tabular import recipe


@pytest.fixture(autouse=True)
def _policy() -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def test_far_values_stay_far_narrow_bins_apart_and_raw_outputs_whole() -> None:
    network = Network(width=4, depth=1, members=2, bins=2, numbers=1, landmarks=3)
    model = recipe.build(2, [pc.Regression("a"), pc.Regression("b")], network, Training(), 0)
    x = np.array([[5000.0, 1.0], [1.0001, 0.0], [1.0002, 0.0]], "float32")
    clipped = ops.convert_to_numpy(model.get_layer(CLIP)(x))
    assert clipped[0, 0] == pytest.approx(4.0, rel=1e-4)  # 5000² is infinite in half precision
    bins = model.get_layer(EMBEDDING)
    bins.edges.assign([[1.0, 1.00015]])
    bins.widths.assign([[0.00015, 0.00015]])
    bins.kernel.assign(np.ones(bins.kernel.shape))
    said = ops.convert_to_numpy(bins(x))
    assert said[0, 2, -1] > said[0, 1, -1] + 0.5  # both are 1.0 in half precision
    assert model.get_layer("hidden_0").compute_dtype == "float16"
    for training in (False, True):
        raw = model(x, training=training)
        assert keras.backend.standardize_dtype(raw.dtype) == "float32"
        assert np.isfinite(ops.convert_to_numpy(raw)).all()
