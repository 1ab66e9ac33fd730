"""Dense layers of members side by side: what Keras's own layer says of each member's weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from polycera.layers.member_dense import MemberDense, RowsFirst

MEMBERS, ROWS, WIDTH, UNITS = 3, 5, 4, 2


@pytest.mark.parametrize("shared", [True, False], ids=["one input for all", "an input for each"])
def test_each_member_is_a_dense_layer(shared: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, WIDTH) if shared else (MEMBERS, ROWS, WIDTH)).astype("float32")
    layer = MemberDense(MEMBERS, UNITS)
    layer.build(x.shape)
    layer.bias.assign(rng.normal(size=(MEMBERS, UNITS)))
    found = ops.convert_to_numpy(layer(x))
    assert found.shape == (MEMBERS, ROWS, UNITS) == tuple(layer.compute_output_shape(x.shape))
    for member in range(MEMBERS):
        own = keras.layers.Dense(UNITS, activation="relu")
        own.build((None, WIDTH))
        kernel = ops.convert_to_numpy(layer.kernel)
        own.set_weights(
            [
                kernel[:, member] if shared else kernel[member],
                ops.convert_to_numpy(layer.bias)[member],
            ]
        )
        alone = ops.convert_to_numpy(own(x if shared else x[member]))
        np.testing.assert_allclose(found[member], alone, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(RowsFirst()(found)), found.transpose(1, 0, 2)
    )
    again = MemberDense.from_config(layer.get_config())
    assert (again.members, again.units) == (MEMBERS, UNITS)
