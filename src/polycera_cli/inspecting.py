"""Show what a training would make of a table: `inspect`."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated

from cyclopts import Parameter

from polycera_cli.app import Json, Names, app
from polycera_cli.output import need_output, print_json, printable, say
from polycera_cli.package import package
from polycera_cli.source_word import Source
from polycera_cli.table_options import table_options


@app.command
def inspect(
    source: Source = None,
    *,
    target: Annotated[list[str] | None, Parameter(alias="-t", negative="")] = None,
    kind: Names = None,
    tags: Names = None,
    column: Names = None,
    exclude: Names = None,
    sample_weight: Names = None,
    id: Names = None,
    where: str | None = None,
    validation: float = 0.15,
    test: float = 0.15,
    split: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    encoding: str | None = None,
    memory: str = "1 GB",
    missing: Names = None,
    date_format: Names = None,
    number_format: Names = None,
    order: Names = None,
    sql: str | None = None,
    sheet: str | None = None,
    seed: int = 0,
    json_: Json = False,
) -> int:
    """Show what `fit` would make of a table, without training: roles, kinds, missing cells, leaks, copies, correlations.

    Parameters
    ----------
    source
        A file, several files or a folder of them, a table of a database, - for standard input: as for fit.
    target
        A column to predict; repeat it for several. Without any, all columns are inputs.
    kind
        NAME=KIND where the inferred kind is wrong, as for fit.
    tags
        NAME=SIGN for a target with several labels in one cell and SIGN between them, such as 'mood=|'.
    column
        NAME=ROLE where the inferred role is wrong: number, category, boolean, date, ignore.
    exclude
        A column to leave out, whatever is in it.
    sample_weight
        A column of weights of the rows, never an input; TASK=COLUMN for one task, repeat it for several.
    id
        A column that is carried into the predictions and never learned from.
    where
        Condition in SQL for the rows of the training, such as "date < '2024-01-01'".
    validation
        Share of the rows used to stop the training.
    test
        Share of the rows on which the result is measured.
    split
        A column that names each row's part: train, validation, test.
    groups
        A column of groups; rows of one group stay in one part.
    time
        A column of times; the latest rows are the test rows.
    encoding
        Encoding of a text file; default: what the file shows.
    memory
        Largest size of a table that is read into memory; of a larger Parquet table copies, leaks and correlations are
        those of a sample.
    missing
        WORD that stands for a missing value, beside the usual ones; or COLUMN=WORD,WORD: those of that column alone.
    date_format
        COLUMN=FORMAT of dates that have two readings, such as when=%d/%m/%Y.
    number_format
        COLUMN=NUMBER as it is written there where its signs have two readings, such as price=1.234,5.
    order
        TARGET=LEVEL,LEVEL,... from the lowest to the highest; the target is then ordinal.
    sql
        One SELECT statement whose rows are the table; it calls the rows of SOURCE "source", or names files itself.
    sheet
        Sheet of a workbook; default: the first.
    seed
        Seed of the split.
    json_
        Print one JSON object and nothing else.
    """
    on_the_table = table_options(locals())
    need_output()
    pc = package()
    if source is None and sql is None:
        from polycera.errors import InputError

        raise InputError("Name a table: polycera inspect FILE.")
    found = pc.inspect(source, target or None, memory=memory, **on_the_table)
    if json_:
        print_json(found)
        return 0
    from polycera.inspection.as_text import as_text

    # In a pipe or a file nothing wraps a line at the width of a terminal.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 140
    print(printable(as_text(found, width)))
    if not target:
        say("\nName what to predict to see its kind: -t NAME.")
    return 0
