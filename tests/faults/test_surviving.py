"""Test that an interrupted training continues to the same bits: weights, optimizer, history.

The same holds for what callbacks remember.

Most cuts are exceptions within this process, after which a new model is trained into the same
folder. `kill -9` and SIGTERM are done to real processes: this file, run as a script, forks one
after the other and ends it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from fresh import environment

import polycera as pc
from polycera.errors import InputError, Interrupted, Terminated
from polycera.layers import backend as generators
from polycera.model import variables

# six batches an epoch, the last one shorter; three of validation
ROWS, HELD, BATCH, EPOCHS = (44, 20, 8, 8)


class Counting(keras.callbacks.Callback):
    """A user's own callback, with a state of its own making."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = {"batches": 0}

    def get_state(self) -> dict[str, Any]:
        return {"seen": dict(self.seen)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen["batches"] += 1


class Power(Exception):
    """It went out."""


class Cut(keras.callbacks.Callback):
    """Ends the training at one place: by an exception, or as a signal asks."""

    def __init__(self, epoch: int, batch: int, *, test: bool = False, by: int = 0) -> None:
        super().__init__()
        self.place, self.test, self.by, self.epoch = (epoch, batch), test, int(by), -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch
        self._here(-1, False)

    def _here(self, batch: int, test: bool) -> None:
        if (self.epoch, batch) == self.place and test == self.test:
            if not self.by:
                raise Power
            os.kill(os.getpid(), self.by)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._here(batch, False)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._here(batch, True)


def network(kind: str, width: int = 8) -> pc.Model:
    """Dropout, a balancing and a weighting with state; on "rich", two inputs by name."""
    tasks = [pc.Regression("price"), pc.Binary("churn")]
    sides = {"a": keras.Input((2,), name="a"), "b": keras.Input((3,), name="b")}
    inputs = sides if kind == "rich" else keras.Input((5,))
    h = keras.layers.Concatenate()(list(sides.values())) if kind == "rich" else inputs
    h = keras.layers.Dropout(0.3)(keras.layers.Dense(width, activation="relu", name="trunk")(h))
    model = pc.Model(
        inputs,
        pc.layers.Heads(
            tasks, balancing="gradvac", weighting={"name": "dwa", "window": 4}, name="heads"
        )(h),
    )
    model.compile(keras.optimizers.Adam(0.02), steps_per_execution=3 if kind == "three" else 1)
    return model


def table(kind: str, rows: int = ROWS + HELD) -> tuple[Any, dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 5)).astype("float32")
    y = {
        "price": 10 * x[:, 0] + rng.normal(size=rows),
        "churn": x[:, 1] + rng.normal(size=rows) > 0,
    }
    return {"a": x[:, :2], "b": x[:, 2:]} if kind == "rich" else x, y, rng.uniform(0, 2, rows)


def train(
    folder: Path,
    kind: str = "plain",
    extra: Any = (),
    *,
    every: str = "2 batches",
    width: int = 8,
    shift: float = 0.0,
    batch: int = BATCH,
    delete: bool = True,
) -> dict[str, Any]:
    """Run what a user's script does, for the first time or again, and return the result.

    Args:
        folder: of the checkpoints.
        kind: "plain"; "rich": inputs by name, weights of rows, no validation; "three": steps per
            execution.
        extra: more callbacks.
        every, delete: of the checkpoint.
        width, shift, batch: another model, other rows, another batch size.
    """
    random.seed(0)
    generators.seed(0)
    model, (x, y, weights) = network(kind, width), table(kind)
    first, last = (
        keras.tree.map_structure(lambda part, rows=rows: part[rows], (x, y))
        for rows in (slice(ROWS), slice(ROWS, None))
    )
    first[1]["price"] = first[1]["price"] + shift
    monitor = "loss" if kind == "rich" else "val_loss"
    stopping = keras.callbacks.EarlyStopping(
        monitor, patience=1, restore_best_weights=True, min_delta=0.06
    )
    slower = keras.callbacks.ReduceLROnPlateau(monitor, 0.5, 1, min_delta=0.5)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)
    counting, point = (
        Counting(),
        pc.callbacks.Checkpoint(folder, every=every, delete_checkpoint=delete),
    )
    options: dict[str, Any] = {"validation_data": last, "validation_batch_size": BATCH}
    if kind == "rich":
        options = {"sample_weight": weights[:ROWS]}
    callbacks = [counting, stopping, slower, schedule, *extra, point]
    history = model.fit(
        *first, batch_size=batch, epochs=EPOCHS, verbose=0, callbacks=callbacks, **options
    )
    return {
        "model": _digests(variables.everything(model)),
        "optimizer": _digests(model.optimizer.variables),
        "history": {
            name: [float(value).hex() for value in values]
            for name, values in history.history.items()
        },
        "epochs": history.epoch,
        "counting": counting.seen,
        "stopping": [
            stopping.wait,
            stopping.best_epoch,
            stopping.stopped_epoch,
            float(stopping.best).hex(),
        ],
        "slower": [slower.wait, slower.cooldown_counter, float(slower.best).hex()],
    }


def _digests(values: Any) -> list[str]:
    return [
        hashlib.sha256(array.tobytes()).hexdigest() for array in variables.read(values).values()
    ]


@cache
def uninterrupted(kind: str = "plain") -> dict[str, Any]:
    """What comes of a training that nothing happens to."""
    with tempfile.TemporaryDirectory() as folder:
        return train(Path(folder) / "points", kind)


# -- as a script: real processes, really ended -----------------------------------------------------


class Slow(keras.callbacks.Callback):
    """Leaves time to be ended in."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        time.sleep(0.02)


def forked(work: Callable[[], None], log: Path) -> int:
    """A worker process, started before this one computes: used backends do not survive a fork."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        work()
        code = 0
    except SystemExit as ended:
        print(ended, file=sys.stderr)
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def until(seen: Callable[[], bool], pid: int) -> None:
    end = time.monotonic() + 100
    while not seen():
        if time.monotonic() > end or os.waitpid(pid, os.WNOHANG)[0]:
            raise RuntimeError("ended before anything was done to it")
        time.sleep(0.001)


def ended(pid: int, number: int) -> int:
    os.kill(pid, number)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def script(folder: Path, kills: str) -> None:
    """Kill one training as often as it says, or terminate it, and then let it finish.

    Args:
        folder: for the checkpoints, the log and the results.
        kills: names of what is done to the training, one after the other: "epoch", a kill between
            saves; "save", a kill in a save; "terminate", SIGTERM.
    """
    points, log, codes = folder / "points", folder / "log", []

    def work(slow_saves: bool = False) -> None:
        fsync = os.fsync
        if slow_saves:
            os.fsync = lambda descriptor: (time.sleep(0.2), fsync(descriptor))[1]  # type: ignore[assignment]
        (folder / "result.json").write_text(json.dumps(train(points, "plain", [Slow()])))

    def whole() -> list[str]:
        return sorted(path.name for path in points.glob("[0-9]*")) if points.is_dir() else []

    for kill in kills.split():
        before = whole()[-1:]
        pid = forked(lambda inside=kill == "save": work(inside), log)
        until(lambda before=before: whole()[-1:] > before, pid)
        if kill == "save":
            until(lambda: any(name.startswith(".") for name in os.listdir(points)), pid)
        code = ended(pid, signal.SIGTERM if kill == "terminate" else signal.SIGKILL)
        codes.append([code, any(name.startswith(".") for name in os.listdir(points))])
        assert whole()
    codes.append([os.waitstatus_to_exitcode(os.waitpid(forked(work, log), 0)[1]), points.exists()])
    print(json.dumps(codes))


@pytest.mark.parametrize(
    "kills", ["save", pytest.param("epoch save terminate", marks=pytest.mark.nobackend)]
)
def test_killed_and_terminated(kills: str, tmp_path: Path) -> None:
    """Each backend's process is killed in a save; once, also in an epoch, and by SIGTERM."""
    command = [sys.executable, __file__, str(tmp_path), kills]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=200)
    log = (tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""
    assert done.returncode == 0, done.stderr[-3000:] + log[-3000:]
    *cuts, (resumed, left) = json.loads(done.stdout)
    for kill, (code, half_a_save) in zip(kills.split(), cuts, strict=True):
        assert code == (143 if kill == "terminate" else -signal.SIGKILL), log[-3000:]
        if kill != "epoch":  # SIGTERM leaves nothing half written, and what the kill left is swept
            assert half_a_save == (kill == "save")
    assert ("to resume, run the same script again." in log) == ("terminate" in kills)
    assert (resumed, left) == (0, False), log[-3000:]
    expected = uninterrupted()
    assert expected["history"]
    assert json.loads((tmp_path / "result.json").read_text()) == expected


# -- within this process ---------------------------------------------------------------------------

CUTS: dict[str, tuple[str, dict[str, Any], Cut, type[BaseException]]] = {
    "in the middle of an epoch": ("plain", {}, Cut(1, 4), Power),
    "in the first epoch": ("plain", {}, Cut(0, 3), Power),
    "at the end of an epoch": ("plain", {"every": "1 epoch"}, Cut(2, 2), Power),
    "Ctrl-C between batches": (
        "plain",
        {"every": "1 hour"},
        Cut(1, 2, by=signal.SIGINT),
        Interrupted,
    ),
    "SIGTERM at the last batch": (
        "plain",
        {"every": "1 hour"},
        Cut(1, 5, by=signal.SIGTERM),
        Terminated,
    ),
    "Ctrl-C before the first batch": (
        "plain",
        {"every": "1 hour"},
        Cut(1, -1, by=signal.SIGINT),
        Interrupted,
    ),
    "Ctrl-C during validation": (
        "plain",
        {"every": "1 hour"},
        Cut(1, 0, test=True, by=signal.SIGINT),
        Interrupted,
    ),
    "SIGTERM at the end of validation": (
        "plain",
        {"every": "1 hour"},
        Cut(1, 2, test=True, by=signal.SIGTERM),
        Terminated,
    ),
    "steps per execution": ("three", {"every": "3 batches"}, Cut(1, 5), Power),
    "inputs by name, weights of rows, no validation": ("rich", {}, Cut(1, 4), Power),
}


# Where in a training it is cut, and by what, is the business of callbacks, which know no backend.
# Random numbers, moments, and several steps in one call are a backend's.
EVERYWHERE = {"in the middle of an epoch", "steps per execution"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in EVERYWHERE else pytest.mark.nobackend) for n in CUTS],
)
def test_cut_off(name: str, tmp_path: Path, backend: str) -> None:
    kind, options, cut, kind_of_end = CUTS[name]
    if kind == "three" and backend == "torch":
        pytest.skip("Keras has no steps_per_execution on PyTorch")
    with pytest.raises(kind_of_end) as ended:
        train(tmp_path / "points", kind, [cut], **options)
    left = sorted(path.name for path in (tmp_path / "points").iterdir())
    assert left
    assert all(path.endswith(".safetensors") for path in left)
    if kind_of_end is not Power:
        assert (
            f"checkpoint: {tmp_path / 'points' / left[-1]}); to resume, run the same script again."
            in str(ended.value)
        )
        assert ended.value.code == {Interrupted: 130, Terminated: 143}[kind_of_end]  # type: ignore[attr-defined]
    assert train(tmp_path / "points", kind, **options) == uninterrupted(kind)
    assert not (tmp_path / "points").exists()


def test_the_training_here_is_worth_cutting_off() -> None:
    """It stops before its last epoch; its learning rate falls by more than the schedule's tenth."""
    expected = uninterrupted()
    rates = [float.fromhex(value) for value in expected["history"]["learning_rate"]]
    assert len(rates) < EPOCHS
    assert expected["stopping"][2] > 0
    assert min(b / a for a, b in pairwise(rates)) < 0.6
    assert expected["counting"]["batches"] == 6 * len(rates)


@pytest.mark.nobackend
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    with pytest.raises(Power):
        train(tmp_path, "plain", [Cut(1, 4)])
    newest = sorted(tmp_path.iterdir())[-1]
    spoilt = bytearray(newest.read_bytes())
    spoilt[len(spoilt) // 2] ^= 4
    newest.write_bytes(spoilt)
    with pytest.warns(
        UserWarning, match=f"{newest.name}.* damaged.* The checkpoint before it is used"
    ):
        assert train(tmp_path, "plain") == uninterrupted()


@pytest.mark.nobackend
@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"shift": 0.01}, r"were saved with other rows"),
        ({"batch": 9}, r"or another batch size: pass the same ones"),
        (
            {"width": 9},
            (
                r"holds '.*kernel' \[5, 8\] where this model has '.*' \[5, 9\]: build the model "
                r"as it was"
            ),
        ),
    ],
    ids=["rows", "batch size", "model"],
)
def test_another_training_is_refused(other: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Power):
        train(tmp_path, "plain", [Cut(0, 3)])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=sentence):
        train(tmp_path, "plain", **other)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.nobackend
def test_a_training_that_has_ended_is_not_trained_again(tmp_path: Path) -> None:
    """It was stopped before its last epoch, and its checkpoint kept."""
    assert train(tmp_path, every="1 epoch", delete=False) == uninterrupted()
    counted = Cut(0, 0)
    assert train(tmp_path, "plain", [counted], every="1 epoch", delete=False) == uninterrupted()
    assert counted.epoch == -1


@pytest.mark.nobackend
def test_callbacks_that_cannot_be_saved_or_were_not_there(tmp_path: Path) -> None:
    class Strange(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.thing = object()

    with (
        pytest.raises(Power),
        pytest.warns(
            UserWarning,
            match=r"Strange keeps in 'thing' is not saved .*give it get_state\(\) and set_state",
        ),
    ):
        train(tmp_path, "plain", [Strange(), Cut(0, 3)])
    with pytest.warns(
        UserWarning, match="The callback Slow was not part of the training that is resumed"
    ):
        train(tmp_path, "plain", [Slow()])


if __name__ == "__main__":
    script(Path(sys.argv[1]), sys.argv[2])
