"""Run the command line: `polycera fit | predict | evaluate | report | ...`.

This package lies beside `polycera`. Everything heavy is imported inside the command that needs it,
so that `--help` and a typing error take no time.
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

from polycera_cli import comparing, describing, inspecting, predict, reporting, training, verifying  # noqa: F401 - each puts its commands on the app
from polycera_cli.app import app, sort_commands
from polycera_cli.old_words import renamed
from polycera_cli.output import complain, settings
from polycera_cli.source_word import with_standard_input

TRACEBACK = "POLYCERA_TRACEBACK"
"""Environment variable; where it is set, an unexpected error prints its traceback."""


class Output:
    """Wraps standard output and remembers an error, such as a full disk.

    Attributes:
        stream: the stream that is written to.
        failed: the error; None without one.
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
        """Drop what is buffered: Python would try to write it again when it exits."""
        # Where standard output is not a file, nothing is buffered.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


def main(arguments: list[str] | None = None) -> None:
    """Run the program.

    Exit code: 0 for success, 1 for an error, 2 for input that cannot be used. 130 after Ctrl-C, 143
    after SIGTERM and 129 after SIGHUP, where a training has saved a checkpoint first.
    """
    try:
        _main(arguments)
    except KeyboardInterrupt:  # a second Ctrl-C, while the first was handled
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
    """Run a command and return the exit code; print an error as one sentence."""
    sort_commands()
    code: Any = 0
    words, changed = renamed(sys.argv[1:] if arguments is None else arguments)
    words = with_standard_input(words)
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
        # The program ends now; a third Ctrl-C would print a traceback.
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
    """Print an error as one sentence and return the exit code."""
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
    # Nothing is said of files: a run that was begun may be there, and can be resumed.
    complain(f"Unexpected error: {description} ({TRACEBACK}=1 shows where).")
    return 1


def _open_streams() -> None:
    """Open streams that the caller closed (`>&-`) onto the null device.

    Otherwise the next file that is opened would get the number of the closed stream, and what a
    library prints would go into that file.
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
    """Print the versions in use, and how long the command took, on stderr."""
    from importlib.metadata import PackageNotFoundError, version

    backend = sys.modules["keras"].backend.backend() if "keras" in sys.modules else None
    versions = [f"Python {sys.version.split()[0]}"]
    for package in ("polycera", "keras", backend):
        with contextlib.suppress(PackageNotFoundError):
            versions += [f"{package} {version(package)}"] if package else []
    where = f", backend {backend}" if backend else ", Keras not needed"
    complain(f"{', '.join(versions)}{where}; {seconds:.1f} s.")


def _last_words(error: BaseException | None) -> str:
    """Return the message of an interruption.

    A second Ctrl-C while the first is handled has none: then it is that of the first.
    """
    while isinstance(error, KeyboardInterrupt) and not str(error):
        error = error.__context__
    return str(error) if isinstance(error, KeyboardInterrupt | SystemExit) else ""
