"""Show a line on the reading of a table: rows, rows a second, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def showing(what: str, total: int, wanted: bool) -> Iterator[Callable[[int], None] | None]:
    """Yield a function that is told the number of rows so far; None where no line is wanted.

    Args:
        what: what is done with the rows, such as "reading".
        total: number of all rows.
        wanted: whether to draw the line.
    """
    if not wanted:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn(what),
        BarColumn(20),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
        TextColumn("{task.fields[rate]} rows/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        transient=True,
    )
    line = bar.add_task(what, total=total, rate="…")

    def rows_done(rows: int) -> None:
        """Move the line."""
        # Writing fails when the terminal is closed; the work goes on.
        with suppress(OSError):
            speed = bar.tasks[0].speed
            bar.update(line, completed=rows, rate=f"{speed:,.0f}" if speed else "…")

    with bar:
        yield rows_done
