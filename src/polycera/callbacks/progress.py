"""Show a progress bar of epochs with headline metrics and time left, then of the phases after."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import keras

from polycera.errors import shorten

PHASES = (
    "kernel ridge, blend and calibration",
    "metrics and quality",
    "importance of columns",
    "writing the run",
)
"""Phases after the last epoch, in this order."""

BAR = 30
"""Width of the bar in characters."""
EVERY = 0.5
"""Seconds between two lines within an epoch."""
NARROW = 100
"""With fewer terminal columns than this, two thirds of the bar are shown."""


class Progress(keras.callbacks.Callback):
    """Shows one moving line on a terminal or in a notebook: epochs, then the phases after them.

    Where the line is too long for the terminal, metrics are cut off; epoch, bar and time stay.

    Args:
        epochs: the most epochs that the training can have.
        shown: number of tasks whose headline metric is shown, from the first one on.
        phases: names of the phases after the last epoch; none for a training that ends there.

    Attributes:
        rows_per_step: rows of a step, where an epoch takes minutes: the line then shows rows, rows
            a second and the time left within an epoch too; None where it does not.
    """

    def __init__(self, epochs: int, shown: int = 4, phases: tuple[str, ...] = PHASES) -> None:
        super().__init__()
        self.epochs, self.shown, self.phases = epochs, shown, phases
        self.bar: Any = None
        self.rows_per_step: int | None = None
        self._texts, self._epoch, self._rows = "", 0, 0
        self._began = self._shown_at = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        """Draw the bar of epochs."""
        from rich.progress import TimeRemainingColumn

        self._start("epoch", self.epochs, "at most", TimeRemainingColumn())

    def _start(self, what: str, total: int, before_time: str, time: Any) -> None:
        """Draw a bar in place of the present one."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.table import Column

        self.stop()
        console = Console()
        width = BAR if console.width >= NARROW else BAR * 2 // 3
        cut = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        whole = Column(no_wrap=True)
        self.bar = Progress(
            TextColumn(what, table_column=whole),
            MofNCompleteColumn(table_column=whole),
            BarColumn(width, table_column=Column(min_width=width)),
            TextColumn("{task.description}", table_column=cut, markup=False),
            TextColumn(before_time, table_column=whole),
            time,
            console=console,
            transient=True,
            expand=True,
        )
        self.bar.start()
        self.line = self.bar.add_task("", total=total)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note when the epoch began."""
        self._epoch, self._rows, self._began = epoch, 0, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Show rows, rows a second and time left twice a second, in an epoch that takes minutes."""
        if self.rows_per_step is None or self.bar is None:
            return
        self._rows += self.rows_per_step
        now = time.monotonic()
        if now - self._shown_at > EVERY:
            self._shown_at = now
            rate = self._rows / max(now - self._began, 1e-9)
            rows = f"{self._rows:,} rows, {rate:,.0f} rows/s  "
            # A part of an epoch counts as that part, so there is a time left in the first epoch.
            steps = (self.params or {}).get("steps") or 0
            part = min((batch + 1) / steps, 1.0) if steps else 0.0
            with suppress(OSError):
                self.bar.update(
                    self.line, completed=self._epoch + part, description=rows + self._texts
                )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Move the bar by one epoch."""
        logs = logs or {}
        texts = []
        for name, task in list(self.model.tasks.items())[: self.shown]:
            # without validation rows, the metric of the training rows
            value = logs.get(
                f"val_{name}/{task.headline}", logs.get(f"{name}/{task.headline}", float("nan"))
            )
            texts.append(f"{shorten(name, 16)} {task.headline} {value:.4g}")
        more = len(self.model.tasks) - self.shown
        texts += [f"and {more} more"] if more > 0 else []
        joint = f"joint {logs['val_joint']:.3f}  " if "val_joint" in logs else ""
        self._texts = joint + "  ".join(texts)
        # writing fails when the terminal is closed; `interrupts` then ends the training
        with suppress(OSError):
            self.bar.update(self.line, completed=epoch + 1, description=self._texts)

    def on_train_end(self, logs: Any = None) -> None:
        """Replace the bar of epochs by one of phases."""
        if self.bar is None or not self.phases:
            return
        from rich.progress import TimeElapsedColumn

        with suppress(OSError):
            self._start("finish", len(self.phases), "", TimeElapsedColumn())
            self.bar.update(self.line, description=self.phases[0])

    def phase(self, name: str) -> None:
        """Show the present phase, one of `phases`; do nothing where there is no bar."""
        if self.bar is None:
            return
        with suppress(OSError):
            self.bar.update(self.line, completed=self.phases.index(name), description=name)

    def stop(self) -> None:
        """Remove the bar, also after an interruption, so that the cursor is visible again."""
        if self.bar is not None:
            with suppress(OSError):
                self.bar.stop()
            self.bar = None
