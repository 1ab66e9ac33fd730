"""Train on a table: `fit`, `resume`, `pick`, `demo`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from polycera_cli.app import Json, Names, Out, Place, RunPlace, app
from polycera_cli.customers import ROWS, TARGETS, customers
from polycera_cli.name_values import class_weights, numbers, pairs
from polycera_cli.output import epochs, print_json, reached, say, settings, written
from polycera_cli.package import as_the_run_began, check_lock, package
from polycera_cli.source_word import Source
from polycera_cli.table_options import table_options
from polycera_cli.verifying import note_damage


@app.command
def fit(
    source: Source = None,
    *,
    target: Annotated[list[str] | None, Parameter(alias="-t", negative="")] = None,
    kind: Names = None,
    tags: Names = None,
    metric: Names = None,
    loss_weight: Names = None,
    score_weight: Names = None,
    threshold: Literal["f1", "balanced_accuracy", "accuracy", "none"] | None = None,
    column: Names = None,
    exclude: Names = None,
    sample_weight: Names = None,
    class_weight: Names = None,
    id: Names = None,
    where: str | None = None,
    out: RunPlace = None,
    spec: Path | None = None,
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
    folds: int | None = None,
    max_steps: int | None = None,
    batch_size: int | None = None,
    weighting: str | None = None,
    balancing: str | None = None,
    gradients: Literal["features", "parameters"] | None = None,
    preference: Names = None,
    guard: Literal["stop", "skip"] | None = None,
    checkpoint_every: str = "1 minute",
    resume: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    fast: Annotated[bool, Parameter(negative="")] = False,
    json_: Json = False,
) -> int:
    """Train one network for all targets of a table, and write a run folder.

    Parameters
    ----------
    source
        A file: .csv, .tsv, .txt, .jsonl (also .gz, .zst), .parquet, .xlsx, .sqlite, .duckdb; several .csv, .jsonl or
        .parquet files, a folder or a pattern of them, as one table; file.db?table=NAME; postgresql://user@host/database?table=NAME; - for standard input.
    target
        A column to predict, or a pattern such as 'label_*'; repeat it for several.
    kind
        NAME=KIND where the inferred kind is wrong: regression, proportion, binary, multiclass, ordinal,
        count, quantile. NAME may be a pattern, here and in the options below.
    tags
        NAME=SIGN for a target with several labels in one cell and SIGN between them, such as 'mood=|'.
    metric
        NAME=METRIC by which a task counts in the joint score, and which is shown first.
    loss_weight
        NAME=NUMBER, what a task's loss is multiplied by in the loss that is minimised; repeat it for several.
    score_weight
        NAME=NUMBER, how much a task counts in the joint score by which training stops; repeat it for several.
    threshold
        Metric used to choose the decision threshold on validation rows; default f1; none: 0.5.
    column
        NAME=ROLE where the inferred role is wrong: number, category, boolean, date, ignore.
    exclude
        A column to leave out, whatever is in it.
    sample_weight
        A column of weights of the rows, never an input; TASK=COLUMN for one task, repeat it for several.
    class_weight
        TASK=balanced, or TASK=LABEL:NUMBER,LABEL:NUMBER: factors of the loss of the rows of a class; repeat it for several tasks.
    id
        A column that is carried into the predictions and never learned from.
    where
        Condition in SQL for the rows of this training, such as "date < '2024-01-01'"; predict does not apply it.
    out
        The run folder; default runs/<name of the file>-<number>; or an address (s3://bucket/name).
    spec
        A spec.yaml that a run left, perhaps edited: repeats that training.
    validation
        Share of the rows used to stop the training.
    test
        Share of the rows on which the result is measured.
    split
        A column that names each row's part: train, validation, test.
    groups
        A column of groups; rows of one group stay in one part and in one fold.
    time
        A column of times; the latest rows are the test rows, those before them validate. With groups, a group is as late as its latest row.
    encoding
        Encoding of a text file; default: what the file shows.
    memory
        Largest size of a table that is read into memory; the training rows of a larger Parquet table are read from disk
        while the network trains.
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
    folds
        Folds of the rows: each is out-of-fold for as many ensemble members; 1: only the validation rows are not trained on.
    max_steps
        Largest number of training steps.
    batch_size
        Rows in a training step.
    weighting
        Loss weighting: a method that `polycera methods` lists.
    balancing
        Gradient balancing: a method that `polycera methods` lists.
    gradients
        Which gradients are balanced: those at the features before the heads, or those of all shared parameters.
    preference
        NAME=NUMBER, a task's preference inside the method of --weighting or --balancing, for methods that take one;
        without such a method use --loss-weight.
    guard
        What to do when a loss or gradient is NaN or infinite: stop the training, or skip that step.
    checkpoint_every
        How often to save a checkpoint: "5 minutes", "200 batches", "1 epoch".
    resume
        Resume what is in --out: finish a training that was cut off, show one that has ended, start one where there is none.
    seed
        Seed of everything random; equal seeds give equal numbers.
    fast
        A smaller network and fewer steps, for a first look: less accurate, in a fraction of the time.
    json_
        Print one JSON object and nothing else.
    """
    on_the_table = table_options(locals())
    if resume and out is not None:
        check_lock(out)
        as_the_run_began(out)
    pc = package()
    from polycera.errors import InputError

    if spec is None and source is None and sql is None:
        raise InputError(
            "Name a table: polycera fit FILE --target NAME, or polycera fit --spec spec.yaml."
        )
    if spec is None and not target:
        raise InputError("Name at least one column to predict: --target NAME.")
    if spec is not None and kind:
        raise InputError(
            "A spec holds the kinds of its tasks: write them into the spec, or leave --kind out."
        )
    steps: dict[str, Any] = {
        "max_steps": max_steps,
        "batch_size": batch_size,
        "weighting": weighting,
        "balancing": balancing,
    }
    steps |= {
        "guard": guard,
        "gradients": gradients,
        "preference": numbers(preference, "--preference") or None,
    }
    run = pc.fit(
        source,
        target or None,
        **on_the_table,
        metric=pairs(metric, "--metric"),
        loss_weights=numbers(loss_weight, "--loss-weight"),
        out=out,
        spec=spec,
        class_weight=class_weights(class_weight, "--class-weight"),
        score_weights=numbers(score_weight, "--score-weight"),
        threshold=threshold,
        memory=memory,
        preset="fast" if fast else None,
        network={} if folds is None else {"folds": folds},
        training={name: value for name, value in steps.items() if value is not None},
        checkpoint_every=checkpoint_every,
        resume=resume,
        progress=not (json_ or settings.quiet) and sys.stdout.isatty(),
        say=None if json_ else say,
    )
    reached(run, json_)
    return 0


@app.command
def resume(
    run: Place, file: Source = None, *, checkpoint_every: str = "1 minute", json_: Json = False
) -> int:
    """Resume a training that was cut off, from its last checkpoint, to the same bits.

    Parameters
    ----------
    run
        A run folder.
    file
        The table, where it is no longer where the run found it.
    checkpoint_every
        How often to save a checkpoint: "5 minutes", "200 batches", "1 epoch".
    json_
        Print one JSON object and nothing else.
    """
    check_lock(run)
    as_the_run_began(run)
    resumed = package().resume(
        run,
        file,
        checkpoint_every=checkpoint_every,
        progress=not (json_ or settings.quiet) and sys.stdout.isatty(),
        say=None if json_ else say,
    )
    reached(resumed, json_)
    return 0


@app.command
def pick(run: Path, *, score_weight: Names = None, out: Out = None, json_: Json = False) -> int:
    """Choose an epoch of the Pareto set by your own score weights, without training again.

    Parameters
    ----------
    run
        A run folder.
    score_weight
        NAME=NUMBER, how much a task counts in the score; repeat it for several.
    out
        A new run folder that predicts as the chosen epoch does.
    json_
        Print one JSON object and nothing else.
    """
    pc = package()
    from polycera.errors import InputError

    weights = numbers(score_weight, "--score-weight")
    if not weights:
        raise InputError(
            "Say how much each task counts: "
            "polycera pick RUN --score-weight churn=0.9 --score-weight revenue_loss=0.1."
        )
    opened = pc.load(run)
    note_damage(run, refuse=("manifest.json", "spec.yaml", "schema.json"), read="epochs/")
    picked = opened.pick(weights)
    if out is not None:
        picked.write(out)
    if json_:
        print_json(
            {"epoch": picked.picked.epoch, "skills": picked.picked.skills, "run": str(out or run)}
        )
        return 0
    if not settings.quiet:
        epochs(opened.epochs, picked.picked.epoch)
    if out is not None:
        written("Run:  ", out)
    else:
        print(f"Epoch {picked.picked.epoch}.")
        say("To predict with this epoch, write it to its own run: --out RUN.")
    return 0


@app.command
def demo(*, out: Out = None, json_: Json = False) -> int:
    """Train on a small table in under a minute: 344 real penguins, or made-up customers where those are not installed.

    The penguins come with pip install 'polycera[demo]'.

    Parameters
    ----------
    out
        The run folder; default runs/<name of the table>-<number>.
    json_
        Print one JSON object and nothing else.
    """
    package()
    penguins = importlib.util.find_spec("palmerpenguins")
    if penguins is not None and penguins.submodule_search_locations:
        # found without importing the package, which would import pandas
        table = Path(next(iter(penguins.submodule_search_locations))) / "data" / "penguins.csv"
        targets = ["body_mass_g", "sex", "species"]
        title = "Palmer penguins (Horst, Hill, Gorman 2020): three targets, one network."
    else:
        table, targets = _synthetic_customers(out), list(TARGETS)
        title = (
            f"{ROWS} made-up customers: two targets, one network. Real data, 344 penguins: pip "
            "install 'polycera[demo]'."
        )
    if not json_:
        say(title)
        say(f"  polycera fit {table.name} {' '.join(f'--target {name}' for name in targets)}")
    return fit(str(table), target=targets, out=out, json_=json_)


def _synthetic_customers(out: Path | None) -> Path:
    """Write the file of made-up customers beside the run, and return its path.

    Raises:
        InputError: where there is another file of that name.
    """
    from polycera.errors import InputError
    from polycera.storage import atomic, table_files

    folder = Path("runs") if out is None else out.parent
    path, content = folder / "customers.csv", table_files.as_csv(customers()).encode()
    if path.exists() and not (path.is_file() and path.read_bytes() == content):
        raise InputError(
            f"The demo would write {str(path)!r}, and another file is there: "
            "choose --out FOLDER/RUN."
        )
    if not path.exists():
        atomic.make_folder(folder)
        atomic.write(path, content)
    return path
