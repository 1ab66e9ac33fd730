"""Use a run: `evaluate`, `predict`; and list the methods."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from polycera_cli import segment_table
from polycera_cli.app import FilePlace, Json, Names, Place, app
from polycera_cli.output import (
    console,
    need_output,
    print_json,
    printable,
    settings,
    table,
    written,
)
from polycera_cli.package import package
from polycera_cli.source_word import Source
from polycera_cli.verifying import note_damage


@app.command
def evaluate(
    run: Place,
    file: Source = None,
    *,
    by: Names = None,
    sql: str | None = None,
    sheet: str | None = None,
    json_: Json = False,
) -> int:
    """Measure a run on a table with labels; without one, show those of its test rows.

    Parameters
    ----------
    run
        A run folder.
    file
        A table with at least one of the targets: whatever fit takes.
    by
        A column whose segments (values, quartiles of numbers, years of dates) are measured apart, the worst first; repeat it for several.
    sql
        One SELECT statement whose rows are the table; it calls the rows of the file "source", or names files itself.
        The one with which the run was trained is not repeated.
    sheet
        Sheet of a workbook; default: that of the training.
    json_
        Print one JSON object and nothing else.
    """
    need_output()
    opened = package().load(run)
    from polycera.tabular.run import as_values

    is_new = file is not None or sql is not None
    if by is not None:
        segments = opened.evaluate(file, by=by, sql=sql, sheet=sheet)
        segment_table.show(segments, json_)
        return 0
    if not is_new:
        note_damage(
            opened.path, refuse=("manifest.json", "spec.yaml", "schema.json", "metrics.json")
        )
    part = opened.metrics["part"]
    measured = (
        as_values(opened.evaluate(file, sql=sql, sheet=sheet)) if is_new else opened.metrics[part]
    )
    if json_:
        print_json(measured)
    else:
        kinds = {task["name"]: task["kind"] for task in opened.spec.tasks if "kind" in task}
        named = ", ".join(file) if isinstance(file, list) else file or sql
        table(measured, kinds, str(named) if is_new else f"the {part} rows")
    return 0


@app.command
def predict(
    run: Place,
    file: Source = None,
    *,
    sql: str | None = None,
    sheet: str | None = None,
    output: FilePlace = None,
    value: str | None = None,
    safe_csv: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    json_: Json = False,
) -> int:
    """Predict every row of a table: labels, numbers and probabilities.

    Parameters
    ----------
    run
        A run folder.
    file
        A table with the columns that training used: whatever fit takes; - for standard input.
    sql
        One SELECT statement whose rows are the table; it calls the rows of the file "source", or names files itself.
        The one with which the run was trained is not repeated.
    sheet
        Sheet of a workbook; default: that of the training.
    output
        A .csv, .parquet or .xlsx file, here or in a remote store; a folder, for a Parquet table, gets several Parquet
        files. Without it the answers are printed as CSV.
    value
        A numeric task or a column: the amount at stake in a row. Each binary task gets a column with its probability times the amount.
    safe_csv
        Put an apostrophe before labels and names that a spreadsheet would take for a formula (= + - @).
    json_
        Print one JSON object of columns; with --output, of what was written.
    """
    pc = package()
    from polycera.errors import InputError
    from polycera.storage import paths, table_files, table_stream

    if file is None and sql is None:
        raise InputError("Name a table: polycera predict RUN FILE.")
    if safe_csv and (json_ or (output is not None and Path(output).suffix != ".csv")):
        raise InputError("--safe-csv applies to CSV only: leave it out, or write a .csv file.")
    if output is None:
        need_output("Name a file: --output answers.csv.")
    else:
        if isinstance(output, Path):
            paths.check_output(output)
        if isinstance(output, Path) and not output.suffix:
            table_stream.check_path(output)
        else:
            table_files.check_path(output)
        if isinstance(output, Path) and _same_file(output, file):
            raise InputError(
                f"The predictions would overwrite the table {str(output)!r} itself; choose another "
                "--output."
            )
    opened = pc.load(run)
    if output is not None and sql is None and _is_streamed(file, output, opened.spec.data.memory):
        if value is not None:
            raise InputError(
                "--value takes a table that is predicted at once: write one file, and raise "
                "memory= (--memory) in the run's spec, or give fewer rows."
            )
        watched = not (json_ or settings.quiet) and sys.stdout.isatty()
        count = opened.predict_to(file, output, safe_csv=safe_csv, progress=watched)
        if json_:
            print_json({"output": str(output), "rows": count})
        else:
            written(f"{count} rows: ", output)
        return 0
    predictions = {
        name: values.tolist()
        for name, values in opened.predict(file, sql=sql, sheet=sheet, value=value).items()
    }
    if safe_csv:
        predictions = table_files.without_formulas(predictions)
    if output is not None:
        table_files.write(output, predictions)
        rows = len(next(iter(predictions.values())))
        if json_:
            print_json({"output": str(output), "rows": rows})
        else:
            written(f"{rows} rows: ", output)
    elif json_:
        print_json(predictions)
    else:
        text = table_files.as_csv(predictions)
        # a terminal obeys codes in labels
        sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    return 0


def _is_streamed(file: str | list[str] | None, output: Any, limit: str) -> bool:
    """Return whether a table is predicted a part at a time."""
    from polycera.data import memory

    if not isinstance(output, Path) or output.suffix not in ("", ".csv", ".parquet"):
        return False
    return not output.suffix or memory.stream_of(file, limit) is not None


def _same_file(output: Path, file: str | list[str] | None) -> bool:
    """Return whether a path is that of a table's file."""
    try:
        return any(
            output.samefile(path) for path in ([file] if isinstance(file, str) else file or ())
        )
    except OSError:  # one of them does not exist
        return False


@app.command
def methods(*, json_: Json = False) -> int:
    """List the methods that weight losses or balance gradients: year, what they see, cost, when to use them.

    Parameters
    ----------
    json_
        Print one JSON object and nothing else.
    """
    need_output()
    package()
    from polycera import balancing, weighting

    rooms: dict[str, Any] = {"weighting": weighting.METHODS, "balancing": balancing.METHODS}
    rows = [
        {
            "room": room,
            "name": m.name,
            "year": m.year,
            "sees": ", ".join(m.sees),
            "cost": m.cost,
            "when": m.when,
        }
        for room, names in rooms.items()
        for m in names.values()
    ]
    if json_:
        print_json(rows)
        return 0
    from rich.table import Table

    titles = {
        "weighting": "Weighting: the tasks' losses -> weights of whole losses",
        "balancing": "Balancing: the tasks' gradients -> their weights in the trunk",
    }
    screen = console()
    for room, title in titles.items():
        table = Table(title=title)
        for column in list(rows[0])[1:]:
            table.add_column(column)
        for row in (row for row in rows if row["room"] == room):
            table.add_row(*map(str, list(row.values())[1:]))
        screen.print(table)
    return 0
