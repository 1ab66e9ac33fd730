"""The command line: `polycera fit | predict | evaluate | report | ...`.

A package beside `polycera`. Everything heavy is imported inside the command that needs it, so that `--help` and a
typing error are answered at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from cyclopts import CycloptsError

from polycera_cli import answering, comparing, describing, reporting, training, verifying  # noqa: F401 - each puts its commands on the app
from polycera_cli.app import app, sort_commands
from polycera_cli.old_words import renamed
from polycera_cli.saying import complain, settings

TRACEBACK = "POLYCERA_TRACEBACK"
"""Where this is set, an error that nobody foresaw shows where it happened."""


class Output:
    """Standard output, which remembers that it failed: on a full disk, say.

    Attributes:
        stream: where it is written.
        failed: why it could not be; None where it could.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.failed: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write text, as `stream` does."""
        with self._remembering():
            return int(self.stream.write(text))

    def flush(self) -> None:
        """Write what waits, as `stream` does."""
        with self._remembering():
            self.stream.flush()

    @contextlib.contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # whoever read it has read enough
            raise
        except OSError as error:
            self.failed = error
            raise

    def give_up(self) -> None:
        """Drop what waits: Python would try to write it again at its end."""
        # where standard output is no file, nothing waits
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


def main(arguments: list[str] | None = None) -> None:
    """The program: exit code 0 for done, 1 for what went wrong here, 2 for input that cannot be used.

    130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP, where a training has saved a checkpoint first.
    """
    try:
        _main(arguments)
    except KeyboardInterrupt:  # a second Ctrl-C, while the first was dealt with
        sys.exit(130)


def _main(arguments: list[str] | None) -> None:
    began = time.perf_counter()
    _open_streams()
    if hasattr(sys.stdout, "reconfigure"):  # a terminal that cannot show a name shows its code
        sys.stdout.reconfigure(errors="backslashreplace")
    output = Output(sys.stdout)
    sys.stdout = output
    try:
        code = _run(arguments, output)
    finally:
        sys.stdout = output.stream
    if settings.verbose:
        _say_versions(time.perf_counter() - began)
    sys.exit(code or 0)


def _run(arguments: list[str] | None, output: Output) -> Any:
    """Run a command and return the exit code; what goes wrong is said in one sentence."""
    sort_commands()
    code: Any = 0
    words, changed = renamed(sys.argv[1:] if arguments is None else arguments)
    for old, new in changed:
        _say_renamed(old, new)
    try:
        code = app.meta(words, exit_on_error=False, print_error=False, result_action="return_value")
        output.flush()
    except CycloptsError as error:
        unused = "Unused Tokens" in str(error)
        hint = "Write --target before each column to predict." if unused else "See polycera --help."
        complain(f"{' '.join(str(error).split())} {hint}")
        code = 2
    except KeyboardInterrupt as error:
        # the program ends now, and a third Ctrl-C would show where in Python it was
        if arguments is None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        complain(_last_words(error) or "Interrupted; nothing was written.")
        code = 130
    except SystemExit as error:
        if getattr(error, "message", ""):
            complain(str(error))
        raise
    except BrokenPipeError:  # whoever read our output has read enough
        output.give_up()
        code = 0
    except Exception as error:
        code = _explain(error, output)
    return code


def _say_renamed(old: str, new: str) -> None:
    """Say that a command or an option has a new name, on stderr, with --quiet too."""
    from polycera.renamed import sentence

    complain(sentence(old, new))


def _explain(error: Exception, output: Output) -> int:
    """Say in one sentence what went wrong; the exit code."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "PolyceraError" in names:
        complain(str(error))
        return 2 if "InputError" in names else 1
    if output.failed is not None:
        output.give_up()
        complain(f"Cannot print to standard output: {output.failed.strerror}.")
        return 1
    if TRACEBACK in os.environ or settings.verbose:
        raise error
    description = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    complain(f"Unexpected error: {description} ({TRACEBACK}=1 shows where); nothing was written.")
    return 1


def _open_streams() -> None:
    """Open what the caller closed (`>&-`) onto nothing.

    Else the next file that is opened would get the number of the closed stream, and what a library prints there
    would go into that file.
    """
    settings.closed = sys.stdout is None
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")


def _say_versions(seconds: float) -> None:
    """What was used, and how long it took, on stderr."""
    from importlib.metadata import PackageNotFoundError, version

    backend = sys.modules["keras"].backend.backend() if "keras" in sys.modules else None
    versions = [f"Python {sys.version.split()[0]}"]
    for package in ("polycera", "keras", backend):
        with contextlib.suppress(PackageNotFoundError):
            versions += [f"{package} {version(package)}"] if package else []
    where = f", backend {backend}" if backend else ", Keras not needed"
    complain(f"{', '.join(versions)}{where}; {seconds:.1f} s.")


def _last_words(error: BaseException | None) -> str:
    """What an interruption says; of a second one that came while the first was dealt with, what the first says."""
    while isinstance(error, KeyboardInterrupt) and not str(error):
        error = error.__context__
    return str(error) if isinstance(error, KeyboardInterrupt | SystemExit) else ""
