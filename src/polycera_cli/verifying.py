"""Whether a run is as it was written: `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polycera_cli.app import Json, app
from polycera_cli.package import package
from polycera_cli.saying import note, print_json, say

MANY = 5
"""Findings that a command notes, at most, which was asked for something else."""


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

    found = [check(path) for path in (run, *others)]
    if json_:
        each = [{**msgspec.to_builtins(one), "whole": one.whole} for one in found]
        print_json(each[0] if len(each) == 1 else each)
    else:
        for one in found:
            for sentence in (*one.findings, *one.unchecked):
                say(str(sentence))
            say(_sum(one))
    return 0 if all(one.whole for one in found) else 1


def _sum(seen: Any) -> str:
    """Return the last line."""
    state = "" if seen.ended else " Its training has not ended."
    files, found = f"{len(seen.files)} files", len(seen.findings)
    if not found:
        return f"{seen.run}: {files}, all as they were written.{state}"
    return f"{seen.run}: {found} finding{'s' * (found > 1)}, {files} as they were written.{state}"


def note_damage(run: Path, *, refuse: tuple[str, ...] = (), read: str = "\0") -> None:
    """Say of each file of a run that is not as it was written, on stderr; for commands that read only some of them.

    Args:
        run: its folder.
        refuse: files without which the command has no answer: the first of them that is damaged is an error.
        read: how the names of those begin that the command looks at itself.
    """
    from polycera.errors import PolyceraError
    from polycera.runs.verify import verify as check

    seen = check(run)
    for finding in seen.findings:
        if finding.file in refuse:
            raise PolyceraError(finding.sentence)
    said = [finding for finding in seen.findings if not finding.file.startswith(read)]
    for finding in said[:MANY]:
        note(str(finding))
    if len(said) > MANY:
        note(f"there is more of that: polycera verify {run}")
