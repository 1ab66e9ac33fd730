"""Describe a network: `describe-network`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from polycera_cli.app import Json, Output, app
from polycera_cli.output import console, need_output, print_json, printable, say, written
from polycera_cli.package import package
from polycera_cli.verifying import note_damage


@app.command
def describe_network(
    run: Path,
    *,
    measure: Annotated[bool, Parameter(negative="")] = False,
    output: Output = None,
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
    pc = package()
    from polycera.runs import Folder
    from polycera.storage import paths

    if output is not None:
        paths.check_output(output)
    opened = Folder(run)  # first, and without Keras: a missing run is an error at once
    note_damage(run, refuse=("manifest.json", "spec.yaml", "schema.json", "sharing.json"))
    if not measure and opened.sharing is not None:
        return _show(opened.sharing, output, json_)
    from polycera.interpretation.describe_network import describe_network

    return _show(describe_network(pc.load(run).model, measure=measure).sharing, output, json_)


def _show(description: Any, output: Path | None, json_: bool) -> int:
    from polycera.drawing import network
    from polycera.drawing.described import described

    if output is not None:
        network(description).write(output)
    if json_:
        print_json(description)
        return 0
    if output is None:
        need_output("A picture of the network needs none: --output FILE.")
        print(printable(described(description, console().width)))
    else:
        say(described(description, console().width))
        written("Picture: ", output)
    return 0
