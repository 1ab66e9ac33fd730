"""The command line: `polycera fit | resume | pick | evaluate | predict | report | describe | compare | sweep | ...`.

A package beside `polycera`, because importing that imports Keras and a backend (seconds), and `--help` should answer at
once. Everything heavy is imported inside the command that needs it.
"""

from __future__ import annotations

import os
import signal
import sys

from cyclopts import CycloptsError

from polycera_cli import answering, comparing, describing, reporting, training, verifying  # noqa: F401 - each puts its commands on the app
from polycera_cli.app import app
from polycera_cli.saying import complain

TRACEBACK = "POLYCERA_TRACEBACK"
"""Where this is set, an error that nobody foresaw shows where it happened."""


def main(arguments: list[str] | None = None) -> None:
    """The program: exit code 0 for done, 1 for what went wrong here, 2 for input that cannot be used.

    130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP, where a training has saved a checkpoint first.
    """
    try:
        _main(arguments)
    except KeyboardInterrupt:  # a second Ctrl-C, while the first was dealt with
        sys.exit(130)


def _main(arguments: list[str] | None) -> None:
    if hasattr(sys.stdout, "reconfigure"):  # a terminal that cannot show a name shows its code
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        unused = "Unused Tokens" in str(error)
        hint = "Say --target before each column to predict." if unused else "See polycera --help."
        complain(f"{' '.join(str(error).split())} {hint}")
        code = 2
    except KeyboardInterrupt as error:
        if arguments is None:  # the program ends now, and a third Ctrl-C would show where in Python it was
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        complain(_last_words(error) or "Interrupted; nothing was written.")
        code = 130
    except SystemExit as error:
        if getattr(error, "message", ""):
            complain(str(error))
        raise
    except BrokenPipeError:  # whoever read our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        names = {kind.__name__ for kind in type(error).__mro__}
        code = 2 if "InputError" in names else 1
        if "PolyceraError" in names:
            complain(str(error))
        elif TRACEBACK in os.environ:
            raise
        else:
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            complain(f"This went wrong unexpectedly: {what} ({TRACEBACK}=1 shows where); nothing was written.")
    sys.exit(code or 0)


def _last_words(error: BaseException | None) -> str:
    """What an interruption says; of a second one that came while the first was dealt with, what the first says."""
    while isinstance(error, KeyboardInterrupt) and not str(error):
        error = error.__context__
    return str(error) if isinstance(error, KeyboardInterrupt | SystemExit) else ""
