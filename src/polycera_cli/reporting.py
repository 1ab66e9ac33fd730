"""Show runs: `report`, `plot`. They import Keras only to predict: `--by` and `--findings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from polycera_cli.app import Json, Names, Output, app
from polycera_cli.output import need_output, print_json, printable, written
from polycera_cli.package import package


@app.command
def report(
    run: Path,
    *others: Path,
    by: Names = None,
    output: Output = None,
    findings: Path | None = None,
    value: str | None = None,
    show_rows: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    json_: Json = False,
) -> int:
    """Write one HTML page about a run, or about several side by side; it opens without a network.

    Parameters
    ----------
    run
        A run folder, of a training that has ended or goes on; or a folder of runs, as compare-weightings leaves.
    others
        More run folders.
    by
        Of a single run: a column by whose segments its test rows are measured too, as in evaluate --by; repeat it for several.
    output
        The file; default RUN/report.html, of several runs report.html in the current folder.
    findings
        Of a single run: a .json file for all its findings, such as report.json: metrics with intervals, baselines, gains, what is missing.
    value
        For the findings: a column or a numeric task, the amount at stake in a row; gains say what share of it the highest scores hold.
    show_rows
        For the findings: show rare levels, and texts that look like an address or an account.
    json_
        Print one JSON object and nothing else.
    """
    pc = package()
    if by is not None and others:
        from polycera.errors import InputError

        raise InputError("--by measures the test rows of one run: name one run, or leave it out.")
    _check_findings(findings, others, value is not None or show_rows)
    segments = None if by is None else pc.load(run).evaluate(by=by)
    if findings is not None:
        from polycera.runs.findings import write

        write(pc.load(run).findings(value=value, show_rows=show_rows), findings)
    path = pc.report([run, *others], output, segments=segments)
    if json_:
        print_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        written("Report: ", path)
    return 0


def _check_findings(findings: Path | None, others: tuple[Path, ...], chosen: bool) -> None:
    """Raise where the findings cannot be written, or options for them are given without them."""
    from polycera.errors import InputError, shorten
    from polycera.storage import paths

    if findings is None:
        if chosen:
            raise InputError(
                "--value and --show-rows are for the findings: name a file for them, "
                "--findings report.json."
            )
        return
    if others:
        raise InputError("--findings are those of one run: name one run, or leave it out.")
    if findings.suffix != ".json":
        raise InputError(
            f"Cannot write the findings to {shorten(findings)!r}: end the name in .json."
        )
    paths.check_output(findings, allowed="report.json")


@app.command
def plot(run: Path, name: str | None = None, *, output: Output = None, json_: Json = False) -> int:
    """Write one picture of a run for a paper or a talk; without a name, list the pictures that it has.

    Parameters
    ----------
    run
        A run folder.
    name
        Name of the picture, such as joint, or reliability/churn for a picture of one task.
    output
        A .svg or .png file; default NAME.svg in the current folder.
    json_
        Print one JSON object and nothing else.
    """
    package()
    from polycera.reports import catalogue
    from polycera.reports.run_view import RunView
    from polycera.storage import paths

    if output is not None:
        paths.check_output(output)
    if name is None:
        _list(
            {picture: catalogue.meaning(picture) for picture in catalogue.of(RunView(run))}, json_
        )
        return 0
    path = catalogue.plot(run, name, output or Path(_file_name(name)))
    print_json({"picture": name, "output": str(path)}) if json_ else written("Picture: ", path)
    return 0


def _file_name(name: str) -> str:
    """Return a file name that every operating system accepts."""
    safe = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in name)
    return f"{safe.strip('.-')[:80] or 'picture'}.svg"


def _list(meanings: dict[str, str], json_: bool) -> None:
    if json_:
        print_json(meanings)
        return
    need_output()
    wide = max((len(name) for name in meanings if len(name) <= 40), default=0)
    for name, meaning in meanings.items():
        print(printable(f"{name:{wide}}  {meaning}"))
