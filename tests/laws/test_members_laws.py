"""Test members side by side: their mean answers, and each learns by itself.

A member does not learn from its held-out rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from small import from_numpy, raw_of

import polycera as pc
from polycera.data import Batches
from polycera.errors import InputError
from polycera.layers.trunk import Shape, trunk
from polycera.model import ensemble
from polycera.model.targets import encode, pack
from polycera.runs import Network, Training
from polycera.tabular import folds, recipe

ROWS, FEATURES, MEMBERS = 12, 3, 4


def tasks() -> list[Any]:
    """A unit, several units, and a task of half the weight."""
    return [
        pc.Binary("sold"),
        pc.Multiclass("colour", classes=3),
        pc.Regression("price", weight=0.5),
    ]


def table(rows: int = ROWS) -> tuple[Any, dict[str, Any]]:
    x = np.random.default_rng(0).normal(size=(rows, FEATURES)).astype("float32")
    return x, {
        "sold": x[:, 0] > 0,
        "colour": x.argmax(axis=1),
        "price": np.where(x[:, 2] > 1, np.nan, 9 * x[:, 1]),
    }


def network(members: int = MEMBERS, optimizer: Any = None, **heads: Any) -> pc.Model:
    """Members of one small layer, as in a table, with the same first weights on every backend."""
    inputs, _, hidden = trunk(Shape(FEATURES, 0, 5, 1, members, 0, 0.0), seed=1)
    model = pc.Model(inputs, pc.layers.Heads(tasks(), members=members, **heads)(hidden))
    model.compile(optimizer or keras.optimizers.SGD(0.1))
    from_numpy(model)
    return model


def of_member(model: pc.Model) -> list[Any]:
    """Its own trainable weights, [members, ...] each."""
    return [ops.convert_to_numpy(variable) for variable in model.trainable_variables]


def step(model: pc.Model, held: Any = None, **labels: Any) -> float:
    """One step on all rows; its loss."""
    x, y = table()
    y = {**y, **labels}
    if not model.fitted:
        model.adapt(table()[1])
    packed = folds.with_mask(pack(model.layout, encode(model.layout, y), model.units), held)
    return float(
        model.fit(Batches(x, packed, batch_size=ROWS, seed=None), verbose=0).history["loss"][0]
    )


# -- shapes and answers ----------------------------------------------------------------------------


def test_their_mean_answers_and_each_answers_in_training() -> None:
    model, (x, _) = network(), table()
    heads, hidden = model.heads[0], keras.Model(model.input, model.heads[0].input)(x)
    each = np.asarray(ops.convert_to_numpy(heads.each(hidden)))
    assert each.shape == (ROWS, MEMBERS, 5)
    np.testing.assert_allclose(raw_of(model, x), each.mean(axis=1), atol=1e-6)
    training = ops.convert_to_numpy(heads(hidden, training=True))
    assert training.shape == (ROWS * MEMBERS, 5)
    # all members of the first row come first
    np.testing.assert_allclose(training, each.reshape(-1, 5), atol=1e-6)
    assert model.output_shape == (None, 5)
    assert model.predict(x, verbose=0)["colour"].shape == (ROWS, 3)


def test_a_member_is_a_network_of_its_own() -> None:
    """Each says what a stack of Dense layers with its weights says."""
    model, (x, _) = network(), table()
    said = ops.convert_to_numpy(ensemble.Members(model)(x))
    kernel, bias, out, offset = of_member(model)
    for member in range(MEMBERS):
        clipped = x / np.sqrt(1 + (x / 4) ** 2)
        hidden = np.maximum(clipped @ kernel[:, member] + bias[member], 0)
        np.testing.assert_allclose(
            said[:, member], hidden @ out[member] + offset[member], atol=1e-5
        )


@pytest.mark.nobackend
def test_one_member_is_no_members() -> None:
    """The same weights, the same steps: the same losses and answers."""
    one, (x, y) = network(1), table()
    inputs, _, hidden = trunk(Shape(FEATURES, 0, 5, 1, 1, 0, 0.0), seed=1)
    none = pc.Model(inputs, pc.layers.Heads(tasks())(keras.layers.Flatten()(hidden)))
    none.compile(keras.optimizers.SGD(0.1))
    for theirs, ours in zip(none.trainable_variables, one.trainable_variables, strict=True):
        theirs.assign(np.reshape(ops.convert_to_numpy(ours), theirs.shape))
    losses = [
        model.fit(x, y, epochs=3, batch_size=5, shuffle=False, verbose=0).history["loss"]
        for model in (one, none)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    np.testing.assert_allclose(raw_of(one, x), raw_of(none, x), atol=1e-5)


def test_a_saved_model_says_the_same_bits(tmp_path: Path) -> None:
    model, (x, y) = network(), table()
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.heads[0].members == MEMBERS
    np.testing.assert_array_equal(raw_of(again, x), raw_of(model, x))


def test_the_whole_network_of_a_table_is_saved_to_the_same_bits(tmp_path: Path) -> None:
    """With bins, landmarks and the blend behind the heads, whatever is in them."""
    own = Network(width=6, members=3, folds=1, bins=4, numbers=2, landmarks=5)
    model, (x, _) = recipe.build(FEATURES, tasks(), own, Training(), seed=0), table()
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if "float" in str(variable.dtype):
            variable.assign(np.abs(rng.normal(size=tuple(variable.shape))).astype("float32"))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
    np.testing.assert_array_equal(raw_of(again, x), raw_of(model, x))


@pytest.mark.nobackend
@pytest.mark.parametrize(
    ("members", "shape", "sentence"),
    [
        (
            None,
            (4, 8),
            r"Heads takes features of shape \[n, features\], got \[None, 4, 8\]: put a pooling",
        ),
        (
            3,
            (4, 8),
            (
                r"Heads\(members=3\) takes features of shape \[n, 3, features\], got \[None, 4, "
                r"8\]: one row"
            ),
        ),
        (
            3,
            (8,),
            (
                r"Heads\(members=3\) takes features of shape \[n, 3, features\], got \[None, 8\]: "
                r"one row"
            ),
        ),
    ],
)
def test_other_shapes_are_refused(members: int | None, shape: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        pc.layers.Heads(tasks(), members=members)(keras.Input(shape))


@pytest.mark.nobackend
def test_heads_of_one_model_have_as_many_members() -> None:
    x = keras.Input((4, 8))
    one = pc.layers.Heads([pc.Binary("sold")], members=4)(x)
    other = pc.layers.Heads([pc.Regression("price")])(keras.layers.Flatten()(x))
    with pytest.raises(InputError, match=r"the same number of members, got \[1, 4\]"):
        pc.Model(x, [one, other])


@pytest.mark.nobackend
@pytest.mark.parametrize("initializer", ["glorot_uniform", "he_normal"])
def test_first_heads_are_as_large_as_those_of_one_network(initializer: str) -> None:
    """Keras would treat members as positions of a convolution, with weights smaller by a root."""
    heads = pc.layers.Heads(
        [pc.Regression(f"t{i}") for i in range(30)],
        members=16,
        kernel_initializer=initializer,
        use_bias=False,
    )
    heads.build((None, 16, 200))
    plain = keras.layers.Dense(30, kernel_initializer=initializer)
    plain.build((None, 200))
    ours, theirs = (np.std(ops.convert_to_numpy(layer.kernel)) for layer in (heads, plain))
    assert ours == pytest.approx(theirs, rel=0.05)


# -- a step ----------------------------------------------------------------------------------------


def test_the_loss_of_a_step_is_the_mean_of_the_members_losses() -> None:
    model, (x, y) = network(optimizer=keras.optimizers.SGD(0.0)), table()
    model.adapt(y)
    packed = pack(model.layout, encode(model.layout, y), model.units)
    each = ops.convert_to_numpy(ensemble.Members(model)(x))
    losses = []
    for member in range(MEMBERS):
        measured = model.objective(
            ops.convert_to_tensor(packed),
            ops.convert_to_tensor(each[:, member]),
            None,
            model.scaling.constants(),
        )
        losses.append(float(model.objective.loss(model.objective.means(measured))))
    assert np.std(losses) > 0.01
    assert step(model) == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_loss_without_held_out_rows_is_that_of_each_member_on_its_own() -> None:
    """With rows held out: each term's mean over all pairs of a row and a member that learns it."""
    held = folds.drawn(ROWS, 2, MEMBERS, None, seed=0)
    model, (x, y) = network(optimizer=keras.optimizers.SGD(0.0)), table()
    model.adapt(y)
    packed = pack(model.layout, encode(model.layout, y), model.units)
    each = ops.convert_to_numpy(ensemble.Members(model)(x))
    pairs = [
        (row, member) for row in range(ROWS) for member in range(MEMBERS) if not held[row, member]
    ]
    targets = np.stack([packed[row] for row, _ in pairs])
    raw = np.stack([each[row, member] for row, member in pairs])
    measured = model.objective(
        ops.convert_to_tensor(targets), ops.convert_to_tensor(raw), None, model.scaling.constants()
    )
    expected = float(model.objective.loss(model.objective.means(measured)))
    assert step(model, held) == pytest.approx(expected, rel=1e-5)


def test_a_sample_weight_holds_for_all_members() -> None:
    x, y = table()
    few, first = np.array([1.0] * 5 + [0.0] * (ROWS - 5), "float32"), network()
    first.adapt(y)
    first.fit(x, y, sample_weight=few, batch_size=ROWS, shuffle=False, verbose=0)
    second = network()
    second.adapt(y)
    second.fit(
        x[:5], {name: own[:5] for name, own in y.items()}, batch_size=5, shuffle=False, verbose=0
    )
    for one, other in zip(of_member(first), of_member(second), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_row_that_is_held_out_from_a_member_moves_nothing_in_it() -> None:
    """Its label changes: weights of that member are the same to the bit, all others change."""
    held = np.zeros((ROWS, MEMBERS), bool)
    held[4, 2] = True
    y = table()[1]
    price = y["price"].copy()
    assert not np.isnan(price[4])
    price[4] += 100.0
    one, other = network(), network()
    step(one, held)
    step(other, held, price=price, sold=np.where(np.arange(ROWS) == 4, ~y["sold"], y["sold"]))
    for before, after in zip(of_member(one), of_member(other), strict=True):
        axis = 1 if before.shape[0] == FEATURES else 0  # the first layer has the columns first
        before, after = np.moveaxis(before, axis, 0), np.moveaxis(after, axis, 0)
        np.testing.assert_array_equal(before[2], after[2])
        for member in (0, 1, 3):
            assert not np.array_equal(before[member], after[member])


def test_members_do_not_touch_each_other() -> None:
    """All rows held out from one: it stays where it was, to the bit, and the others move."""
    held = np.zeros((ROWS, MEMBERS), bool)
    held[:, 1] = True
    model = network()
    start = of_member(model)
    step(model, held)
    for before, after in zip(start, of_member(model), strict=True):
        axis = 1 if before.shape[0] == FEATURES else 0
        before, after = np.moveaxis(before, axis, 0), np.moveaxis(after, axis, 0)
        np.testing.assert_array_equal(before[1], after[1])
        assert not np.array_equal(before[0], after[0])


def test_a_member_alone_takes_the_steps_of_a_network_alone() -> None:
    """But for the factor: the loss is a mean over members, so each has the part of its rows."""
    x, y = table()
    together, alone = network(), network(1, keras.optimizers.SGD(0.1 / MEMBERS))
    for theirs, ours in zip(alone.trainable_variables, of_member(together), strict=True):
        axis = 1 if ours.shape[0] == FEATURES else 0
        theirs.assign(np.take(ours, [3], axis=axis))
    for model in (together, alone):
        model.adapt(y)
        model.fit(x, y, epochs=3, batch_size=ROWS, shuffle=False, verbose=0)
    said = ops.convert_to_numpy(ensemble.Members(together)(x))[:, 3]
    np.testing.assert_allclose(said, raw_of(alone, x), atol=1e-4)


# -- balancing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["upgrad"])
def test_balanced_members_share_their_heads(method: str) -> None:
    """One kernel for all, as its Gramian is of all rows of all members; training says so."""
    model, (x, y) = network(balancing=method), table()
    assert tuple(model.heads[0].kernel.shape) == (5, 5)
    history = model.fit(x, y, epochs=15, batch_size=ROWS, shuffle=False, verbose=0).history["loss"]
    assert np.isfinite(history).all() and history[-1] < history[0]
    gramian, weights = model.heads[0].balanced()
    assert gramian.shape == (3, 3) and (np.diag(gramian) > 0).all() and np.isfinite(weights).all()
    assert model.predict(x, verbose=0)["colour"].shape == (ROWS, 3)


def test_the_mean_of_balanced_members_is_no_balancing() -> None:
    """Beside members with own heads that begin alike: the trunk is equal, shared heads differ.

    Shared heads move with the steps of all members.
    """
    x, y = table()
    shared, own = network(balancing="mean"), network()
    trunk_of = [model.get_layer("hidden_0") for model in (shared, own)]
    trunk_of[1].set_weights(trunk_of[0].get_weights())
    start = [ops.convert_to_numpy(v) for v in (shared.heads[0].kernel, shared.heads[0].bias)]
    for variable, value in zip((own.heads[0].kernel, own.heads[0].bias), start, strict=True):
        variable.assign(np.stack([value] * MEMBERS))
    for model in (shared, own):
        model.fit(x, y, batch_size=ROWS, shuffle=False, verbose=0)
    for one, other in zip(*(layer.get_weights() for layer in trunk_of), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for value, one, each in zip(
        start,
        (shared.heads[0].kernel, shared.heads[0].bias),
        (own.heads[0].kernel, own.heads[0].bias),
        strict=True,
    ):
        moved = ops.convert_to_numpy(one) - value
        assert np.abs(moved).max() > 1e-3
        np.testing.assert_allclose(
            moved, (ops.convert_to_numpy(each) - value).sum(axis=0), atol=1e-6
        )


# -- folds -----------------------------------------------------------------------------------------


@pytest.mark.nobackend
@given(
    rows=st.integers(5, 60),
    folds_=st.integers(2, 5),
    each=st.integers(1, 3),
    seed=st.integers(0, 9),
    grouped=st.booleans(),
)
def test_every_row_is_held_out_from_as_many_members(
    rows: int, folds_: int, each: int, seed: int, grouped: bool
) -> None:
    groups = np.random.default_rng(seed).integers(0, 7, rows) if grouped else None
    held = folds.drawn(rows, folds_, folds_ * each, groups, seed)
    assert held.shape == (rows, folds_ * each) and held.dtype == bool
    assert (held.sum(axis=1) == each).all()
    np.testing.assert_array_equal(held, folds.drawn(rows, folds_, folds_ * each, groups, seed))
    if groups is None:
        sizes = held.sum(axis=0)
        assert np.ptp(sizes) <= 1  # folds are as large as each other
    else:
        for group in np.unique(groups):
            assert (held[groups == group] == held[groups == group][0]).all()


@pytest.mark.nobackend
def test_groups_may_be_words_and_are_spread_over_folds() -> None:
    groups = np.array([f"customer {i // 3}" for i in range(60)])
    held = folds.drawn(60, 5, 5, groups, seed=0)
    np.testing.assert_array_equal(held.sum(axis=0), 12)
    assert not np.array_equal(held, folds.drawn(60, 5, 5, groups, seed=1))


@pytest.mark.nobackend
def test_targets_of_a_step_by_member() -> None:
    y = np.array([[1.0, 2.0], [3.0, np.nan]], "float32")
    held = np.array([[False, True, False], [True, False, False]])
    found = ops.convert_to_numpy(
        ensemble.by_member(ops.convert_to_tensor(folds.with_mask(y, held)), 3, 2)
    )
    nan = np.nan
    expected = [[1, 2], [nan, nan], [1, 2], [nan, nan], [3, nan], [3, nan]]
    np.testing.assert_array_equal(found, np.array(expected, "float32"))
    plain = ops.convert_to_numpy(
        ensemble.by_member(ops.convert_to_tensor(folds.with_mask(y, None)), 3, 2)
    )
    np.testing.assert_array_equal(plain, np.repeat(y, 3, axis=0))
