"""Run the training that faults.py kills: it has every stateful part and its own process.

Keras is imported once, by the parent, and each trial is a fork of it: none of the backends has
started a thread of its own or computed anything by then, so that a fork is safe, and a trial costs
no import.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

ROWS, VALIDATION, FEATURES, WIDTH, BATCH, EPOCHS = 2048, 512, 64, 256, 32, 60
RESULT = "result.json"


def data():
    """Features, and mostly noisy labels: the joint score falls again long before the last epoch."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS + VALIDATION, FEATURES)).astype("float32")
    score = x @ rng.normal(size=(FEATURES, 3)) / 8 + 2 * rng.normal(size=(len(x), 3))
    y = {
        "price": 100 * score[:, 0] + 1000,
        "churn": score[:, 1] > 0,
        "colour": np.digitize(score[:, 2], [-1, 1]),
    }
    y["price"][::7] = np.nan
    return x, y


def network(width=WIDTH, **heads):
    """Dropout, Adam, a balancing that remembers and draws, a weighting that remembers."""
    import keras

    import polycera as pc

    tasks = [pc.Regression("price"), pc.Binary("churn"), pc.Multiclass("colour", classes=[0, 1, 2])]
    hidden = inputs = keras.Input((FEATURES,))
    for _ in range(2):
        hidden = keras.layers.Dropout(0.2)(keras.layers.Dense(width, activation="relu")(hidden))
    model = pc.Model(inputs, pc.layers.Heads(tasks, **heads)(hidden))
    model.compile(keras.optimizers.Adam(2e-3))
    return model


def train(folder, every):
    """What a user's script does, whether it is run for the first time or again."""
    import keras

    import polycera as pc
    from polycera.layers import backend

    random.seed(1)
    backend.seed(1)
    x, y = data()
    model = network(balancing="gradvac", weighting={"name": "dwa", "window": 20})
    held = {name: labels[ROWS:] for name, labels in y.items()}
    stopping = pc.callbacks.JointEarlyStopping(patience=4)
    history = model.fit(
        x[:ROWS],
        {name: labels[:ROWS] for name, labels in y.items()},
        validation_data=(x[ROWS:], held),
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[
            stopping,
            keras.callbacks.ReduceLROnPlateau("val_joint", 0.5, 2, mode="max"),
            pc.callbacks.ParetoCheckpoint(folder / "epochs"),
            pc.callbacks.Checkpoint(folder / "checkpoints", every=every),
        ],
    )
    write_result(folder, model, history.history, stopping.stopped_epoch)


def spoilt(folder, kind, batch, guarded):
    """A training where one row makes a task's loss, or only its gradient, NaN.

    Each file is checked at once.
    """
    import keras
    import numpy as np
    from keras import ops

    import polycera as pc
    from polycera.storage.arrays import StoredArrays

    def price(y, predicted):
        error, wrong = ops.square(y - predicted), y > 5.0
        if kind == "loss":
            return ops.where(wrong, float("nan"), error)
        # whose gradient there is infinity times 0
        return error + ops.sqrt(ops.where(wrong, 0.0 * error, 1.0))

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            for path in folder.rglob("*.safetensors"):
                for name, array in StoredArrays(path).arrays.items():
                    if array.dtype.kind == "f" and not np.isfinite(array).all():
                        print(path.name, name)
                        os._exit(3)

        on_epoch_end = on_train_batch_end

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12 * BATCH, FEATURES)), rng.normal(size=(12 * BATCH, 2))
    y[batch * BATCH + 3, 0] = 1000.0
    hidden = inputs = keras.Input((FEATURES,))
    hidden = keras.layers.Dense(32, activation="relu")(hidden)
    tasks = [pc.Regression("price", loss=price), pc.Regression("size")]
    model = pc.Model(inputs, pc.layers.Heads(tasks, balancing="gradvac")(hidden))
    model.compile("adam")
    point = pc.callbacks.Checkpoint(
        folder / "checkpoints", every="1 batch", delete_checkpoint=False
    )
    kept = [
        pc.callbacks.ParetoCheckpoint(folder / "epochs"),
        pc.callbacks.JointCheckpoint(folder / "best.safetensors"),
    ]
    targets = {"price": y[:, 0], "size": y[:, 1]}
    held = (x[:64], {name: np.clip(labels[:64], -3, 3) for name, labels in targets.items()})
    watch = [*([pc.callbacks.Guard()] if guarded else []), *kept, point, Look()]
    options = dict(batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=watch)
    try:
        model.fit(x, targets, validation_data=held, **options)
    except pc.PolyceraError as error:
        print(error)
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        os._exit(4)


def saving_times(folder, rounds):
    """Milliseconds of our saves, a bar, and of BackupAndRestore's, alternating in one training."""
    import keras

    import polycera as pc

    ours, theirs = [], []
    mine = pc.callbacks.Checkpoint(folder / "ours", every="1000000 epochs")
    stock = keras.callbacks.BackupAndRestore(folder / "theirs")

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            stock.set_model(self.model)
            both = [(ours, lambda: mine._save(epoch + 1, 0)), (theirs, stock._save_model)]
            for times, save in both if epoch % 2 else both[::-1]:
                # what one has left for the system to write is not for the other to wait for
                os.sync()
                begun = time.perf_counter()
                save()
                times.append(1000 * (time.perf_counter() - begun))

    x, y = data()
    model = network(1024)
    watch = [mine, Clock()]
    model.fit(
        x[:64],
        {name: labels[:64] for name, labels in y.items()},
        epochs=rounds + 1,
        verbose=0,
        callbacks=watch,
    )
    return " ".join(map(str, ours[1:])) + " | " + " ".join(map(str, theirs[1:]))


def write_result(folder, model, history, stopped):
    import keras

    from polycera.model import variables

    found = {
        "weights": digest(variables.read(model.variables)),
        "optimizer": digest(variables.read(model.optimizer.variables)),
        "steps": int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
        "history": {
            name: [float(value).hex() for value in values] for name, values in history.items()
        },
        "stopped": stopped,
        "epochs": {
            file.name: sha256(file.read_bytes()) for file in sorted((folder / "epochs").iterdir())
        },
    }
    aside = folder / "result.tmp"
    aside.write_text(json.dumps(found))
    aside.rename(folder / RESULT)


def digest(arrays):
    return {name: sha256(array.tobytes()) for name, array in arrays.items()}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def slow_saves(seconds=0.05):
    """Every write waits before it is brought to the disk, so that a kill falls into it."""
    fsync = os.fsync

    def slow(descriptor):
        time.sleep(seconds)
        fsync(descriptor)

    os.fsync = slow


class Process:
    """A fork of this process at work.

    Args:
        work: what it does; what it returns is not looked at.
        log: the file that takes what it says.
    """

    def __init__(self, work, log):
        self.code, self.log = None, log
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._work(work)

    def _work(self, work):
        code = 1
        try:
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            work()
            code = 0
        except SystemExit as error:
            code = error.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)

    def alive(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is None

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def kill(self):
        """True where it was still at work."""
        self.signal(signal.SIGKILL)
        return self.wait() == -signal.SIGKILL

    def wait(self, seconds=180.0):
        end = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                end += 60.0
            time.sleep(0.002)
        return self.code

    def until(self, seen, seconds=180.0):
        """Wait until something is to be seen, or the process has ended; what was seen."""
        end = time.monotonic() + seconds
        while not (found := seen()) and self.alive() and time.monotonic() < end:
            time.sleep(0.001)
        return found


def checkpoints(folder):
    """The checkpoints of a folder with the time of each, whoever may be writing there."""
    try:
        return sorted(
            (path.name, path.stat().st_mtime_ns)
            for path in folder.glob("checkpoints/[0-9]*.safetensors")
        )
    except OSError:
        return []


def temporary(folder):
    """Whether a file is half-written there, or was left so."""
    try:
        return any(name.startswith(".") for name in os.listdir(folder / "checkpoints"))
    except OSError:
        return False


def fresh(parent):
    """An empty folder; what was there is gone."""
    folder = Path(parent) / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
