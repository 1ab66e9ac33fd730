"""Train again to compare: `compare-separate` and `compare-weightings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from polycera_cli.app import Json, Names, Place, app
from polycera_cli.name_values import numbers, pairs
from polycera_cli.output import (
    MANY,
    cell,
    console,
    number,
    print_json,
    printable,
    say,
    settings,
    written,
)
from polycera_cli.package import as_the_run_began, check_lock, package


@app.command
def compare_separate(
    run: Path,
    file: str | None = None,
    *,
    seeds: int = 3,
    affinity: Annotated[bool, Parameter(negative="")] = False,
    task: Names = None,
    processes: int | None = None,
    json_: Json = False,
) -> int:
    """Train a separate network for each task on the same rows, and compare them with the joint one.

    Parameters
    ----------
    run
        A run folder; comparison.json is put into it.
    file
        The table, where it is no longer where the run found it.
    seeds
        Trainings of each network, with different initial weights and orders of rows; one gives no interval.
    affinity
        Train each pair of tasks too, and suggest which to train together.
    task
        A task to compare, where all would take too long; repeat it for several.
    processes
        Trainings at once; default: one for each core.
    json_
        Print one JSON object and nothing else.
    """
    check_lock(run)
    as_the_run_began(run)
    package()
    from polycera.experiments.compare_separate import compare_separate
    from polycera.experiments.comparison_verdict import training_time

    comparison = compare_separate(
        run,
        file,
        seeds=seeds,
        affinity=affinity,
        tasks=task,
        processes=processes,
        say=None if json_ else say,
    )
    if json_:
        print_json(comparison)
    else:
        if not settings.quiet:
            _gains(comparison)
        print(printable(f"{comparison.verdict} {training_time(comparison)}"))
    return 0


@app.command
def compare_weightings(
    file: Place,
    *,
    target: Annotated[list[str] | None, Parameter(alias="-t", negative="")] = None,
    loss_weights: Names = None,
    out: Annotated[Path, Parameter(name=("--out", "--output", "-o"))],
    source: str | None = None,
    kind: Names = None,
    exclude: Names = None,
    split: str | None = None,
    max_steps: int | None = None,
    seeds: int = 1,
    processes: int | None = None,
    json_: Json = False,
) -> int:
    """Train once for each of several sets of loss weights, and show what each task gains and loses.

    Parameters
    ----------
    file
        A .csv or .parquet file, or the folder of a run, whose spec is then repeated with other weights.
    target
        A column to predict, or a pattern such as 'label_*'; repeat it for several. Not with a run, which has its own.
    loss_weights
        NAME=NUMBER,NAME=NUMBER, one set of loss weights; repeat it for several. Default: a few that are usual.
    out
        A folder for the runs. The same command keeps finished runs there and resumes those that were cut off.
    source
        Of a run: the table, where it is no longer where the run found it.
    kind
        NAME=KIND where the inferred kind is wrong; NAME may be a pattern.
    exclude
        A column to leave out.
    split
        A column that names each row's part: train, validation, test.
    max_steps
        Steps of each training at most.
    seeds
        Trainings of each set of weights; a seed draws the split too.
    processes
        Trainings at once; default: one for each core.
    json_
        Print one JSON object and nothing else.
    """
    if isinstance(file, Path) and file.is_dir():
        as_the_run_began(file)
    pc = package()
    from polycera.experiments.compare_weightings import compare_weightings

    weightings = [_weights(option) for option in loss_weights] if loss_weights else None
    options: dict[str, Any] = {
        "out": out,
        "seeds": seeds,
        "processes": processes,
        "say": None if json_ else say,
    }
    if isinstance(file, Path) and file.is_dir():
        beside = {
            "target": target,
            "kind": kind,
            "exclude": exclude,
            "split": split,
            "max-steps": max_steps,
        }
        _refuse_beside_a_run(beside)
        result = compare_weightings(
            source,
            None,
            weightings,
            spec=pc.load(file).spec,
            **options,
        )
    else:
        options |= {"exclude": exclude or (), "split": split}
        options |= {"training": {} if max_steps is None else {"max_steps": max_steps}}
        if kinds := pairs(kind, "--kind"):
            options["kinds"] = kinds
        result = compare_weightings(str(file), target or [], weightings, **options)
    if json_:
        print_json({"path": str(result.path), **result.to_config()})
    else:
        _points(result)
    return 0


def _weights(option: str) -> dict[str, float]:
    """NAME=NUMBER,NAME=NUMBER; a name may have commas in it."""
    names: list[str] = []
    for text in option.split(","):
        if names and "=" not in names[-1]:
            names[-1] += f",{text}"
        else:
            names.append(text)
    return numbers(names, "--loss-weights")


def _refuse_beside_a_run(options: dict[str, Any]) -> None:
    from polycera.errors import InputError

    beside = [f"--{name}" for name, value in options.items() if value is not None]
    if beside:
        raise InputError(f"A run has its own spec; leave {', '.join(beside)} out, or name a table.")


def _gains(comparison: Any) -> None:
    """Print a comparison with separate networks as a table."""
    table = _table(f"On the {comparison.part} rows, mean over {len(comparison.seeds)} seeds")
    for name in ("task", "metric"):
        table.add_column(name)
    for name in ("joint", "separate", "joint better by", "low", "high"):
        table.add_column(name, justify="right")
    table.add_column("better")
    for task, gain in list(comparison.tasks.items())[:MANY]:
        values = [_mean(gain.joint), _mean(gain.separate), gain.difference, gain.low, gain.high]
        _add(table, task, gain.metric, *map(number, values), gain.better)
    _show(table, len(comparison.tasks))


def _points(result: Any) -> None:
    """Print a comparison of weightings as a table."""
    table = _table(f"Skill on the {result.part} rows (*: in the Pareto set)")
    tasks = list(result.points[0].tasks)[:MANY]
    table.add_column("loss weights")
    for task in tasks:
        table.add_column(cell(task, 20), justify="right")
    table.add_column("")
    for point in result.points:
        skills = [number(point.tasks[task].skill, 3) for task in tasks]
        _add(table, point.name, *skills, "*" if point.in_pareto_set else "")
    _show(table, len(tasks))
    written("Runs: ", result.path)


def _table(title: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(title))


def _add(table: Any, *cells: str) -> None:
    """Add a row; names from the data are plain text, not markup of the table."""
    table.add_row(*(cell(text, 60) for text in cells))


def _show(table: Any, tasks: int) -> None:
    console().print(table)
    if tasks > MANY:
        say(f"The first {MANY} of {tasks} tasks; all of them with --json.")


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
