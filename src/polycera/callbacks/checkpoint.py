"""Save the whole state of a training at intervals, and resume it to the same bits."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator
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
from polycera.model import nonfinite, variables
from polycera.model.fit_hooks import FitHook
from polycera.model.guarded_optimizer import GuardedOptimizer, unguarded
from polycera.runs.checkpoints import Checkpoints
from polycera.runs.save_interval import SaveInterval
from polycera.storage import atomic, lock
from polycera.storage.arrays import StoredArrays

GROUPS = ("model", "optimizer", "metrics")
"""Groups of variables in a checkpoint; each name in the file begins with its group."""


class Checkpoint(FitHook):
    """Saves the whole state of a training at intervals, and resumes from the last checkpoint.

    After `kill -9`, a power failure or Ctrl-C, run the same script again: it continues in the
    middle of an epoch, with the same order of rows, the same dropout, the state of every callback
    and the history. On one machine and backend the result is the same to the bit as without the
    interruption. Each checkpoint is one file, which is written under a temporary name and renamed.
    The checkpoint before it stays, and is used where the newest is damaged. Ctrl-C, SIGTERM and
    SIGHUP save a checkpoint before the training ends. A training that runs to its end removes its
    checkpoints.

    Rows given as arrays are shuffled as a function of seed and epoch, so their order differs from
    that of Keras. For a batch source that the user wrote, a training resumes at the beginning of an
    epoch only, and the source decides the order of its batches.

    Args:
        folder: the folder of the checkpoints; each training needs its own.
        every: how often to save: `"5 minutes"`, `"200 batches"`, `"1 epoch"`.
        delete_checkpoint: whether to remove the checkpoints when the training ends.

    Raises:
        InputError: at the beginning of training: for checkpoints of another model, or made with
            other rows or another batch size; for a model that is not a `pc.Model`.
        PolyceraError: where another process trains into the folder, or a checkpoint cannot be
            written to the disk.

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
        self.saved: Callable[[], None] | None = None  # called after each checkpoint
        self.run: str | None = None  # the identity of the run, where the folder is part of one
        # the request of a caller that has locked the folder and listens for signals already
        self.around: InterruptRequest | None = None
        self._kept = Checkpoints(self.folder)
        self._forget()

    def _forget(self) -> None:
        """Reset everything that belongs to one `fit`."""
        self._found: StoredArrays | None = None
        self._batches: Batches | None = None
        self._others: list[Any] = []
        self._asked = InterruptRequest() if self.around is None else self.around
        self._epoch = self._first = self._done = 0
        self._validates_only = False
        self._since = {"second": time.monotonic(), "batch": 0.0, "epoch": 0.0}
        self._measured: dict[str, np.ndarray] | None = None
        self._drawn: dict[str, Any] | None = None

    # -- before and after `fit` --------------------------------------------------------------------

    @contextmanager
    def around_fit(
        self, model: Any, source: Any, callbacks: Any, **params: Any
    ) -> Iterator[tuple[Any, int | None]]:
        """Lock the folder, read the newest checkpoint and listen for signals during one `fit`.

        Args:
            model: the model to train.
            source: the batches, `Batches` or a source that the user wrote.
            callbacks: all callbacks, this one included.
            **params: what Keras passes to callbacks: verbose, epochs.

        Yields:
            what `fit` takes as `callbacks`, and as `initial_epoch`.
        """
        self._forget()
        self._batches = source if isinstance(source, Batches) else None
        locked = lock.acquired(self.folder) if self.around is None else nullcontext()
        with self._folder(), locked, self._asked.listening(), self._asked.noting():
            atomic.sweep(self.folder)
            self._found = self._kept.newest()
            self._others = _all(callbacks, self, params["verbose"] != 0)
            steps = self._batches.steps if self._batches else None
            # this callback comes last: it restores after the others have reset themselves at the
            # beginning, and saves after they have updated themselves at the end
            listed = keras.callbacks.CallbackList(
                [*self._others, self], add_history=True, model=model, steps=steps, **params
            )
            yield listed, self._begin(params["epochs"])
            if self._asked:
                self._leave()
            if self.delete_checkpoint:
                self.clear()

    def clear(self) -> None:
        """Remove the checkpoints, and their folder where nothing else is in it."""
        self._kept.clear()

    @contextmanager
    def _folder(self) -> Iterator[None]:
        """Remove the folder after the training where it is empty."""
        try:
            yield
        finally:
            atomic.remove(self.folder)

    def _begin(self, epochs: int) -> int:
        """Return the epoch to begin with, and set the seed of the rows from the checkpoint.

        Raises:
            InputError: for checkpoints of another run, or made with other rows.
        """
        if self._found is None:
            return 0
        notes, batches = self._found.notes, self._batches
        if self.run is not None and notes.get("run", self.run) != self.run:
            raise InputError(
                f"The checkpoints in {shorten(self.folder)!r} belong to another run: remove the "
                "folder to start from the beginning."
            )
        if notes["rows"] != (batches.digest if batches else None):
            raise InputError(
                f"The checkpoints in {shorten(self.folder)!r} were saved with other rows, another "
                "order of rows or another batch size: pass the same ones, or remove the folder "
                "to start from the beginning."
            )
        if batches is not None:
            batches.seed = notes["seed"]
        self._epoch = notes["epoch"]
        return epochs if notes["finished"] else int(notes["epoch"])

    # -- called by Keras ---------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        """Restore the checkpoint, after all other callbacks have reset themselves."""
        needs_tasks(
            self.model,
            "pc.callbacks.Checkpoint",
            "keras.callbacks.BackupAndRestore saves any Keras model at the end of an epoch.",
        )
        # Keras builds the optimizer in the first step; its variables are needed before that
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        if self._found is not None:
            self.restore()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Move the rows to this epoch; in a resumed epoch, restore the checkpoint again.

        Keras resets the metrics at the beginning of an epoch, so a state from the middle of one has
        to be restored after that.
        """
        first_batch = (
            self._found.notes["batch"] if self._found is not None and epoch == self._epoch else 0
        )
        self._epoch, self._first, self._measured, self._drawn = epoch, first_batch, None, None
        self._done = first_batch
        if self._batches is not None:
            self._batches.at(epoch, min(first_batch, self._batches.steps - 1))
            self._validates_only = first_batch == self._batches.steps
        if first_batch:
            self.restore()

    def before_logs(self) -> None:
        """Undo the step of an epoch of which only the validation was left.

        Keras trains on at least one batch.
        """
        if self._validates_only:
            self._validates_only = False
            self.restore()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Save between two batches if it is time."""
        # on PyTorch the beginning of an epoch draws random numbers, so their state is restored here
        if batch == 0 and self._first:
            backend.set_random_state(self._found.notes["random"])  # type: ignore[union-attr]
        self._since["batch"] += self._first + batch - self._done
        self._done = self._first + batch
        if self._batches is None:
            if self._asked:
                self._leave()
        # not before the first batch: the other callbacks have started the epoch already, and a
        # resumed training would begin it a second time
        elif self._done and (self._asked or self._is_time("batch", "second")):
            self._save(self._epoch, self._done)

    def on_test_begin(self, logs: Any = None) -> None:
        """Copy the training metrics: validation resets them, and may be interrupted."""
        if self._batches is not None:
            self._measured, self._drawn = self._read("metrics"), backend.random_state()
            self._since["batch"] += self._batches.steps - self._done
            self._done = self._batches.steps

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Save and end the training in the middle of validation after a signal."""
        if self._asked and self._measured is not None:
            self._save(self._epoch, self._done)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save at the end of an epoch if it is time."""
        self._found = None
        if self._batches is not None and self._measured is None:
            self._since["batch"] += self._batches.steps - self._done
        self._measured = self._drawn = None
        self._since["epoch"] += 1
        last = self.model.stop_training or epoch + 1 >= self.params["epochs"]
        if self._asked or self._is_time("batch", "second", "epoch"):
            self._save(epoch + 1, 0)
        # the steps after the training resume from this checkpoint
        elif last and not self.delete_checkpoint:
            self._save(epoch + 1, 0, needed=False)

    def _is_time(self, *units: str) -> bool:
        """Return whether the interval is over; False where its unit is not one of `units`."""
        passed = self._since[self.every.unit]
        passed = time.monotonic() - passed if self.every.unit == "second" else passed
        return self.every.unit in units and passed >= self.every.number

    # -- the state ---------------------------------------------------------------------------------

    def _save(self, epoch: int, batch: int, needed: bool = True) -> None:
        """Save a checkpoint, and end the training after it if a signal has arrived.

        Args:
            epoch: the epoch in which a resumed training begins.
            batch: the batch of that epoch at which it begins.
            needed: whether an error of the disk ends the training.

        Raises:
            NotFinite: where a `Guard` finds NaN or infinite numbers.
            PolyceraError: where the checkpoint cannot be written and `needed` is True.
        """
        guards = [other for other in self._others if isinstance(other, Guard)]
        for guard in guards:
            guard.look()  # raises before damaged weights are written
        variables.settle(self.model)
        if not guards and (bad := nonfinite.first_of(self.model.weights)):
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
        batches = self._batches
        notes = {
            "rows": batches.digest if batches else None,
            "seed": batches.seed if batches else None,
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
            return  # a full disk may still have room for the run, a third of a checkpoint's size
        self._since = {"second": time.monotonic(), "batch": 0.0, "epoch": 0.0}
        if self.saved is not None:
            self.saved()
        if self._asked:
            self._leave()

    def _read(self, group: str) -> dict[str, np.ndarray]:
        """Return the values of one group of variables by name."""
        # during validation, the copy from `on_test_begin` holds the metrics of training
        if group == "metrics" and self._measured is not None:
            return self._measured
        return variables.read(self._of(group))

    def _of(self, group: str) -> list[Any]:
        """Return the variables of one group."""
        if group == "model":
            return variables.everything(self.model)
        if group == "optimizer":
            # without the counters of a guard, so that a training may resume with one or without
            return list(unguarded(self.model.optimizer).variables)
        return list(self.model.metrics_variables)

    def restore(self) -> None:
        """Restore variables, callbacks and random state from the checkpoint.

        Raises:
            InputError: where the checkpoint is of another model or optimizer; nothing is changed
                then.
        """
        stored = self._found
        assert stored is not None
        parts: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        shapes: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        for name, shape in stored.shapes.items():
            group, _, rest = name.partition("/")
            if group not in parts:
                raise InputError(
                    f"The checkpoint {shorten(stored.path)!r} holds an unknown entry "
                    f"{shorten(name)!r}: remove it."
                )
            parts[group][rest], shapes[group][rest] = name, shape
        # check all groups before any is written, so that an error leaves the model unchanged
        for group in GROUPS:
            variables.check(self._of(group), shapes[group], f"The checkpoint {str(stored.path)!r}")
        for group in GROUPS:
            values = {rest: stored.arrays[name] for rest, name in parts[group].items()}
            variables.write(self._of(group), values, f"The checkpoint {str(stored.path)!r}")
        if isinstance(self.model.optimizer, GuardedOptimizer):
            self.model.optimizer.reset()
        # a copy: callbacks change the objects that they get, and a second restore may follow
        callback_state.write(self._others, copy.deepcopy(stored.notes["callbacks"]))
        backend.set_random_state(stored.notes["random"])

    def _leave(self) -> NoReturn:
        """Raise the error that ends the training after a signal, with the way to resume."""
        last = f"checkpoint: {self._kept.all()[-1]}" if self._kept.all() else "no checkpoint yet"
        message = f"Interrupted in epoch {self._epoch + 1} ({last}); to resume, {self.go_on}."
        raise self._asked.end(message)


def _all(callbacks: Any, but: Checkpoint, bar: bool) -> list[Any]:
    """Return the callbacks of a `fit` without `but`, and with those that Keras would add."""
    given = [callback for callback in keras.tree.flatten(callbacks) if callback is not but]
    added = (keras.callbacks.History, keras.callbacks.ProgbarLogger)[: 2 if bar else 1]
    return given + [
        kind() for kind in added if not any(isinstance(callback, kind) for callback in given)
    ]
