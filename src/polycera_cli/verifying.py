"""Check whether a run is as it was written: `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polycera_cli.app import Json, app
from polycera_cli.output import note, print_json, say
from polycera_cli.package import package

MANY = 5
"""Maximum number of findings that other commands print."""


@app.command
def verify(run: Path, *others: Path, json_: Json = False) -> int:
    """Check every file of a run: none changed, missing or from elsewhere. Exit code 0: whole, 1: it is not, 2: no run.

    Parameters
    ----------
    run
        A run folder.
    others
        More run folders.
    json_
        Print one JSON object and nothing else; of several runs, a list of them.
    """
    package()
    import msgspec

    from polycera.runs.verify import verify as check

    results = [check(path) for path in (run, *others)]
    if json_:
        as_json = [{**msgspec.to_builtins(result), "whole": result.whole} for result in results]
        print_json(as_json[0] if len(as_json) == 1 else as_json)
    else:
        for result in results:
            for sentence in (*result.findings, *result.unchecked):
                say(str(sentence))
            say(_summary(result))
    return 0 if all(result.whole for result in results) else 1


def _summary(result: Any) -> str:
    """Return the last line."""
    state = "" if result.ended else " Its training has not ended."
    files, findings = f"{len(result.files)} files", len(result.findings)
    if not findings:
        return f"{result.run}: {files}, all as they were written.{state}"
    return f"{result.run}: {findings} finding{'s' * (findings > 1)}, {files} as they were written.{state}"


def note_damage(run: Path, *, refuse: tuple[str, ...] = (), read: str = "\0") -> None:
    """Print a note for each damaged file of a run, for commands that do not read all files.

    Args:
        run: its folder.
        refuse: files that the command needs: the first of them that is damaged is an error.
        read: the prefix of the files that the command checks itself.
    """
    from polycera.errors import PolyceraError
    from polycera.runs.verify import verify as check

    result = check(run)
    for finding in result.findings:
        if finding.file in refuse:
            raise PolyceraError(finding.sentence)
    findings = [finding for finding in result.findings if not finding.file.startswith(read)]
    for finding in findings[:MANY]:
        note(str(finding))
    if len(findings) > MANY:
        note(f"there are more findings: polycera verify {run}")
