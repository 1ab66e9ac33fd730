"""Test that nothing non-finite reaches a weight: its step changes nothing, and is named."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import polycera as pc
from polycera.errors import PolyceraError, UnknownName
from polycera.layers.backend import with_backward
from polycera.model.guarded_optimizer import GuardedOptimizer

ROWS, BATCH, BAD = 160, 16, 57
EPOCH = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
STEPS = ROWS // BATCH


class Root(keras.layers.Layer):
    """The identity, but for a derivative that is NaN where the last feature is large."""

    def call(self, hidden: Any, x: Any) -> Any:
        near = ops.cast(ops.abs(x[:, -1:]) < 100.0, "float32")
        return hidden + 1e-6 * ops.sqrt(ops.abs(hidden * near))


@keras.saving.register_keras_serializable(package="guarded")
def steep(true: Any, said: Any) -> Any:
    """Finite, with a NaN derivative for large labels; explicit, as XLA simplifies some away."""

    def forward(true: Any, said: Any) -> Any:
        return ops.square(ops.where(ops.abs(true) < 100.0, said - true, 0.0))

    def backward(inputs: Any, cotangent: Any) -> Any:
        true, said = inputs
        return None, cotangent * ops.where(ops.abs(true) < 100.0, 2.0 * (said - true), np.nan)

    return ops.mean(with_backward(forward, backward)(true, said), axis=-1)


def network(loss: Any = "mse", root: bool = False, optimizer: Any = None, **heads: Any) -> pc.Model:
    keras.utils.set_random_seed(1)
    x = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="tanh", name="trunk")(x)
    if root:
        hidden = Root(name="root")(hidden, x)
    tasks = [pc.Binary("sold"), pc.Regression("price", loss=loss, standardize=False)]
    model = pc.Model(x, pc.layers.Heads(tasks, **heads)(hidden))
    model.compile(optimizer or keras.optimizers.Adam(0.01))
    model.adapt(data("nowhere")[1])  # a trivial predictor of bad labels would be bad in every batch
    return model


def data(where: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Rows with one bad row: in its label, in the derivative of its loss, or of a layer."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 4)).astype("float32")
    y = {"sold": x[:, 0] > 0, "price": x[:, 1].copy()}
    if where == "layer":
        x[BAD, -1] = 1000.0
    elif where != "nowhere":
        y["price"][BAD] = 1e30 if where == "loss" else 1000.0
    return x, y


CASES = {
    "loss": (network, r"a loss is NaN or infinite: 'price/mse'"),
    "derivative": (
        lambda **rest: network([(steep, 1.0)], **rest),
        r"the gradient of a loss .*: 'price/steep'\.",
    ),
    "layer": (lambda **rest: network(root=True, **rest), r"arises in the layers below the heads"),
}


@pytest.mark.parametrize("where", CASES)
def test_the_step_is_named_and_the_weights_are_those_before_it(where: str) -> None:
    build, said = CASES[where]
    x, y = data(where)
    model, before = build(weighting="dwa"), build(weighting="dwa")
    whole = BAD // BATCH  # batches before the bad one
    with pytest.raises(PolyceraError, match=rf"epoch 1 at batch {whole + 1}: .*{said}"):
        model.fit(x, y, epochs=3, callbacks=[pc.callbacks.Guard()], **EPOCH)
    rows = slice(whole * BATCH)
    before.fit(x[rows], {name: labels[rows] for name, labels in y.items()}, **EPOCH)
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == whole
    for one, other in zip(model.trainable_variables, before.trainable_variables, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (one, other)))


@pytest.mark.parametrize("where", CASES)
def test_a_step_that_is_skipped_changes_nothing(where: str) -> None:
    """As if the batch had not been there: no momentum moves, no method remembers it."""
    build, _ = CASES[where]
    x, y = data(where)
    model, without = build(balancing="mean"), build(balancing="mean")
    with pytest.warns(UserWarning, match="steps .*were skipped"):
        history = model.fit(x, y, callbacks=[pc.callbacks.Guard("skip")], **EPOCH).history
    assert history["skipped_steps"] == [1.0]
    rows = np.delete(np.arange(ROWS), slice(BAD // BATCH * BATCH, (BAD // BATCH + 1) * BATCH))
    without.fit(x[rows], {name: labels[rows] for name, labels in y.items()}, **EPOCH)
    pairs = zip(
        [*model.trainable_variables, *model.optimizer.variables],
        [*without.trainable_variables, *without.optimizer.variables],
        strict=True,
    )
    for one, other in pairs:
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (one, other)), rtol=1e-6, atol=1e-7)


def test_nothing_happens_where_all_is_finite() -> None:
    x, y = data("nowhere")
    guarded, plain = network(balancing="mean"), network(balancing="mean")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        one = guarded.fit(
            x, y, epochs=2, validation_split=0.25, callbacks=[pc.callbacks.Guard()], **EPOCH
        ).history
    two = plain.fit(x, y, epochs=2, validation_split=0.25, **EPOCH).history
    assert one.keys() == two.keys() and "val_loss" in one
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-6, err_msg=name)


def test_the_next_fit_without_it_is_as_before() -> None:
    x, y = data("layer")
    model = network(root=True)
    model.fit(
        x[:48],
        {name: labels[:48] for name, labels in y.items()},
        callbacks=[pc.callbacks.Guard()],
        **EPOCH,
    )
    model.fit(x, y, **EPOCH)
    assert not all(np.isfinite(weight).all() for weight in model.get_weights())


class Halving(keras.callbacks.Callback):
    """Sets the learning rate, as stock callbacks do, and notes what optimizer it sees."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        optimizer.learning_rate = float(ops.convert_to_numpy(optimizer.learning_rate)) / 2
        self.inside = getattr(optimizer, "inner_optimizer", None)
        self.updates = int(ops.convert_to_numpy(optimizer.iterations))


OPTIMIZERS: dict[str, Any] = {
    "adam": lambda: keras.optimizers.AdamW(0.01, global_clipnorm=1.0),
    "averages": lambda: keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True),
    "accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "scaled": lambda: keras.optimizers.Adam(0.01, loss_scale_factor=8.0),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_optimizer_inside_does_what_it_does_alone(kind: str) -> None:
    """Its learning rate is set by callbacks; its averages become the weights at the end."""
    x, y = data("nowhere")
    trained = []
    for guards in ([pc.callbacks.Guard()], []):
        model, halving = network(optimizer=OPTIMIZERS[kind]()), Halving()
        optimizer = model.optimizer
        model.fit(x, y, epochs=3, callbacks=[*guards, halving], **EPOCH)
        assert model.optimizer is optimizer
        assert halving.inside is (optimizer if guards else None)
        values = [*model.get_weights(), *map(ops.convert_to_numpy, optimizer.variables)]
        trained.append((values, halving.updates))
    (guarded, guarded_updates), (alone, updates) = trained
    assert guarded_updates == updates > 0
    for one, other in zip(guarded, alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_what_is_saved_in_a_guarded_fit_is_saved_as_without(tmp_path: Path) -> None:
    x, y = data("nowhere")
    sizes = []
    for guards in ([pc.callbacks.Guard()], []):
        model, path = network(), tmp_path / f"{len(guards)}.keras"
        model.fit(x, y, callbacks=[*guards, keras.callbacks.ModelCheckpoint(path)], **EPOCH)
        sizes.append(path.stat().st_size)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            loaded = keras.saving.load_model(path)
        assert isinstance(loaded.optimizer, keras.optimizers.Adam)
        assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
        for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
            np.testing.assert_array_equal(*map(ops.convert_to_numpy, (one, other)))
    assert abs(sizes[0] - sizes[1]) < 200  # the state is in the file once


def test_a_guarded_optimizer_is_written_as_any_other() -> None:
    guarded = GuardedOptimizer(keras.optimizers.SGD(0.25), stops=False)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(guarded))
    assert isinstance(again, GuardedOptimizer) and not again.stops
    assert isinstance(again.inner_optimizer, keras.optimizers.SGD)
    assert float(ops.convert_to_numpy(again.learning_rate)) == 0.25


def test_the_step_of_a_guarded_fit_is_compiled_once() -> None:
    x, y = data("nowhere")
    model, steps = network(), []
    plain = model.make_train_function

    def counted(force: bool = False) -> Any:
        made_before = model.train_function
        plain(force)
        steps.append(model.train_function is not made_before)

    model.make_train_function = counted
    for guards in ([pc.callbacks.Guard()], [], [pc.callbacks.Guard()], []):
        model.fit(x, y, callbacks=guards, **EPOCH)
    assert steps == [True, True, False, False]


def test_weights_that_overflow_are_named() -> None:
    x, y = data("nowhere")
    model = network(optimizer=keras.optimizers.SGD(1e38))
    with pytest.raises(PolyceraError, match=r"NaN or infinite"):
        model.fit(x, y, epochs=3, callbacks=[pc.callbacks.Guard()], **EPOCH)


@pytest.mark.parametrize("how", ["steps_per_execution", "accumulation", "float16"])
def test_however_the_step_is_made(how: str) -> None:
    x, y = data("loss")
    if how == "float16":
        keras.config.set_dtype_policy("mixed_float16")
    try:
        if how == "steps_per_execution" and keras.backend.backend() == "torch":
            pytest.skip("Keras has no steps_per_execution on PyTorch")
        steps = 2 if how == "accumulation" else None
        model = network(optimizer=keras.optimizers.Adam(0.01, gradient_accumulation_steps=steps))
        if how == "steps_per_execution":
            model.compile(keras.optimizers.Adam(0.01), steps_per_execution=2)
        with pytest.raises(
            PolyceraError, match=r"epoch 1 at batch 4: a loss is NaN or infinite: 'price/mse'"
        ):
            model.fit(x, y, epochs=2, callbacks=[pc.callbacks.Guard()], **EPOCH)
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_nothing_that_is_not_finite_is_saved(tmp_path: Path) -> None:
    """Without a guard too: a layer's NaN reached the weights; the checkpoint before it stays."""
    x, y = data("layer")
    model = network(root=True)
    saving = pc.callbacks.Checkpoint(tmp_path, every="1 batch", delete_checkpoint=False)
    with pytest.warns(UserWarning, match="No checkpoint was saved: '.*' holds NaN"):
        model.fit(x, y, callbacks=[saving], **EPOCH)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        f"000000-{n:08d}.safetensors" for n in (2, 3)
    ]


def test_a_checkpoint_is_not_made_of_what_a_guard_stopped(tmp_path: Path) -> None:
    x, y = data("loss")
    watch = [pc.callbacks.Guard(), pc.callbacks.Checkpoint(tmp_path, every="1 batch")]
    with pytest.raises(PolyceraError, match="at batch 4"):
        network().fit(x, y, callbacks=watch, **EPOCH)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        f"000000-{n:08d}.safetensors" for n in (2, 3)
    ]


def test_policies_are_known() -> None:
    with pytest.raises(UnknownName, match="did you mean 'skip'"):
        pc.callbacks.Guard("skipp")  # type: ignore[arg-type]
