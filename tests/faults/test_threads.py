"""Test one model in many threads: answers as from one, or one sentence; and a late fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from fresh import python

import polycera as pc
from polycera.errors import InTraining
from polycera.model import variables
from polycera.model.variable_access import VariableAccess
from polycera.tabular.in_memory import FittedNetwork

X = np.random.default_rng(0).normal(size=(96, 4)).astype("float32")
Y = {"churn": X[:, 0] > 0, "spend": 40 * X[:, 1]}


@pytest.fixture(scope="module")
def model() -> pc.Model:
    x = keras.Input((4,))
    h = keras.layers.Dense(8, activation="relu")(x)
    model = pc.Model(x, pc.layers.Heads([pc.Binary("churn"), pc.Regression("spend")])(h))
    model.compile("adam")
    model.fit(X, Y, verbose=0)
    return model


def at_once(call: Callable[[], Any], threads: int = 8, times: int = 3) -> list[Any]:
    """What several threads get that begin at one moment."""
    gate = threading.Barrier(threads)

    def work(_: int) -> list[Any]:
        gate.wait(60)
        return [call() for _ in range(times)]

    with ThreadPoolExecutor(threads) as pool:
        return [found for own in pool.map(work, range(threads)) for found in own]


def everything(model: pc.Model) -> dict[str, Any]:
    return {
        "predict": model.predict(X, verbose=0),
        "loud": model.predict(X, verbose=2),
        "labels": model.predict_labels(X, verbose=0),
        "evaluate": model.evaluate(X, Y, verbose=0),
        "measure": model.measure(X, Y)["spend"]["rmse"].value,
    }


def test_threads_get_what_one_thread_gets(
    model: pc.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    """On JAX, a second thread leaves a Keras model without weights; stock Keras still does that."""
    alone = everything(model)
    for found in at_once(lambda: everything(model), times=2):
        keras.tree.map_structure(np.testing.assert_array_equal, found, alone)
    keras.tree.map_structure(np.testing.assert_array_equal, everything(model), alone)


def test_raw_outputs_are_those_of_keras(model: pc.Model) -> None:
    """Bit for bit, of whole batches and of a part of one; float64 is taken as Keras takes it."""
    for x in (X, X[:33].astype("float64")):
        stock = keras.Model.predict(model, x, batch_size=32, verbose=0)
        np.testing.assert_array_equal(model.raw_outputs(x, batch_size=32, verbose=0), stock)


def test_a_prediction_sees_new_weights(model: pc.Model) -> None:
    before = model.get_weights()
    first = model.predict(X, verbose=0)["spend"]
    model.set_weights([0.5 * weight for weight in before])
    assert not np.array_equal(model.predict(X, verbose=0)["spend"], first)
    model.set_weights(before)
    np.testing.assert_array_equal(model.predict(X, verbose=0)["spend"], first)


def test_while_one_thread_trains_the_others_are_refused(model: pc.Model) -> None:
    """And what they do in between changes nothing in the training."""
    refused: list[str] = []

    class Meanwhile(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            def work() -> None:
                for use in (model.predict, model.evaluate, model.fit):
                    try:
                        use(X, *((Y,) if use != model.predict else ()), verbose=0)
                    except InTraining as error:
                        refused.append(str(error))

            thread = threading.Thread(target=work)
            thread.start()
            thread.join(60)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            # the same thread may
            assert np.isfinite(self.model.predict(X, verbose=0)["spend"]).all()

    model.fit(X, Y, verbose=0, callbacks=[Meanwhile()])
    assert len(refused) == 9
    assert set(refused) == {refused[0]}
    assert "is being trained in another thread" in refused[0]
    assert np.isfinite(at_once(lambda: model.predict(X, verbose=0)["spend"])).all()


def test_a_training_waits_until_threads_have_their_answers() -> None:
    access, order = VariableAccess(), []
    inside, go_on = threading.Event(), threading.Event()

    def read() -> None:
        with access.shared():
            inside.set()
            go_on.wait(60)
            with access.shared():  # though somebody waits to train
                order.append("read")

    def train() -> None:
        with access.alone(training=True), access.alone(), access.shared():
            order.append("train")

    threads = [threading.Thread(target=work) for work in (read, train)]
    threads[0].start()
    assert inside.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert order == ["read", "train"]


def test_threads_share_a_run_and_an_estimator(tmp_path: Path) -> None:
    """From the first call on, when the network is not built yet."""
    table = {"a": X[:, 0], "b": X[:, 2], **Y}
    network = {"width": 8, "depth": 1, "members": 1, "folds": 1, "bins": 0, "landmarks": 0}
    options: dict[str, Any] = {"training": {"max_steps": 5}, "network": network}
    made = pc.fit(table, ["churn", "spend"], out=tmp_path / "run", progress=False, **options)
    answers, scores = made.predict(table), made.evaluate(table)
    run = pc.load(tmp_path / "run")
    for found in at_once(lambda: run.predict(table), times=1):
        keras.tree.map_structure(np.testing.assert_array_equal, found, answers)
    assert all(found == scores for found in at_once(lambda: run.evaluate(table), times=1))
    # what an estimator keeps, as if it came from a file
    weights = variables.read(variables.weights(run.model))
    learned = FittedNetwork(
        run.spec, list(run.model.tasks.values()), run.encoder, {}, {}, None, weights
    )
    read = run.read(table)
    for found in at_once(lambda: (learned.predict(read)["spend"], learned.skill(read)), times=1):
        np.testing.assert_array_equal(found[0][:, 0], answers["spend"])
        assert found[1] == learned.skill(read)


FORKS = """
import os, sys, numpy as np, keras, polycera as pc
before = os.fork()  # nothing was computed yet: this child may
x = keras.Input((4,))
model = pc.Model(x, pc.layers.Heads([pc.Regression("y")])(x))
model.compile("adam")
X = np.zeros((8, 4), "float32")
print(len(model.predict(X, verbose=0)["y"]), flush=True)
if not before:
    os._exit(0)
os.waitpid(before, 0)
for use in (
    lambda: model.predict(X, verbose=0),
    lambda: model.fit(X, X[:, 0], verbose=0),
    lambda: pc.Model(x, x),
):
    if not os.fork():
        try:
            use()
        except pc.PolyceraError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
@pytest.mark.nobackend
def test_a_process_forked_too_late_says_so() -> None:
    """It would wait for ever for threads that only its parent has."""
    said = python(FORKS, KERAS_BACKEND="jax").splitlines()
    assert said[:2] == ["8", "8"]
    assert len(said) == 5
    assert set(said[2:]) == {said[2]}
    assert said[2].startswith("This process was forked from one that had used jax already")
