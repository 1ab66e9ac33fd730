"""Print the metrics of segments."""

from __future__ import annotations

from typing import Any

from polycera_cli.output import cell, console, number, print_json, say

SHOWN = 40
"""Most lines of a column's table: all of them are in the JSON."""


def show(found: Any, json_: bool) -> None:
    """Print the metrics of each segment, a table for each column.

    Args:
        found: of `run.evaluate(by=...)`.
        json_: print one JSON object and nothing else.
    """
    if json_:
        import msgspec

        page = msgspec.to_builtins(found)
        del page["scores"]
        print_json({**page, "by": found.by_column()})
        return
    for column, scores in found.by_column().items():
        console().print(_table(column, scores[:SHOWN], found))
        if len(scores) > SHOWN:
            say(f"The first {SHOWN} of {len(scores)} lines; all of them with --json.")
    for sentence in found.said:
        say(sentence)


def _table(column: str, scores: list[Any], found: Any) -> Any:
    from rich.table import Table

    table = Table(title=cell(f"On {found.on} ({found.rows:,}), by {column}", 200))
    for name in ("segment", "task", "metric"):
        table.add_column(name)
    for name in ("rows", "value", "95 % interval", "overall"):
        table.add_column(name, justify="right")
    table.add_column("")
    for score in scores:
        interval = "" if score.low is None else f"{number(score.low)} to {number(score.high)}"
        table.add_row(
            cell(score.segment),
            cell(score.task),
            score.metric,
            f"{score.rows:,}",
            number(score.value),
            interval,
            number(score.overall),
            score.verdict,
        )
    return table
