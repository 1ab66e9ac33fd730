"""Define the program `polycera` and the options of every command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from polycera_cli import output

app = App(
    name="polycera",
    help="One network, many answers: train one neural network for many outputs.",
    version="0.1.0",
    version_flags=["--version", "-V"],
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says that nothing was written
)

ORDER = (
    *("fit", "inspect", "predict", "evaluate", "report", "plot", "resume", "pick"),
    *(
        "compare-separate",
        "compare-weightings",
        "describe-network",
        "verify",
        "methods",
        "completion",
        "demo",
    ),
)
"""The order of the commands in `polycera --help`: the first steps first."""

Names = Annotated[list[str] | None, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]


def _place(_: Any, tokens: Sequence[Any]) -> Path | str:
    """Return a path; an address (s3://...) stays text, because a path would lose a slash of it."""
    value: str = tokens[0].value
    return value if "://" in value else Path(value)


Place = Annotated[Path | str, Parameter(converter=_place)]
"""A path here, or an address in a remote store."""
Out = Annotated[Path | None, Parameter(name=("--out", "--output", "-o"))]
"""Where a command writes a folder."""
RunPlace = Annotated[
    Path | str | None, Parameter(name=("--out", "--output", "-o"), converter=_place)
]
"""The place of a new run: a folder, or an address in a remote store."""
Output = Annotated[Path | None, Parameter(name=("--output", "--out", "-o"))]
"""Where a command writes a file."""
FilePlace = Annotated[
    Path | str | None, Parameter(name=("--output", "--out", "-o"), converter=_place)
]
"""The place of a new table: a file, or an address in a remote store."""

EVERYWHERE = Group("Every command", sort_key=99)

app.meta.suppress_keyboard_interrupt = False


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    quiet: Annotated[
        bool, Parameter(("--quiet", "-q"), negative="", show_default=False, group=EVERYWHERE)
    ] = False,
    verbose: Annotated[
        bool, Parameter(("--verbose", "-v"), negative="", show_default=False, group=EVERYWHERE)
    ] = False,
) -> Any:
    """Run one command.

    Parameters
    ----------
    quiet
        Print the result and nothing else: no notes, no progress.
    verbose
        Say which versions and backend are used, how long it took, and where an unexpected error happened.
    """
    output.settings.quiet, output.settings.verbose = quiet, verbose
    return app(tokens, exit_on_error=False, print_error=False, result_action="return_value")


def sort_commands() -> None:
    """Put the commands into their order."""
    for place, name in enumerate(ORDER):
        if name in app:
            app[name].sort_key = place


@app.command
def completion(shell: Literal["bash", "zsh", "fish", "powershell"] | None = None) -> int:
    """Print the script by which a shell completes commands and options; it is not installed.

    Parameters
    ----------
    shell
        Default: the shell that runs this.
    """
    sys.stdout.write(app.meta.generate_completion(prog_name="polycera", shell=shell))
    return 0
