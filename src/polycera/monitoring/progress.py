"""A bar of epochs with each task's headline metric and the time left; nothing where nobody is watching."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import keras

from polycera.errors import shorten


class Progress(keras.callbacks.Callback):
    """One line that moves, on a terminal.

    Args:
        epochs: at most.
        shown: tasks whose headline metric is shown; the first few of many.
    """

    def __init__(self, epochs: int, shown: int = 4) -> None:
        super().__init__()
        self.epochs, self.shown = epochs, shown
        self.bar: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Draw the bar."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(30), TextColumn("{task.description}"))
        self.bar = Progress(*columns, TextColumn("at most"), TimeRemainingColumn(), transient=True)
        self.bar.start()
        self.line = self.bar.add_task("", total=self.epochs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Move it on."""
        logs = logs or {}
        parts = []
        for name, task in list(self.model.tasks.items())[: self.shown]:
            value = logs.get(f"val_{name}/{task.headline}", logs.get(f"{name}/{task.headline}", float("nan")))
            parts.append(f"{shorten(name, 16)} {task.headline} {value:.4g}")
        more = len(self.model.tasks) - self.shown
        parts += [f"and {more} more"] if more > 0 else []
        joint = f"joint {logs['val_joint']:.3f}  " if "val_joint" in logs else ""
        with suppress(OSError):  # the terminal is gone; the training ends in good order, see `signals`
            self.bar.update(self.line, advance=1, description=joint + "  ".join(parts))

    def stop(self) -> None:
        """Take it away, after an interruption too: the table that follows says more, and the cursor comes back."""
        if self.bar is not None:
            with suppress(OSError):
                self.bar.stop()
