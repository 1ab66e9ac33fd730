"""A training that goes on where it was cut off, to the same bits: all of its state in one file, every so often."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np

from polycera.callbacks import callback_state
from polycera.callbacks.guard import Guard
from polycera.callbacks.interrupts import InterruptRequest
from polycera.callbacks.watched_metrics import needs_tasks
from polycera.data.batches import Batches
from polycera.errors import InputError, PolyceraError, shorten
from polycera.layers import backend
from polycera.model import variables
from polycera.model.hooks import FitHook
from polycera.model.nonfinite import not_finite
from polycera.runs.checkpoints import Checkpoints
from polycera.runs.save_interval import SaveInterval
from polycera.storage import atomic, lock
from polycera.storage.arrays import StoredArrays

GROUPS = ("model", "optimizer", "metrics")


class Checkpoint(FitHook):
    """Saves the whole state of a training every so often, and begins where the last one was cut off.

    After `kill -9`, a power failure or Ctrl-C the same script, run again, goes on: in the middle of
    an epoch, with the same order of rows, the same dropout, the state of every callback and the
    history. On one machine and backend the result is the same to the bit as if nothing had
    happened. Each checkpoint is one file, written aside and renamed; the one before is kept, and
    used where the newest is damaged. Ctrl-C, SIGTERM and SIGHUP make a checkpoint first. When the
    training ends, its checkpoints are removed.

    Rows given as arrays are shuffled as a function of seed and epoch, in another order than Keras
    would. Of a source of batches of your own only whole epochs are resumed, and its order is its
    own affair.

    Args:
        folder: of the checkpoints; for this training alone.
        every: how often: `"5 minutes"`, `"200 batches"`, `"1 epoch"`.
        delete_checkpoint: whether they are removed when the training ends.

    Raises:
        InputError: at the beginning of training: for checkpoints of another model, or made with
            other rows or another batch size; for a model that is not a `pc.Model`.
        PolyceraError: where another process trains into the folder, or the disk does not take a
            checkpoint.

    Examples:
        >>> import polycera as pc
        >>> watch = pc.callbacks.Checkpoint("runs/mine", every="5 minutes")
    """

    def __init__(
        self, folder: str | Path, *, every: str = "1 minute", delete_checkpoint: bool = True
    ) -> None:
        super().__init__()
        self.folder, self.every, self.delete_checkpoint = (
            Path(folder),
            SaveInterval.of(every),
            delete_checkpoint,
        )
        self.go_on = "run the same script again"
        self.run: str | None = None  # the identity of the run, where the folder is in one
        self.around: InterruptRequest | None = (
            None  # of whoever holds the folder and listens already
        )
        self._kept = Checkpoints(self.folder)
        self._forget()

    def _forget(self) -> None:
        self._found: StoredArrays | None = None
        self._batches: Batches | None = None
        self._others: list[Any] = []
        self._asked = InterruptRequest() if self.around is None else self.around
        self._epoch = self._first = self._done = 0
        self._since = {"second": time.monotonic(), "batch": 0.0, "epoch": 0.0}
        self._measured: dict[str, np.ndarray] | None = None
        self._drawn: dict[str, Any] | None = None

    # -- before and after `fit` ----------------------------------------------------------------------------------

    @contextmanager
    def around_fit(
        self, model: Any, source: Any, callbacks: Any, **params: Any
    ) -> Iterator[tuple[Any, int | None]]:
        """Everything around one `fit`: lock, checkpoint, signals.

        Args:
            model: that is trained.
            source: batches, ours or the user's.
            callbacks: all of them, this one included.
            **params: what Keras tells callbacks: verbose, epochs.

        Yields:
            what `fit` takes as callbacks, and as its first epoch.
        """
        self._forget()
        self._batches = source if isinstance(source, Batches) else None
        locked = lock.held(self.folder) if self.around is None else nullcontext()
        with self._folder(), locked, self._asked.listening(), self._asked.noting():
            atomic.sweep(self.folder)
            self._found = self._kept.newest()
            self._others = _all(callbacks, self, params["verbose"] != 0)
            steps = self._batches.steps if self._batches else None
            # restoring comes after what the others do at the beginning, saving after what they do
            # at the end
            listed = keras.callbacks.CallbackList(
                [*self._others, self], add_history=True, model=model, steps=steps, **params
            )
            yield listed, self._begin(params["epochs"])
            if self._asked:
                self._leave()
            if self.delete_checkpoint:
                self.clear()

    def clear(self) -> None:
        """Take the checkpoints away, and their folder where nothing else is in it."""
        self._kept.clear()

    @contextmanager
    def _folder(self) -> Iterator[None]:
        """Made for the training, and taken away where nothing stays in it."""
        try:
            yield
        finally:
            atomic.remove(self.folder)

    def _begin(self, epochs: int) -> int:
        """The epoch to begin with; the seed of the rows is that of the checkpoint."""
        if self._found is None:
            return 0
        notes, rows = self._found.notes, self._batches
        if self.run is not None and notes.get("run", self.run) != self.run:
            raise InputError(
                f"The checkpoints in {shorten(self.folder)!r} belong to another run: remove the folder to begin anew."
            )
        if notes["rows"] != (rows.digest if rows else None):
            raise InputError(
                f"The checkpoints in {shorten(self.folder)!r} were made with other rows, another order of them or "
                "another batch size: give what was given then, or remove the folder to begin anew."
            )
        if rows is not None:
            rows.seed = notes["seed"]
        self._epoch = notes["epoch"]
        return epochs if notes["finished"] else int(notes["epoch"])

    # -- what Keras calls ----------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        """Put everything back, after all other callbacks have begun anew."""
        needs_tasks(
            self.model,
            "pc.callbacks.Checkpoint",
            "keras.callbacks.BackupAndRestore saves any Keras model at the end of an epoch.",
        )
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        if self._found is not None:
            self.restore()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Go to this epoch; in the one that goes on, put back what its beginning has changed."""
        middle = (
            self._found.notes["batch"] if self._found is not None and epoch == self._epoch else 0
        )
        self._epoch, self._first, self._measured, self._drawn = epoch, middle, None, None
        self._done = middle
        if self._batches is not None:
            self._batches.at(epoch, min(middle, self._batches.steps - 1))
            # only validation is left: Keras insists on a batch, which is taken back
            if middle == self._batches.steps:
                self.model._before_logs = self.restore
        if middle:
            self.restore()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Between two batches: save if it is time."""
        if batch == 0 and self._first:  # to begin an epoch draws numbers, on PyTorch
            backend.set_random_state(self._found.notes["random"])  # type: ignore[union-attr]
        self._since["batch"] += self._first + batch - self._done
        self._done = self._first + batch
        if self._batches is None:
            if self._asked:
                self._leave()
        # before the first batch others have begun the epoch, and would begin it again: the next
        # will do
        elif self._done and (self._asked or self._is_time("batch", "second")):
            self._save(self._epoch, self._done)

    def on_test_begin(self, logs: Any = None) -> None:
        """Keep what training measured: validation resets it, and may be interrupted."""
        if self._batches is not None:
            self._measured, self._drawn = self._read("metrics"), backend.random_state()
            self._since["batch"] += self._batches.steps - self._done
            self._done = self._batches.steps

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Leave in the middle of validation if asked to."""
        if self._asked and self._measured is not None:
            self._save(self._epoch, self._done)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save if it is time."""
        self._found = None
        if self._batches is not None and self._measured is None:
            self._since["batch"] += self._batches.steps - self._done
        self._measured = self._drawn = None
        self._since["epoch"] += 1
        last = self.model.stop_training or epoch + 1 >= self.params["epochs"]
        if self._asked or self._is_time("batch", "second", "epoch"):
            self._save(epoch + 1, 0)
        elif last and not self.delete_checkpoint:  # what follows the training goes on from here
            self._save(epoch + 1, 0, needed=False)

    def _is_time(self, *units: str) -> bool:
        passed = self._since[self.every.unit]
        passed = time.monotonic() - passed if self.every.unit == "second" else passed
        return self.every.unit in units and passed >= self.every.number

    # -- the state -----------------------------------------------------------------------------------------------

    def _save(self, epoch: int, batch: int, needed: bool = True) -> None:
        guards = [other for other in self._others if isinstance(other, Guard)]
        for guard in guards:
            guard.look()  # at the weights too
        variables.settle(self.model)
        if not guards and (bad := not_finite(self.model)):
            warnings.warn(
                f"No checkpoint was saved: {shorten(bad)!r} holds NaN or infinite numbers.",
                stacklevel=2,
            )
            return self._leave() if self._asked else None
        values = {
            f"{group}/{name}": value
            for group in GROUPS
            for name, value in self._read(group).items()
        }
        rows = self._batches
        notes = {
            "rows": rows.digest if rows else None,
            "seed": rows.seed if rows else None,
            "finished": batch == 0 and (self.model.stop_training or epoch >= self.params["epochs"]),
            "random": self._drawn or backend.random_state(),
            "callbacks": callback_state.read(self._others),
        }
        notes |= {"run": self.run} if self.run is not None else {}
        try:
            self._kept.save(epoch, batch, values, notes)
        except PolyceraError:
            if needed:
                raise
            return  # a full disk may still have room for the run, which needs a third of it
        self._since = {"second": time.monotonic(), "batch": 0.0, "epoch": 0.0}
        if self._asked:
            self._leave()

    def _read(self, group: str) -> dict[str, np.ndarray]:
        if group == "metrics" and self._measured is not None:
            return self._measured
        return variables.read(self._of(group))

    def _of(self, group: str) -> list[Any]:
        if group == "model":
            return variables.everything(self.model)
        return list(
            self.model.optimizer.variables if group == "optimizer" else self.model.metrics_variables
        )

    def restore(self) -> None:
        """Put back all that the checkpoint holds.

        Raises:
            InputError: where the model or its optimizer is another; nothing is changed then.
        """
        stored = self._found
        assert stored is not None
        parts: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        shapes: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        for name, shape in stored.shapes.items():
            group, _, rest = name.partition("/")
            if group not in parts:
                raise InputError(
                    f"The checkpoint {shorten(stored.path)!r} holds {shorten(name)!r}: remove it."
                )
            parts[group][rest], shapes[group][rest] = name, shape
        for group in GROUPS:
            variables.check(self._of(group), shapes[group], f"The checkpoint {str(stored.path)!r}")
        for group in GROUPS:
            values = {rest: stored.arrays[name] for rest, name in parts[group].items()}
            variables.write(self._of(group), values, f"The checkpoint {str(stored.path)!r}")
        # a copy: they go on to change what they are given, and it may be put back once more
        callback_state.write(self._others, copy.deepcopy(stored.notes["callbacks"]))
        backend.set_random_state(stored.notes["random"])

    def _leave(self) -> NoReturn:
        """End the training as the signal asked, saying how to go on."""
        last = f"checkpoint: {self._kept.all()[-1]}" if self._kept.all() else "no checkpoint yet"
        message = f"Interrupted in epoch {self._epoch + 1} ({last}); to go on, {self.go_on}."
        raise self._asked.end(message)


def _all(callbacks: Any, but: Checkpoint, bar: bool) -> list[Any]:
    """The callbacks of a `fit` with those that Keras adds."""
    found = [callback for callback in keras.tree.flatten(callbacks) if callback is not but]
    added = (keras.callbacks.History, keras.callbacks.ProgbarLogger)[: 2 if bar else 1]
    return found + [
        kind() for kind in added if not any(isinstance(callback, kind) for callback in found)
    ]
