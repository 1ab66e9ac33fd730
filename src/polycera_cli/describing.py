"""What a network is: `describe`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from polycera_cli.app import Json, app
from polycera_cli.package import package, without_keras
from polycera_cli.saying import print_json, say
from polycera_cli.verifying import note_damage


@app.command
def describe(
    run: Path,
    *,
    measure: Annotated[bool, Parameter(negative="")] = False,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json_: Json = False,
) -> int:
    """Say whether a network is one or several: which layers serve which tasks, and what separate networks would cost.

    Parameters
    ----------
    run
        A run folder.
    measure
        Measure the time of a training step and of an answer, for this network and for separate ones.
    output
        An .svg or .png file for a picture of it.
    json_
        Print one JSON object and nothing else.
    """
    with without_keras():
        from polycera.runs import Folder, paths

        if output is not None:
            paths.check_output(output)
        Folder(run)
        note_damage(run, refuse=("manifest.json", "spec.yaml", "schema.json", "sharing.json"))
        found = None if measure else Folder(run).sharing
        if found is not None:
            return _show(found, output, json_)
    pc = package()
    from polycera.diagnostics.describe import describe

    return _show(describe(pc.load(run).model, measure=measure).sharing, output, json_)


def _show(found: Any, output: Path | None, json_: bool) -> int:
    from polycera.drawing import network
    from polycera.drawing.described import described

    if output is not None:
        network(found).write(output)
    if json_:
        print_json(found)
        return 0
    say(described(found, _width()))
    if output is not None:
        say(f"Picture: {output}")
    return 0


def _width() -> int:
    from rich.console import Console

    return Console().width if sys.stdout.isatty() else 140
